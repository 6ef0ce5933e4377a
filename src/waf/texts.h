/* waf/texts.h - the texts of a transaction, each kept once, and what transformations make of them. Inside
 * src/waf only.
 *
 *  1. A text is known by its number; equal texts have, as a rule, the same one. That is an economy and
 * nothing rests on it: where a stranger's texts crowd one place of the table they are kept twice.
 *  2. The bytes of a text are borrowed for as long as the transaction, or lie in the table's own arena.
 *  3. A text goes through a transformation at most once. */
#ifndef POLDER_WAF_TEXTS_H
#define POLDER_WAF_TEXTS_H

#include "waf/transform.h"

enum { TEXT_NONE = 0 };

/* For a scan without case: cmdLine, where it does more than make letters small. */
enum { TEXT_CMD_LINE_NOCASE = TRANSFORMATION_COUNT, TEXT_RESULTS };

/* Each byte that a transformation or a gate looks for has a kind of its own; the others share. */
enum kind {
    KIND_NUL,
    KIND_CONTROL,
    KIND_LINE,     /* tab, line feed, carriage return */
    KIND_VERTICAL, /* vertical tab, form feed */
    KIND_SPACE,
    KIND_DOUBLE,
    KIND_SINGLE,
    KIND_BACKSLASH,
    KIND_PERCENT,
    KIND_PLUS,
    KIND_AMPERSAND,
    KIND_SLASH,
    KIND_DOT,
    KIND_LESS,
    KIND_EQUALS,
    KIND_HASH,
    KIND_DASH,
    KIND_STAR,
    KIND_CARET,
    KIND_COMMA,
    KIND_SEMICOLON,
    KIND_OPENING,
    KIND_COLON,
    KIND_UNDERSCORE,
    KIND_OTHER_MARK,
    KIND_DIGIT,
    KIND_UPPER,
    KIND_LOWER,
    KIND_CONTINUATION, /* 0x80 to 0xbf but 0xa0 */
    KIND_NO_BREAK,     /* 0xa0 */
    KIND_LEADING,      /* 0xc0 and above */
};

/* Which kinds of bytes a text has: a bit for each. */
typedef uint32_t byte_kinds;
#define KINDS_ANY  UINT32_MAX
#define KIND(name) ((byte_kinds)1 << KIND_##name)

byte_kinds kinds_of(struct str);
byte_kinds kinds_in(const char *bytes, size_t n);
byte_kinds kinds_outside(const uint8_t allowed[256]); /* kinds that have a byte that is not allowed */
/* Without a byte of these kinds the transformation returns what it was given; KINDS_ANY: no telling. */
byte_kinds transformation_kinds(unsigned transformation);

/* What libinjection says of a text, once it was asked. */
enum finding { FINDING_UNKNOWN, FINDING_CLEAN, FINDING_HIT };

struct text {
    const char *p;
    uint32_t n;
    byte_kinds kinds;
    uint32_t results; /* row of texts.rows; 0: not transformed yet */
    uint32_t mark;    /* for who goes over many texts, of which some are the same (texts_new_mark) */
    uint8_t sqli, xss;
};

struct texts {
    struct text *items; /* from 1 */
    uint32_t n, cap;
    uint32_t *table; /* open addressing; 0: free */
    uint32_t table_size;
    uint32_t (*rows)[TEXT_RESULTS]; /* what came out, as a number; 0: not known */
    uint32_t row_n, row_cap, last_mark;
    struct arena *bytes, *work;
    const struct unicode_map *map;
};

bool texts_init(struct texts *, size_t limit_bytes); /* false: no memory */
void texts_done(struct texts *);
/* Forgets all; keeps some memory for the next transaction. */
void texts_begin(struct texts *, const struct unicode_map *);

static inline struct str texts_str(const struct texts *texts, uint32_t id)
{
    return (struct str){texts->items[id].p, texts->items[id].n};
}

/* No text has it yet. */
static inline uint32_t texts_new_mark(struct texts *texts)
{
    return ++texts->last_mark;
}

/* TEXT_NONE: no memory; the caller then does without. */
uint32_t texts_add(struct texts *, struct str borrowed);
/* Whether it can change the text at all is asked before (transformation_kinds). */
uint32_t texts_transform(struct texts *, uint32_t id, unsigned transformation);

#endif
