/* base/str.h - text as a borrowed slice: pointer and length, never a NUL to rely on. */
#ifndef POLDER_BASE_STR_H
#define POLDER_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal)                                                                                         \
    (struct str)                                                                                             \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }
#define STR_NONE                                                                                             \
    (struct str)                                                                                             \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).n ? (s).p : ""

static inline struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): where there is a length there is a pointer */
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

bool str_eq_nocase(struct str a, struct str b);    /* ASCII letters only */
bool str_starts(struct str s, struct str prefix);  /* true for the empty prefix */
bool str_ends(struct str s, struct str suffix);    /* true for the empty suffix */
struct str str_skip(struct str s, size_t n);       /* what follows the first n bytes; empty if shorter */
struct str str_take(struct str s, size_t n);       /* the first n bytes, or all */
struct str str_trim(struct str s);                 /* without spaces and tabs at both ends */
ptrdiff_t str_find_char(struct str s, char c);     /* index, or -1 */
ptrdiff_t str_find(struct str s, struct str what); /* index, or -1 */
int str_compare(struct str a, struct str b);       /* bytewise order, as memcmp */

/* Cuts s at the first c: returns what comes before it and leaves the rest (without c) in s.
 * With no c all is returned and s becomes { NULL, 0 }. */
struct str str_cut(struct str *s, char c);

/* Reads digits only, no sign, no space, no overflow. False leaves ret_value alone. */
bool str_parse_u64(struct str s, uint64_t *ret_value);

#endif
