/* Targets: one canonical spelling, or none. */
#include "parsed.h"

#include "http/url.h"

struct row {
    const char *in;
    size_t n;
    const char *out; /* NULL: refused */
    enum http_refusal refusal;
};

#define IS(in, out)                                                                                          \
    {                                                                                                        \
        in, sizeof(in) - 1, out, REFUSAL_NONE                                                                \
    }
#define SAME(in) IS(in, in)
#define REFUSED(in, refusal)                                                                                 \
    {                                                                                                        \
        in, sizeof(in) - 1, NULL, REFUSAL_##refusal                                                          \
    }

static const struct row paths[] = {
    SAME("/"),
    SAME("/a"),
    SAME("/a/b/"),
    SAME("/a//b"),
    SAME("//"),
    SAME("//a"),
    SAME("/~user/-._"),
    SAME("/!$&'()*+,;=:@"),
    SAME("/a;b=c/d"),
    SAME("/.well-known/security.txt"),
    SAME("/..."),
    SAME("/..a"),
    SAME("/a.."),
    SAME("/.a;b"),
    SAME("/a.;b"),
    /* encodings: of what needs none, undone; of the rest, in capitals */
    IS("/%61%5A%30%2D%2e%5f%7E", "/aZ0-._~"),
    IS("/file%2etxt", "/file.txt"),
    IS("/a%20b", "/a%20b"),
    IS("/%3b%3a%40%26", "/%3B%3A%40%26"),
    IS("/%25", "/%25"),
    IS("/%252e%252e/%252f", "/%252e%252e/%252f"),
    IS("/%c3%a9", "/%C3%A9"),
    IS("/\xc3\xa9", "/%C3%A9"),
    IS("/\xc3%a9", "/%C3%A9"),
    IS("/\xe2\x82\xac/\xf0\x9f\x98\x80", "/%E2%82%AC/%F0%9F%98%80"),
    IS("/\"<>[]^`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
    /* dot segments, RFC 3986 5.2.4 */
    IS("/.", "/"),
    IS("/./", "/"),
    IS("/a/.", "/a/"),
    IS("/a/./b", "/a/b"),
    IS("/a/..", "/"),
    IS("/a/../", "/"),
    IS("/a/../b", "/b"),
    IS("/a/b/../../c", "/c"),
    IS("/a/b/c/./../../g", "/a/g"),
    IS("/mid/content=5/../6", "/mid/6"),
    IS("/a/./././b/..", "/a/"),
    REFUSED("/..", TARGET_AMBIGUOUS),
    REFUSED("/../", TARGET_AMBIGUOUS),
    REFUSED("/../a", TARGET_AMBIGUOUS),
    REFUSED("/a/../..", TARGET_AMBIGUOUS),
    REFUSED("/a/../../b", TARGET_AMBIGUOUS),
    REFUSED("/./..", TARGET_AMBIGUOUS),
    REFUSED("//..", TARGET_AMBIGUOUS),
    REFUSED("/a//../b", TARGET_AMBIGUOUS),
    REFUSED("/a/..//b", TARGET_AMBIGUOUS),
    REFUSED("/a/.//b", TARGET_AMBIGUOUS),
    REFUSED("//./a", TARGET_AMBIGUOUS),
    REFUSED("//.", TARGET_AMBIGUOUS),
    REFUSED("/a//b/../..", TARGET_AMBIGUOUS),
    REFUSED("/%2e", TARGET_AMBIGUOUS),
    REFUSED("/a/%2e%2e/b", TARGET_AMBIGUOUS),
    REFUSED("/a/.%2E/b", TARGET_AMBIGUOUS),
    REFUSED("/a/%2e./b", TARGET_AMBIGUOUS),
    REFUSED("/a/%2e", TARGET_AMBIGUOUS),
    REFUSED("/a/..;/b", TARGET_AMBIGUOUS),
    REFUSED("/a/..;x=y/b", TARGET_AMBIGUOUS),
    REFUSED("/a/.;/b", TARGET_AMBIGUOUS),
    REFUSED("/a/..%3b/b", TARGET_AMBIGUOUS),
    REFUSED("/a/%2e%2e;/b", TARGET_AMBIGUOUS),
    REFUSED("/a/..;", TARGET_AMBIGUOUS),
    /* two readings */
    REFUSED("/a%2fb", TARGET_AMBIGUOUS),
    REFUSED("/a%2Fb", TARGET_AMBIGUOUS),
    REFUSED("/..%2f..%2fetc", TARGET_AMBIGUOUS),
    REFUSED("/a\\b", TARGET_AMBIGUOUS),
    REFUSED("/..\\a", TARGET_AMBIGUOUS),
    REFUSED("/a%5cb", TARGET_AMBIGUOUS),
    REFUSED("/a%5Cb", TARGET_AMBIGUOUS),
    REFUSED("/%00", TARGET_AMBIGUOUS),
    REFUSED("/a%00.html", TARGET_AMBIGUOUS),
    REFUSED("/%0d%0a", TARGET_AMBIGUOUS),
    REFUSED("/%0a", TARGET_AMBIGUOUS),
    REFUSED("/%09", TARGET_AMBIGUOUS),
    REFUSED("/%1f", TARGET_AMBIGUOUS),
    REFUSED("/%7f", TARGET_AMBIGUOUS),
    REFUSED("/%", TARGET_AMBIGUOUS),
    REFUSED("/%4", TARGET_AMBIGUOUS),
    REFUSED("/%4g", TARGET_AMBIGUOUS),
    REFUSED("/%g4", TARGET_AMBIGUOUS),
    REFUSED("/%%41", TARGET_AMBIGUOUS),
    REFUSED("/%u0041", TARGET_AMBIGUOUS),
    REFUSED("/% 41", TARGET_AMBIGUOUS),
    REFUSED("/a%2", TARGET_AMBIGUOUS),
    /* not UTF-8, encoded and raw: overlong, surrogates, too large, broken off, out of order */
    REFUSED("/%c0%af", TARGET_AMBIGUOUS),
    REFUSED("/\xc0\xaf", TARGET_AMBIGUOUS),
    REFUSED("/%c0%ae%c0%ae", TARGET_AMBIGUOUS),
    REFUSED("/%c1%81", TARGET_AMBIGUOUS),
    REFUSED("/%e0%80%af", TARGET_AMBIGUOUS),
    REFUSED("/\xe0\x80\xaf", TARGET_AMBIGUOUS),
    REFUSED("/%f0%80%80%af", TARGET_AMBIGUOUS),
    REFUSED("/%f8%80%80%80%af", TARGET_AMBIGUOUS),
    REFUSED("/%ed%a0%80", TARGET_AMBIGUOUS),
    REFUSED("/%f4%90%80%80", TARGET_AMBIGUOUS),
    REFUSED("/%f5%80%80%80", TARGET_AMBIGUOUS),
    REFUSED("/%ff", TARGET_AMBIGUOUS),
    REFUSED("/%80", TARGET_AMBIGUOUS),
    REFUSED("/\xe9", TARGET_AMBIGUOUS),
    REFUSED("/%c3", TARGET_AMBIGUOUS),
    REFUSED("/%c3/%a9", TARGET_AMBIGUOUS),
    REFUSED("/%c3"
            "a%a9",
            TARGET_AMBIGUOUS),
    REFUSED("/%e2%82", TARGET_AMBIGUOUS),
    REFUSED("/\xe2\x82", TARGET_AMBIGUOUS),
    /* not a path at all */
    REFUSED("", TARGET),
    REFUSED("a", TARGET),
    REFUSED("*", TARGET),
    REFUSED("%2f", TARGET),
    REFUSED("\\", TARGET),
    REFUSED("/a#b", TARGET),
    REFUSED("/a b", TARGET),
    REFUSED("/a?b", TARGET),
    REFUSED("/a\0b", TARGET),
    REFUSED("/\x01", TARGET),
    REFUSED("/\n", TARGET),
    REFUSED("/\x7f", TARGET),
    REFUSED("/\t", TARGET),
};

static const struct row queries[] = {
    SAME(""),
    SAME("a=b&c=d"),
    SAME("a/b?c"),
    SAME("%41%2e%2f%5c"),
    SAME("%00%0d%0a"),
    SAME("%e9"),
    SAME("%C3%a9"),
    SAME("..;/../"),
    SAME("\\\"<>[]^`{|}"),
    SAME("a+b%2Bc"),
    SAME("%252e"),
    SAME("="),
    SAME("&&"),
    IS("\xc3\xa9", "%C3%A9"),
    IS("a=\xe2\x82\xac&%c3", "a=%E2%82%AC&%c3"),
    REFUSED("#", TARGET),
    REFUSED("a#b", TARGET),
    REFUSED("a b", TARGET),
    REFUSED("\n", TARGET),
    REFUSED("a\0", TARGET),
    REFUSED("\x7f", TARGET),
    REFUSED("%", TARGET),
    REFUSED("%a", TARGET),
    REFUSED("%zz", TARGET),
    REFUSED("a%4", TARGET),
    REFUSED("\xc0\xaf", TARGET_AMBIGUOUS),
    REFUSED("\xe9", TARGET_AMBIGUOUS),
    REFUSED("\xc3", TARGET_AMBIGUOUS),
    REFUSED("\xc3%a9", TARGET_AMBIGUOUS),
    REFUSED("\xff", TARGET_AMBIGUOUS),
};

static const struct row authorities[] = {
    SAME("a"),
    SAME("example.nl"),
    SAME("example.nl:443"),
    SAME("a-b.c_d"),
    SAME("xn--caf-dma.nl:1"),
    SAME("a:65535"),
    SAME("example.nl."),
    SAME("127.0.0.1"),
    SAME("255.255.255.255:80"),
    SAME("1a"),
    SAME("1.2.3.4.nl"),
    SAME("3com.nl"),
    SAME("[::1]"),
    SAME("[2001:db8::1]:8443"),
    SAME("0a.b"),
    SAME("1.2.3.4a"),
    IS("EXAMPLE.NL", "example.nl"),
    IS("Example.nl:80", "example.nl:80"),
    IS("A:1", "a:1"),
    IS("[2001:DB8:0:0::1]", "[2001:db8::1]"),
    IS("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
    IS("[::FFFF:1.2.3.4]", "[::ffff:1.2.3.4]"),
    REFUSED("", AUTHORITY),
    REFUSED(":80", AUTHORITY),
    REFUSED("a:", AUTHORITY),
    REFUSED("a:0", AUTHORITY),
    REFUSED("a:080", AUTHORITY),
    REFUSED("a:65536", AUTHORITY),
    REFUSED("a:100000", AUTHORITY),
    REFUSED("a:+80", AUTHORITY),
    REFUSED("a:8 ", AUTHORITY),
    REFUSED("a:8a", AUTHORITY),
    REFUSED("a:80:80", AUTHORITY),
    REFUSED("a:http", AUTHORITY),
    REFUSED("A:80A", AUTHORITY),
    REFUSED("u@a", AUTHORITY),
    REFUSED("u:p@a:80", AUTHORITY),
    REFUSED("@a", AUTHORITY),
    REFUSED("a@", AUTHORITY),
    REFUSED("a/b", AUTHORITY),
    REFUSED("a?b", AUTHORITY),
    REFUSED("a#b", AUTHORITY),
    REFUSED("a\\b", AUTHORITY),
    REFUSED("a b", AUTHORITY),
    REFUSED("a,b", AUTHORITY),
    REFUSED("a%41", AUTHORITY),
    REFUSED("a\0", AUTHORITY),
    REFUSED("a\n", AUTHORITY),
    REFUSED("caf\xc3\xa9", AUTHORITY),
    REFUSED("a;b", AUTHORITY),
    REFUSED("a*", AUTHORITY),
    REFUSED(".", AUTHORITY),
    REFUSED("..", AUTHORITY),
    REFUSED(".a", AUTHORITY),
    REFUSED("a..b", AUTHORITY),
    REFUSED("a..", AUTHORITY),
    /* addresses that only some resolvers read as such */
    REFUSED("127.1", AUTHORITY),
    REFUSED("2130706433", AUTHORITY),
    REFUSED("0x7f000001", AUTHORITY),
    REFUSED("0X7F.1", AUTHORITY),
    REFUSED("127.0.0.0x1", AUTHORITY),
    REFUSED("0177.0.0.1", AUTHORITY),
    REFUSED("1.2.3.4.", AUTHORITY),
    REFUSED("1.2.3.256", AUTHORITY),
    REFUSED("1.2.3.4.5", AUTHORITY),
    REFUSED("a.1", AUTHORITY),
    REFUSED("[", AUTHORITY),
    REFUSED("[]", AUTHORITY),
    REFUSED("[::1", AUTHORITY),
    REFUSED("::1", AUTHORITY),
    REFUSED("[::1]80", AUTHORITY),
    REFUSED("[::1]:", AUTHORITY),
    REFUSED("[::1]:0", AUTHORITY),
    REFUSED("[1.2.3.4]", AUTHORITY),
    REFUSED("[fe80::1%25eth0]", AUTHORITY),
    REFUSED("[::1]]", AUTHORITY),
    REFUSED("[v1.a]", AUTHORITY),
    REFUSED("[::1\0x]", AUTHORITY),
    REFUSED("[[::1]]", AUTHORITY),
    REFUSED("[::1]a", AUTHORITY),
    REFUSED("a[::1]", AUTHORITY),
};

typedef enum http_refusal canonical_fn(struct str, struct arena *, struct str *);

static enum http_refusal authority_only(struct str in, struct arena *arena, struct str *ret)
{
    struct str host;
    return url_canonical_authority(in, arena, ret, &host);
}

static void expect_row(const struct row *row, canonical_fn *canonical)
{
    struct parsed p = parsed_over((struct str){row->in, row->n});
    struct str out = STR_NONE, again = STR_NONE;
    p.refusal = canonical((struct str){p.bytes, row->n}, p.arena, &out);
    p.n = p.refusal == REFUSAL_NONE;
    expect_refusal(row->in, &p, row->refusal);
    if (row->out) {
        expect_text(row->in, "canonical form", out, str_of(row->out));
        assert_int_equal(canonical(out, p.arena, &again), REFUSAL_NONE);
        expect_text(row->in, "canonical form of the canonical form", again, out);
    }
    parsed_done(&p);
}

static void each_path(void **state)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        expect_row(&paths[i], url_canonical_path);
}

static void each_query(void **state)
{
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        expect_row(&queries[i], url_canonical_query);
}

static void each_authority(void **state)
{
    for (size_t i = 0; i < sizeof authorities / sizeof *authorities; i++)
        expect_row(&authorities[i], authority_only);
}

static void what_is_canonical_is_not_copied(void **state)
{
    struct arena *arena = arena_new(4096);
    struct str path = STR("/a/b"), query = STR("a=%41"), authority = STR("example.nl:80"), out, host;
    assert_int_equal(url_canonical_path(path, arena, &out), REFUSAL_NONE);
    assert_ptr_equal(out.p, path.p);
    assert_int_equal(url_canonical_query(query, arena, &out), REFUSAL_NONE);
    assert_ptr_equal(out.p, query.p);
    assert_int_equal(url_canonical_authority(authority, arena, &out, &host), REFUSAL_NONE);
    assert_ptr_equal(out.p, authority.p);
    assert_ptr_equal(host.p, authority.p);
    assert_int_equal(arena_used(arena), 0);
    arena_free(arena);
}

static void host_is_the_authority_without_its_port(void **state)
{
    static const char *const cases[][2] = {
        {"a", "a"}, {"A:80", "a"}, {"[::1]:80", "[::1]"}, {"[::1]", "[::1]"}, {"1.2.3.4:5", "1.2.3.4"}};
    struct arena *arena = arena_new(4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str authority, host;
        assert_int_equal(url_canonical_authority(str_of(cases[i][0]), arena, &authority, &host),
                         REFUSAL_NONE);
        expect_text(cases[i][0], "host", host, str_of(cases[i][1]));
    }
    arena_free(arena);
}

static void authority_has_a_longest(void **state)
{
    char text[256];
    struct str authority, host;
    struct arena *arena = arena_new(4096);
    memset(text, 'a', sizeof text);
    assert_int_equal(url_canonical_authority((struct str){text, 255}, arena, &authority, &host),
                     REFUSAL_NONE);
    assert_int_equal(url_canonical_authority((struct str){text, 256}, arena, &authority, &host),
                     REFUSAL_AUTHORITY);
    arena_free(arena);
}

static void a_full_arena_is_a_refusal(void **state)
{
    struct str out, host;
    struct arena *arena = arena_new(2);
    assert_int_equal(url_canonical_path(STR("/a/../b"), arena, &out), REFUSAL_TARGET_TOO_LONG);
    assert_int_equal(url_canonical_query(STR("\xc3\xa9"), arena, &out), REFUSAL_TARGET_TOO_LONG);
    assert_int_equal(url_canonical_authority(STR("ABCD"), arena, &out, &host), REFUSAL_HEAD_TOO_LARGE);
    assert_int_equal(url_canonical_authority(STR("[::1]"), arena, &out, &host), REFUSAL_HEAD_TOO_LARGE);
    arena_free(arena);
}

static void absolute_form(void **state)
{
    static const struct {
        const char *target, *authority, *path,
            *query; /* authority NULL: not of that form; query NULL: none */
    } cases[] = {
        {"http://a", "a", "", NULL},
        {"http://a/", "a", "/", NULL},
        {"HTTPS://A:1/b/c", "A:1", "/b/c", NULL},
        {"http://a?b", "a", "", "b"},
        {"http://a/b?", "a", "/b", ""},
        {"http://a/b?c?d", "a", "/b", "c?d"},
        {"http://", "", "", NULL},
        {"http://u@a/", "u@a", "/", NULL},
        {"http:/a", NULL, NULL, NULL},
        {"//a/b", NULL, NULL, NULL},
        {"/a", NULL, NULL, NULL},
        {"ftp://a", NULL, NULL, NULL},
        {"a:80", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
        {"://a", NULL, NULL, NULL},
        {"http", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str scheme, authority, path, query;
        bool has_query = false;
        bool is_form =
            url_split_absolute(str_of(cases[i].target), &scheme, &authority, &path, &query, &has_query);
        assert_int_equal(is_form, cases[i].authority != NULL);
        if (!is_form)
            continue;
        expect_text(cases[i].target, "authority", authority, str_of(cases[i].authority));
        expect_text(cases[i].target, "path", path, str_of(cases[i].path));
        assert_int_equal(has_query, cases[i].query != NULL);
        expect_text(cases[i].target, "query", query, str_of(cases[i].query));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path),
        cmocka_unit_test(each_query),
        cmocka_unit_test(each_authority),
        cmocka_unit_test(what_is_canonical_is_not_copied),
        cmocka_unit_test(host_is_the_authority_without_its_port),
        cmocka_unit_test(authority_has_a_longest),
        cmocka_unit_test(a_full_arena_is_a_refusal),
        cmocka_unit_test(absolute_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
