/* Patterns as Hyperscan's expressions. Every operator becomes trees, and every tree an expression that sets
 * the pattern's bit:
 *
 *   contains w        w                     beginsWith w   ^w
 *   streq w           ^w$                   endsWith w     w$
 *   pm, pmFromFile    each word, without case
 *   rx                prefilter_parse.c
 *
 * ^ and $ hold at line ends, so they hold at the ends of every value, also where w has a '\n' in it. What may
 * match the empty text would set its bit for every text: not selectable.
 *
 * A scan is fast when each expression has a literal: Hyperscan then looks for literals, and only behind one
 * of them runs an automaton. A large regular expression mostly has none as a whole, and its automaton runs
 * over every byte. So it is cut into many that have (prefilter_split.c, prefilter_skips.c); together they
 * take what it took. What is still refused is widened step by step (enum expression_stage). */
#include "waf/prefilter_compile.h"

#include <hs/hs.h>

enum { TEXT_BYTES_MAX = 15000 /* Hyperscan takes 16000 */ };

static bool add(struct expressions *e, struct expression one)
{
    if (e->count == e->cap) {
        size_t cap = e->cap ? e->cap * 2 : 256;
        struct expression *items = arena_alloc(e->arena, cap * sizeof *items);
        if (!items) {
            e->failed = true;
            return false;
        }
        if (e->count)
            memcpy(items, e->items, e->count * sizeof *items);
        e->items = items;
        e->cap = cap;
    }
    e->items[e->count++] = one;
    return true;
}

static bool add_tree(struct expressions *e, const struct tree *tree, struct expression like)
{
    char text[TEXT_BYTES_MAX + 1];
    struct buf out = buf_over(text, TEXT_BYTES_MAX);
    tree_print(tree, &out);
    if (buf_overflowed(&out))
        return false;
    text[out.n] = 0;
    like.text = arena_copy_z(e->arena, buf_text(&out));
    like.flags |= HS_FLAG_DOTALL | HS_FLAG_MULTILINE | HS_FLAG_SINGLEMATCH;
    like.tree = tree;
    e->failed |= !like.text;
    return like.text && add(e, like);
}

static bool add_border(struct expressions *e, struct tree *sequence, enum tree_border border)
{
    struct tree *tree = tree_new(e->arena, TREE_BORDER);
    if (!tree)
        return false;
    tree->border = border;
    tree_add(sequence, tree);
    return true;
}

static bool add_literal(struct expressions *e, const struct prefilter_pattern *p, uint32_t pattern)
{
    struct tree *tree = tree_new(e->arena, TREE_EACH),
                *text = tree_text(e->arena, p->argument, p->is_caseless);
    bool starts = p->op == OP_STREQ || p->op == OP_BEGINS_WITH;
    bool ends = p->op == OP_STREQ || p->op == OP_ENDS_WITH;
    if (!p->argument.n || !tree || !text || (starts && !add_border(e, tree, BORDER_LINE_START)))
        return false;
    tree_add(tree, text);
    return (!ends || add_border(e, tree, BORDER_LINE_END)) &&
           add_tree(e, tree, (struct expression){.pattern = pattern});
}

static bool add_words(struct expressions *e, const struct prefilter_pattern *p, uint32_t pattern)
{
    for (size_t i = 0; i < p->word_count; i++) {
        struct tree *text = tree_text(e->arena, p->words[i], true);
        if (!text || (p->words[i].n && !add_tree(e, text, (struct expression){.pattern = pattern})))
            return false;
    }
    return true;
}

static bool add_all(struct expressions *e, const struct trees *trees, uint32_t pattern)
{
    for (size_t i = 0; i < trees->count; i++) {
        if (!add_tree(e, trees->items[i], (struct expression){.pattern = pattern}))
            return false;
    }
    return true;
}

/* Those with a literal that is worth looking for one by one, the others together. */
static bool add_ways_with_literals(struct expressions *e, const struct trees *ways, size_t literal_min,
                                   size_t sizes_max, uint32_t pattern)
{
    enum { MOST_OTHERS = 10 /* one in ten */ };
    struct trees good = {0};
    struct tree *others = tree_new(e->arena, TREE_ANY);
    size_t other_count = 0, sizes = 0;
    for (size_t i = 0; others && i < ways->count; i++) {
        sizes += tree_size(ways->items[i]);
        if (tree_literal_length(ways->items[i]) < literal_min) {
            tree_add(others, ways->items[i]);
            other_count++;
        } else if (!trees_add(e->arena, &good, ways->items[i])) {
            return false;
        }
    }
    if (!others || good.count < 2 || other_count * MOST_OTHERS > ways->count || sizes > sizes_max)
        return false;
    return (!other_count || trees_add(e->arena, &good, others)) && add_all(e, &good, pattern);
}

static bool add_ways_of(struct expressions *e, const struct tree *tree, size_t limit, size_t literal_min,
                        uint32_t pattern)
{
    enum { SIZES_MAX = 12000, GROWTH_MAX = 4 };
    struct trees ways;
    size_t count = e->count, sizes_max = SIZES_MAX + GROWTH_MAX * tree_size(tree);
    if (tree_split_ways(e->arena, tree, limit, &ways) &&
        add_ways_with_literals(e, &ways, literal_min, sizes_max, pattern))
        return true;
    e->count = count;
    return false;
}

/* Where the words are many, or what stands before them is a large automaton that would always run, what
 * stands before is not worth its price. */
