/* Parameters that say what an answer holds and how it looks: _sort, _count, _include and their like
 * (https://hl7.org/fhir/R4/search.html#return). */
#include "fhir/search_query_run.h"

typedef bool read_function(struct query_run *, struct str modifier);

static bool bad(struct query_run *run, struct str at, const char *wanted)
{
    return query_fault(run, FHIR_QUERY_BAD_VALUE, at, STR(""), "%.*s is not %s",
                       STR_ARG(query_quote(run, at)), wanted);
}

/* The index of the value among words, or -1. */
static int find_word(struct str value, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (str_eq(value, str_of(words[i])))
            return i;
    }
    return -1;
}

static bool too_many(struct query_run *run, struct str at, unsigned most)
{
    return query_fault(run, FHIR_QUERY_TOO_MUCH, at, STR(""), "more than %u of them", most);
}

/* ---- _type, _sort, _elements: lists */

static bool read_type(struct query_run *run, struct str)
{
    if (run->context->type)
        return query_fault(run, FHIR_QUERY_UNKNOWN, run->name, STR(""),
                           "_type stands in a search on all types, not in one on a type");
    for (struct str rest = run->value; rest.p;) {
        struct str word = str_cut(&rest, ',');
        const struct fhir_type *type = query_read_type(run, word);
        if (!type)
            return false;
        bool is_there = false;
        for (uint32_t i = 0; i < run->query.type_count; i++)
            is_there |= run->types[i] == type;
        if (!is_there)
            run->types[run->query.type_count++] = type;
    }
    run->query.is_type_said = true;
    return true;
}

/* What a sort may go by: what has an order, of the one type searched or of all types. */
static bool read_sort_key(struct query_run *run, struct str word)
{
    struct fhir_query_sort *sort = &run->sorts[run->query.sort_count];
    struct str code = str_starts(word, STR("-")) ? str_skip(word, 1) : word;
    const struct fhir_type *type = run->query.type_count == 1 ? run->query.types[0] : NULL;
    if (run->query.sort_count == FHIR_QUERY_SORTS_MAX)
        return too_many(run, word, FHIR_QUERY_SORTS_MAX);
    sort->parameter = query_find_parameter(type, code);
    sort->is_descending = code.n < word.n;
    if (!sort->parameter)
        return query_unknown_parameter(run, type, code);
    enum fhir_search_type kind = fhir_search_type(sort->parameter);
    if (kind == FHIR_SEARCH_COMPOSITE || kind == FHIR_SEARCH_SPECIAL ||
        !fhir_search_expression(sort->parameter).n)
        return query_fault(run, FHIR_QUERY_BAD_VALUE, code, STR(""), "results cannot be sorted by %.*s",
                           STR_ARG(query_quote(run, code)));
    run->query.sort_count++;
    return true;
}

static bool read_sort(struct query_run *run, struct str)
{
    for (struct str rest = run->value; rest.p;) {
        if (!read_sort_key(run, str_cut(&rest, ','))) {
            run->query.sort_count = 0; /* nothing of a list that is passed over */
            return false;
        }
    }
    return true;
}

static bool is_element(const struct fhir_type *type, struct str name)
{
    return fhir_element_find(type, name) || fhir_element_find_choice(type, name);
}

/* Of one of the types searched. */
static bool knows_element(const struct query_run *run, struct str name)
{
    const struct fhir_search_query *q = &run->query;
    for (uint32_t i = 0; i < q->type_count; i++) {
        if (is_element(q->types[i], name))
            return true;
    }
    for (unsigned i = 0; !q->type_count && i < fhir_type_count(); i++) {
        if (fhir_type_is_resource(fhir_type_at(i)) && is_element(fhir_type_at(i), name))
            return true;
    }
    return false;
}

static bool unknown_element(struct query_run *run, struct str word)
{
    struct nearest near = nearest_to(word);
    const struct fhir_type *type = run->query.type_count == 1 ? run->query.types[0] : NULL;
    for (unsigned i = 0; type && i < fhir_element_count(type); i++)
        nearest_try(&near, fhir_element_stem(fhir_element_at(type, i)));
    return query_fault(run, FHIR_QUERY_BAD_VALUE, word, query_hint(run, &near), "%.*s has no element %.*s",
                       STR_ARG(type ? fhir_type_name(type) : STR("no type searched")),
                       STR_ARG(query_quote(run, word)));
}

