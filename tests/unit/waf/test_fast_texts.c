/* What the fast engine takes for granted about transformations: which bytes a text must have to be changed,
 * and which of them leave case alone; on all short texts over the bytes that matter, and on random longer
 * ones. */
#include "waf/chains.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LONGEST_EXHAUSTIVE = 4, RANDOM_TEXTS = 60'000, RANDOM_BYTES = 24, ARENA_BYTES = 16 << 20 };

/* Every byte that a transformation treats specially, and some that none does. */
static const char alphabet[] = "\0\n \t\"'\\%+&/.<-*#^,;(xuN0Aaf\x80\xa0\xc3\xe2";

enum { LETTERS = sizeof alphabet - 1 };

typedef void check_fn(struct str, struct arena *);

static void for_exhaustive(check_fn *check, unsigned longest, struct arena *arena)
{
    char text[LONGEST_EXHAUSTIVE];
    unsigned at[LONGEST_EXHAUSTIVE] = {0};
    for (unsigned n = 0; n <= longest; n++) {
        for (unsigned i = 0; i < n; i++)
            at[i] = 0;
        for (bool more = true; more;) {
            for (unsigned i = 0; i < n; i++)
                text[i] = alphabet[at[i]];
            check((struct str){text, n}, arena);
            unsigned i = 0;
            while (i < n && ++at[i] == LETTERS)
                at[i++] = 0;
            more = i < n;
        }
    }
}

static void for_random(check_fn *check, struct arena *arena)
{
    uint64_t state = 88'172'645'463'325'252ULL;
    char text[RANDOM_BYTES];
    for (unsigned k = 0; k < RANDOM_TEXTS; k++) {
        size_t n = k % (RANDOM_BYTES + 1);
        for (size_t i = 0; i < n; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[i] = state & 0x300 ? alphabet[(state >> 16) % LETTERS] : (char)(state >> 24);
        }
        check((struct str){text, n}, arena);
    }
}

static struct unicode_map map;

static void run(check_fn *check, unsigned longest)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    assert_non_null(arena);
    memset(map.byte_of, 0xff, sizeof map.byte_of);
    map.byte_of[0x2019] = '\'';
    for_exhaustive(check, longest, arena);
    for_random(check, arena);
    arena_free(arena);
}

static void check_kinds(struct str s, struct arena *arena)
{
    byte_kinds kinds = kinds_of(s);
    for (unsigned t = 0; t < TRANSFORMATION_COUNT; t++) {
        byte_kinds changing = transformation_kinds(t);
        if (changing == KINDS_ANY || (kinds & changing))
            continue;
        struct str out = transform((enum transformation)t, s, &map, arena);
        if (!str_eq(s, out))
            fail_msg("%s changes a text that has none of its bytes",
                     transformation_name((enum transformation)t).p);
    }
    arena_reset(arena);
}

static void test_kinds_tell_what_cannot_change(void **)
{
    run(check_kinds, 3);
}

static struct str small(struct str s, struct arena *arena)
{
    char *out = arena_bytes(arena, s.n);
    for (size_t i = 0; i < s.n; i++)
        out[i] = ascii_lower(s.p[i]);
    return (struct str){out, s.n};
}

static void check_case(struct str s, struct arena *arena)
{
    struct str lowered = small(s, arena);
    for (unsigned t = 0; t < TRANSFORMATION_COUNT; t++) {
        if (!transformation_ignores_case((enum transformation)t))
            continue;
        struct str a = transform((enum transformation)t, s, &map, arena),
                   b = transform((enum transformation)t, lowered, &map, arena);
        if (!str_eq_nocase(a, b))
            fail_msg("%s tells small from capital", transformation_name((enum transformation)t).p);
    }
    arena_reset(arena);
}

static void test_case_is_left_alone(void **)
{
    run(check_case, 3);
}

/* ---- chains: both forms against the transformations one by one */

static const uint8_t lists[][6] = {
    {TRANSFORM_url_decode_uni, TRANSFORM_lowercase, TRANSFORM_html_entity_decode, TRANSFORM_js_decode},
    {TRANSFORM_lowercase, TRANSFORM_js_decode, TRANSFORM_css_decode, TRANSFORM_remove_nulls},
    {TRANSFORM_lowercase, TRANSFORM_url_decode_uni, TRANSFORM_compress_whitespace,
     TRANSFORM_normalize_path_win},
    {TRANSFORM_utf8_to_unicode, TRANSFORM_url_decode_uni, TRANSFORM_cmd_line, TRANSFORM_normalize_path},
    {TRANSFORM_cmd_line, TRANSFORM_escape_seq_decode, TRANSFORM_remove_whitespace,
     TRANSFORM_replace_comments},
    {TRANSFORM_lowercase, TRANSFORM_base64_decode, TRANSFORM_lowercase, TRANSFORM_hex_encode},
    {TRANSFORM_length, TRANSFORM_lowercase, TRANSFORM_remove_comments_char, TRANSFORM_url_decode},
};

enum { LIST_STEPS = 4 };

static struct texts texts;
static struct chain chains[sizeof lists / sizeof *lists];

static void check_chains(struct str s, struct arena *arena)
{
    if (texts.n > 10'000)
        texts_begin(&texts, &map);
    struct str kept = arena_copy(texts.bytes, s); /* texts are borrowed */
    for (size_t c = 0; c < sizeof lists / sizeof *lists; c++) {
        struct str whole = s;
        for (unsigned i = 0; i < LIST_STEPS; i++)
            whole = transform((enum transformation)lists[c][i], whole, &map, arena);
        uint32_t id = texts_add(&texts, kept);
        assert_int_not_equal(id, TEXT_NONE);
        uint32_t a = chain_run(&chains[c].whole, &texts, id), b = chain_run(&chains[c].scan, &texts, id);
        assert_true(str_eq(texts_str(&texts, a), whole));
        if (chains[c].is_caseless ? !str_eq_nocase(texts_str(&texts, b), whole)
                                  : !str_eq(texts_str(&texts, b), whole))
            fail_msg("list %zu is shown another text than it makes", c);
    }
    arena_reset(arena);
}

static void test_chains(void **)
{
    assert_true(texts_init(&texts, ARENA_BYTES));
    texts_begin(&texts, &map);
    for (size_t c = 0; c < sizeof lists / sizeof *lists; c++)
        chain_make(&chains[c], &(struct transformations){lists[c], LIST_STEPS});
    run(check_chains, 2);
    texts_done(&texts);
}

static void test_equal_texts_have_one_number(void **)
{
    char one[] = "some text", other[] = "some text";
    assert_true(texts_init(&texts, ARENA_BYTES));
    texts_begin(&texts, NULL);
    uint32_t a = texts_add(&texts, STR("other")), b = texts_add(&texts, str_of(one));
    assert_int_not_equal(a, b);
    assert_int_equal(b, texts_add(&texts, str_of(other)));
    for (unsigned i = 0; i < 5000; i++) { /* through several sizes of the table */
        char *p = arena_bytes(texts.bytes, 2);
        assert_non_null(p);
        p[0] = (char)i;
        p[1] = (char)(i >> 8);
        assert_int_not_equal(texts_add(&texts, (struct str){p, 2}), TEXT_NONE);
    }
    assert_int_equal(b, texts_add(&texts, str_of(other)));
    assert_int_equal(texts.n, 5003);
    texts_done(&texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_tell_what_cannot_change),
        cmocka_unit_test(test_case_is_left_alone),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_equal_texts_have_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
