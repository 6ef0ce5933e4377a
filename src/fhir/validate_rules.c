/* Invariants: compiled once for all types, evaluated where they belong. Two of them would cost the square of
 * what a stranger sends when they are evaluated as they are written (dom-3, ref-1): they are done here by
 * sorted lists, gathered once for each resource. */
#include "fhir/validate_run.h"

#include <stdlib.h>

/* ---- compiling */

/* Each expression once: texts of the tables are the same pointer when they are the same text. */
struct compiled {
    const char *text;
    const struct fhir_path *path;
};

enum { COMPILED_SLOTS = 4'096 };

struct compilation {
    struct arena *arena;
    struct compiled *slots;
};

static const struct fhir_path *compile(struct compilation *c, struct str expression)
{
    struct fhir_path_error error;
    uint32_t at = (uint32_t)hash_mix((uint64_t)(uintptr_t)expression.p);
    for (unsigned i = 0; i < COMPILED_SLOTS; i++, at++) {
        struct compiled *slot = &c->slots[at & (COMPILED_SLOTS - 1)];
        if (slot->text == expression.p)
            return slot->path;
        if (!slot->text) {
            slot->text = expression.p;
            slot->path = fhir_path_compile(expression, FHIR_PATH_LOOSE_TYPES, c->arena, &error);
            return slot->path;
        }
    }
    return NULL;
}

static enum rule_way way_of(struct str key)
{
    if (str_eq(key, STR("ele-1")))
        return RULE_BY_STRUCTURE;
    if (str_eq(key, STR("dom-3")))
        return RULE_CONTAINED;
    return str_eq(key, STR("ref-1")) ? RULE_LOCAL : RULE_EVALUATED;
}

/* False: no memory. */
static bool make_rule(struct compilation *c, struct fhir_rule from, struct validate_rule *ret)
{
    *ret = (struct validate_rule){from.key, from.expression, NULL, from.is_error, way_of(from.key)};
    if (ret->way == RULE_EVALUATED)
        ret->path = compile(c, from.expression);
    return ret->way != RULE_EVALUATED || ret->path;
}

static bool type_rules(struct compilation *c, const struct fhir_type *type, struct validate_rules *ret)
{
    unsigned n = fhir_type_rule_count(type);
    struct validate_rule *rules = n ? arena_alloc(c->arena, n * sizeof *rules) : NULL;
    for (unsigned i = 0; i < n; i++) {
        if (!rules || !make_rule(c, fhir_type_rule(type, i), &rules[i]))
            return false;
    }
    *ret = (struct validate_rules){rules, n};
    return true;
}

static bool element_rules(struct compilation *c, const struct fhir_element *element,
                          struct validate_rules *ret)
{
    unsigned n = fhir_element_rule_count(element);
    struct validate_rule *rules = n ? arena_alloc(c->arena, n * sizeof *rules) : NULL;
    for (unsigned i = 0; i < n; i++) {
        if (!rules || !make_rule(c, fhir_element_rule(element, i), &rules[i]))
            return false;
    }
    *ret = (struct validate_rules){rules, n};
    return true;
}

static bool all_rules(struct compilation *c, struct fhir_validator *v)
{
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        if (!type_rules(c, type, &v->of_type[i]))
            return false;
        for (unsigned e = 0; e < fhir_element_count(type); e++) {
            const struct fhir_element *element = fhir_element_at(type, e);
            if (!element_rules(c, element, &v->of_element[fhir_element_index(element)]))
                return false;
        }
    }
    return true;
}

const struct fhir_validator *fhir_validator_new(struct arena *arena)
{
    struct compilation c = {arena, arena_alloc(arena, COMPILED_SLOTS * sizeof *c.slots)};
    struct fhir_validator *v = arena_alloc(arena, sizeof *v);
    if (!c.slots || !v)
        return NULL;
    v->of_type = arena_alloc(arena, fhir_type_count() * sizeof *v->of_type);
    v->of_element = arena_alloc(arena, fhir_element_total() * sizeof *v->of_element);
    return v->of_type && v->of_element && all_rules(&c, v) ? v : NULL;
}

/* ---- local references */

static int compare_texts(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

bool validate_has_text(const struct str *sorted, uint32_t n, struct str text)
{
    return n && bsearch(&text, sorted, n, sizeof *sorted, compare_texts);
}

/* Ids of what it contains. */
static void gather_contained(struct validate_run *run, const struct fhir_value *resource, uint32_t list)
{
    uint32_t node = json_first(run->tape, list), n = json_count(run->tape, list);
    run->contained = arena_alloc(run->arena, n * sizeof *run->contained);
    for (uint32_t i = 0; run->contained && i < n; i++, node = json_next(run->tape, node)) {
        struct str id = fhir_member_text(run->tape, node, STR("id"), run->arena);
        if (id.n)
            run->contained[run->contained_count++] = id;
    }
    if (run->contained_count)
        qsort(run->contained, run->contained_count, sizeof *run->contained, compare_texts);
}

/* All strings in it that begin with '#', without it. */
static void gather_hashes(struct validate_run *run, const struct fhir_value *resource)
{
    uint32_t n = 0, end = json_next(run->tape, resource->node);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t found = 0;
        for (uint32_t i = resource->node; i < end; i++) {
            struct str text = json_text(run->tape, i);
            bool is_local = json_type(run->tape, i) == JSON_STRING && text.n && text.p[0] == '#';
            if (is_local && pass)
                run->locals[found] = str_skip(text, 1);
            found += is_local;
        }
        n = found;
        if (!pass && n)
            run->locals = arena_alloc(run->arena, n * sizeof *run->locals);
        if (!n || !run->locals)
            return;
    }
    run->local_count = n;
    qsort(run->locals, n, sizeof *run->locals, compare_texts);
}

