/* What needs to know many rules at once: taking rules and targets away, markers, exclusions. Here too a
 * cluster's overlay, which is made of nothing else. */
#include "waf/load.h"

#include "waf/text.h"

#include <stdlib.h>

/* ---- taking away */

static void remove_rules(struct waf_rules *rules, const struct rule_selection *selection)
{
    size_t kept = 0;
    for (size_t i = 0; i < rules->count; i++) {
        if (!rule_selected(rules->items[i], selection, rules->room))
            rules->items[kept++] = rules->items[i];
    }
    rules->count = kept;
}

bool load_remove(struct loader *l, struct token text, enum rule_choice by)
{
    struct rule_selection selection;
    struct token rest = text;
    while (by == BY_ID && (str_find_char(rest.text, ' ') >= 0 || str_find_char(rest.text, ',') >= 0)) {
        size_t n = 0;
        while (n < rest.text.n && rest.text.p[n] != ' ' && rest.text.p[n] != ',')
            n++;
        if (n && !load_remove(l, token_take(rest, n), by))
            return false;
        rest = token_skip(rest, n + 1);
    }
    if (by == BY_ID && !rest.text.n)
        return true;
    if (!load_selection(l, rest, by, &selection))
        return false;
    if (l->overlay)
        rule_set_select(&l->overlay->removed, l->rules, &selection);
    else
        remove_rules(l->rules, &selection);
    return true;
}

static bool append(struct loader *l, struct targets *to, const struct targets *more)
{
    struct target *items = arena_alloc(l->arena, (to->count + more->count + 1) * sizeof *items);
    if (!items)
        return load_no_memory(l);
    if (to->count)
        memcpy(items, to->items, to->count * sizeof *items);
    if (more->count)
        memcpy(items + to->count, more->items, more->count * sizeof *items);
    *to = (struct targets){items, to->count + more->count};
    return true;
}

static bool exclude_in_overlay(struct loader *l, const struct rule_selection *selection,
                               const struct targets *targets)
{
    struct waf_overlay *overlay = l->overlay;
    for (size_t i = 0; i < targets->count; i++) {
        if (overlay->exclusion_count == l->exclusion_cap) {
            size_t cap = l->exclusion_cap ? l->exclusion_cap * 2 : 16;
            struct target_exclusion *items = arena_alloc(l->arena, cap * sizeof *items);
            if (!items)
                return load_no_memory(l);
            if (overlay->exclusion_count)
                memcpy(items, l->exclusions, overlay->exclusion_count * sizeof *items);
            overlay->exclusions = l->exclusions = items;
            l->exclusion_cap = cap;
        }
        struct target_exclusion *one = &l->exclusions[overlay->exclusion_count];
        one->target = targets->items[i];
        if (!rule_set_init(&one->rules, l->rules, l->arena))
            return load_no_memory(l);
        rule_set_select(&one->rules, l->rules, selection);
        overlay->exclusion_count++;
    }
    return true;
}

bool load_update(struct loader *l, struct token which, struct token text, enum rule_choice by)
{
    struct rule_selection selection;
    struct targets more, less;
    if (!load_selection(l, which, by, &selection) || !load_targets(l, text, &more, &less))
        return false;
    if (l->overlay && more.count)
        return load_problem(l, text.at[0], "a cluster's exclusions may only take targets away (!TARGET)");
    if (l->overlay)
        return exclude_in_overlay(l, &selection, &less);
    for (size_t i = 0; i < l->rules->count; i++) {
        struct rule *rule = l->rules->items[i];
        if (rule_selected(rule, &selection, l->rules->room) &&
            (!append(l, &rule->targets, &more) || !append(l, &rule->excluded, &less)))
            return false;
    }
    return true;
}

/* ---- SecUnicodeMapFile: a line with the number of a code page, and below it "hhhh:hh hhhh:hh ..." */

