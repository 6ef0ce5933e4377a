/* Trees: making, measuring and printing them. prefilter_widen.c changes them. */
#include "waf/prefilter_tree.h"

#include "waf/text.h"

/* ---- sets of bytes */

void bytes_put_range(struct bytes *set, uint8_t first, uint8_t last)
{
    for (unsigned c = first; c <= last; c++)
        bytes_put(set, (uint8_t)c);
}

void bytes_merge(struct bytes *set, const struct bytes *other)
{
    for (size_t i = 0; i < 4; i++)
        set->bits[i] |= other->bits[i];
}

void bytes_invert(struct bytes *set)
{
    for (size_t i = 0; i < 4; i++)
        set->bits[i] = ~set->bits[i];
}

void bytes_ignore_case(struct bytes *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++) {
        if (bytes_has(set, (uint8_t)c) || bytes_has(set, (uint8_t)(c - 0x20))) {
            bytes_put(set, (uint8_t)c);
            bytes_put(set, (uint8_t)(c - 0x20));
        }
    }
}

unsigned bytes_count(const struct bytes *set)
{
    unsigned count = 0;
    for (size_t i = 0; i < 4; i++)
        count += (unsigned)__builtin_popcountll(set->bits[i]);
    return count;
}

bool bytes_equal(const struct bytes *a, const struct bytes *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* ---- making */

struct tree *tree_new(struct arena *arena, enum tree_kind kind)
{
    struct tree *tree = arena_alloc(arena, sizeof *tree);
    if (tree)
        tree->kind = kind;
    return tree;
}

void tree_add(struct tree *parent, struct tree *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

struct tree *tree_repeat(struct arena *arena, struct tree *what, uint32_t least, uint32_t most)
{
    struct tree *tree = tree_new(arena, TREE_REPEAT);
    if (!tree)
        return NULL;
    tree->least = least;
    tree->most = most;
    tree_add(tree, what);
    return tree;
}

struct tree *tree_text(struct arena *arena, struct str text, bool is_caseless)
{
    struct tree *tree = tree_new(arena, TREE_EACH);
    for (size_t i = 0; tree && i < text.n; i++) {
        struct tree *byte = tree_new(arena, TREE_BYTE);
        if (!byte)
            return NULL;
        bytes_put(&byte->bytes, (uint8_t)text.p[i]);
        if (is_caseless)
            bytes_ignore_case(&byte->bytes);
        tree_add(tree, byte);
    }
    return tree;
}

struct tree *tree_copy(struct arena *arena, const struct tree *tree)
{
    struct tree *copy = tree_new(arena, tree->kind);
    if (!copy)
        return NULL;
    *copy = *tree;
    copy->first = copy->last = copy->next = NULL;
    for (const struct tree *child = tree->first; child; child = child->next) {
        struct tree *inner = tree_copy(arena, child);
        if (!inner)
            return NULL;
        tree_add(copy, inner);
    }
    return copy;
}

void tree_ignore_case(struct tree *tree)
{
    if (tree->kind == TREE_BYTE)
        bytes_ignore_case(&tree->bytes);
    for (struct tree *child = tree->first; child; child = child->next)
        tree_ignore_case(child);
}

/* ---- measuring */

bool tree_may_be_empty(const struct tree *tree)
{
    const struct tree *child = tree->first;
    switch (tree->kind) {
    case TREE_BYTE:
        return false;
    case TREE_BORDER:
        return true;
    case TREE_REPEAT:
        return tree->least == 0 || tree_may_be_empty(child);
    case TREE_EACH:
        while (child && tree_may_be_empty(child))
            child = child->next;
        return !child;
    case TREE_ANY:
        while (child && !tree_may_be_empty(child))
            child = child->next;
        return child;
    }
    return true;
}

bool tree_is_known_byte(const struct tree *tree)
{
    struct bytes either = {0};
    unsigned count = tree->kind == TREE_BYTE ? bytes_count(&tree->bytes) : 0, c = 0;
    if (count != 2)
        return count == 1;
    while (!bytes_has(&tree->bytes, (uint8_t)c))
        c++;
    bytes_put(&either, (uint8_t)c);
    bytes_ignore_case(&either);
    return bytes_equal(&either, &tree->bytes);
}

size_t tree_size(const struct tree *tree)
{
    size_t size = tree->kind == TREE_BYTE, times = 1;
    for (const struct tree *child = tree->first; child; child = child->next) {
        if (__builtin_add_overflow(size, tree_size(child), &size))
            return SIZE_MAX;
    }
    if (tree->kind == TREE_REPEAT)
        times = tree->most == TREE_NO_LIMIT ? tree->least : tree->most;
    return __builtin_mul_overflow(size, times ? times : 1, &size) ? SIZE_MAX : size;
}

/* ---- printing */

static void print_byte(uint8_t c, struct buf *out)
{
    if (is_alnum((char)c))
        buf_char(out, (char)c);
    else
        buf_printf(out, "\\x%02x", c);
}

static void print_ranges(const struct bytes *set, struct buf *out)
{
    for (unsigned c = 0, last; c < 256; c = last + 1) {
        last = c;
        if (!bytes_has(set, (uint8_t)c))
            continue;
        while (last < 255 && bytes_has(set, (uint8_t)(last + 1)))
            last++;
        print_byte((uint8_t)c, out);
        if (last > c + 1)
            buf_char(out, '-');
        if (last > c)
            print_byte((uint8_t)last, out);
    }
}

static void print_bytes(const struct bytes *set, struct buf *out)
{
    unsigned count = bytes_count(set);
    struct bytes others = *set;
    bytes_invert(&others);
    if (count == 0 || count == 256) { /* what matches nothing may match anything */
        buf_char(out, '.');
        return;
    }
    if (count == 1) {
        print_ranges(set, out);
        return;
    }
    buf_char(out, '[');
    if (count > 128)
        buf_char(out, '^');
    print_ranges(count > 128 ? &others : set, out);
    buf_char(out, ']');
}

static void print_counts(const struct tree *tree, struct buf *out)
{
    if (tree->most == TREE_NO_LIMIT && tree->least <= 1)
        buf_char(out, tree->least ? '+' : '*');
    else if (tree->most == TREE_NO_LIMIT)
        buf_printf(out, "{%u,}", tree->least);
    else if (tree->least == 0 && tree->most == 1)
        buf_char(out, '?');
    else
        buf_printf(out, "{%u,%u}", tree->least, tree->most);
}

static void print_group(const struct tree *tree, struct buf *out)
{
    bool is_bare = tree->kind == TREE_BYTE;
    if (!is_bare)
        BUF_LIT(out, "(?:");
    tree_print(tree, out);
    if (!is_bare)
        buf_char(out, ')');
}

static void print_alternatives(const struct tree *tree, struct buf *out)
{
    BUF_LIT(out, "(?:");
    for (const struct tree *child = tree->first; child; child = child->next) {
        tree_print(child, out);
        if (child->next)
            buf_char(out, '|');
    }
    buf_char(out, ')');
}

void tree_print(const struct tree *tree, struct buf *out)
{
    static const char *const borders[] = {"^", "$", "\\b", "\\B"};
    switch (tree->kind) {
    case TREE_BYTE:
        print_bytes(&tree->bytes, out);
        break;
    case TREE_EACH:
        for (const struct tree *child = tree->first; child; child = child->next)
            tree_print(child, out);
        break;
    case TREE_ANY:
        print_alternatives(tree, out);
        break;
    case TREE_REPEAT:
        print_group(tree->first, out);
        print_counts(tree, out);
        break;
    case TREE_BORDER:
        buf_str(out, str_of(borders[tree->border]));
        break;
    }
}
