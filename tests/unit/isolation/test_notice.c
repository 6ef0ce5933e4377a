/* The notice: every language and level, tags that close, text that is escaped, contrast that can be computed,
 * a moment that passes, and Accept-Language. */
#include "kit.h"

#include "isolation/notice.h"

#include "json/tape.h"

#include <math.h>

static const struct isolation_notice plain = {.language = ISOLATION_NL,
                                              .level = ISOLATION_CLOSED,
                                              .name = STR("Medisch Centrum Noord"),
                                              .phone = STR("+31 (0)58 - 286 66 66"),
                                              .path = STR("/"),
                                              .since_us = KIT_BEGIN,
                                              .next_us = KIT_BEGIN + 6 * KIT_HOUR,
                                              .offset_minutes = 60};

struct made {
    char text[ISOLATION_NOTICE_MAX];
    struct buf out;
    struct isolation_notice_answer answer;
};

static struct str make(struct made *m, const struct isolation_notice *n, enum isolation_notice_form form,
                       int64_t now_us)
{
    m->out = buf_over(m->text, sizeof m->text);
    isolation_notice_write(&m->out, n, form, now_us, &m->answer);
    assert_false(buf_overflowed(&m->out));
    return buf_text(&m->out);
}

static bool says(struct str text, const char *what)
{
    return str_find(text, str_of(what)) >= 0;
}

static bool is_void(struct str tag)
{
    return str_eq(tag, STR("meta")) || str_eq(tag, STR("br")) || str_eq(tag, STR("!DOCTYPE"));
}

/* Every tag that opens is closed in its turn; text between them holds no bare < or >. */
static void must_nest(struct str html)
{
    struct str open[32];
    unsigned depth = 0;
    for (size_t at = 0; at < html.n; at++) {
        assert_true(html.p[at] != '>');
        if (html.p[at] != '<')
            continue;
        struct str rest = str_skip(html, at + 1);
        ptrdiff_t end = str_find_char(rest, '>');
        assert_true(end > 0);
        struct str tag = str_take(rest, (size_t)end), name = tag;
        name = str_cut(&name, ' ');
        if (tag.p[0] == '/')
            assert_true(depth > 0 && str_eq(open[--depth], str_skip(tag, 1)));
        else if (!is_void(name))
            open[depth++] = name;
        at += (size_t)end + 1;
    }
    assert_int_equal(depth, 0);
}

static void test_pages(void **)
{
    static const char *const words[] = {"Wat kunt u nu doen?", "What can you do now?",
                                        "Wat kinne jo no dwaan?"};
    static const char *const tags[] = {"<html lang=\"nl\">", "<html lang=\"en\">", "<html lang=\"fy\">"};
    static const char *const moments[] = {"woensdag 15 januari 2020 om 17.00 uur",
                                          "Wednesday 15 January 2020 at 17:00",
                                          "woansdei 15 jannewaris 2020 om 17.00 oere"};
    struct made m;
    for (unsigned l = 0; l < ISOLATION_LANGUAGES; l++) {
        struct isolation_notice n = plain;
        n.language = (enum isolation_language)l;
        struct str html = make(&m, &n, ISOLATION_NOTICE_HTML, KIT_BEGIN);
        must_nest(html);
        assert_true(says(html, words[l]) && says(html, tags[l]) && says(html, moments[l]));
        assert_true(says(html, "<time datetime=\"2020-01-15T16:00:00Z\">"));
        assert_true(says(html, "href=\"tel:+31582866666\">+31 (0)58 - 286 66 66</a>"));
        assert_true(says(html, "<header>") && says(html, "<main>") && says(html, "<footer>") &&
                    says(html, "<nav aria-label="));
        assert_true(says(html, "<h1>") && says(html, "name=\"viewport\"") && !says(html, "user-scalable"));
        assert_false(says(html, "<script") || says(html, "http-equiv") || says(html, "<img") ||
                     says(html, "http:"));
        assert_true(html.n < 6000);
    }
}

static void test_passes_by_itself(void **)
{
    struct made m;
    struct isolation_notice n = plain;
    struct str html = make(&m, &n, ISOLATION_NOTICE_HTML, KIT_BEGIN);
    assert_true(says(html, "animation-delay:21601s") && says(html, "class=\"late later\""));
    assert_true(str_starts(m.answer.style, STR("html{")) && str_ends(m.answer.style, STR("s}")));
    assert_int_equal(m.answer.retry_after_s, 6 * 3600);
    assert_false(says(make(&m, &n, ISOLATION_NOTICE_TEXT, KIT_BEGIN), "Dat moment is voorbij"));
    html = make(&m, &n, ISOLATION_NOTICE_HTML, n.next_us);
    assert_true(says(html, "<p class=\"late\">Dat moment is voorbij."));
    assert_int_equal(m.answer.retry_after_s, 60);
    assert_true(says(make(&m, &n, ISOLATION_NOTICE_TEXT, n.next_us), "Dat moment is voorbij"));
    n.next_us = 0;
    html = make(&m, &n, ISOLATION_NOTICE_HTML, KIT_BEGIN);
    assert_true(says(html, "nog niet gezegd wanneer") && !says(html, "class=\"late"));
    assert_int_equal(m.answer.retry_after_s, 3600);
}

