#include "waf/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct row {
    struct str in, out;
};

#define ROW(in, out)                                                                                         \
    {                                                                                                        \
        {(in), sizeof(in) - 1},                                                                              \
        {                                                                                                    \
            (out), sizeof(out) - 1                                                                           \
        }                                                                                                    \
    }

static void check_row(enum transformation t, const struct row *row, const struct unicode_map *map)
{
    struct arena *arena = arena_new(1 << 20);
    assert_non_null(arena);
    struct str out = transform(t, row->in, map, arena);
    if (!str_eq(out, row->out))
        fail_msg("%.*s(%.*s) is \"%.*s\", not \"%.*s\"", STR_ARG(transformation_name(t)), STR_ARG(row->in),
                 STR_ARG(out), STR_ARG(row->out));
    arena_free(arena);
}

#define CHECK(symbol, rows)                                                                                  \
    for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++)                                               \
    check_row(TRANSFORM_##symbol, &(rows)[i], NULL)

static void test_url(void **)
{
    static const struct row plain[] = {ROW("", ""),         ROW("a+b%20c", "a b c"), ROW("%41%4", "A%4"),
                                       ROW("%zz%", "%zz%"), ROW("%00x", "\0x"),      ROW("%u0041", "%u0041")};
    static const struct row uni[] = {ROW("%u0041", "A"), ROW("%U0041x", "Ax"),  ROW("%uff41", "a"),
                                     ROW("%uFF01", "!"), ROW("%u12", "%u12"),   ROW("%u", "%u"),
                                     ROW("+%2B", " +"),  ROW("%u004", "%u004"), ROW("%u2019", "\x19"),
                                     ROW("%%41", "%A"),  ROW("%uff00", "\0"),   ROW("%uff5f", "_")};
    CHECK(url_decode, plain);
    CHECK(url_decode_uni, uni);
}

static void test_unicode_map(void **)
{
    static struct unicode_map map;
    static const struct row row = ROW("%u2019%u0041", "'A");
    memset(map.byte_of, 0xff, sizeof map.byte_of);
    map.byte_of[0x2019] = '\'';
    check_row(TRANSFORM_url_decode_uni, &row, &map);
}

static void test_html(void **)
{
    static const struct row rows[] = {ROW("&lt;&GT;&quot;&amp;", "<>\"&"),
                                      ROW("&ltx", "&ltx"),
                                      ROW("&lt x", "< x"),
                                      ROW("&nbsp;", "\xa0"),
                                      ROW("&#60;&#x3c;&#X3C", "<<<"),
                                      ROW("&#;&#x;&", "&#;&#x;&"),
                                      ROW("&#0;", "\0"),
                                      ROW("&unknown;", "&unknown;"),
                                      ROW("&#99999999999999999999;", "\xff"),
                                      ROW("&#x13c;", "<")};
    CHECK(html_entity_decode, rows);
}

static void test_script(void **)
{
    static const struct row js[] = {
        ROW("\\u0041\\x42\\103", "ABC"), ROW("\\uff41", "a"), ROW("\\n\\q\\'", "\nq'"), ROW("\\", "\\"),
        ROW("\\400", "\x20\x30"),        ROW("\\x4", "x4"),   ROW("\\8", "8"),          ROW("\\u00", "u00")};
    static const struct row c[] = {ROW("\\a\\x41\\101\\\\", "\aAA\\"),
                                   ROW("\\q", "q"),
                                   ROW("\\", "\\"),
                                   ROW("\\x", "x"),
                                   ROW("\\0", "\0"),
                                   ROW("\\\"\\?", "\"?")};
    static const struct row css[] = {ROW("\\41", "A"),       ROW("\\41 b", "Ab"),
                                     ROW("\\000041x", "Ax"), ROW("a\\\nb", "ab"),
                                     ROW("\\q", "q"),        ROW("x\\", "x"),
                                     ROW("\\ff41", "a"),     ROW("\\0ff41", "a"),
                                     ROW("\\1ff41", "A"),    ROW("j\\61vascript", "javascript")};
    CHECK(js_decode, js);
    CHECK(escape_seq_decode, c);
    CHECK(css_decode, css);
}

static void test_bytes(void **)
{
    static const struct row lower[] = {ROW("ABC\xc4z", "abc\xc4z")};
    static const struct row nulls[] = {ROW("a\0b\0", "ab"), ROW("ab", "ab")};
    static const struct row no_space[] = {ROW(" a \t\xa0\x0b"
                                              "b\n",
                                              "ab")};
    static const struct row one_space[] = {ROW("  a \t\xa0 b\n", " a b ")};
    static const struct row comments[] = {ROW("a/* x */b", "a b"), ROW("a/* x", "a "), ROW("a*/b", "a*/b"),
                                          ROW("/**/", " "), ROW("/*/ */x", " x")};
    static const struct row marks[] = {ROW("a/*b*/c--d#e<!--f-->g", "abcdefg"), ROW("a-b", "a-b")};
    static const struct row cmd[] = {ROW("C^O\"m'm\\AND", "command"), ROW("a , ; b", "a b"),
                                     ROW("ls  /etc (x", "ls/etc(x"), ROW(" /", "/")};
    CHECK(lowercase, lower);
    CHECK(remove_nulls, nulls);
    CHECK(remove_whitespace, no_space);
    CHECK(compress_whitespace, one_space);
    CHECK(replace_comments, comments);
    CHECK(remove_comments_char, marks);
    CHECK(cmd_line, cmd);
}

static void test_path(void **)
{
    static const struct row unix_rows[] = {ROW("/", "/"),
                                           ROW("//", "/"),
                                           ROW("/a//b", "/a/b"),
                                           ROW("/a/./b", "/a/b"),
                                           ROW("/a/../b", "/b"),
                                           ROW("/../../b", "/b"),
                                           ROW("../a", "../a"),
                                           ROW("a/../../b", "../b"),
                                           ROW("../../a", "../../a"),
                                           ROW("/a/b/..", "/a"),
                                           ROW("/a/b/../", "/a/"),
                                           ROW("./a", "a"),
                                           ROW("a/..", ""),
                                           ROW("/a/..", "/"),
                                           ROW("/a/b/.", "/a/b"),
                                           ROW("/a\\..\\b", "/a\\..\\b"),
                                           ROW(".../x", ".../x")};
    static const struct row win_rows[] = {ROW("\\a\\..\\b", "/b"), ROW("a\\.\\b", "a/b"),
                                          ROW("c:\\\\x", "c:/x")};
    CHECK(normalize_path, unix_rows);
    CHECK(normalize_path_win, win_rows);
}

static void test_codes(void **)
{
    static const struct row hex[] = {ROW("\x01\xfe"
                                         "A",
                                         "01fe41")};
    static const struct row length[] = {ROW("", "0"), ROW("abc", "3")};
    static const struct row base64[] = {ROW("YWJj", "abc"),      ROW("YWI=", "ab"), ROW("YQ", "a"),
                                        ROW("YWJj*ZGVm", "abc"), ROW("*", ""),      ROW("/+8=", "\xff\xef")};
    /* as ModSecurity 2.9.7 says: tests/suites/waf_differ.py */
    static const struct row unicode[] = {ROW("a\xc3\xa9", "a%u00e9"),
                                         ROW("\xe2\x82\xac", "%u20ac"),
                                         ROW("\xf0\x9f\x98\x80", "%u1f600"),
                                         ROW("\xc0\xaf", "%u002f\xc0"),
                                         ROW("\xe0\x80\xaf!", "%u002f\xe0!"),
                                         ROW("\xf0\x8f\xbf\xbfx", "%uffff\xf0x"),
                                         ROW("\xed\xa0\x80z", "%ud800\xedz"),
                                         ROW("\xf4\x90\x80\x80", "%u110000"),
                                         ROW("\xf5\x80\x80\x80x", "\xf5%u140000x"),
                                         ROW("\xf6\x80x", "\xf6\x80x"),
                                         ROW("\xe2\x82", "\x82"),
                                         ROW("\xc3(", "("),
                                         ROW("\xc3\xc3\xa9", "%u00e9"),
                                         ROW("x\x80\xffy", "x\x80\xffy"),
                                         ROW("x\0y", "xy"),
                                         ROW("\0", "")};
    /* RFC 3174 7.3, and the empty text */
    static const struct row sha[] = {
        ROW("abc", "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d"),
        ROW("", "\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09"),
        ROW("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1")};
    CHECK(hex_encode, hex);
    CHECK(length, length);
    CHECK(base64_decode, base64);
    CHECK(utf8_to_unicode, unicode);
    CHECK(sha1, sha);
}

/* Without room a transformation gives nothing, and the arena says why. */
static void test_without_memory(void **)
{
    static char text[200 << 10];
    memset(text, ' ', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 7)
        memcpy(text + i, "(%41&/", 6 < sizeof text - i ? 6 : sizeof text - i);
    for (unsigned t = 0; t < TRANSFORMATION_COUNT; t++) {
        struct arena *arena = arena_new(64 << 10);
        struct str out = transform((enum transformation)t, (struct str){text, sizeof text}, NULL, arena);
        assert_true(arena_overflowed(arena) ? out.n == 0 : out.p == text || out.n <= 20);
        arena_free(arena);
    }
}

static void test_names(void **)
{
    enum transformation t;
    assert_true(transformation_find(STR("urldecodeuni"), &t) && t == TRANSFORM_url_decode_uni);
    assert_true(transformation_find(STR("normalisePath"), &t) && t == TRANSFORM_normalize_path);
    assert_false(transformation_find(STR("none"), &t));
    assert_false(transformation_find(STR("rot13"), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_unicode_map),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
