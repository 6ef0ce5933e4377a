/* waf/text.h - small things about bytes that several files of the WAF need. Inside src/waf only. */
#ifndef POLDER_WAF_TEXT_H
#define POLDER_WAF_TEXT_H

#include "base/arena.h"
#include "base/buf.h"

/* C's isspace() in the C locale: what ModSecurity calls white space. */
static inline bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alnum(char c)
{
    return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* The value of a hex digit, or -1. */
static inline int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool is_hex(char c)
{
    return hex_value(c) >= 0;
}

/* The byte of two hex digits that the caller has checked. */
static inline char hex_byte(const char *p)
{
    return (char)((unsigned)hex_value(p[0]) << 4 | (unsigned)hex_value(p[1]));
}

struct str text_trim(struct str s); /* without is_space() at both ends */
bool text_starts_nocase(struct str s, struct str prefix);
bool text_contains_any(struct str s, const char *const *what); /* without case; the list ends in NULL */
int64_t text_number(
    struct str s); /* as atoi(): leading space, sign, digits; saturates; 0 for anything else */
ptrdiff_t text_find(struct str s, struct str what); /* as str_find(), for long texts */
struct str text_of_number(struct arena *, int64_t value);
/* RFC 3986 2.1 with '+' as space, in place of nothing: what is not an encoding stays. Counts those. */
struct str text_url_decode(struct str s, struct arena *, unsigned *invalid);

/* A growing list of named values; lives in an arena and leaves its old places there. */
struct pair {
    struct str name, value;
};

struct pairs {
    struct pair *items;
    size_t n, cap;
};

bool pairs_add(struct pairs *, struct arena *, struct str name, struct str value); /* false: no memory */
struct pair *pairs_find(const struct pairs *, struct str name); /* without case; NULL: none */

#endif
