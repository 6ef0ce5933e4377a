/* The gates before libinjection: where a gate says no, libinjection says no. On all short texts over the
 * bytes that matter, on random longer ones, and on what attacks are made of. */
#include "waf/gates.h"
#include "waf/libinjection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LONGEST = 64, RANDOM_TEXTS = 150'000 };

static bool is_sqli(struct str s)
{
    char fingerprint[LIBINJECTION_FINGERPRINT_MAX];
    return libinjection_sqli(s.n ? s.p : "", s.n, fingerprint) != 0;
}

static bool is_xss(struct str s)
{
    return libinjection_xss(s.n ? s.p : "", s.n) != 0;
}

static bool gate_xss(struct str s)
{
    static const struct rule rule = {.op = OP_DETECT_XSS};
    return (kinds_of(s) & gate_kinds(&rule)) != 0;
}

static bool gate_sqli(struct str s)
{
    return gate_may_be_sqli(s, kinds_of(s));
}

static unsigned said_no;

static void check(struct str s)
{
    said_no += !gate_xss(s) + !gate_sqli(s);
    if (!gate_xss(s) && is_xss(s))
        fail_msg("the gate hides an XSS of %zu bytes: %.*s", s.n, STR_ARG(s));
    if (!gate_sqli(s) && is_sqli(s))
        fail_msg("the gate hides an SQL injection of %zu bytes: %.*s", s.n, STR_ARG(s));
}

static void all_texts(const char *letters, unsigned longest)
{
    size_t count = strlen(letters);
    char text[LONGEST];
    size_t at[LONGEST] = {0};
    for (unsigned n = 0; n <= longest; n++) {
        memset(at, 0, sizeof at);
        for (bool more = true; more;) {
            for (unsigned i = 0; i < n; i++)
                text[i] = letters[at[i]];
            check((struct str){text, n});
            unsigned i = 0;
            while (i < n && ++at[i] == count)
                at[i++] = 0;
            more = i < n;
        }
    }
}

static void test_short_texts(void **)
{
    said_no = 0;
    all_texts("01.:,+-/ 9e", 5); /* numbers and arithmetic, and one letter */
    all_texts("1-+/.: ", 7);
    all_texts("on=<>\"'`/ !-x:", 4); /* attributes, tags, comments */
    all_texts("on>\"'`/ x:[", 5);    /* the same without what the gate looks for */
    assert_true(said_no > 100'000);
}

static void random_texts(const char *letters)
{
    uint64_t state = 0x853c49e6748fea9b;
    size_t count = strlen(letters);
    char text[LONGEST];
    for (unsigned k = 0; k < RANDOM_TEXTS; k++) {
        size_t n = k % LONGEST;
        for (size_t i = 0; i < n; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[i] = letters[(state >> 20) % count];
        }
        check((struct str){text, n});
    }
}

static void test_random_texts(void **)
{
    random_texts("0123456789.:,+-/ ");
    random_texts("abcdefghijklmnopqrstuvwxyzON\"'`/ >!-[]&;:()x");
}

static const char *const pieces[] = {
    "1",        "0x1",    "1.5",      " ",      "/",        "//",    "-",           "- -",    "+",
    ",",        ":",      "::",       ".",      "..",       "1e5",   "/**/",        "--",     "#",
    "union",    "select", "or",       "and",    "sleep(5)", "'",     "\"",          "`",      ";",
    "(",        ")",      "style",    "onload", "onerror ", "href ", "javascript:", "script", "svg/",
    "!doctype", "!--",    "![CDATA[", "xml",    "/>",       ">",     "img ",        "\t",     "&#106;"};

/* Every two, and three by chance, out of what attacks are made of. */
static void test_pieces(void **)
{
    size_t count = sizeof pieces / sizeof *pieces;
    uint64_t state = 12345;
    char text[LONGEST];
    for (size_t k = 0; k < count * count * 20; k++) {
        struct buf out = buf_over(text, sizeof text);
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        buf_str(&out, str_of(pieces[k % count]));
        buf_str(&out, str_of(pieces[k / count % count]));
        if (k >= count * count)
            buf_str(&out, str_of(pieces[(state >> 33) % count]));
        check(buf_text(&out));
    }
}

static void test_gates_let_attacks_through(void **)
{
    assert_true(gate_sqli(STR("1' or '1'='1")) && is_sqli(STR("1' or '1'='1")));
    assert_true(gate_sqli(STR("1--")) && is_sqli(STR("1--")));
    assert_true(gate_xss(STR("<script>")) && is_xss(STR("<script>")));
    assert_true(gate_xss(STR("x onerror=alert(1)")) && is_xss(STR("x onerror=alert(1)")));
    assert_false(gate_sqli(STR("2024-03-01 09:00:00")));
    assert_false(gate_xss(STR("geen klachten; controle over 2 weken")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_texts),
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_gates_let_attacks_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
