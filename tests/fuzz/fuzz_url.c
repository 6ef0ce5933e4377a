/* The same bytes as a path, a query, an authority and an absolute-form target. Properties: what is canonical
 * is its own canonical form; a canonical path holds no dot segment, nothing encoded that means the same raw,
 * no byte that any server might read as something else; a host is the beginning of its authority. */
#include "base/must.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 20, INPUT_MAX = 1 << 16 };

static void must_be_no_dot_segment(struct str segment)
{
    must(!str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
    must(!str_starts(segment, STR(".;")) && !str_starts(segment, STR("..;")));
}

static bool is_hex_capital(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

static void must_be_clean_encoding(struct str at)
{
    static const char refused[][3] = {"00", "0A", "0D", "2E", "2F", "5C", "7F", "41", "7A", "30"};
    must(at.n >= 3 && is_hex_capital(at.p[1]) && is_hex_capital(at.p[2]));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        must(memcmp(at.p + 1, refused[i], 2) != 0);
}

static void must_be_clean_path(struct str path)
{
    struct str rest = path;
    must(path.n && path.p[0] == '/');
    for (size_t i = 0; i < path.n; i++) {
        must(path.p[i] > ' ' && path.p[i] < 0x7f && !strchr("\\?#\"<>", path.p[i]));
        if (path.p[i] == '%')
            must_be_clean_encoding(str_skip(path, i));
    }
    while (rest.p)
        must_be_no_dot_segment(str_cut(&rest, '/'));
}

static void as_path(struct str in, struct arena *arena)
{
    struct str once, twice;
    if (url_canonical_path(in, arena, &once) != REFUSAL_NONE)
        return;
    must_be_clean_path(once);
    must(url_canonical_path(once, arena, &twice) == REFUSAL_NONE);
    must(str_eq(once, twice));
}

static void as_query(struct str in, struct arena *arena)
{
    struct str once, twice;
    if (url_canonical_query(in, arena, &once) != REFUSAL_NONE)
        return;
    for (size_t i = 0; i < once.n; i++)
        must(once.p[i] > ' ' && once.p[i] < 0x7f && once.p[i] != '#');
    must(url_canonical_query(once, arena, &twice) == REFUSAL_NONE);
    must(str_eq(once, twice));
}

static void as_authority(struct str in, struct arena *arena)
{
    struct str once, host, twice, host_again;
    if (url_canonical_authority(in, arena, &once, &host) != REFUSAL_NONE)
        return;
    must(str_starts(once, host) && host.n && (host.n == once.n || once.p[host.n] == ':'));
    must(str_find_char(once, '@') < 0 && str_find_char(once, '/') < 0);
    must(url_canonical_authority(once, arena, &twice, &host_again) == REFUSAL_NONE);
    must(str_eq(once, twice) && str_eq(host, host_again));
}

static void as_absolute(struct str in)
{
    struct str scheme, authority, path, query;
    bool has_query = false;
    if (!url_split_absolute(in, &scheme, &authority, &path, &query, &has_query))
        return;
    must(scheme.n + 3 + authority.n + path.n + has_query + query.n == in.n);
    must(path.n == 0 || path.p[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str in = {(const char *)data, size};
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    if (size <= INPUT_MAX) {
        as_path(in, arena);
        as_query(in, arena);
        as_authority(in, arena);
        as_absolute(in);
    }
    arena_free(arena);
    return 0;
}
