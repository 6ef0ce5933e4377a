/* waf/prefilter_parse.h - what reading a pattern and reading a class in it share. Inside the prefilter only.
 */
#ifndef POLDER_WAF_PREFILTER_PARSE_H
#define POLDER_WAF_PREFILTER_PARSE_H

#include "waf/prefilter_tree.h"

/* Once failed, what it returns means nothing. */
struct parser {
    struct arena *arena;
    struct str rest;
    bool is_caseless, dot_takes_newline;
    unsigned depth;
    bool failed;
};

static inline bool parser_is_at(const struct parser *p, char c)
{
    return p->rest.n && p->rest.p[0] == c;
}

static inline bool parser_take(struct parser *p, struct str what)
{
    if (!str_starts(p->rest, what))
        return false;
    p->rest = str_skip(p->rest, what.n);
    return true;
}

static inline char parser_next(struct parser *p) /* fails at the end */
{
    char c = p->rest.n ? p->rest.p[0] : 0;
    p->failed |= !p->rest.n;
    p->rest = str_skip(p->rest, 1);
    return c;
}

/* \\d \\w \\s \\h \\v and their opposites are added to ret; false: it is none of them. */
bool parser_class_of_escape(char letter, struct bytes *ret);
/* An escape that means one byte, its letter taken already. False: it does not. */
bool parser_byte_of_escape(struct parser *, char letter, uint8_t *ret);
/* A class, its first bracket taken already. False: failed. */
bool parser_class(struct parser *, struct bytes *ret);

#endif
