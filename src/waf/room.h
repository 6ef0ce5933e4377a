/* waf/room.h - what one transaction of the fast engine works in: its texts, what the lanes found in them.
 * Inside src/waf only. Rooms are used again, so that an ordinary request asks the system for no memory. */
#ifndef POLDER_WAF_ROOM_H
#define POLDER_WAF_ROOM_H

#include "waf/plan.h"
#include "waf/tx.h"

enum {
    LISTS_MAX = 24,
    ROOM_TEXT_BYTES = 32 << 20, /* what transformations may leave; after that they are made anew each time */
    ROOM_MEMORY_BYTES = 32 << 20,
};

/* The numbers of the texts in a list of named values. */
struct list_ids {
    const struct pair *items;
    size_t n;
    uint32_t *names, *values; /* NULL: not asked for yet */
    byte_kinds name_kinds, value_kinds;
};

struct lane_state {
    bool is_scanned;
    const uint64_t **bits; /* by text: what may occur in it, from the lane's first word on; NULL: not known */
    uint32_t count;
};

struct room {
    struct room *next;
    struct texts texts;
    struct arena *memory;
    struct list_ids lists[LISTS_MAX];
    unsigned list_count;
    struct {
        const char *p;
        size_t n;
        uint32_t id;
    } ones[VARIABLE_COUNT];
    struct lane_state *lanes;
    uint64_t *any, *found; /* bitmaps over all patterns: in any text so far; in the last scan */
    uint64_t *none;        /* words of a lane without any */
    size_t words;
    uint32_t *order; /* the texts of a lane, while it is scanned */
    uint32_t order_count, order_cap;
};

struct room *room_take(struct waf_tx *); /* NULL: no memory */
void room_give_back(struct waf_tx *);
void rooms_free(struct plan *);

/* The number of a value's text; TEXT_NONE: no memory, or not one that lasts. */
uint32_t room_one(struct waf_tx *, enum variable, struct str text);
/* Numbers of a list's names or values, in order, and the kinds of bytes in any of them. NULL: no memory. */
const uint32_t *room_list(struct waf_tx *, const struct pairs *, bool takes_names, byte_kinds *ret_kinds);

/* Which of the lane's patterns may occur in its texts: scanned once. */
void lane_scan(struct waf_tx *, uint32_t lane);

/* May the pattern occur in any text of its lane? */
static inline bool lane_has(const struct room *room, uint32_t pattern)
{
    return room->any[pattern / 64] >> (pattern % 64) & 1;
}

/* In this one, as it comes out of the scan form of a chain? */
static inline bool lane_text_has(const struct room *room, const struct lane *lane, uint32_t number,
                                 uint32_t id, uint32_t pattern)
{
    const struct lane_state *state = &room->lanes[number];
    const uint64_t *bits = id < state->count ? state->bits[id] : NULL;
    return !bits || (bits[pattern / 64 - lane->first_word] >> (pattern % 64) & 1);
}

#endif
