#include "json/tape.h"
#include "json/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char memory[4096];

#define EXPECT(out, literal)                                                                                 \
    do {                                                                                                     \
        assert_false(buf_overflowed(&(out)));                                                                \
        assert_int_equal((out).n, sizeof(literal) - 1);                                                      \
        assert_memory_equal((out).p, (literal), sizeof(literal) - 1);                                        \
    } while (0)

static void test_containers_and_commas(void **)
{
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    json_object_begin(&w);
    json_put_str(&w, STR("a"), STR("x"));
    json_put_array(&w, STR("b"));
    json_u64(&w, UINT64_MAX);
    json_i64(&w, INT64_MIN);
    json_array_begin(&w);
    json_array_end(&w);
    json_null(&w);
    json_array_end(&w);
    json_put_object(&w, STR("c"));
    json_object_end(&w);
    json_put_bool(&w, STR("d"), true);
    json_put_bool(&w, STR("e"), false);
    json_key(&w, STR("f"));
    json_raw(&w, STR("1e5"));
    json_object_end(&w);
    EXPECT(out, "{\"a\":\"x\",\"b\":[18446744073709551615,-9223372036854775808,[],null],\"c\":{},\"d\":true,"
                "\"e\":false,\"f\":1e5}");
}

static void test_fixed_point(void **)
{
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    json_array_begin(&w);
    json_fixed(&w, 1234, 3);
    json_fixed(&w, -1250, 3);
    json_fixed(&w, 5, 3);
    json_fixed(&w, -5, 1);
    json_fixed(&w, 42, 0);
    json_fixed(&w, INT64_MIN, 18);
    json_array_end(&w);
    EXPECT(out, "[1.234,-1.250,0.005,-0.5,42,-9.223372036854775808]");
}

static void test_escapes(void **)
{
    struct buf out = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&out);
    json_str(&w, STR("\"\\\b\f\n\r\t\x01\x1f\x7f/ \0z"));
    EXPECT(out, "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f/ \\u0000z\"");
}

static void test_utf8(void **)
{
    static const struct {
        struct str in, out;
    } cases[] = {
        {STR("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
         STR("\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"")},
        {STR("\xc2\x9b"), STR("\"\\u009b\"")},                  /* C1: a terminal's control sequence */
        {STR("\xff"), STR("\"\xef\xbf\xbd\"")},                 /* never in UTF-8 */
        {STR("\x80"), STR("\"\xef\xbf\xbd\"")},                 /* continues nothing */
        {STR("\xc0\xaf"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\"")}, /* overlong '/' */
        {STR("\xe0\x80\xaf"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
        {STR("\xed\xa0\x80"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")}, /* surrogate */
        {STR("\xf4\x90\x80\x80"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
        {STR("\xe2\x82"), STR("\"\xef\xbf\xbd\"")}, /* cut: one for the whole part */
        {STR("\xf0\x9f\x98z"), STR("\"\xef\xbf\xbdz\"")},
        {STR(""), STR("\"\"")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = buf_over(memory, sizeof memory);
        struct json_writer w = json_writer_over(&out);
        json_str(&w, cases[i].in);
        assert_true(str_eq(buf_text(&out), cases[i].out));
    }
}

static void test_every_byte_gives_a_document(void **)
{
    struct json_node nodes[8];
    struct json_tape tape;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            char text[2] = {(char)a, (char)b};
            struct buf out = buf_over(memory, sizeof memory);
            struct json_writer w = json_writer_over(&out);
            json_str(&w, (struct str){text, 2});
            assert_int_equal(json_parse(buf_text(&out), 1, nodes, 8, &tape, NULL), JSON_FINE);
        }
    }
}

static void test_overflow_is_remembered(void **)
{
    struct buf out = buf_over(memory, 8);
    struct json_writer w = json_writer_over(&out);
    json_str(&w, STR("longer than eight"));
    assert_true(buf_overflowed(&out));
    assert_true(out.n <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers_and_commas),
        cmocka_unit_test(test_fixed_point),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_every_byte_gives_a_document),
        cmocka_unit_test(test_overflow_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