static bool add_words_of(struct expressions *e, const struct tree *tree, uint32_t pattern)
{
    enum { SIZE_MIN = 400, BEFORE_MIN = 60, WAYS_MAX = 1000 };
    struct tree *copy = tree_copy(e->arena, tree);
    if (!copy || !tree_cut_before_core(e->arena, copy))
        return false;
    if (tree_size(tree) - tree_size(copy) >= BEFORE_MIN)
        return add_ways_of(e, copy, WAYS_MAX, 2, pattern);
    return tree_size(tree) >= SIZE_MIN && add_ways_of(e, copy, WAYS_MAX, 3, pattern);
}

static bool add_large(struct expressions *, const struct tree *, uint32_t pattern);

static bool add_trimmed(struct expressions *e, struct tree *tree, uint32_t pattern)
{
    return tree_trim(e->arena, tree) && !tree_may_be_empty(tree) && add_large(e, tree, pattern);
}

/* In one, or in two if its text would be too long. */
static bool add_whole(struct expressions *e, const struct tree *tree, uint32_t pattern)
{
    struct tree *halves[2];
    if (add_tree(e, tree, (struct expression){.pattern = pattern}))
        return true;
    return !e->failed && tree_split_halves(e->arena, tree, halves) && add_trimmed(e, halves[0], pattern) &&
           add_trimmed(e, halves[1], pattern);
}

/* A large tree as many small ones, if that helps. */
static bool add_large(struct expressions *e, const struct tree *tree, uint32_t pattern)
{
    enum { SIZE_MIN = 100, WAYS_MAX = 300, LITERAL_MIN = 3 };
    struct trees words;
    struct tree *two[2];
    if (tree_size(tree) < SIZE_MIN)
        return add_whole(e, tree, pattern);
    if (tree_split_any_text(e->arena, tree, two))
        return add_trimmed(e, two[0], pattern) && add_trimmed(e, two[1], pattern);
    if (tree_split_skips(e->arena, tree, &words))
        return add_all(e, &words, pattern);
    if (tree->kind == TREE_ANY) {
        const struct tree *child = tree->first;
        while (child && add_large(e, child, pattern))
            child = child->next;
        return !child;
    }
    if (add_ways_of(e, tree, WAYS_MAX, LITERAL_MIN, pattern) || add_words_of(e, tree, pattern))
        return true;
    return add_whole(e, tree, pattern);
}

static bool add_regex(struct expressions *e, const struct prefilter_pattern *p, uint32_t pattern)
{
    struct tree *tree = tree_parse(e->arena, p->argument);
    if (!tree)
        return false;
    if (p->is_caseless)
        tree_ignore_case(tree);
    return add_trimmed(e, tree, pattern);
}

static bool add_pattern(struct expressions *e, const struct prefilter_pattern *p, uint32_t pattern)
{
    switch (p->op) {
    case OP_CONTAINS:
    case OP_STREQ:
    case OP_BEGINS_WITH:
    case OP_ENDS_WITH:
        return add_literal(e, p, pattern);
    case OP_PM:
    case OP_PM_FROM_FILE:
        return add_words(e, p, pattern);
    case OP_RX:
        return add_regex(e, p, pattern);
    default:
        return false;
    }
}

bool expressions_add(struct expressions *e, const struct prefilter_pattern *p, uint32_t pattern)
{
    size_t count = e->count;
    if (add_pattern(e, p, pattern))
        return true;
    e->count = count;
    return false;
}

/* ---- after a refusal */

static bool add_halves(struct expressions *e, const struct expression *refused)
{
    enum { SIZE_MIN = 40 };
    struct tree *halves[2];
    struct expression like = {.pattern = refused->pattern, .stage = STAGE_HALVED};
    if (tree_size(refused->tree) < SIZE_MIN || !tree_split_halves(e->arena, refused->tree, halves))
        return false;
    for (size_t i = 0; i < 2; i++) {
        if (!tree_trim(e->arena, halves[i]) || tree_may_be_empty(halves[i]) || !add_tree(e, halves[i], like))
            return false;
    }
    return true;
}

static bool change(struct arena *arena, struct tree *tree, enum expression_stage stage)
{
    switch (stage) {
    case STAGE_SHORTENED:
        return tree_shorten(tree);
    case STAGE_CUT:
        return tree_cut_before_core(arena, tree);
    case STAGE_NO_BORDERS:
        return tree_drop_borders(tree);
    case STAGE_FILTER:
        return true;
    default:
        return false;
    }
}

static bool add_changed(struct expressions *e, const struct expression *refused, enum expression_stage stage)
{
    struct tree *tree = tree_copy(e->arena, refused->tree);
    struct expression like = {
        .pattern = refused->pattern, .stage = stage, .flags = stage == STAGE_FILTER ? HS_FLAG_PREFILTER : 0};
    return tree && change(e->arena, tree, stage) && tree_trim(e->arena, tree) && !tree_may_be_empty(tree) &&
           add_tree(e, tree, like);
}

bool expressions_widen(struct expressions *e, size_t at)
{
    struct expression refused = e->items[at];
    e->items[at] = e->items[--e->count];
    size_t count = e->count;
    /* Halves are halved again. */
    unsigned stage = refused.stage == STAGE_HALVED ? STAGE_HALVED : refused.stage + 1;
    for (; stage <= STAGE_FILTER; stage++) {
        e->count = count;
        if (stage == STAGE_HALVED ? add_halves(e, &refused)
                                  : add_changed(e, &refused, (enum expression_stage)stage))
            return true;
    }
    e->count = count;
    return false;
}