static bool read_elements(struct query_run *run, struct str)
{
    run->elements = arena_alloc(run->arena, FHIR_QUERY_ELEMENTS_MAX * sizeof *run->elements);
    run->query.elements = run->elements;
    if (!run->elements)
        return false;
    for (struct str rest = run->value; rest.p;) {
        struct str word = str_cut(&rest, ',');
        if (run->query.element_count == FHIR_QUERY_ELEMENTS_MAX)
            return too_many(run, word, FHIR_QUERY_ELEMENTS_MAX);
        if (!knows_element(run, word))
            return unknown_element(run, word);
        run->elements[run->query.element_count++] = word;
    }
    return true;
}

/* ---- _count, _total, _summary, _format, _pretty, _contained: one word */

static bool read_count(struct query_run *run, struct str)
{
    uint64_t count;
    if (!str_parse_u64(run->value, &count))
        return bad(run, run->value, "a number of results: 0, 1, 2 ...");
    run->query.has_count = true;
    run->query.count = count > run->context->count_max ? run->context->count_max : (uint32_t)count;
    return true;
}

static const char *const total_words[] = {"", "none", "estimate", "accurate"};
static const char *const summary_words[] = {"false", "true", "text", "data", "count"};
static const char *const boolean_words[] = {"false", "true"};

static bool read_total(struct query_run *run, struct str)
{
    int word = find_word(run->value, total_words, 4);
    run->query.total = (enum fhir_query_total)word;
    return word > 0 || bad(run, run->value, "none, estimate or accurate");
}

static bool read_summary(struct query_run *run, struct str)
{
    int word = find_word(run->value, summary_words, 5);
    run->query.has_summary = true;
    run->query.summary = (enum fhir_summary)word;
    return word >= 0 || bad(run, run->value, "true, text, data, count or false");
}

static bool read_format(struct query_run *run, struct str)
{
    run->query.format = run->value;
    return true;
}

static bool read_pretty(struct query_run *run, struct str)
{
    int word = find_word(run->value, boolean_words, 2);
    run->query.has_pretty = true;
    run->query.is_pretty = word == 1;
    return word >= 0 || bad(run, run->value, "true or false");
}

/* "false" is what happens anyway. */
static bool read_contained(struct query_run *run, struct str)
{
    if (str_eq(run->value, STR("false")))
        return true;
    return query_fault(run, FHIR_QUERY_NOT_SUPPORTED, run->value, STR(""),
                       "contained resources are not searched");
}

/* ---- _include, _revinclude */

static bool read_include_parameter(struct query_run *run, struct str code, struct fhir_query_include *include)
{
    if (str_eq(code, STR("*")))
        return true;
    include->parameter = fhir_search_find(include->source, code);
    if (!include->parameter)
        return query_unknown_parameter(run, include->source, code);
    if (fhir_search_type(include->parameter) == FHIR_SEARCH_REFERENCE)
        return true;
    return query_fault(run, FHIR_QUERY_BAD_VALUE, code, STR(""), "%.*s is a %.*s, no reference",
                       STR_ARG(query_quote(run, code)),
                       STR_ARG(fhir_search_type_name(fhir_search_type(include->parameter))));
}

/* "Observation:subject:Patient", "Observation:*", "*". */
static bool read_include_value(struct query_run *run, struct fhir_query_include *include)
{
    struct str rest = run->value, source, code, target;
    if (str_eq(rest, STR("*")))
        return true;
    source = str_cut(&rest, ':');
    code = rest.p ? str_cut(&rest, ':') : STR("");
    target = rest;
    include->source = query_read_type(run, source);
    if (!include->source)
        return false;
    if (!code.n)
        return bad(run, run->value, "Type:parameter, Type:parameter:Target, Type:* or *");
    if (!read_include_parameter(run, code, include))
        return false;
    include->target = target.p ? query_read_type(run, target) : NULL;
    if (target.p && !include->target)
        return false;
    if (!include->target || !include->parameter || query_may_refer(include->parameter, include->target))
        return true;
    return query_fault(run, FHIR_QUERY_BAD_VALUE, target, STR(""), "%.*s never refers to a %.*s",
                       STR_ARG(query_quote(run, code)), STR_ARG(fhir_type_name(include->target)));
}

