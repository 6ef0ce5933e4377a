/* Scanning a lane: all texts its rules look at, through all their chains, each once; joined into pieces,
 * since a scan has a price of its own; and where a piece may have many patterns, each of its texts alone. */
#include "waf/room.h"

#include <stdlib.h>

enum {
    PIECE_BYTES = 1024, /* joined; a larger text is a piece by itself */
    PIECE_TEXTS = 256,
    CROWDED = 8, /* patterns in a piece from which on it is cheaper to look closer than to try them all */
    SCAN_WORK_PER_BYTE = 12,
    SCAN_WORK = 300,
};

struct scan {
    struct waf_tx *tx;
    struct room *room;
    const struct plan *plan;
    const struct lane *lane;
    struct lane_state *state;
    uint32_t number;
    uint32_t mark; /* of texts that have been through the chains of a target */
    bool has_failed;
};

/* ---- which texts */

static bool make_room(struct scan *s, uint32_t id)
{
    struct lane_state *state = s->state;
    if (id < state->count)
        return true;
    uint32_t count = s->room->texts.cap > id ? s->room->texts.cap : id + 1;
    const uint64_t **bits = arena_alloc(s->room->memory, count * sizeof(const uint64_t *));
    if (!bits)
        return false;
    if (state->count)
        memcpy(bits, state->bits, state->count * sizeof(const uint64_t *));
    state->bits = bits;
    state->count = count;
    return true;
}

static bool put_in_order(struct room *room, uint32_t id)
{
    if (room->order_count == room->order_cap) {
        uint32_t cap = room->order_cap ? room->order_cap * 2 : 1024;
        uint32_t *order = realloc(room->order, cap * sizeof *order);
        if (!order)
            return false;
        room->order = order;
        room->order_cap = cap;
    }
    room->order[room->order_count++] = id;
    return true;
}

static void add_text(struct scan *s, uint32_t id)
{
    if (id == TEXT_NONE || !make_room(s, id) || (!s->state->bits[id] && !put_in_order(s->room, id))) {
        s->has_failed = true;
        return;
    }
    s->state->bits[id] = s->room->none; /* it is in the list; what it has comes later */
}

static void add_results(struct scan *s, const struct lane_target *target, uint32_t id)
{
    const struct texts *texts = &s->room->texts;
    if (id == TEXT_NONE) {
        s->has_failed = true;
        return;
    }
    if (texts->items[id].mark == s->mark)
        return;
    texts->items[id].mark = s->mark;
    if (target->kinds != KINDS_ANY && !(texts->items[id].kinds & target->kinds)) {
        add_text(s, id);
        return;
    }
    for (uint32_t i = 0; i < target->chain_count; i++)
        add_text(s, chain_run(&s->plan->chains[target->chains[i]].scan, &s->room->texts, id));
    tx_work(s->tx, texts->items[id].n + 20);
}

static void add_list(struct scan *s, const struct lane_target *target, const struct pairs *list,
                     bool takes_names)
{
    const struct target *selected = &target->target;
    byte_kinds kinds;
    const uint32_t *ids = list->n ? room_list(s->tx, list, takes_names, &kinds) : NULL;
    s->has_failed |= list->n && !ids;
    for (size_t i = 0; i < list->n && !s->has_failed; i++) {
        if (selected->selector == SELECT_ALL ||
            target_names(selected, list->items[i].name, s->tx->rules->room))
            add_results(s, target, ids[i]);
    }
}

static void add_target(struct scan *s, const struct lane_target *target)
{
    struct view view = collect_view(s->tx, &target->target);
    s->mark = texts_new_mark(&s->room->texts);
    if (view.is_one && !view.is_absent)
        add_results(s, target, room_one(s->tx, target->target.variable, view.one));
    for (unsigned l = 0; !view.is_one && l < 3; l++)
        add_list(s, target, &view.lists[l], view.takes_names);
}

/* ---- pieces */

static unsigned count_bits(const struct scan *s)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < s->lane->word_count; i++)
        n += (unsigned)__builtin_popcountll(s->room->found[s->lane->first_word + i]);
    return n;
}

/* What was found is given to these texts. Nothing found costs no memory. */
static void note(struct scan *s, const uint32_t *ids, uint32_t count, unsigned found)
{
    const uint64_t *from = &s->room->found[s->lane->first_word];
    uint64_t *bits = found ? arena_alloc(s->room->memory, s->lane->word_count * sizeof *bits) : s->room->none;
    if (!bits) {
        s->has_failed = true;
        return;
    }
    for (uint32_t i = 0; found && i < s->lane->word_count; i++) {
        bits[i] = from[i];
        s->room->any[s->lane->first_word + i] |= from[i];
    }
    for (uint32_t i = 0; i < count; i++)
        s->state->bits[ids[i]] = bits;
}

static unsigned find(struct scan *s, struct str text)
{
    memset(&s->room->found[s->lane->first_word], 0, s->lane->word_count * sizeof *s->room->found);
    if (!prefilter_scan(s->plan->prefilter, s->plan->prefilter_room, s->number, text, s->room->found))
        s->has_failed = true;
    return count_bits(s);
}

static void scan_each(struct scan *s, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count && !s->has_failed; i++) {
        struct str text = texts_str(&s->room->texts, ids[i]);
        note(s, &ids[i], 1, find(s, text));
        tx_work(s->tx, text.n * SCAN_WORK_PER_BYTE + SCAN_WORK);
    }
}

static void scan_piece(struct scan *s, const uint32_t *ids, uint32_t count)
{
    char joined[PIECE_BYTES + 1];
    size_t n = 0;
    if (count == 1) {
        scan_each(s, ids, 1);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct text *text = &s->room->texts.items[ids[i]];
        if (i)
            joined[n++] = '\n';
        if (text->n)
            memcpy(joined + n, text->p, text->n);
        n += text->n;
    }
    unsigned found = find(s, (struct str){joined, n});
    if (found >= CROWDED)
        scan_each(s, ids, count);
    else
        note(s, ids, count, found);
    tx_work(s->tx, n * SCAN_WORK_PER_BYTE + SCAN_WORK);
}

static void scan_order(struct scan *s)
{
    const struct text *texts = s->room->texts.items;
    const uint32_t *order = s->room->order;
    for (uint32_t at = 0, end; at < s->room->order_count && !s->has_failed; at = end) {
        size_t n = texts[order[at]].n;
        for (end = at + 1; end < s->room->order_count && end - at < PIECE_TEXTS; end++) {
            n += 1 + texts[order[end]].n;
            if (n > PIECE_BYTES)
                break;
        }
        scan_piece(s, order + at, end - at);
    }
}

/* Nothing can be ruled out: every pattern may occur, and of no text more is known. */
static void give_up(struct scan *s)
{
    memset(&s->room->any[s->lane->first_word], 0xff, s->lane->word_count * sizeof *s->room->any);
    s->state->count = 0;
}

void lane_scan(struct waf_tx *tx, uint32_t number)
{
    struct room *room = tx->room;
    struct scan s = {.tx = tx,
                     .room = room,
                     .plan = tx->rules->plan,
                     .lane = &tx->rules->plan->lanes[number],
                     .state = &room->lanes[number],
                     .number = number};
    if (s.state->is_scanned)
        return;
    s.state->is_scanned = true;
    room->order_count = 0;
    for (uint32_t i = 0; i < s.lane->target_count && !s.has_failed; i++)
        add_target(&s, &s.lane->targets[i]);
    if (!s.has_failed)
        scan_order(&s);
    if (s.has_failed)
        give_up(&s);
}
