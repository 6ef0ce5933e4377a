/* Words whose letters may be kept apart by bytes that a shell ignores: l[\\'"]*s, w["^]*h["^]*o. A thousand
 * such letters have no literal in them and make an automaton that is slow or refused. But of every match one
 * of two things is true:
 *
 *     nothing keeps its letters apart           then it contains the plain word;
 *     there is a first place where they are     then the letters before it are plain, something that may
 * stand kept apart                                there follows, then the letters behind it.
 *
 * So the tree is its words without what keeps apart ("skips"), and for every such place the two letters
 * before it (the whole word where it has no two, or where no letter follows), the skip, and two letters after
 * it. What stands before the words is cut to its last byte. */
#include "waf/prefilter_tree.h"

#include <stdlib.h>

enum { WORDS_MAX = 1000, SKIPS_MIN = 16, LETTERS_BEFORE = 2, LETTERS_AFTER = 2, TEXT_MAX = 4000 };

/* The bytes it may begin with. True: it may be nothing. */
static bool first_bytes_of(const struct tree *tree, struct bytes *ret)
{
    bool is_open = tree->kind != TREE_BYTE && tree->kind != TREE_ANY;
    if (tree->kind == TREE_BYTE)
        bytes_merge(ret, &tree->bytes);
    for (const struct tree *child = tree->first; child; child = child->next) {
        bool child_is_open = first_bytes_of(child, ret);
        if (tree->kind == TREE_ANY)
            is_open |= child_is_open;
        else if (!child_is_open && tree->kind == TREE_EACH)
            return false;
        else if (tree->kind == TREE_REPEAT)
            is_open = child_is_open || tree->least == 0;
    }
    return is_open;
}

/* ---- marking: a skip becomes a repetition of exactly once, which nothing else makes */

static bool is_skip(const struct tree *tree)
{
    return tree->kind == TREE_REPEAT && tree->least == 1 && tree->most == 1;
}

static bool may_be_skipped(const struct tree *tree)
{
    return tree->kind == TREE_REPEAT && tree_may_be_empty(tree);
}

/* Neighbours that may each be nothing become one skip, if one of them may be long and few bytes begin it:
 * what many begin, such as \W*, stands between the letters of any text. */
static bool mark_run(struct arena *arena, struct tree *sequence, struct tree **child, size_t *ret_count)
{
    enum { FIRST_BYTES_MAX = 16 };
    struct tree *inner = tree_new(arena, TREE_EACH), *one = *child;
    struct bytes first = {0};
    bool is_long = false;
    while (inner && one && may_be_skipped(one)) {
        struct tree *next = one->next;
        is_long |= one->most == TREE_NO_LIMIT;
        tree_add(inner, one);
        one = next;
    }
    *child = one;
    if (!inner)
        return false;
    (void)first_bytes_of(inner, &first);
    if (!is_long || bytes_count(&first) > FIRST_BYTES_MAX) {
        tree_add(sequence, inner);
        return true;
    }
    struct tree *skip = tree_repeat(arena, inner, 1, 1);
    if (skip)
        tree_add(sequence, skip);
    *ret_count += 1;
    return skip;
}

static bool mark(struct arena *arena, struct tree *tree, size_t *ret_count)
{
    struct tree *child = tree->first;
    if (tree->kind != TREE_EACH) {
        while (child && mark(arena, child, ret_count))
            child = child->next;
        return !child;
    }
    tree->first = tree->last = NULL;
    while (child) {
        struct tree *next = child->next;
        if (may_be_skipped(child)) {
            if (!mark_run(arena, tree, &child, ret_count))
                return false;
            continue;
        }
        if (!mark(arena, child, ret_count))
            return false;
        tree_add(tree, child);
        child = next;
    }
    return true;
}

/* ---- a skip that is not nothing */

/* Of x*y?z*, what is not nothing: x+y?z*, yz*, z+, each a way. */
static bool add_long_skip(struct arena *arena, struct tree *sequence, const struct tree *skip)
{
    struct tree *any = tree_new(arena, TREE_ANY);
    for (const struct tree *from = skip->first->first; any && from; from = from->next) {
        struct tree *way = tree_new(arena, TREE_EACH);
        for (const struct tree *one = from; way && one; one = one->next) {
            struct tree *copy = tree_copy(arena, one);
            if (!copy)
                return false;
            if (one == from && copy->least == 0)
                copy->least = 1;
            tree_add(way, copy);
        }
        if (!way)
            return false;
        tree_add(any, way);
    }
    if (any)
        tree_add(sequence, any);
    return any;
}

/* ---- words */

static bool add_copy(struct arena *arena, struct tree *sequence, const struct tree *tree)
{
    struct tree *copy = tree_new(arena, tree->kind);
    if (!copy)
        return false;
    *copy = *tree;
    tree_add(sequence, copy);
    return true;
}

