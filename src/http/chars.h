/* http/chars.h - what a byte may be, by table (RFC 9110 5.6, RFC 3986 2). Inside src/http only. */
#ifndef POLDER_HTTP_CHARS_H
#define POLDER_HTTP_CHARS_H

#include "base/str.h"

enum http_char {
    CHAR_TOKEN = 1 << 0,      /* tchar, RFC 9110 5.6.2 */
    CHAR_VALUE = 1 << 1,      /* may stand in a field value, RFC 9110 5.5: VCHAR, obs-text, SP, HTAB */
    CHAR_UNRESERVED = 1 << 2, /* RFC 3986 2.3: means the same encoded and raw */
    CHAR_PATH = 1 << 3,       /* may stand raw in a canonical path: pchar without '%', and '/' */
    CHAR_QUERY = 1 << 4,      /* may stand raw in a canonical query: visible ASCII but '#' and '%' */
    CHAR_HOST = 1 << 5,       /* of a canonical reg-name: lower-case letter, digit, '-', '.', '_' */
    CHAR_HEX = 1 << 6,
    CHAR_QUOTED = 1 << 7, /* qdtext, RFC 9110 5.6.4 */
};

extern const uint8_t http_chars[256];

static inline bool http_char_is(char c, enum http_char class)
{
    return http_chars[(uint8_t)c] & (unsigned)class;
}

/* The value of a hex digit; the caller has checked CHAR_HEX. */
static inline unsigned http_hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* How many bytes of s, from its beginning, are all of that class. */
static inline size_t http_span(struct str s, enum http_char class)
{
    size_t n = 0;
    while (n < s.n && http_char_is(s.p[n], class))
        n++;
    return n;
}

static inline bool http_all(struct str s, enum http_char class)
{
    return http_span(s, class) == s.n;
}

#endif