static bool is_searched(const struct query_run *run, const struct fhir_type *type)
{
    for (uint32_t i = 0; i < run->query.type_count; i++) {
        if (run->query.types[i] == type)
            return true;
    }
    return !run->query.type_count;
}

/* An include that can never bring anything is a mistake: of a type that is not searched, or one that does not
 * refer to it. */
static bool fits_search(struct query_run *run, const struct fhir_query_include *include, bool is_reverse)
{
    if (include->is_iterated || !include->source)
        return true;
    if (!is_reverse && !is_searched(run, include->source))
        return query_fault(run, FHIR_QUERY_BAD_VALUE, run->value,
                           STR("what was included itself is followed by _include:iterate"),
                           "the search does not find any %.*s", STR_ARG(fhir_type_name(include->source)));
    if (!is_reverse || !include->parameter || !run->query.type_count)
        return true;
    for (uint32_t i = 0; i < run->query.type_count; i++) {
        if (query_may_refer(include->parameter, run->query.types[i]))
            return true;
    }
    return query_fault(run, FHIR_QUERY_BAD_VALUE, run->value, STR(""), "%.*s never refers to a %.*s",
                       STR_ARG(query_quote(run, fhir_search_code(include->parameter))),
                       STR_ARG(fhir_type_name(run->query.types[0])));
}

static bool read_include_into(struct query_run *run, struct str modifier, struct fhir_query_include *list,
                              uint32_t *count)
{
    struct fhir_query_include include = {0};
    include.is_iterated = str_eq(modifier, STR("iterate")) || str_eq(modifier, STR("recurse"));
    if (modifier.p && !include.is_iterated)
        return query_fault(run, FHIR_QUERY_BAD_MODIFIER, modifier, STR("possible is :iterate"),
                           "%.*s is no modifier of it", STR_ARG(query_quote(run, modifier)));
    if (*count == FHIR_QUERY_INCLUDES_MAX)
        return too_many(run, run->name, FHIR_QUERY_INCLUDES_MAX);
    if (!read_include_value(run, &include) || !fits_search(run, &include, list == run->revincludes))
        return false;
    list[(*count)++] = include;
    return true;
}

static bool read_include(struct query_run *run, struct str modifier)
{
    return read_include_into(run, modifier, run->includes, &run->query.include_count);
}

static bool read_revinclude(struct query_run *run, struct str modifier)
{
    return read_include_into(run, modifier, run->revincludes, &run->query.revinclude_count);
}

/* ---- the table */

static const struct {
    struct str name;
    bool may_repeat; /* and may have a modifier */
    read_function *read;
} results[] = {
    {STR("_type"), false, read_type},           {STR("_sort"), false, read_sort},
    {STR("_count"), false, read_count},         {STR("_total"), false, read_total},
    {STR("_summary"), false, read_summary},     {STR("_elements"), false, read_elements},
    {STR("_include"), true, read_include},      {STR("_revinclude"), true, read_revinclude},
    {STR("_format"), false, read_format},       {STR("_pretty"), false, read_pretty},
    {STR("_contained"), false, read_contained},
};
enum { RESULT_COUNT = sizeof results / sizeof *results };

void query_try_results(struct nearest *near)
{
    for (unsigned i = 0; i < RESULT_COUNT; i++)
        nearest_try(near, results[i].name);
    nearest_try(near, STR("_has"));
}

static bool read_row(struct query_run *run, unsigned row, struct str modifier)
{
    if (run->seen & 1ULL << row && !results[row].may_repeat)
        return query_fault(run, FHIR_QUERY_BAD_VALUE, run->name, STR("write one list, with commas"),
                           "%.*s stands there twice", STR_ARG(results[row].name));
    run->seen |= 1ULL << row;
    if (modifier.p && !results[row].may_repeat)
        return query_fault(run, FHIR_QUERY_BAD_MODIFIER, modifier, STR(""), "%.*s takes no modifier",
                           STR_ARG(results[row].name));
    return results[row].read(run, modifier);
}

enum query_result query_read_result(struct query_run *run)
{
    struct str modifier = run->name, name = str_cut(&modifier, ':');
    for (unsigned i = 0; i < RESULT_COUNT; i++) {
        if (str_eq(name, results[i].name))
            return read_row(run, i, modifier) ? QUERY_RESULT_READ : QUERY_RESULT_BAD;
    }
    return QUERY_NO_RESULT;
}
