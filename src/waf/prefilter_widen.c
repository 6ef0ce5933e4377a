/* Trees made simpler: tree_trim keeps the answer to "is there a match anywhere"; tree_widen lets more match.
 */
#include "waf/prefilter_tree.h"

static bool is_nothing(const struct tree *tree)
{
    return tree->kind == TREE_EACH && !tree->first;
}

static void make_nothing(struct tree *tree)
{
    tree->kind = TREE_EACH;
    tree->first = tree->last = NULL;
}

/* Becomes its only child; its place among its siblings stays. */
static void become(struct tree *tree, const struct tree *child)
{
    struct tree *next = tree->next;
    *tree = *child;
    tree->next = next;
}

static bool is_any_byte(const struct tree *tree)
{
    return tree->kind == TREE_BYTE && bytes_count(&tree->bytes) == 256;
}

/* ---- what means the same */

/* A sequence inside a sequence, alternatives inside alternatives. */
static void flatten(struct tree *tree)
{
    struct tree *child = tree->first, *next;
    tree->first = tree->last = NULL;
    for (; child; child = next) {
        next = child->next;
        if (child->kind != tree->kind) {
            tree_add(tree, child);
            continue;
        }
        for (struct tree *inner = child->first, *following; inner; inner = following) {
            following = inner->next;
            tree_add(tree, inner);
        }
    }
}

/* a|b|cd: [ab]|cd */
static void merge_bytes(struct tree *tree)
{
    struct tree *child = tree->first, *next, *set = NULL;
    tree->first = tree->last = NULL;
    for (; child; child = next) {
        next = child->next;
        if (child->kind == TREE_BYTE && set) {
            bytes_merge(&set->bytes, &child->bytes);
            continue;
        }
        if (child->kind == TREE_BYTE)
            set = child;
        tree_add(tree, child);
    }
}

static void simplify(struct tree *tree)
{
    for (struct tree *child = tree->first; child; child = child->next)
        simplify(child);
    if (tree->kind == TREE_EACH || tree->kind == TREE_ANY)
        flatten(tree);
    if (tree->kind == TREE_ANY)
        merge_bytes(tree);
    if ((tree->kind == TREE_EACH || tree->kind == TREE_ANY) && tree->first && !tree->first->next)
        become(tree, tree->first);
    if (tree->kind != TREE_REPEAT)
        return;
    const struct tree *child = tree->first;
    if (tree->most == 0 || !child || is_nothing(child))
        make_nothing(tree);
    else if (tree->least == 1 && tree->most == 1)
        become(tree, child);
}

/* ---- the ends */

static void reverse(struct tree *tree)
{
    struct tree *child = tree->first, *next, *reversed = NULL;
    tree->last = tree->first;
    for (; child; child = next) {
        next = child->next;
        child->next = reversed;
        reversed = child;
    }
    tree->first = reversed;
}

static void trim_side(struct tree *, enum tree_border);

/* ^.* at the start, .*$ at the end: there is such a place before any text and after it. */
static void trim_border(struct tree *tree, enum tree_border border)
{
    struct tree *first = tree->first, *second = first ? first->next : NULL;
    if (second && first->kind == TREE_BORDER && first->border == border && second->kind == TREE_REPEAT &&
        second->most == TREE_NO_LIMIT && is_any_byte(second->first))
        tree->first = second;
}

static void trim_sequence(struct tree *tree, enum tree_border border)
{
    bool is_end = border == BORDER_LINE_END;
    if (is_end)
        reverse(tree);
    trim_border(tree, border);
    while (tree->first) {
        trim_side(tree->first, border);
        if (!is_nothing(tree->first))
            break;
        tree->first = tree->first->next;
    }
    if (!tree->first)
        tree->last = NULL;
    if (is_end)
        reverse(tree);
}

static void trim_alternatives(struct tree *tree, enum tree_border border)
{
    for (struct tree *child = tree->first; child; child = child->next) {
        trim_side(child, border);
        if (is_nothing(child)) {
            make_nothing(tree);
            return;
        }
    }
}

static void trim_side(struct tree *tree, enum tree_border border)
{
    switch (tree->kind) {
    case TREE_BYTE:
    case TREE_BORDER:
        return;
    case TREE_REPEAT:
        tree->most = tree->least;
        if (tree->least == 0) {
            make_nothing(tree);
        } else if (tree->least == 1) {
            become(tree, tree->first);
            trim_side(tree, border);
        }
        return;
    case TREE_EACH:
        trim_sequence(tree, border);
        return;
    case TREE_ANY:
        trim_alternatives(tree, border);
        return;
    }
}

/* ---- what may be nothing, behind any text */

static bool is_any_text(const struct tree *tree)
{
    return tree->kind == TREE_REPEAT && tree->least == 0 && tree->most == TREE_NO_LIMIT &&
           is_any_byte(tree->first);
}

bool tree_ends_in_any_text(const struct tree *tree)
{
    if (tree->kind == TREE_EACH)
        return tree->last && tree_ends_in_any_text(tree->last);
    if (tree->kind != TREE_ANY)
        return is_any_text(tree);
    const struct tree *child = tree->first;
    while (child && !tree_ends_in_any_text(child))
        child = child->next;
    return child;
}

/* The tree, then the tail; behind any text the tail is found but for odd cases, and to look for it costs
 * much: both go. */
