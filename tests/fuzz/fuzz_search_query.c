/* A search's query string. The first byte says for what: a type, all types, or a compartment, strict or
 * lenient.
 *
 * What is understood and written as a link says the same when it is read again; every value has the type it
 * is compared as; a refusal says what is wrong, and where within the text. */
#include "base/must.h"
#include "fhir/search_query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 32 << 20, INPUT_MAX = 1 << 13 };

static struct fhir_query_context context_of(uint8_t byte)
{
    static const char *const types[] = {"Observation", "Patient",  "Provenance", "MolecularSequence",
                                        "Encounter",   "Location", "ValueSet",   ""};
    struct fhir_query_context context = {.type = fhir_type_find(str_of(types[byte & 7])),
                                         .base_url = STR("https://a/"),
                                         .is_lenient = byte & 8,
                                         .count_max = 100,
                                         .now_us = 1'700'000'000'000'000};
    if (byte & 16) {
        context.compartment = fhir_type_find(STR("Patient"));
        context.compartment_id = STR("1");
    }
    return context;
}

static void check_value(const struct fhir_query_value *v, bool is_part)
{
    must(v->is.type <= FHIR_SEARCH_URI && v->prefix <= FHIR_QUERY_AP);
    must(v->is.type != FHIR_SEARCH_COMPOSITE || (v->part_count && !is_part));
    if (v->is.type == FHIR_SEARCH_DATE)
        must(v->is.date.low_us <= v->is.date.high_us);
    if (v->is.type == FHIR_SEARCH_NUMBER || v->is.type == FHIR_SEARCH_QUANTITY)
        must(fhir_decimal_compare(v->is.number->low, v->is.number->high) <= 0);
    if (v->is.type == FHIR_SEARCH_STRING)
        must(v->is.string.folded.n);
    for (uint32_t i = 0; i < v->part_count; i++)
        check_value(&v->parts[i], true);
}

static void check_criterion(const struct fhir_query_criterion *c)
{
    must((c->inner_count > 0) == (c->kind >= FHIR_QUERY_CHAIN));
    must((c->value_count > 0) == (c->kind < FHIR_QUERY_CHAIN && c->modifier != FHIR_QUERY_MISSING));
    must(c->parameter || c->kind == FHIR_QUERY_ALTERNATIVES);
    for (uint32_t i = 0; i < c->value_count; i++)
        check_value(&c->values[i], false);
    for (uint32_t i = 0; i < c->inner_count; i++)
        check_criterion(&c->inner[i]);
}

static bool is_same(const struct fhir_query_criterion *a, const struct fhir_query_criterion *b)
{
    if (a->kind != b->kind || a->modifier != b->modifier || a->is_missing != b->is_missing ||
        a->type != b->type || a->parameter != b->parameter || a->value_count != b->value_count ||
        a->inner_count != b->inner_count || !str_eq(a->name, b->name) || !str_eq(a->text, b->text))
        return false;
    for (uint32_t i = 0; i < a->value_count; i++) {
        if (a->values[i].is.type != b->values[i].is.type || a->values[i].prefix != b->values[i].prefix ||
            a->values[i].part_count != b->values[i].part_count)
            return false;
    }
    for (uint32_t i = 0; i < a->inner_count; i++) {
        if (!is_same(&a->inner[i], &b->inner[i]))
            return false;
    }
    return true;
}

static void check_again(const struct fhir_query_context *context, const struct fhir_search_query *q,
                        struct arena *arena)
{
    enum { LINK_MAX = INPUT_MAX * 8 };
    char *memory = malloc(2 * LINK_MAX);
    struct buf link = buf_over(memory, LINK_MAX), second = buf_over(memory + LINK_MAX, LINK_MAX);
    struct fhir_search_query again;
    struct fhir_query_problems problems;
    fhir_search_query_write(q, &link);
    must(!buf_overflowed(&link) && link.n <= FHIR_QUERY_BYTES_MAX);
    must(fhir_search_query_parse(buf_text(&link), STR(""), context, arena, &again, &problems));
    must(again.ignored.n == 0 && again.criterion_count == q->criterion_count);
    for (uint32_t i = 0; i < q->criterion_count; i++)
        must(is_same(&q->criteria[i], &again.criteria[i]));
    fhir_search_query_write(&again, &second);
    must(str_eq(buf_text(&link), buf_text(&second)));
    free(memory);
}

static void check_problems(const struct fhir_query_problems *problems, size_t size)
{
    must(problems->n > 0 && problems->n <= FHIR_QUERY_PROBLEMS_MAX);
    for (uint32_t i = 0; i < problems->n; i++)
        must(problems->at[i].what.n && problems->at[i].at <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct fhir_query_context context = context_of(data[0]);
    struct arena *arena = arena_new(ARENA_BYTES);
    struct fhir_search_query query;
    struct fhir_query_problems problems;
    struct str text = {(const char *)data + 1, size - 1};
    must(arena);
    if (fhir_search_query_parse(text, STR(""), &context, arena, &query, &problems)) {
        for (uint32_t i = 0; i < query.criterion_count; i++)
            check_criterion(&query.criteria[i]);
        must(context.is_lenient || !query.ignored.n);
        check_again(&context, &query, arena);
    } else {
        check_problems(&problems, size);
    }
    arena_free(arena);
    return 0;
}