static void test_empty_and_full(void **)
{
    struct made m;
    struct isolation_notice n = {.since_us = -5, .next_us = INT64_MAX};
    must_nest(make(&m, &n, ISOLATION_NOTICE_HTML, KIT_BEGIN));
    assert_true(says(buf_text(&m.out), "Bel uw zorgverlener op het nummer"));
    char all[5000];
    memset(all, '&', sizeof all);
    n = plain;
    n.name = n.phone = n.message = n.path = (struct str){all, sizeof all};
    n.level = ISOLATION_PARTNERS;
    for (unsigned l = 0; l < ISOLATION_LANGUAGES; l++) {
        n.language = (enum isolation_language)l;
        for (unsigned form = ISOLATION_NOTICE_HTML; form <= ISOLATION_NOTICE_FHIR; form++)
            assert_true(make(&m, &n, (enum isolation_notice_form)form, KIT_BEGIN).n < ISOLATION_NOTICE_MAX);
    }
}

/* What is too long is not cut through the middle of a letter. */
static void test_cut(void **)
{
    struct made m;
    struct isolation_notice n = plain;
    char name[203];
    memset(name, 'a', sizeof name);
    memcpy(name + 199, "\xc3\xa9", 2);
    n.name = (struct str){name, sizeof name};
    struct str text = make(&m, &n, ISOLATION_NOTICE_TEXT, KIT_BEGIN);
    assert_true(says(text, "aaa\n") && !says(text, "\xc3\n"));
}

static void test_escaped(void **)
{
    struct made m;
    struct isolation_notice n = plain;
    n.name = n.message = n.path = STR("\"><script>alert('1')</script>\r\n&");
    n.phone = STR("\"><script>112");
    struct str html = make(&m, &n, ISOLATION_NOTICE_HTML, KIT_BEGIN);
    must_nest(html);
    assert_false(says(html, "<script") || says(html, "alert('"));
    assert_true(says(html, "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;  &amp;"));
    assert_true(says(html, "href=\"tel:112\""));
    assert_false(says(make(&m, &n, ISOLATION_NOTICE_TEXT, KIT_BEGIN), "\r"));
}

static void test_fhir(void **)
{
    struct made m;
    struct isolation_notice n = plain;
    struct json_node nodes[64];
    struct json_tape tape;
    char memory[2000];
    struct buf words = buf_over(memory, sizeof memory);
    n.message = STR("\"quoted\" \\ and \xff broken");
    struct str text = make(&m, &n, ISOLATION_NOTICE_FHIR, KIT_BEGIN);
    assert_int_equal(json_parse(text, 8, nodes, 64, &tape, NULL), JSON_FINE);
    assert_true(json_string_is(&tape, json_get(&tape, 0, STR("resourceType")), STR("OperationOutcome")));
    uint32_t issue = json_first(&tape, json_get(&tape, 0, STR("issue")));
    assert_true(json_string_is(&tape, json_get(&tape, issue, STR("severity")), STR("error")) &&
                json_string_is(&tape, json_get(&tape, issue, STR("code")), STR("transient")));
    json_string_write(&tape, json_get(&tape, issue, STR("diagnostics")), &words);
    assert_true(says(buf_text(&words), "286 66 66") && says(buf_text(&words), "\"quoted\" \\ and"));
}

/* WCAG 2.2, 1.4.3 and the definition of relative luminance. */
static double luminance(const char *hex)
{
    double rgb[3];
    for (unsigned i = 0; i < 3; i++) {
        bool is_short = strlen(hex) == 3;
        char two[3] = {hex[is_short ? i : 2 * i], hex[is_short ? i : 2 * i + 1], 0};
        double c = (double)strtol(two, NULL, 16) / 255;
        rgb[i] = c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
    }
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
}

static void test_contrast(void **)
{
    struct made m;
    make(&m, &plain, ISOLATION_NOTICE_HTML, KIT_BEGIN);
    unsigned colours = 0;
    for (struct str rest = m.answer.style; str_find_char(rest, '#') >= 0;) {
        char hex[7] = "";
        unsigned n = 0;
        (void)str_cut(&rest, '#');
        while (n < 6 && rest.n > n && strchr("0123456789abcdef", rest.p[n])) {
            hex[n] = rest.p[n];
            n++;
        }
        hex[n == 3 ? 3 : 6] = 0;
        double ratio = (luminance("ffffff") + 0.05) / (luminance(hex) + 0.05);
        if (strcmp(hex, "fff") != 0)
            assert_true(ratio >= 7);
        colours++;
    }
    assert_true(colours >= 4);
}

static void test_language(void **)
{
    static const struct {
        const char *accept;
        enum isolation_language language;
    } rows[] = {
        {"", ISOLATION_NL},
        {"en", ISOLATION_EN},
        {"fy-NL, nl;q=0.8, en;q=0.5", ISOLATION_FY},
        {"de, en-GB;q=0.7, nl;q=0.3", ISOLATION_EN},
        {"nl;q=0.2,en;q=0", ISOLATION_NL},
        {"EN-us;q=1.0", ISOLATION_EN},
        {"fy;q=x, en;q=0.1", ISOLATION_EN},
        {"*", ISOLATION_NL},
        {",;,en;q=0.001", ISOLATION_EN},
        {"english", ISOLATION_NL},
    };
    enum isolation_language language;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (isolation_notice_language(str_of(rows[i].accept)) != rows[i].language)
            fail_msg("%s", rows[i].accept);
    assert_true(isolation_language_of(STR("fy"), &language) && language == ISOLATION_FY);
    assert_false(isolation_language_of(STR("de"), &language));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),          cmocka_unit_test(test_passes_by_itself),
        cmocka_unit_test(test_empty_and_full), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_escaped),        cmocka_unit_test(test_fhir),
        cmocka_unit_test(test_contrast),       cmocka_unit_test(test_language),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