void validate_gather_locals(struct validate_run *run, const struct fhir_value *resource)
{
    uint32_t list = fhir_member(run->tape, resource->node, STR("contained"));
    run->contained_count = run->local_count = 0;
    if (list == JSON_NONE || json_type(run->tape, list) != JSON_ARRAY || !json_count(run->tape, list))
        return;
    gather_contained(run, resource, list);
    gather_hashes(run, resource);
}

/* Does what is contained refer to what contains it? */
static bool refers_to_container(struct validate_run *run, uint32_t node)
{
    for (uint32_t end = json_next(run->tape, node); node < end; node++) {
        if (json_type(run->tape, node) == JSON_STRING && str_eq(json_text(run->tape, node), STR("#")))
            return true;
    }
    return false;
}

/* dom-3: what is contained is referred to from elsewhere, or refers to what contains it. */
static bool contained_holds(struct validate_run *run, const struct fhir_value *v)
{
    uint32_t list = fhir_member(run->tape, v->node, STR("contained"));
    if (list == JSON_NONE || json_type(run->tape, list) != JSON_ARRAY ||
        v->node != run->env.root_resource.node)
        return true;
    uint32_t node = json_first(run->tape, list);
    for (uint32_t left = json_count(run->tape, list); left > 0; left--, node = json_next(run->tape, node)) {
        struct str id = fhir_member_text(run->tape, node, STR("id"), run->scratch);
        if (!validate_has_text(run->locals, run->local_count, id) && !refers_to_container(run, node))
            return false;
    }
    return true;
}

/* ref-1: a local reference is to something that is contained. */
static bool local_holds(struct validate_run *run, const struct fhir_value *v)
{
    struct str text = fhir_member_text(run->tape, v->node, STR("reference"), run->scratch);
    if (text.n < 2 || text.p[0] != '#')
        return true;
    return validate_has_text(run->contained, run->contained_count, str_skip(text, 1));
}

/* ---- evaluating */

static enum fhir_verdict evaluate(struct validate_run *run, const struct validate_rule *rule,
                                  const struct fhir_value *v)
{
    uint64_t spent = 0;
    switch (rule->way) {
    case RULE_BY_STRUCTURE:
        return FHIR_HOLDS;
    case RULE_CONTAINED:
        return contained_holds(run, v) ? FHIR_HOLDS : FHIR_FAILS;
    case RULE_LOCAL:
        return local_holds(run, v) ? FHIR_HOLDS : FHIR_FAILS;
    case RULE_EVALUATED:
        break;
    }
    run->env.steps_max = run->steps_left;
    run->env.spent = &spent;
    enum fhir_verdict verdict = fhir_path_check(rule->path, v, &run->env, run->scratch);
    run->steps_left -= spent < run->steps_left ? spent : run->steps_left;
    return verdict;
}

static void apply(struct validate_run *run, const struct validate_rule *rule, const struct fhir_value *v,
                  const struct place *place)
{
    if (!rule->is_error && !run->wants_warnings)
        return;
    arena_reset(run->scratch);
    uint32_t node = v->node != JSON_NONE ? v->node : v->companion;
    char key[32];
    struct buf text = buf_over(key, sizeof key - 1);
    buf_str(&text, rule->key);
    key[text.n] = 0;
    switch (evaluate(run, rule, v)) {
    case FHIR_HOLDS:
        break;
    case FHIR_FAILS:
        validate_add(run, FHIR_ISSUE_INVARIANT, rule->is_error, place, node, key, "This must hold: %.*s",
                     STR_ARG(rule->expression));
        break;
    case FHIR_CANNOT_TELL:
        validate_add(run, FHIR_ISSUE_INVARIANT, false, place, node, key, "This could not be checked: %.*s",
                     STR_ARG(rule->expression));
        break;
    case FHIR_COSTS_TOO_MUCH:
        validate_add(run, FHIR_ISSUE_TOO_COSTLY, true, place, node, key,
                     "This takes too long to check: send less at a time. (%.*s)", STR_ARG(rule->expression));
        break;
    }
}

static void apply_all(struct validate_run *run, struct validate_rules rules, const struct fhir_value *v,
                      const struct place *place)
{
    for (unsigned i = 0; i < rules.n && !run->is_full; i++)
        apply(run, &rules.at[i], v, place);
}

void validate_rules(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    for (const struct fhir_type *type = v->type; type; type = fhir_type_base(type))
        apply_all(run, run->validator->of_type[fhir_type_index(type)], v, place);
    if (v->element)
        apply_all(run, run->validator->of_element[fhir_element_index(v->element)], v, place);
}