static bool push_tail(struct arena *arena, struct tree *tree, const struct tree *tail)
{
    if (is_any_text(tree)) {
        make_nothing(tree);
        return true;
    }
    if (tree->kind == TREE_EACH && tree->last)
        return push_tail(arena, tree->last, tail);
    if (tree->kind == TREE_ANY) {
        struct tree *child = tree->first;
        while (child && push_tail(arena, child, tail))
            child = child->next;
        return !child;
    }
    struct tree *what = tree_new(arena, tree->kind), *copy = tree_copy(arena, tail);
    if (!what || !copy)
        return false;
    become(what, tree);
    make_nothing(tree);
    tree_add(tree, what);
    tree_add(tree, copy);
    return true;
}

/* x.*\b and (?:x.*|y)z?\b */
static bool trim_tail(struct arena *arena, struct tree *tree)
{
    struct tree *before = NULL, tail = {.kind = TREE_EACH};
    for (struct tree *child = tree->first; tree->kind == TREE_EACH && child; child = child->next) {
        if (!tree_may_be_empty(child) || tree_ends_in_any_text(child))
            before = child;
    }
    if (!before || !before->next || !tree_ends_in_any_text(before))
        return true;
    tail.first = before->next;
    tail.last = tree->last;
    before->next = NULL;
    tree->last = before;
    return push_tail(arena, before, &tail);
}

bool tree_trim(struct arena *arena, struct tree *tree)
{
    simplify(tree);
    if (!trim_tail(arena, tree))
        return false;
    trim_side(tree, BORDER_LINE_START);
    trim_side(tree, BORDER_LINE_END);
    simplify(tree);
    return true;
}

/* ---- what matches more */

bool tree_shorten(struct tree *tree)
{
    enum { MOST = 32, LEAST = 8 };
    bool changed = tree->kind == TREE_REPEAT &&
                   (tree->least > LEAST || (tree->most > MOST && tree->most != TREE_NO_LIMIT));
    if (changed) {
        tree->least = tree->least < LEAST ? tree->least : LEAST;
        tree->most = TREE_NO_LIMIT;
    }
    for (struct tree *child = tree->first; child; child = child->next)
        changed |= tree_shorten(child);
    return changed;
}

bool tree_drop_borders(struct tree *tree)
{
    bool changed = tree->kind == TREE_BORDER;
    if (changed)
        make_nothing(tree);
    for (struct tree *child = tree->first; child; child = child->next)
        changed |= tree_drop_borders(child);
    return changed;
}

/* What may stand at the end of a match. */
struct ending {
    struct bytes bytes;
    bool is_line_start;
    bool is_open; /* or nothing: then what precedes counts */
};

static struct ending ending_of(const struct tree *tree)
{
    struct ending all = {.is_open = tree->kind == TREE_EACH};
    if (tree->kind == TREE_BYTE)
        all.bytes = tree->bytes;
    if (tree->kind == TREE_BORDER) {
        all.is_line_start = tree->border == BORDER_LINE_START;
        all.is_open = !all.is_line_start;
    }
    for (const struct tree *child = tree->first; child; child = child->next) {
        struct ending one = ending_of(child);
        if (tree->kind == TREE_EACH && !one.is_open)
            all = (struct ending){0};
        bytes_merge(&all.bytes, &one.bytes);
        all.is_line_start |= one.is_line_start;
        all.is_open = tree->kind == TREE_EACH ? all.is_open && one.is_open : all.is_open || one.is_open;
    }
    all.is_open |= tree->kind == TREE_REPEAT && tree->least == 0;
    return all;
}

static struct tree *largest_of(const struct tree *tree)
{
    struct tree *largest = tree->first;
    for (struct tree *child = tree->first; child; child = child->next) {
        if (tree_size(child) > tree_size(largest))
            largest = child;
    }
    return largest;
}

/* Before tree's children: such an ending. */
static bool add_ending(struct arena *arena, struct tree *tree, const struct ending *ending)
{
    struct tree *any = tree_new(arena, TREE_ANY), *byte = tree_new(arena, TREE_BYTE);
    struct tree *start = tree_new(arena, TREE_BORDER);
    if (!any || !byte || !start)
        return false;
    byte->bytes = ending->bytes;
    start->border = BORDER_LINE_START;
    if (bytes_count(&ending->bytes))
        tree_add(any, byte);
    if (ending->is_line_start)
        tree_add(any, start);
    any->next = tree->first;
    tree->first = any;
    return true;
}

/* The last alternatives that are worth looking for; of small ones the largest. */
static struct tree *core_of(const struct tree *tree)
{
    enum { SIZE_MIN = 40 };
    struct tree *core = NULL;
    for (struct tree *child = tree->first; child; child = child->next) {
        if (child->kind == TREE_ANY && tree_size(child) >= SIZE_MIN && !tree_may_be_empty(child))
            core = child;
    }
    return core ? core : largest_of(tree);
}

bool tree_cut_before_core(struct arena *arena, struct tree *tree)
{
    struct tree *core = core_of(tree);
    if (tree->kind != TREE_EACH || core == tree->first)
        return false;
    struct tree before = {.kind = TREE_EACH};
    for (struct tree *child = tree->first, *next; child != core; child = next) {
        next = child->next;
        tree_add(&before, child);
    }
    tree->first = core;
    struct ending ending = ending_of(&before);
    if (!ending.is_open && !add_ending(arena, tree, &ending))
        return false;
    simplify(tree);
    return true;
}
