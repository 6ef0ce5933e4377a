/* The table of transformations, and those that drop or replace single bytes. */
#include "waf/transform.h"

#include "waf/text.h"

enum {
    NO_BREAK_SPACE = 0xa0
}; /* of ISO 8859-1; ModSecurity takes it for white space in two transformations */

typedef struct str transform_fn(struct str in, const struct unicode_map *, struct arena *);

static const struct {
    struct str name;
    transform_fn *run;
} table[TRANSFORMATION_COUNT] = {
#define TRANSFORMATION(symbol, text) {{text, sizeof(text) - 1}, transform_##symbol},
#include "waf/transformations.def"
#undef TRANSFORMATION
};

bool transformation_find(struct str name, enum transformation *ret)
{
    static const struct {
        const char *name;
        enum transformation is;
    } spellings[] = {{"normalisePath", TRANSFORM_normalize_path},
                     {"normalisePathWin", TRANSFORM_normalize_path_win}};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        if (str_eq_nocase(name, str_of(spellings[i].name))) {
            *ret = spellings[i].is;
            return true;
        }
    }
    for (size_t i = 0; i < TRANSFORMATION_COUNT; i++) {
        if (str_eq_nocase(name, table[i].name)) {
            *ret = (enum transformation)i;
            return true;
        }
    }
    return false;
}

struct str transformation_name(enum transformation t)
{
    return table[t].name;
}

struct str transform(enum transformation t, struct str in, const struct unicode_map *map, struct arena *arena)
{
    return in.n || t == TRANSFORM_length || t == TRANSFORM_sha1 ? table[t].run(in, map, arena) : in;
}

/* Room for n bytes; the writer of a transformation never needs more than it asked for. */
static struct buf room(struct arena *arena, size_t n)
{
    char *p = arena_bytes(arena, n);
    return buf_over(p, p ? n : 0);
}

struct str transform_lowercase(struct str in, const struct unicode_map *, struct arena *arena)
{
    char *out = arena_bytes(arena, in.n);
    for (size_t i = 0; out && i < in.n; i++)
        out[i] = ascii_lower(in.p[i]);
    return (struct str){out, out ? in.n : 0};
}

struct str transform_remove_nulls(struct str in, const struct unicode_map *, struct arena *arena)
{
    if (str_find_char(in, '\0') < 0)
        return in;
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i])
            buf_char(&out, in.p[i]);
    }
    return buf_text(&out);
}

static bool is_blank(char c)
{
    return is_space(c) || (uint8_t)c == NO_BREAK_SPACE;
}

struct str transform_remove_whitespace(struct str in, const struct unicode_map *, struct arena *arena)
{
    char *out = arena_bytes(arena, in.n);
    size_t n = 0;
    for (size_t i = 0; out && i < in.n; i++) {
        out[n] = in.p[i];
        n += !is_blank(in.p[i]);
    }
    return (struct str){out, n};
}

struct str transform_compress_whitespace(struct str in, const struct unicode_map *, struct arena *arena)
{
    char *out = arena_bytes(arena, in.n);
    bool after_blank = false;
    size_t n = 0;
    for (size_t i = 0; out && i < in.n; i++) {
        bool blank = is_blank(in.p[i]);
        out[n] = blank ? ' ' : in.p[i];
        n += !blank || !after_blank;
        after_blank = blank;
    }
    return (struct str){out, n};
}

/* A C comment becomes one space, also one that is never closed. */
struct str transform_replace_comments(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        if (!str_starts(str_skip(in, i), STR("/*"))) {
            buf_char(&out, in.p[i++]);
            continue;
        }
        ptrdiff_t end = str_find(str_skip(in, i + 2), STR("*/"));
        buf_char(&out, ' ');
        i = end < 0 ? in.n : i + 2 + (size_t)end + 2;
    }
    return buf_text(&out);
}

struct str transform_remove_comments_char(struct str in, const struct unicode_map *, struct arena *arena)
{
    static const char *const marks[] = {"/*", "*/", "<!--", "-->", "--", "#"};
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        size_t skip = 0;
        for (size_t m = 0; m < sizeof marks / sizeof *marks && !skip; m++) {
            if (str_starts(str_skip(in, i), str_of(marks[m])))
                skip = strlen(marks[m]);
        }
        if (!skip)
            buf_char(&out, in.p[i]);
        i += skip ? skip : 1;
    }
    return buf_text(&out);
}

/* What a shell makes equal: quotes, backslashes and carets go, separators are one space and none stands
 * before a slash or a parenthesis, letters are small. */
struct str transform_cmd_line(struct str in, const struct unicode_map *, struct arena *arena)
{
    char *out = arena_bytes(arena, in.n);
    bool after_space = false;
    size_t n = 0;
    for (size_t i = 0; out && i < in.n; i++) {
        switch (in.p[i]) {
        case '"':
        case '\'':
        case '\\':
        case '^':
            break;
        case ' ':
        case ',':
        case ';':
        case '\t':
        case '\r':
        case '\n':
            out[n] = ' ';
            n += !after_space;
            after_space = true;
            break;
        case '/':
        case '(':
            n -= after_space;
            [[fallthrough]];
        default:
            out[n++] = ascii_lower(in.p[i]);
            after_space = false;
        }
    }
    return (struct str){out, n};
}

struct str transform_length(struct str in, const struct unicode_map *, struct arena *arena)
{
    return text_of_number(arena, (int64_t)in.n);
}

struct str transform_hex_encode(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct buf out = room(arena, in.n * 2);
    buf_hex(&out, in.p, in.n);
    return buf_text(&out);
}
