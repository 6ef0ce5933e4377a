/* waf/prefilter.h - which patterns can occur in a text at all: Hyperscan, all patterns of a lane in one
 * pass. Inside src/waf only.
 *
 * A pattern is an operator with a constant argument. Patterns are numbered by their place in the list that
 * was given; each belongs to one lane, and a lane is one database. What is compiled may match more than the
 * operator does, never less:
 *
 *     for any values v1..vk without their order or number mattering, scanned as one text with a '\n' between
 *     them, every pattern of the lane whose operator holds for one of the values has its bit set.
 *
 * So '^' and '$' hold at line ends too, a lookaround holds always, a possessive quantifier is a greedy one,
 * and with is_caseless case does not count (a lane's texts need not be lowercased for patterns that come
 * after t:lowercase). A value may itself contain '\n'. Patterns that cannot be expressed so are not
 * selectable: the caller always tries them. */
#ifndef POLDER_WAF_PREFILTER_H
#define POLDER_WAF_PREFILTER_H

#include "waf/operator.h"

struct prefilter;
struct prefilter_room; /* what a scan works in; one at a time uses it */

struct prefilter_pattern {
    enum operator_kind
        op; /* rx, pm, pmFromFile, contains, streq, beginsWith, endsWith; others: not selectable */
    struct str argument;     /* of all but pm; an rx has PCRE's syntax, with the meaning of rx.h */
    const struct str *words; /* of pm and pmFromFile */
    size_t word_count;
    unsigned lane;
    bool is_caseless;
};

typedef void prefilter_progress(void *context, size_t done, size_t all);

/* The name of the result: 64 hexadecimal digits over patterns, lanes, library version, CPU features and the
 * version of the way they are compiled. */
void prefilter_key(const struct prefilter_pattern *, size_t count, char ret_key[64]);

/* Seconds of work. The bytes are position-independent: they can be stored, mapped read-only and shared by
 * processes, at any 64-byte aligned address. False: no memory in the arena or the library. */
bool prefilter_compile(const struct prefilter_pattern *patterns, size_t count, unsigned lanes,
                       struct arena *arena, prefilter_progress *progress, void *context,
                       struct str *ret_bytes);

/* bytes are borrowed as long as it lives. Nothing in them is trusted: a checksum, the key and every offset
 * are checked. NULL: not made by prefilter_compile with this key on such a machine, damaged, or no memory. */
struct prefilter *prefilter_open(struct str bytes, const char key[64]);
void prefilter_close(struct prefilter *);

bool prefilter_selects(const struct prefilter *, uint32_t pattern); /* false: always try it */
bool prefilter_has_lane(const struct prefilter *, unsigned lane);   /* false: nothing in it to scan for */

struct prefilter_room *prefilter_room_new(const struct prefilter *); /* NULL: no memory */
void prefilter_room_free(struct prefilter_room *);

/* Sets the bits of the patterns that may occur, in a bitmap over all patterns. False: the library failed, and
 * nothing can be ruled out. */
bool prefilter_scan(const struct prefilter *, struct prefilter_room *, unsigned lane, struct str text,
                    uint64_t *bits);

#endif
