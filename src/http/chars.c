#include "http/chars.h"

/* One name per kind of byte, so that the table below reads like the grammar. */
enum {
    ALNUM = CHAR_TOKEN | CHAR_VALUE | CHAR_UNRESERVED | CHAR_PATH | CHAR_QUERY | CHAR_QUOTED,
    HOST_ALNUM = ALNUM | CHAR_HOST,
    MARK = ALNUM, /* - . _ ~ */
    DELIM_TCHAR =
        CHAR_TOKEN | CHAR_VALUE | CHAR_PATH | CHAR_QUERY | CHAR_QUOTED, /* sub-delims that are tchar */
    DELIM = CHAR_VALUE | CHAR_PATH | CHAR_QUERY | CHAR_QUOTED,          /* other sub-delims, ':' '@' '/' */
    RARE_TCHAR = CHAR_TOKEN | CHAR_VALUE | CHAR_QUERY | CHAR_QUOTED,    /* tchar that no path may hold raw */
    RARE = CHAR_VALUE | CHAR_QUERY | CHAR_QUOTED,
    BLANK = CHAR_VALUE | CHAR_QUOTED,
};

const uint8_t http_chars[256] = {
    ['\t'] = BLANK,
    [' '] = BLANK,
    ['!'] = DELIM_TCHAR,
    ['"'] = CHAR_VALUE | CHAR_QUERY,
    ['#'] = CHAR_TOKEN | CHAR_VALUE | CHAR_QUOTED,
    ['$'] = DELIM_TCHAR,
    ['%'] = CHAR_TOKEN | CHAR_VALUE | CHAR_QUOTED,
    ['&'] = DELIM_TCHAR,
    ['\''] = DELIM_TCHAR,
    ['('] = DELIM,
    [')'] = DELIM,
    ['*'] = DELIM_TCHAR,
    ['+'] = DELIM_TCHAR,
    [','] = DELIM,
    ['-'] = MARK | CHAR_HOST,
    ['.'] = MARK | CHAR_HOST,
    ['/'] = DELIM,
    ['0' ... '9'] = HOST_ALNUM | CHAR_HEX,
    [':'] = DELIM,
    [';'] = DELIM,
    ['<'] = RARE,
    ['='] = DELIM,
    ['>'] = RARE,
    ['?'] = RARE,
    ['@'] = DELIM,
    ['A' ... 'F'] = ALNUM | CHAR_HEX,
    ['G' ... 'Z'] = ALNUM,
    ['['] = RARE,
    ['\\'] = CHAR_VALUE | CHAR_QUERY,
    [']'] = RARE,
    ['^'] = RARE_TCHAR,
    ['_'] = MARK | CHAR_HOST,
    ['`'] = RARE_TCHAR,
    ['a' ... 'f'] = HOST_ALNUM | CHAR_HEX,
    ['g' ... 'z'] = HOST_ALNUM,
    ['{'] = RARE,
    ['|'] = RARE_TCHAR,
    ['}'] = RARE,
    ['~'] = MARK,
    [0x80 ... 0xff] = CHAR_VALUE | CHAR_QUOTED,
};