/* From first up to before end (NULL: the last), without skips. */
static struct tree *plain(struct arena *arena, const struct tree *first, const struct tree *end)
{
    struct tree *sequence = tree_new(arena, TREE_EACH);
    for (const struct tree *one = first; sequence && one && one != end; one = one->next) {
        if (!is_skip(one) && !add_copy(arena, sequence, one))
            return NULL;
    }
    return sequence;
}

/* The last letters before a skip, when all of them are known. NULL: they are not. */
static const struct tree *last_letters(const struct tree *before)
{
    size_t count = 0, known = 0;
    const struct tree *from = before->first;
    for (const struct tree *one = before->first; one; one = one->next) {
        known = tree_is_known_byte(one) ? known + 1 : 0;
        if (++count > LETTERS_BEFORE)
            from = from->next;
    }
    return known >= LETTERS_BEFORE ? from : NULL;
}

/* What stands around one skip, cut in two, so that what follows the same letters can be put together. */
struct place {
    const struct tree *skip;
    struct tree *before, *after;
    struct str before_text, after_text;
};

static struct str text_of(struct arena *arena, const struct tree *tree)
{
    char text[TEXT_MAX];
    struct buf out = buf_over(text, sizeof text);
    tree_print(tree, &out);
    return buf_overflowed(&out) ? STR_NONE : arena_copy(arena, buf_text(&out));
}

static bool find_place(struct arena *arena, const struct tree *word, const struct tree *skip,
                       struct place *ret)
{
    struct tree *before = plain(arena, word->first, skip);
    ret->after = tree_new(arena, TREE_EACH);
    if (!before || !ret->after)
        return false;
    size_t letters = 0;
    for (const struct tree *one = skip->next; one && letters < LETTERS_AFTER; one = one->next) {
        letters += !is_skip(one);
        if (!add_copy(arena, ret->after, one))
            return false;
    }
    const struct tree *last = skip->next && tree_is_known_byte(skip->next) ? last_letters(before) : NULL;
    ret->before = last ? plain(arena, last, NULL) : before;
    ret->skip = skip;
    if (!ret->before || !add_long_skip(arena, ret->before, skip))
        return false;
    ret->before_text = text_of(arena, ret->before);
    ret->after_text = text_of(arena, ret->after);
    return ret->before_text.n && (ret->after_text.n || !ret->after->first);
}

struct places {
    struct place *items;
    size_t count, cap;
};

static bool add_places(struct arena *arena, struct places *list, const struct tree *word)
{
    for (const struct tree *one = word->first; one; one = one->next) {
        if (!is_skip(one))
            continue;
        if (list->count == list->cap) {
            size_t cap = list->cap ? list->cap * 2 : 256;
            struct place *items = arena_alloc(arena, cap * sizeof *items);
            if (!items)
                return false;
            if (list->count)
                memcpy(items, list->items, list->count * sizeof *items);
            list->items = items;
            list->cap = cap;
        }
        if (!find_place(arena, word, one, &list->items[list->count]))
            return false;
        list->count++;
    }
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    int order = str_compare(one->before_text, other->before_text);
    return order ? order : str_compare(one->after_text, other->after_text);
}

/* One tree for all places that begin alike. */
static bool group_places(struct arena *arena, struct places *list, struct trees *ret)
{
    struct tree *after = NULL;
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_places);
    for (size_t i = 0; i < list->count; i++) {
        const struct place *place = &list->items[i], *previous = i ? place - 1 : NULL;
        if (previous && compare_places(place, previous) == 0)
            continue;
        if (!previous || !str_eq(place->before_text, previous->before_text)) {
            after = tree_new(arena, TREE_ANY);
            if (!after || !trees_add(arena, ret, place->before))
                return false;
            tree_add(place->before, after);
        }
        tree_add(after, place->after);
    }
    return true;
}

/* What a tree looks at outside its skips. */
static size_t letters_in(const struct tree *tree)
{
    size_t letters = tree->kind == TREE_BYTE;
    if (is_skip(tree))
        return 0;
    for (const struct tree *child = tree->first; child; child = child->next)
        letters += letters_in(child);
    return letters;
}

bool tree_split_skips(struct arena *arena, const struct tree *tree, struct trees *ret)
{
    size_t skips = 0;
    struct trees words;
    struct places places = {0};
    struct tree *copy = tree_copy(arena, tree);
    *ret = (struct trees){0};
    if (!copy)
        return false;
    (void)tree_cut_before_core(arena, copy);
    if (!mark(arena, copy, &skips) || skips < SKIPS_MIN || skips < letters_in(copy) / 3 ||
        !tree_split_ways(arena, copy, WORDS_MAX, &words))
        return false;
    for (size_t i = 0; i < words.count; i++) {
        struct tree *word = plain(arena, words.items[i]->first, NULL);
        if (!word || !tree_literal_length(word) || !trees_add(arena, ret, word) ||
            !add_places(arena, &places, words.items[i]))
            return false;
    }
    return group_places(arena, &places, ret);
}
