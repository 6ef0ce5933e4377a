#include "waf/slots.h"

/* FNV-1a over small letters. The table holds only names out of rules and is never more than half full, so a
 * stranger's name meets short runs only. */
static uint32_t hash_nocase(struct str name)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (uint8_t)ascii_lower(name.p[i])) * 16777619U;
    return h ^ h >> 15;
}

/* Where the name stands, or the free place for it. */
static uint32_t *place_of(const struct slots *slots, struct str name)
{
    uint32_t mask = slots->table_size - 1, i = hash_nocase(name) & mask;
    while (slots->table[i] && !str_eq_nocase(slots->names[slots->table[i]], name))
        i = (i + 1) & mask;
    return &slots->table[i];
}

/* Twice as large; the old place stays in the arena. */
static bool grow(struct slots *slots, struct arena *arena)
{
    uint32_t cap = slots->cap ? slots->cap * 2 : 256;
    struct str *names = arena_alloc(arena, cap * sizeof *names);
    uint32_t *table = arena_alloc(arena, 2 * (size_t)cap * sizeof *table);
    if (!names || !table)
        return false;
    if (slots->count)
        memcpy(names, slots->names, (slots->count + 1) * sizeof *names);
    slots->names = names;
    slots->table = table;
    slots->cap = cap;
    slots->table_size = 2 * cap;
    for (uint32_t slot = 1; slot <= slots->count; slot++)
        *place_of(slots, names[slot]) = slot;
    return true;
}

uint32_t slots_add(struct slots *slots, struct arena *arena, struct str name)
{
    uint32_t found = slots_find(slots, name);
    if (found != SLOT_NONE)
        return found;
    if (slots->count + 1 >= slots->cap && !grow(slots, arena))
        return SLOT_NONE;
    name = arena_copy(arena, name);
    if (!name.p)
        return SLOT_NONE;
    slots->names[++slots->count] = name;
    *place_of(slots, name) = slots->count;
    return slots->count;
}

uint32_t slots_find(const struct slots *slots, struct str name)
{
    return slots->table_size ? *place_of(slots, name) : SLOT_NONE;
}
