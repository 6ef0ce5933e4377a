/* What stands before the '=': a parameter with its modifier, a chain ("subject:Patient.name"), or _has
 * (https://hl7.org/fhir/R4/search.html#chaining, #has). */
#include "fhir/search_query_run.h"

enum { LOOKS_MAX = 20'000 };

#define OF(type) (1u << (type))

enum {
    ANY_ROWS = OF(FHIR_SEARCH_NUMBER) | OF(FHIR_SEARCH_DATE) | OF(FHIR_SEARCH_STRING) |
               OF(FHIR_SEARCH_TOKEN) | OF(FHIR_SEARCH_REFERENCE) | OF(FHIR_SEARCH_COMPOSITE) |
               OF(FHIR_SEARCH_QUANTITY) | OF(FHIR_SEARCH_URI),
};

/* Which modifier fits which types of parameters; FHIR_QUERY_OF_RESOURCE has no name of its own. */
/* clang-format off */
static const struct {
    struct str name;
    unsigned types;
} modifiers[] = {
    [FHIR_QUERY_PLAIN] = {STR(""), 0},
    [FHIR_QUERY_MISSING] = {STR("missing"), ANY_ROWS},
    [FHIR_QUERY_EXACT] = {STR("exact"), OF(FHIR_SEARCH_STRING)},
    [FHIR_QUERY_CONTAINS] = {STR("contains"), OF(FHIR_SEARCH_STRING)},
    [FHIR_QUERY_TEXT] = {STR("text"), OF(FHIR_SEARCH_TOKEN) | OF(FHIR_SEARCH_REFERENCE)},
    [FHIR_QUERY_NOT] = {STR("not"), OF(FHIR_SEARCH_TOKEN)},
    [FHIR_QUERY_IN] = {STR("in"), OF(FHIR_SEARCH_TOKEN)},
    [FHIR_QUERY_NOT_IN] = {STR("not-in"), OF(FHIR_SEARCH_TOKEN)},
    [FHIR_QUERY_ABOVE] = {STR("above"), OF(FHIR_SEARCH_TOKEN) | OF(FHIR_SEARCH_URI)},
    [FHIR_QUERY_BELOW] = {STR("below"), OF(FHIR_SEARCH_TOKEN) | OF(FHIR_SEARCH_URI)},
    [FHIR_QUERY_OF_TYPE] = {STR("of-type"), OF(FHIR_SEARCH_TOKEN)},
    [FHIR_QUERY_IDENTIFIER] = {STR("identifier"), OF(FHIR_SEARCH_REFERENCE)},
};
/* clang-format on */
enum { MODIFIER_COUNT = sizeof modifiers / sizeof *modifiers };

struct str fhir_query_modifier_name(enum fhir_query_modifier modifier)
{
    return (unsigned)modifier < MODIFIER_COUNT ? modifiers[modifier].name : STR("");
}

static bool read_name(struct query_run *, const struct fhir_type *, struct str name, unsigned depth,
                      struct fhir_query_criterion *ret);

/* ---- finding */

const struct fhir_search_parameter *query_find_parameter(const struct fhir_type *type, struct str code)
{
    return fhir_search_find(type ? type : fhir_type_find(STR("DomainResource")), code);
}

static void try_parameters(struct nearest *near, const struct fhir_type *type)
{
    for (const struct fhir_type *of = type; of; of = fhir_type_base(of)) {
        for (unsigned i = 0; i < fhir_search_count(of); i++)
            nearest_try(near, fhir_search_code(fhir_search_at(of, i)));
    }
}

bool query_unknown_parameter(struct query_run *run, const struct fhir_type *type, struct str code)
{
    struct nearest near = nearest_to(code);
    try_parameters(&near, type ? type : fhir_type_find(STR("DomainResource")));
    query_try_results(&near);
    return query_fault(run, FHIR_QUERY_UNKNOWN, code, query_hint(run, &near),
                       "%.*s has %.*s search parameter %.*s",
                       STR_ARG(type ? fhir_type_name(type) : STR("not every type")),
                       STR_ARG(type ? STR("no") : STR("a")), STR_ARG(query_quote(run, code)));
}

const struct fhir_type *query_read_type(struct query_run *run, struct str at)
{
    const struct fhir_type *type = fhir_type_find(at);
    if (type && fhir_type_is_resource(type))
        return type;
    struct nearest near = nearest_to(at);
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        if (fhir_type_is_resource(fhir_type_at(i)))
            nearest_try(&near, fhir_type_name(fhir_type_at(i)));
    }
    (void)query_fault(run, FHIR_QUERY_BAD_VALUE, at, query_hint(run, &near), "%.*s is no resource type",
                      STR_ARG(query_quote(run, at)));
    return NULL;
}