static bool read_pair(struct str word, unsigned *ret_code, unsigned *ret_byte)
{
    if (word.n != 7 || word.p[4] != ':')
        return false;
    for (size_t i = 0; i < word.n; i++) {
        if (i != 4 && !is_hex(word.p[i]))
            return false;
    }
    *ret_code = (unsigned)(uint8_t)hex_byte(word.p) << 8 | (uint8_t)hex_byte(word.p + 2);
    *ret_byte = (uint8_t)hex_byte(word.p + 5);
    return true;
}

static void read_pairs(struct unicode_map *map, struct str line)
{
    while (line.p) {
        unsigned code, byte;
        if (read_pair(text_trim(str_cut(&line, ' ')), &code, &byte))
            map->byte_of[code] = (int16_t)byte;
    }
}

bool load_unicode_map(struct loader *l, struct token file, struct token page)
{
    struct str text, wanted = page.text;
    bool is_ours = false, was_found = false;
    if (!l->files->read(l->files->context, l->source->name, file.text, l->arena, &text))
        return load_problem(l, file.at[0], "cannot read the file \"%.*s\"", STR_ARG(file.text));
    struct unicode_map *map = arena_alloc(l->arena, sizeof *map);
    if (!map)
        return load_no_memory(l);
    memset(map->byte_of, 0xff, sizeof map->byte_of);
    while (text.p) {
        struct str line = text_trim(str_cut(&text, '\n')), rest = line;
        if (!line.n || line.p[0] == '#')
            continue;
        bool is_header = str_find_char(line, ':') < 0;
        if (is_header)
            is_ours = str_eq(text_trim(str_cut(&rest, ' ')), wanted);
        else if (is_ours)
            read_pairs(map, line);
        was_found |= is_ours;
    }
    l->rules->unicode = map;
    return was_found || load_problem(l, page.at[0], "the file has no code page %.*s", STR_ARG(wanted));
}

/* ---- once all rules are known */

static bool find_marker(struct loader *l, struct rule *rule, size_t index)
{
    for (size_t i = index + 1; i < l->rules->count; i++) {
        struct rule *item = l->rules->items[i];
        if (item->is_marker && str_eq(item->marker, rule->marker)) {
            rule->skip_to = item;
            return true;
        }
    }
    struct source source = {.name = rule->file}; /* its text is gone; the rule knows its line */
    l->source = &source;
    load_problem(l, 0, "no SecMarker \"%.*s\" follows, for rule %llu", STR_ARG(rule->marker),
                 (unsigned long long)rule->id);
    if (l->problems->count <= WAF_PROBLEMS_MAX)
        l->problems->items[l->problems->count - 1].line = rule->line;
    l->source = NULL;
    return false;
}

/* The steps are the rule's own, made in this loader: const only towards those that run them. */
static bool resolve_steps(struct loader *l, struct rule *rule)
{
    struct step *steps = arena_alloc(l->arena, (rule->step_count + 1) * sizeof *steps);
    if (!steps)
        return load_no_memory(l);
    for (size_t i = 0; i < rule->step_count; i++) {
        steps[i] = rule->steps[i];
        if (steps[i].kind != STEP_CTL || steps[i].ctl < CTL_RULE_REMOVE_BY_ID)
            continue;
        if (!rule_set_init(&steps[i].exclusion.rules, l->rules, l->arena))
            return load_no_memory(l);
        rule_set_select(&steps[i].exclusion.rules, l->rules, &steps[i].selection);
    }
    rule->steps = steps;
    return true;
}

static bool find_taken(struct loader *l, struct target *target)
{
    const struct slots *slots = &l->rules->slots;
    uint64_t *taken = arena_alloc(l->arena, (slots->count / 64 + 1) * sizeof *taken);
    if (!taken)
        return load_no_memory(l);
    for (uint32_t slot = 1; slot <= slots->count; slot++)
        taken[slot / 64] |= (uint64_t)target_names(target, slots->names[slot], l->rules->room) << (slot % 64);
    target->taken = taken;
    return true;
}

