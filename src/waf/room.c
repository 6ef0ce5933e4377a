#include "waf/room.h"

#include <stdlib.h>

enum { ROOMS_KEPT = 8, ORDER_KEPT = 16'384 };

static void room_free(struct room *room)
{
    if (!room)
        return;
    texts_done(&room->texts);
    arena_free(room->memory);
    free(room->lanes);
    free(room->any);
    free(room->found);
    free(room->none);
    free(room->order);
    free(room);
}

static struct room *room_new(const struct plan *plan)
{
    struct room *room = calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->words = plan->pattern_count / 64 + 2;
    room->memory = arena_new(ROOM_MEMORY_BYTES);
    room->lanes = calloc(plan->lane_count + 1, sizeof *room->lanes);
    room->any = calloc(room->words, sizeof *room->any);
    room->found = calloc(room->words, sizeof *room->found);
    room->none = calloc(room->words, sizeof *room->none);
    if (room->memory && room->lanes && room->any && room->found && room->none &&
        texts_init(&room->texts, ROOM_TEXT_BYTES))
        return room;
    room_free(room);
    return NULL;
}

struct room *room_take(struct waf_tx *tx)
{
    struct plan *plan = tx->rules->plan;
    struct room *room = plan->rooms;
    if (room) {
        plan->rooms = room->next;
        plan->room_count--;
    } else {
        room = room_new(plan);
    }
    if (!room)
        return NULL;
    room->list_count = 0;
    memset(room->ones, 0, sizeof room->ones);
    memset(room->lanes, 0, plan->lane_count * sizeof *room->lanes);
    memset(room->any, 0, room->words * sizeof *room->any);
    texts_begin(&room->texts, tx->rules->unicode);
    return room;
}

void room_give_back(struct waf_tx *tx)
{
    struct plan *plan = tx->rules->plan;
    struct room *room = tx->room;
    tx->room = NULL;
    if (!room)
        return;
    if (plan->room_count == ROOMS_KEPT || room->order_cap > ORDER_KEPT) {
        room_free(room);
        return;
    }
    arena_reset(room->memory);
    room->next = plan->rooms;
    plan->rooms = room;
    plan->room_count++;
}

void rooms_free(struct plan *plan)
{
    for (struct room *room = plan->rooms; room;) {
        struct room *next = room->next;
        room_free(room);
        room = next;
    }
    plan->rooms = NULL;
}

uint32_t room_one(struct waf_tx *tx, enum variable v, struct str text)
{
    struct room *room = tx->room;
    if (room->ones[v].id && room->ones[v].p == text.p && room->ones[v].n == text.n)
        return room->ones[v].id;
    room->ones[v].p = text.p;
    room->ones[v].n = text.n;
    room->ones[v].id = texts_add(&room->texts, text);
    tx_work(tx, text.n);
    return room->ones[v].id;
}

static struct list_ids *find_list(struct room *room, const struct pairs *pairs)
{
    for (unsigned i = 0; i < room->list_count; i++) {
        if (room->lists[i].items == pairs->items && room->lists[i].n == pairs->n)
            return &room->lists[i];
    }
    if (room->list_count == LISTS_MAX)
        room->list_count = 0;
    struct list_ids *list = &room->lists[room->list_count++];
    *list = (struct list_ids){.items = pairs->items, .n = pairs->n};
    return list;
}

static byte_kinds add_all(struct waf_tx *tx, const struct pairs *pairs, bool takes_names, uint32_t *ids)
{
    struct texts *texts = &tx->room->texts;
    byte_kinds kinds = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        struct str text = takes_names ? pairs->items[i].name : pairs->items[i].value;
        ids[i] = texts_add(texts, text);
        kinds |= ids[i] == TEXT_NONE ? KINDS_ANY : texts->items[ids[i]].kinds;
        tx_work(tx, text.n + 30);
    }
    return kinds;
}

const uint32_t *room_list(struct waf_tx *tx, const struct pairs *pairs, bool takes_names,
                          byte_kinds *ret_kinds)
{
    struct list_ids *list = find_list(tx->room, pairs);
    uint32_t **place = takes_names ? &list->names : &list->values;
    byte_kinds *kinds = takes_names ? &list->name_kinds : &list->value_kinds;
    if (!*place) {
        uint32_t *ids = arena_alloc(tx->room->memory, pairs->n * sizeof *ids);
        if (!ids)
            return NULL;
        *kinds = add_all(tx, pairs, takes_names, ids);
        *place = ids;
    }
    *ret_kinds = *kinds;
    return *place;
}