bool query_may_refer(const struct fhir_search_parameter *parameter, const struct fhir_type *type)
{
    unsigned count = fhir_search_target_count(parameter);
    for (unsigned i = 0; i < count; i++) {
        if (fhir_type_is_a(type, fhir_search_target(parameter, i)))
            return true;
    }
    return count == 0;
}

/* What FHIR defines and a search here does not do; NULL: nothing of that name. */
static const char *unsupported(struct str code)
{
    static const struct {
        struct str code;
        const char *what;
    } rows[] = {
        {STR("_list"), "searching by lists is not supported"},
        {STR("_query"), "there are no named queries"},
        {STR("_filter"), "filter expressions are not supported"},
        {STR("_contained"), "contained resources are not searched"},
        {STR("_containedType"), "contained resources are not searched"},
        {STR("near"), "searching by place is not supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(code, rows[i].code))
            return rows[i].what;
    }
    return NULL;
}

static const struct fhir_search_parameter *find(struct query_run *run, const struct fhir_type *type,
                                                struct str code)
{
    const struct fhir_search_parameter *parameter = query_find_parameter(type, code);
    const char *why = parameter || code.n == 0 || code.p[0] == '_' ? unsupported(code) : NULL;
    if (why)
        (void)query_fault(run, FHIR_QUERY_NOT_SUPPORTED, code, STR(""), "%s", why);
    else if (!parameter)
        (void)query_unknown_parameter(run, type, code);
    return why ? NULL : parameter;
}

/* ---- modifiers */

static bool bad_modifier(struct query_run *run, const struct fhir_search_parameter *parameter, struct str at)
{
    char list[128];
    struct buf out = buf_over(list, sizeof list);
    struct nearest near = nearest_to(at);
    unsigned bit = OF(fhir_search_type(parameter));
    for (unsigned i = 1; i < MODIFIER_COUNT; i++) {
        if (!(modifiers[i].types & bit))
            continue;
        nearest_try(&near, modifiers[i].name);
        buf_printf(&out, "%s:%.*s", out.n ? ", " : "", STR_ARG(modifiers[i].name));
    }
    if (fhir_search_type(parameter) == FHIR_SEARCH_REFERENCE)
        buf_printf(&out, ", :Type");
    struct str hint = near.best.n ? query_hint(run, &near)
                                  : arena_printf(run->arena, "possible are %.*s", STR_ARG(buf_text(&out)));
    return query_fault(run, FHIR_QUERY_BAD_MODIFIER, at, hint, "%.*s is no modifier of %.*s, which is a %.*s",
                       STR_ARG(query_quote(run, at)), STR_ARG(query_quote(run, fhir_search_code(parameter))),
                       STR_ARG(fhir_search_type_name(fhir_search_type(parameter))));
}

/* A resource type that the parameter can refer to. */
static const struct fhir_type *read_target(struct query_run *run,
                                           const struct fhir_search_parameter *parameter, struct str at)
{
    const struct fhir_type *type = query_read_type(run, at);
    if (!type || query_may_refer(parameter, type))
        return type;
    (void)query_fault(run, FHIR_QUERY_BAD_MODIFIER, at, STR(""), "%.*s never refers to a %.*s",
                      STR_ARG(query_quote(run, fhir_search_code(parameter))), STR_ARG(fhir_type_name(type)));
    return NULL;
}

static bool read_modifier(struct query_run *run, const struct fhir_search_parameter *parameter,
                          struct str text, struct query_asked *asked)
{
    enum fhir_search_type type = fhir_search_type(parameter);
    for (unsigned i = 1; i < MODIFIER_COUNT; i++) {
        if (!str_eq(text, modifiers[i].name))
            continue;
        asked->modifier = (enum fhir_query_modifier)i;
        return modifiers[i].types & OF(type) || bad_modifier(run, parameter, text);
    }
    const struct fhir_type *target = fhir_type_find(text);
    if (type != FHIR_SEARCH_REFERENCE || !target || !fhir_type_is_resource(target))
        return bad_modifier(run, parameter, text);
    asked->modifier = FHIR_QUERY_OF_RESOURCE;
    asked->of_resource = read_target(run, parameter, text);
    return asked->of_resource;
}

/* Parameters that are more than rows have no modifiers beside :not of _id. */
static enum fhir_query_kind kind_of(struct str code)
{
    static const struct {
        struct str code;
        enum fhir_query_kind kind;
    } rows[] = {{STR("_id"), FHIR_QUERY_ID},
                {STR("_lastUpdated"), FHIR_QUERY_UPDATED},
                {STR("_text"), FHIR_QUERY_NARRATIVE},
                {STR("_content"), FHIR_QUERY_CONTENT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(code, rows[i].code))
            return rows[i].kind;
    }
    return FHIR_QUERY_PARAMETER;
}

static bool read_plain_name(struct query_run *run, const struct fhir_type *type,
                            const struct fhir_search_parameter *parameter, struct str modifier,
                            struct fhir_query_criterion *ret)
{
    struct query_asked asked = {.type = type, .parameter = parameter};
    ret->kind = (uint8_t)kind_of(fhir_search_code(parameter));
    if (modifier.p && ret->kind != FHIR_QUERY_PARAMETER &&
        !(ret->kind == FHIR_QUERY_ID && str_eq(modifier, STR("not"))))
        return query_fault(run, FHIR_QUERY_BAD_MODIFIER, modifier, STR(""), "%.*s takes no modifier %.*s",
                           STR_ARG(query_quote(run, fhir_search_code(parameter))),
                           STR_ARG(query_quote(run, modifier)));
    if (modifier.p && !read_modifier(run, parameter, modifier, &asked))
        return false;
    ret->modifier = (uint8_t)asked.modifier;
    return query_read_values(run, &asked, ret);
}

/* ---- what stands inside: chains, _has, several types */

/* Has the type what the name begins with, and leads its way on to something that has the rest? Of several
 * types those that do not are left out. Chains through references to anything branch much: after so many
 * looks the answer is yes, and reading meets the limit. */
static bool knows_name(struct query_run *run, const struct fhir_type *type, struct str name)
{
    struct str rest = name, step = str_cut(&rest, '.'), code = str_cut(&step, ':');
    if (str_eq(code, STR("_has")) || run->looks > LOOKS_MAX)
        return true;
    run->looks++;
    const struct fhir_search_parameter *parameter = query_find_parameter(type, code);
    if (!parameter || !rest.p)
        return parameter;
    const struct fhir_type *target = step.p ? fhir_type_find(step) : NULL;
    if (step.p)
        return target && query_may_refer(parameter, target) && knows_name(run, target, rest);
    for (unsigned i = 0; i < fhir_search_target_count(parameter); i++) {
        if (knows_name(run, fhir_search_target(parameter, i), rest))
            return true;
    }
    return false;
}

/* Does it mean the same for all types, as _id does? */
static bool is_of_all(struct str name)
{
    struct str step = str_cut(&name, '.');
    return query_find_parameter(NULL, str_cut(&step, ':'));
}

/* One inner criterion for each type that knows the name; one for all when it means the same for all. */
static bool read_inner(struct query_run *run, const struct fhir_type *const *types, uint32_t type_count,
                       struct str name, unsigned depth, struct fhir_query_criterion *ret)
{
    bool is_common = type_count > 1 && !str_starts(name, STR("_has:")) && is_of_all(name);
    static const struct fhir_type *const any[] = {NULL};
    if (is_common)
        types = any;
    struct fhir_query_criterion *inner =
        arena_alloc(run->arena, (is_common ? 1 : type_count) * sizeof *inner);
    ret->inner = inner;
    for (uint32_t i = 0; inner && i < (is_common ? 1 : type_count); i++) {
        if (type_count > 1 && !knows_name(run, types[i], name))
            continue;
        if (!read_name(run, types[i], name, depth, &inner[ret->inner_count++]))
            return false;
    }
    return inner;
}

/* Nothing that the reference can lead to knows what follows. */
static bool unknown_of_all(struct query_run *run, const struct fhir_search_parameter *parameter,
                           struct str code)
{
    struct nearest near = nearest_to(code);
    for (unsigned i = 0; i < fhir_search_target_count(parameter); i++)
        try_parameters(&near, fhir_search_target(parameter, i));
    return query_fault(run, FHIR_QUERY_UNKNOWN, code, query_hint(run, &near),
                       "nothing that %.*s refers to has a search parameter %.*s",
                       STR_ARG(query_quote(run, fhir_search_code(parameter))),
                       STR_ARG(query_quote(run, code)));
}

/* The types a reference leads to, those without the next parameter left out. */
static bool read_chain(struct query_run *run, const struct fhir_type *type,
                       const struct fhir_search_parameter *parameter, struct str modifier, struct str further,
                       unsigned depth, struct fhir_query_criterion *ret)
{
    unsigned count = fhir_search_target_count(parameter);
    const struct fhir_type **targets = arena_alloc(run->arena, (count + 1) * sizeof(void *));
    if (!targets)
        return false;
    if (fhir_search_type(parameter) != FHIR_SEARCH_REFERENCE)
        return query_fault(run, FHIR_QUERY_UNKNOWN, further, STR(""),
                           "%.*s is a %.*s, no reference: nothing can follow it",
                           STR_ARG(query_quote(run, fhir_search_code(parameter))),
                           STR_ARG(fhir_search_type_name(fhir_search_type(parameter))));
    for (unsigned i = 0; i < count; i++)
        targets[i] = fhir_search_target(parameter, i);
    if (modifier.p) {
        targets[0] = read_target(run, parameter, modifier);
        count = 1;
    }
    if (count == 1 && !targets[0])
        return false;
    ret->kind = FHIR_QUERY_CHAIN;
    ret->type = type;
    if (!read_inner(run, targets, count ? count : 1, further, depth + 1, ret))
        return false;
    struct str first = str_cut(&further, '.');
    return ret->inner_count || unknown_of_all(run, parameter, str_cut(&first, ':'));
}

/* "Observation:patient:code", behind "_has:". */
static bool read_has(struct query_run *run, const struct fhir_type *type, struct str rest, unsigned depth,
                     struct fhir_query_criterion *ret)
{
    struct str source_name = str_cut(&rest, ':'), code = rest.p ? str_cut(&rest, ':') : STR("");
    if (!rest.n)
        return query_fault(run, FHIR_QUERY_BAD_VALUE, run->name, STR(""),
                           "_has is written _has:Type:reference:parameter, as in "
                           "_has:Observation:patient:code");
    const struct fhir_type *source = query_read_type(run, source_name);
    const struct fhir_search_parameter *parameter = source ? find(run, source, code) : NULL;
    if (!parameter)
        return false;
    if (fhir_search_type(parameter) != FHIR_SEARCH_REFERENCE || (type && !query_may_refer(parameter, type)))
        return query_fault(run, FHIR_QUERY_BAD_MODIFIER, code, STR(""), "%.*s of %.*s does not refer to %.*s",
                           STR_ARG(query_quote(run, code)), STR_ARG(fhir_type_name(source)),
                           STR_ARG(type ? fhir_type_name(type) : STR("anything")));
    ret->kind = FHIR_QUERY_HAS;
    ret->type = type;
    ret->parameter = parameter;
    return read_inner(run, &source, 1, rest, depth + 1, ret);
}

static bool may_go_on(struct query_run *run, unsigned depth)
{
    if (depth > FHIR_QUERY_DEPTH_MAX)
        return query_fault(run, FHIR_QUERY_TOO_MUCH, run->name, STR(""), "more than %d steps",
                           FHIR_QUERY_DEPTH_MAX);
    if (++run->criterion_total > FHIR_QUERY_CRITERIA_MAX || run->looks > LOOKS_MAX)
        return query_fault(run, FHIR_QUERY_TOO_MUCH, run->name,
                           STR("name the type that is meant, as in subject:Patient.name"),
                           "more than %d criteria, those of each type in a chain counted",
                           FHIR_QUERY_CRITERIA_MAX);
    return true;
}

static bool read_name(struct query_run *run, const struct fhir_type *type, struct str name, unsigned depth,
                      struct fhir_query_criterion *ret)
{
    if (!may_go_on(run, depth))
        return false;
    if (str_starts(name, STR("_has:")))
        return read_has(run, type, str_skip(name, 5), depth, ret);
    struct str further = name, modifier = str_cut(&further, '.'), code = str_cut(&modifier, ':');
    const struct fhir_search_parameter *parameter = find(run, type, code);
    if (!parameter)
        return false;
    ret->type = type;
    ret->parameter = parameter;
    return further.p ? read_chain(run, type, parameter, modifier, further, depth, ret)
                     : read_plain_name(run, type, parameter, modifier, ret);
}

bool query_read_criterion(struct query_run *run, struct fhir_query_criterion *ret)
{
    const struct fhir_search_query *q = &run->query;
    struct fhir_query_criterion criterion = {.name = run->name, .text = run->value};
    bool is_common = q->type_count > 1 && (str_starts(run->name, STR("_has:")) || is_of_all(run->name));
    if (q->type_count <= 1 || is_common) {
        if (!read_name(run, q->type_count == 1 ? q->types[0] : NULL, run->name, 1, &criterion))
            return false;
    } else {
        criterion.kind = FHIR_QUERY_ALTERNATIVES;
        if (!read_inner(run, q->types, q->type_count, run->name, 1, &criterion))
            return false;
        if (criterion.inner_count < q->type_count) {
            uint32_t i = 0;
            while (i < criterion.inner_count && criterion.inner[i].type == q->types[i])
                i++;
            struct str step = run->name, code = str_cut(&step, '.');
            return query_unknown_parameter(run, q->types[i], str_cut(&code, ':'));
        }
    }
    *ret = criterion;
    return true;
}
