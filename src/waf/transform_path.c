/* normalizePath: empty segments and "." go, ".." takes the segment before it along. A path that begins with a
 * slash never climbs above it; one that does not keeps the ".." it cannot resolve. Whether a slash stands at
 * the end stays as it was. */
#include "waf/transform.h"

#include "waf/text.h"

struct path {
    struct buf out;
    bool is_absolute;
    size_t kept; /* bytes at the beginning that no ".." may take: the root, or unresolved ".." */
};

static void climb(struct path *p)
{
    if (p->out.n > p->kept) {
        size_t n = p->out.n;
        while (n > p->kept && p->out.p[n - 1] != '/')
            n--;
        if (n > p->kept)
            n--; /* the slash before the segment */
        p->out.n = n;
    } else if (!p->is_absolute) {
        if (p->out.n)
            buf_char(&p->out, '/');
        BUF_LIT(&p->out, "..");
        p->kept = p->out.n;
    }
}

static void add_segment(struct path *p, struct str segment)
{
    if (p->out.n > (p->is_absolute ? 1U : 0U))
        buf_char(&p->out, '/');
    buf_str(&p->out, segment);
}

static struct str normalize(struct str in, struct arena *arena)
{
    char *memory = arena_bytes(arena, in.n + 1);
    struct path path = {.out = buf_over(memory, memory ? in.n + 1 : 0), .is_absolute = in.p[0] == '/'};
    bool ends_in_slash = in.p[in.n - 1] == '/';
    if (!memory)
        return STR_NONE;
    if (path.is_absolute)
        buf_char(&path.out, '/');
    path.kept = path.out.n;
    for (struct str rest = in; rest.p;) {
        struct str segment = str_cut(&rest, '/');
        if (segment.n == 0 || str_eq(segment, STR(".")))
            continue;
        if (str_eq(segment, STR("..")))
            climb(&path);
        else
            add_segment(&path, segment);
    }
    if (ends_in_slash && path.out.n && path.out.p[path.out.n - 1] != '/')
        buf_char(&path.out, '/');
    return buf_text(&path.out);
}

struct str transform_normalize_path(struct str in, const struct unicode_map *, struct arena *arena)
{
    return normalize(in, arena);
}

struct str transform_normalize_path_win(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct str copy = STR_NONE;
    char *slashes = arena_bytes(arena, in.n);
    if (!slashes)
        return copy;
    for (size_t i = 0; i < in.n; i++)
        slashes[i] = in.p[i] == '\\' ? '/' : in.p[i];
    copy = (struct str){slashes, in.n};
    return normalize(copy, arena);
}
