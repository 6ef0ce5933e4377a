/* fhir/chars.h - what an ASCII character is. Inside src/fhir only. */
#ifndef POLDER_FHIR_CHARS_H
#define POLDER_FHIR_CHARS_H

#include "base/str.h"

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_alnum(char c)
{
    return is_letter(c) || is_digit(c);
}

static inline bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes the first character when it is c. */
static inline bool take_char(struct str *rest, char c)
{
    if (!rest->n || rest->p[0] != c)
        return false;
    *rest = str_skip(*rest, 1);
    return true;
}

/* Takes the digits that rest begins with; returns how many. */
static inline size_t take_digits(struct str *rest)
{
    size_t n = 0;
    while (n < rest->n && is_digit(rest->p[n]))
        n++;
    *rest = str_skip(*rest, n);
    return n;
}

#endif
