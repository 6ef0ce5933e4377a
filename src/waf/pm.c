#include "waf/pm.h"

#include "base/must.h"

/* Node 0 is the root. The longest word that ends in a node is its own or that of a node it falls back to. */
struct pm_node {
    uint32_t first_child, next_sibling; /* 0: none */
    uint32_t fall_back;
    uint32_t word; /* 1 + index; 0: no word ends here */
    char c;
};

struct pm {
    struct pm_node *nodes;
    struct str *words;
    uint32_t node_count, word_count;
    size_t node_max, word_max;
};

struct pm *pm_new(struct arena *arena, size_t words, size_t bytes)
{
    struct pm *pm = arena_alloc(arena, sizeof *pm);
    if (!pm)
        return NULL;
    pm->node_max = bytes + 1;
    pm->word_max = words;
    pm->nodes = arena_alloc(arena, pm->node_max * sizeof *pm->nodes);
    pm->words = arena_alloc(arena, (words + 1) * sizeof *pm->words);
    pm->node_count = 1;
    return pm->nodes && pm->words ? pm : NULL;
}

static uint32_t child(const struct pm *pm, uint32_t node, char c)
{
    uint32_t at = pm->nodes[node].first_child;
    while (at && pm->nodes[at].c != c)
        at = pm->nodes[at].next_sibling;
    return at;
}

void pm_add(struct pm *pm, struct str word)
{
    uint32_t node = 0;
    if (!word.n)
        return;
    for (size_t i = 0; i < word.n; i++) {
        char c = ascii_lower(word.p[i]);
        uint32_t next = child(pm, node, c);
        if (!next) {
            must(pm->node_count < pm->node_max);
            next = pm->node_count++;
            pm->nodes[next] = (struct pm_node){.c = c, .next_sibling = pm->nodes[node].first_child};
            pm->nodes[node].first_child = next;
        }
        node = next;
    }
    if (!pm->nodes[node].word) {
        must(pm->word_count < pm->word_max);
        pm->words[pm->word_count++] = word;
        pm->nodes[node].word = pm->word_count;
    }
}

static uint32_t step(const struct pm *pm, uint32_t node, char c)
{
    uint32_t next;
    while (!(next = child(pm, node, c)) && node)
        node = pm->nodes[node].fall_back;
    return next;
}

bool pm_build(struct pm *pm, struct arena *scratch)
{
    uint32_t *queue = arena_alloc(scratch, pm->node_count * sizeof *queue);
    uint32_t head = 0, tail = 1;
    if (!queue)
        return false;
    while (head < tail) {
        uint32_t node = queue[head++];
        for (uint32_t at = pm->nodes[node].first_child; at; at = pm->nodes[at].next_sibling) {
            uint32_t back = node ? step(pm, pm->nodes[node].fall_back, pm->nodes[at].c) : 0;
            pm->nodes[at].fall_back = back;
            if (!pm->nodes[at].word)
                pm->nodes[at].word = pm->nodes[back].word;
            queue[tail++] = at;
        }
    }
    return true;
}

const struct str *pm_words(const struct pm *pm, size_t *ret_count)
{
    *ret_count = pm->word_count;
    return pm->words;
}

bool pm_find(const struct pm *pm, struct str text, struct str *ret_word)
{
    uint32_t node = 0;
    for (size_t i = 0; i < text.n; i++) {
        node = step(pm, node, ascii_lower(text.p[i]));
        if (pm->nodes[node].word) {
            *ret_word = pm->words[pm->nodes[node].word - 1];
            return true;
        }
    }
    return false;
}