/* Which names of TX a regular expression takes is asked once, for the names that rules write out. */
static bool resolve_targets(struct loader *l, struct rule *rule)
{
    struct target *targets = arena_alloc(l->arena, (rule->targets.count + 1) * sizeof *targets);
    if (!targets)
        return load_no_memory(l);
    for (size_t i = 0; i < rule->targets.count; i++) {
        targets[i] = rule->targets.items[i];
        if (targets[i].variable == VAR_TX && targets[i].selector == SELECT_REGEX &&
            !find_taken(l, &targets[i]))
            return false;
    }
    rule->targets.items = targets;
    return true;
}

static bool macro_asks(const struct macro *macro)
{
    for (size_t i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->is_value &&
            (part->variable == VAR_MATCHED_VARS || part->variable == VAR_MATCHED_VARS_NAMES))
            return true;
    }
    return false;
}

static bool link_asks(const struct rule *link)
{
    for (size_t i = 0; i < link->targets.count; i++) {
        enum variable v = link->targets.items[i].variable;
        if (v == VAR_MATCHED_VARS || v == VAR_MATCHED_VARS_NAMES)
            return true;
    }
    for (size_t i = 0; i < link->step_count; i++) {
        if (macro_asks(&link->steps[i].name) || macro_asks(&link->steps[i].value))
            return true;
    }
    return macro_asks(&link->argument) || macro_asks(&link->message) || macro_asks(&link->data);
}

/* Does anything in the chain ask what its links have matched so far? */
static bool chain_asks(const struct rule *head)
{
    for (const struct rule *link = head; link; link = link->next) {
        if (link_asks(link))
            return true;
    }
    return false;
}

bool load_finish(struct loader *l)
{
    bool fine = true;
    for (uint32_t i = 0; i < l->rules->count; i++)
        l->rules->items[i]->index = i;
    for (uint32_t i = 0; i < l->rules->count; i++) {
        struct rule *rule = l->rules->items[i];
        if (!rule->is_marker && rule->marker.n)
            fine = find_marker(l, rule, i) && fine;
        for (struct rule *link = rule; link; link = link->next)
            fine = (!link->step_count || resolve_steps(l, link)) && resolve_targets(l, link) && fine;
        rule->keeps_matched = chain_asks(rule);
    }
    return fine;
}

/* ---- overlays */

enum { OVERLAY_BYTES = 1 << 20, OVERLAY_SCRATCH_BYTES = 1 << 20 };

static bool fill_overlay(struct waf_overlay *overlay, struct waf_problems *problems)
{
    /* The loader writes to rules only while it makes them: l.overlay keeps it from that. */
    union {
        const struct waf_rules *given;
        struct waf_rules *read_only;
    } rules_of = {.given = overlay->rules};
    struct waf_rules *rules = rules_of.read_only;
    struct loader l = {.rules = rules,
                       .problems = problems,
                       .arena = overlay->arena,
                       .regexes = &overlay->regexes,
                       .scratch = arena_new(OVERLAY_SCRATCH_BYTES),
                       .overlay = overlay};
    struct source source = {STR("exclusions"), arena_copy(overlay->arena, overlay->options.exclusions)};
    overlay->options.exclusions = source.text;
    bool fine =
        rule_set_init(&overlay->removed, rules, overlay->arena) && l.scratch && load_text(&l, &source);
    if (arena_overflowed(overlay->arena))
        fine = load_no_memory(&l);
    arena_free(l.scratch);
    return fine;
}

struct waf_overlay *waf_overlay_new(const struct waf_rules *rules, const struct waf_overlay_options *options,
                                    struct waf_problems *ret_problems)
{
    struct waf_overlay *overlay = calloc(1, sizeof *overlay);
    ret_problems->count = 0;
    if (!overlay)
        return NULL;
    overlay->rules = rules;
    overlay->options = *options;
    overlay->arena = arena_new(OVERLAY_BYTES);
    if (overlay->arena && fill_overlay(overlay, ret_problems))
        return overlay;
    waf_overlay_free(overlay);
    return NULL;
}

void waf_overlay_free(struct waf_overlay *overlay)
{
    if (!overlay)
        return;
    regexes_free(&overlay->regexes);
    arena_free(overlay->arena);
    free(overlay);
}

size_t waf_overlay_bytes(const struct waf_overlay *overlay)
{
    return sizeof *overlay + arena_used(overlay->arena);
}
