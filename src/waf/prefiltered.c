/* The prefilter of a rule set: its name, its compilation, and taking it into use. */
#include "waf/plan.h"

#include <stdlib.h>

_Static_assert(WAF_PREFILTER_KEY_BYTES == 64, "prefilter_key() writes as much");

void waf_prefilter_key(const struct waf_rules *rules, char ret_key[WAF_PREFILTER_KEY_BYTES])
{
    prefilter_key(rules->plan->patterns, rules->plan->pattern_count, ret_key);
}

bool waf_prefilter_compile(const struct waf_rules *rules, struct arena *arena,
                           void (*progress)(void *context, size_t done, size_t all), void *context,
                           struct str *ret_bytes)
{
    const struct plan *plan = rules->plan;
    return prefilter_compile(plan->patterns, plan->pattern_count, plan->lane_count, arena, progress, context,
                             ret_bytes);
}

#define KNOWN_PATTERN "(?:\\$|&[Dd])(?:\\{|&[Ll])(?:[^\\}]*(?:\\$|&[Dd])(?:\\{|&[Ll])|[Jj][Nn])"
#define KNOWN_TEXT    "${aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa${y"

static char *aligned_copy(struct str bytes)
{
    char *copy = aligned_alloc(64, (bytes.n + 63) / 64 * 64);
    if (copy)
        memcpy(copy, bytes.p, bytes.n);
    return copy;
}

static void select_rows(struct plan *plan)
{
    for (unsigned phase = 0; phase < PHASES; phase++) {
        for (uint32_t i = 0; i < plan->row_count[phase]; i++) {
            struct row *row = &plan->rows[phase][i];
            uint32_t pattern = row->rule->plan.pattern;
            if (pattern != PATTERN_NONE && prefilter_selects(plan->prefilter, pattern))
                row->pattern = pattern;
        }
    }
}

/* Vectorscan 5.4.9, which Debian 12 has beside Hyperscan under the same name, loses matches on x86 (its issue
 * 317, "Correctness regression on x86 architecture"), this one among them. Such a library is not used: what
 * it rules out may be an attack. */
static bool library_is_sound(void)
{
    static const struct prefilter_pattern pattern = {.op = OP_RX,
                                                     .argument = {KNOWN_PATTERN, sizeof KNOWN_PATTERN - 1}};
    enum { ARENA_BYTES = 16 << 20 };
    char key[WAF_PREFILTER_KEY_BYTES];
    uint64_t found = 0;
    struct str bytes;
    struct prefilter *prefilter = NULL;
    struct arena *arena = arena_new(ARENA_BYTES);
    prefilter_key(&pattern, 1, key);
    char *aligned =
        arena && prefilter_compile(&pattern, 1, 1, arena, NULL, NULL, &bytes) ? aligned_copy(bytes) : NULL;
    if (aligned)
        prefilter = prefilter_open((struct str){aligned, bytes.n}, key);
    struct prefilter_room *room = prefilter ? prefilter_room_new(prefilter) : NULL;
    bool is_sound = room && prefilter_scan(prefilter, room, 0, STR(KNOWN_TEXT), &found) && found == 1;
    prefilter_room_free(room);
    prefilter_close(prefilter);
    free(aligned);
    arena_free(arena);
    return is_sound;
}

bool waf_rules_take_prefilter(struct waf_rules *rules, struct str bytes)
{
    struct plan *plan = rules->plan;
    char key[WAF_PREFILTER_KEY_BYTES];
    if (plan->prefilter || !library_is_sound())
        return false;
    waf_prefilter_key(rules, key);
    struct prefilter *prefilter = prefilter_open(bytes, key);
    struct prefilter_room *room = prefilter ? prefilter_room_new(prefilter) : NULL;
    if (!room) {
        prefilter_close(prefilter);
        return false;
    }
    plan->prefilter = prefilter;
    plan->prefilter_room = room;
    select_rows(plan);
    return true;
}

bool waf_rules_has_prefilter(const struct waf_rules *rules)
{
    return rules->plan->prefilter != NULL;
}
