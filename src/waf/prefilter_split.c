/* One tree as several that together match what it did: each can then be found by a literal of its own, where
 * the whole has none that is long enough, or is more than the library takes. */
#include "waf/prefilter_tree.h"

/* ---- ways */

bool trees_add(struct arena *arena, struct trees *list, struct tree *tree)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 8;
        struct tree **items = arena_alloc(arena, cap * sizeof(struct tree *));
        if (!items)
            return false;
        if (list->count)
            memcpy(items, list->items, list->count * sizeof(struct tree *));
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = tree;
    return true;
}

static bool one_way(struct arena *arena, struct tree *tree, struct trees *ret)
{
    *ret = (struct trees){0};
    return trees_add(arena, ret, tree);
}

/* Copies of a sequence's children behind those of another; what is in them is shared. */
static bool extend(struct arena *arena, struct tree *sequence, const struct tree *with)
{
    for (const struct tree *child = with->first; child; child = child->next) {
        struct tree *copy = tree_new(arena, child->kind);
        if (!copy)
            return false;
        *copy = *child;
        tree_add(sequence, copy);
    }
    return true;
}

static bool multiply(struct arena *arena, const struct trees *before, const struct trees *with,
                     struct trees *ret)
{
    *ret = (struct trees){0};
    for (size_t i = 0; i < before->count; i++) {
        for (size_t j = 0; j < with->count; j++) {
            struct tree *way = tree_new(arena, TREE_EACH);
            if (!way || !extend(arena, way, before->items[i]) || !extend(arena, way, with->items[j]) ||
                !trees_add(arena, ret, way))
                return false;
        }
    }
    return true;
}

static bool extend_all(struct arena *arena, struct trees *ways, const struct tree *with)
{
    for (size_t i = 0; i < ways->count; i++) {
        if (!extend(arena, ways->items[i], with))
            return false;
    }
    return true;
}

/* As it is: a sequence of one. */
static bool whole(struct arena *arena, const struct tree *tree, struct trees *ret)
{
    struct tree *sequence = tree_new(arena, TREE_EACH), *copy = tree_new(arena, tree->kind);
    if (!sequence || !copy)
        return false;
    *copy = *tree;
    tree_add(sequence, copy);
    return one_way(arena, sequence, ret);
}

static bool ways_of_sequence(struct arena *arena, const struct tree *tree, size_t limit, struct trees *ret)
{
    struct tree *nothing = tree_new(arena, TREE_EACH);
    if (!nothing || !one_way(arena, nothing, ret))
        return false;
    for (const struct tree *child = tree->first; child; child = child->next) {
        struct trees ways, all;
        if (!tree_split_ways(arena, child, limit, &ways))
            return false;
        if (ways.count * ret->count > limit && !whole(arena, child, &ways))
            return false;
        if (ways.count == 1) {
            if (!extend_all(arena, ret, ways.items[0]))
                return false;
            continue;
        }
        if (!multiply(arena, ret, &ways, &all))
            return false;
        *ret = all;
    }
    return true;
}

static bool append(struct arena *arena, struct trees *to, const struct trees *more)
{
    for (size_t i = 0; i < more->count; i++) {
        if (!trees_add(arena, to, more->items[i]))
            return false;
    }
    return true;
}

static bool ways_of_alternatives(struct arena *arena, const struct tree *tree, size_t limit,
                                 struct trees *ret)
{
    *ret = (struct trees){0};
    for (const struct tree *child = tree->first; child; child = child->next) {
        struct trees ways;
        if (!tree_split_ways(arena, child, limit, &ways))
            return false;
        if (ret->count + ways.count > limit)
            return whole(arena, tree, ret);
        if (!append(arena, ret, &ways))
            return false;
    }
    return true;
}

static bool ways_of_option(struct arena *arena, const struct tree *tree, size_t limit, struct trees *ret)
{
    struct trees ways;
    struct tree *nothing = tree_new(arena, TREE_EACH);
    if (!nothing || !one_way(arena, nothing, ret) || !tree_split_ways(arena, tree->first, limit, &ways))
        return false;
    return 1 + ways.count > limit ? whole(arena, tree, ret) : append(arena, ret, &ways);
}

bool tree_split_ways(struct arena *arena, const struct tree *tree, size_t limit, struct trees *ret)
{
    switch (tree->kind) {
    case TREE_EACH:
        return ways_of_sequence(arena, tree, limit, ret);
    case TREE_ANY:
        return ways_of_alternatives(arena, tree, limit, ret);
    case TREE_REPEAT:
        if (tree->least == 0 && tree->most == 1)
            return ways_of_option(arena, tree, limit, ret);
        [[fallthrough]];
    default:
        return whole(arena, tree, ret);
    }
}

size_t tree_literal_length(const struct tree *sequence)
{
    size_t longest = 0, length = 0;
    for (const struct tree *child = sequence->first; child; child = child->next) {
        length = tree_is_known_byte(child) ? length + 1 : 0;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* ---- any text */

static bool has_both_kinds(const struct tree *any)
{
    size_t open = 0, others = 0;
    for (const struct tree *child = any->first; child; child = child->next) {
        if (tree_ends_in_any_text(child))
            open++;
        else
            others++;
    }
    return any->kind == TREE_ANY && any->next && open && others;
}

static void keep(struct tree *any, bool open)
{
    struct tree *child = any->first, *next;
    any->first = any->last = NULL;
    for (; child; child = next) {
        next = child->next;
        if (tree_ends_in_any_text(child) == open)
            tree_add(any, child);
    }
}

/* (?:x.*|y)z: x, and yz */
bool tree_split_any_text(struct arena *arena, const struct tree *tree, struct tree *ret[2])
{
    for (size_t i = 0; i < 2; i++) {
        ret[i] = tree->kind == TREE_EACH ? tree_copy(arena, tree) : NULL;
        struct tree *any = ret[i] ? ret[i]->first : NULL;
        while (any && !has_both_kinds(any))
            any = any->next;
        if (!any)
            return false;
        keep(any, i == 0);
        if (i == 0) {
            any->next = NULL;
            ret[i]->last = any;
        }
    }
    return true;
}

/* ---- halves */

static struct tree *largest_alternatives(struct tree *tree)
{
    while (tree && tree->kind == TREE_EACH) {
        struct tree *largest = tree->first;
        for (struct tree *child = tree->first; child; child = child->next)
            largest = tree_size(child) > tree_size(largest) ? child : largest;
        tree = largest;
    }
    return tree && tree->kind == TREE_ANY && tree->first->next ? tree : NULL;
}

/* Keeps one half of the alternatives. */
static void halve(struct tree *any, bool keeps_first)
{
    size_t half = tree_size(any) / 2, seen = 0;
    struct tree *child = any->first, *last = child;
    for (seen = tree_size(child); child->next->next && seen < half; seen += tree_size(child))
        last = child = child->next;
    if (keeps_first) {
        any->last = last;
        last->next = NULL;
    } else {
        any->first = last->next;
    }
}

bool tree_split_halves(struct arena *arena, const struct tree *tree, struct tree *ret[2])
{
    for (size_t i = 0; i < 2; i++) {
        ret[i] = tree_copy(arena, tree);
        struct tree *any = ret[i] ? largest_alternatives(ret[i]) : NULL;
        if (!any)
            return false;
        halve(any, i == 0);
    }
    return true;
}
