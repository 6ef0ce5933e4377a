/* Sets of resources and lists of candidates. */
#include "store/search.h"

#include <stdlib.h>

enum store_result set_add(struct set *set, uint32_t value, struct arena *arena)
{
    if (set->n == set->room) {
        size_t room = set->room ? set->room * 2 : 64;
        uint32_t *at = arena_alloc(arena, room * sizeof *at);
        if (!at)
            return STORE_NO_MEMORY;
        if (set->n)
            memcpy(at, set->at, set->n * sizeof *at);
        set->at = at;
        set->room = room;
    }
    set->at[set->n++] = value;
    return STORE_FINE;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void set_sort(struct set *set)
{
    size_t n = 0;
    if (set->n)
        qsort(set->at, set->n, sizeof *set->at, compare_numbers);
    for (size_t i = 0; i < set->n; i++) {
        if (i == 0 || set->at[i] != set->at[i - 1])
            set->at[n++] = set->at[i];
    }
    set->n = n;
}

bool set_has(const struct set *set, uint32_t value)
{
    return set->n && bsearch(&value, set->at, set->n, sizeof *set->at, compare_numbers);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->place.resource < y->place.resource ? -1 : x->place.resource > y->place.resource;
}

void candidates_sort(struct candidates *c)
{
    size_t n = 0;
    if (c->n)
        qsort(c->at, c->n, sizeof *c->at, compare_candidates);
    for (size_t i = 0; i < c->n; i++) {
        if (i == 0 || c->at[i].place.resource != c->at[n - 1].place.resource)
            c->at[n++] = c->at[i];
    }
    c->n = n;
    c->count = n;
}
