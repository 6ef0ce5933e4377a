#include "json/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct json_node nodes[1024];
static struct json_tape tape;

static enum json_error parse(struct str text)
{
    return json_parse(text, 16, nodes, 1024, &tape, NULL);
}

static void test_accepts(void **)
{
    static const struct str texts[] = {
        STR("null"),
        STR(" true\n"),
        STR("false"),
        STR("0"),
        STR("-0"),
        STR("-0.0e-0"),
        STR("1.50"),
        STR("12E+3"),
        STR("\"\""),
        STR("[]"),
        STR("{}"),
        STR("[[],{}]"),
        STR("{\"\":null}"),
        STR("\t[ 1 ,\r\n2 ] "),
        STR("\"\\u0000\\/\\ud83d\\ude00\""),
        STR("\"\xf0\x9f\x98\x80\""),
        STR("\"\x7f\""),
        STR("{\"a\":1,\"a\":2}"),
        STR("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (parse(texts[i]) != JSON_FINE)
            fail_msg("refused: %.*s", STR_ARG(texts[i]));
}

static void test_refuses(void **)
{
    static const struct {
        struct str text;
        enum json_error error;
        size_t at;
    } cases[] = {
        {STR(""), JSON_ENDS_EARLY, 0},
        {STR("  "), JSON_ENDS_EARLY, 2},
        {STR("[1,"), JSON_ENDS_EARLY, 3},
        {STR("{\"a\""), JSON_ENDS_EARLY, 4},
        {STR("{\"a\":"), JSON_ENDS_EARLY, 5},
        {STR("\"abc"), JSON_ENDS_EARLY, 4},
        {STR("tru"), JSON_ENDS_EARLY, 3},
        {STR("-"), JSON_ENDS_EARLY, 1},
        {STR("1."), JSON_ENDS_EARLY, 2},
        {STR("[1,]"), JSON_UNEXPECTED, 3},
        {STR("[1 2]"), JSON_UNEXPECTED, 3},
        {STR("[,1]"), JSON_UNEXPECTED, 1},
        {STR("[1}"), JSON_UNEXPECTED, 2},
        {STR("{\"a\":1]"), JSON_UNEXPECTED, 6},
        {STR("{\"a\":1,}"), JSON_UNEXPECTED, 7},
        {STR("{\"a\" 1}"), JSON_UNEXPECTED, 5},
        {STR("{a:1}"), JSON_UNEXPECTED, 1},
        {STR("{1:1}"), JSON_UNEXPECTED, 1},
        {STR("'a'"), JSON_UNEXPECTED, 0},
        {STR("trUe"), JSON_UNEXPECTED, 2},
        {STR("1 2"), JSON_UNEXPECTED, 2},
        {STR("1\0"), JSON_UNEXPECTED, 1},
        {STR("[1]]"), JSON_UNEXPECTED, 3},
        {STR("\xef\xbb\xbf{}"), JSON_UNEXPECTED, 0},
        {STR("// no\n1"), JSON_UNEXPECTED, 0},
        {STR("NaN"), JSON_UNEXPECTED, 0},
        {STR("\v1"), JSON_UNEXPECTED, 0},
        {STR("01"), JSON_BAD_NUMBER, 1},
        {STR("-a"), JSON_BAD_NUMBER, 1},
        {STR("1.e1"), JSON_BAD_NUMBER, 2},
        {STR("1e+]"), JSON_BAD_NUMBER, 3},
        {STR("+1"), JSON_UNEXPECTED, 0},
        {STR(".5"), JSON_UNEXPECTED, 0},
        {STR("\"a\nb\""), JSON_BAD_STRING, 2},
        {STR("\"a\0b\""), JSON_BAD_STRING, 2},
        {STR("\"\\x\""), JSON_BAD_STRING, 1},
        {STR("\"\\\0\""), JSON_BAD_STRING, 1},
        {STR("\"\\u12g4\""), JSON_BAD_STRING, 1},
        {STR("\"\\ud800\""), JSON_BAD_STRING, 1},
        {STR("\"\\udc00\""), JSON_BAD_STRING, 1},
        {STR("\"\\ud800\\u0041\""), JSON_BAD_STRING, 1},
        {STR("\"\xc0\xaf\""), JSON_BAD_UTF8, 1},
        {STR("\"12345678\xed\xa0\x80\""), JSON_BAD_UTF8, 9},
        {STR("\"\xf4\x90\x80\x80\""), JSON_BAD_UTF8, 1},
        {STR("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"), JSON_TOO_DEEP, 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 999;
        enum json_error error = json_parse(cases[i].text, 16, nodes, 1024, &tape, &at);
        if (error != cases[i].error || at != cases[i].at)
            fail_msg("%.*s: %d at %zu", STR_ARG(cases[i].text), (int)error, at);
    }
}

static void test_every_cut_is_refused(void **)
{
    static const char text[] = "{\"a\":[1.5e1,true,null,\"x\\u00e9\\ud83d\\ude00\xe2\x82\xac\",{\"b\":{}}]}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        char *exact = malloc(n + 1); /* so that a sanitizer sees a byte read too much */
        memcpy(exact, text, n);
        assert_int_not_equal(json_parse((struct str){exact, n}, 16, nodes, 1024, &tape, NULL), JSON_FINE);
        free(exact);
    }
    assert_int_equal(parse(STR(text)), JSON_FINE);
}

static void test_the_bound_on_nodes_holds(void **)
{
    static const struct str texts[] = {
        STR("1"),        STR("[1]"),          STR("[1,2]"),          STR("[[]]"),
        STR("{\"\":1}"), STR("[[[[[[]]]]]]"), STR("[[],[],[1,1,1]]")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(json_parse(texts[i], 16, nodes, json_nodes_max(texts[i].n), &tape, NULL), JSON_FINE);
        assert_int_equal(json_parse(texts[i], 16, nodes, tape.count - 1, &tape, NULL), JSON_TOO_LARGE);
    }
}

static void test_navigation(void **)
{
    uint64_t u;
    int64_t i;
    assert_int_equal(
        parse(STR("{\"a\":[10,[],-3],\"b\\n\":{\"c\":\"x\\ty\"},\"big\":18446744073709551616,\"f\":1.50}")),
        JSON_FINE);
    assert_int_equal(json_count(&tape, 0), 4);
    uint32_t a = json_get(&tape, 0, STR("a"));
    assert_int_equal(json_type(&tape, a), JSON_ARRAY);
    assert_int_equal(json_count(&tape, a), 3);
    uint32_t item = json_first(&tape, a);
    assert_true(json_get_u64(&tape, item, &u) && u == 10);
    item = json_next(&tape, json_next(&tape, item));
    assert_true(json_get_i64(&tape, item, &i) && i == -3);
    assert_false(json_get_u64(&tape, item, &u));
    uint32_t c = json_get(&tape, json_get(&tape, 0, STR("b\n")), STR("c"));
    assert_true(json_string_is(&tape, c, STR("x\ty")));
    assert_false(json_string_is(&tape, c, STR("x\ty ")));
    assert_false(json_string_is(&tape, c, STR("x\t")));
    assert_false(json_string_is(&tape, c, STR("")));
    assert_true(str_eq(json_source(&tape, c), STR("\"x\\ty\"")));
    assert_false(json_get_u64(&tape, json_get(&tape, 0, STR("big")), &u));
    uint32_t f = json_get(&tape, 0, STR("f"));
    assert_false(json_get_u64(&tape, f, &u));
    assert_true(str_eq(json_text(&tape, f), STR("1.50"))); /* FHIR: the last zero means something */
    assert_int_equal(json_get(&tape, 0, STR("zz")), JSON_NONE);
    assert_int_equal(json_get(&tape, json_get(&tape, 0, STR("zz")), STR("y")), JSON_NONE);
    assert_int_equal(json_get(&tape, a, STR("y")), JSON_NONE);
    assert_int_equal(json_next(&tape, 0), tape.count);
}

static void test_integers_at_their_bounds(void **)
{
    int64_t i;
    assert_int_equal(
        parse(STR("[-9223372036854775808,-9223372036854775809,9223372036854775807,9223372036854775808]")),
        JSON_FINE);
    assert_true(json_get_i64(&tape, 1, &i) && i == INT64_MIN);
    assert_false(json_get_i64(&tape, 2, &i));
    assert_true(json_get_i64(&tape, 3, &i) && i == INT64_MAX);
    assert_false(json_get_i64(&tape, 4, &i));
}

static void test_strings_without_escapes(void **)
{
    char memory[64];
    struct buf out = buf_over(memory, sizeof memory);
    struct arena *arena = arena_new(1 << 16);
    assert_int_equal(parse(STR("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\uD83d\\uDe00z\"")),
                     JSON_FINE);
    static const struct str expected = STR("a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    json_string_write(&tape, 0, &out);
    assert_true(str_eq(buf_text(&out), expected));
    assert_true(str_eq(json_string(&tape, 0, arena), expected));
    assert_true(json_string_is(&tape, 0, expected));
    arena_free(arena);
}

static void test_positions(void **)
{
    unsigned line, column;
    json_position(STR("ab\ncd\n\nx"), 4, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 2);
    json_position(STR("ab\ncd\n\nx"), 7, &line, &column);
    assert_int_equal(line, 4);
    assert_int_equal(column, 1);
}

static uint32_t repeated(struct str text)
{
    static const struct hash_key key = {1, 2};
    struct arena *arena = arena_new(1 << 20);
    struct json_node *many = malloc(json_nodes_max(text.n) * sizeof *many);
    assert_int_equal(json_parse(text, 16, many, json_nodes_max(text.n), &tape, NULL), JSON_FINE);
    uint32_t found = json_find_repeated(&tape, 0, &key, arena);
    free(many);
    arena_free(arena);
    return found;
}

static void test_repeated_names(void **)
{
    char memory[1 << 14];
    assert_int_equal(repeated(STR("{}")), JSON_NONE);
    assert_int_equal(repeated(STR("{\"a\":1,\"b\":{\"a\":1}}")), JSON_NONE);
    assert_int_equal(repeated(STR("{\"a\":1,\"b\":2,\"a\":3}")), 5);
    assert_int_equal(repeated(STR("{\"a\":1,\"\\u0061\":3}")), 3);
    for (unsigned last = 0; last < 2; last++) {
        struct buf out = buf_over(memory, sizeof memory);
        buf_char(&out, '{');
        for (unsigned i = 0; i < 500; i++)
            buf_printf(&out, "\"k%u\":0,", i);
        buf_printf(&out, "\"k%u\":0}", last ? 499 : 500);
        assert_int_equal(repeated(buf_text(&out)), last ? 1001 : JSON_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_the_bound_on_nodes_holds),
        cmocka_unit_test(test_navigation),
        cmocka_unit_test(test_integers_at_their_bounds),
        cmocka_unit_test(test_strings_without_escapes),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_repeated_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
