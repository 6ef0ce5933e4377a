/* rest/search.c - search by GET and POST: on a type, in a compartment, on all types. */
#include "rest/bundle.h"
#include "rest/outcome.h"
#include "rest/read.h"

enum { SELF_BYTES = 3 * FHIR_QUERY_BYTES_MAX };

static struct fhir_query_context context_of(const struct rest_call *call, const struct rest_request *r)
{
    return (struct fhir_query_context){
        .type = r->type,
        .compartment = r->compartment,
        .compartment_id = r->compartment_id,
        .base_url = arena_printf(call->arena, "%.*s/", STR_ARG(call->site->base_url)),
        .is_lenient = r->is_lenient,
        .count_max = call->site->page_entries_max,
        .now_us = call->now_us,
        .others = &rest_page_parameter,
        .other_count = 1,
    };
}

bool rest_query_parse(const struct rest_call *call, const struct fhir_type *type, struct str query,
                      struct fhir_search_query *ret, struct rest_answer *answer)
{
    struct rest_request r = {.type = type};
    struct fhir_query_context context = context_of(call, &r);
    struct fhir_query_problems problems = {0};
    context.other_count = 0;
    return fhir_search_query_parse(query, STR_NONE, &context, call->arena, ret, &problems) ||
           rest_refuse_query(call, answer, &problems);
}

static struct str page_of(const struct rest_call *call, const struct rest_request *r)
{
    const struct str both[] = {r->query, r->form};
    for (unsigned k = 0; k < 2; k++) {
        struct rest_pair *pairs;
        unsigned count;
        if (!memmem(both[k].p ? both[k].p : "", both[k].n, "_page", 5) ||
            !rest_pairs_parse(both[k], call->arena, &pairs, &count))
            continue;
        for (unsigned i = 0; i < count; i++)
            if (str_eq(pairs[i].name, rest_page_parameter))
                return pairs[i].value;
    }
    return STR_NONE;
}

static struct str path_of(const struct rest_call *call, const struct rest_request *r)
{
    struct str type = r->type ? fhir_type_name(r->type) : r->any_type ? STR("*") : STR_NONE;
    if (r->compartment)
        return arena_printf(call->arena, "%.*s/%.*s/%.*s", STR_ARG(fhir_type_name(r->compartment)),
                            STR_ARG(r->compartment_id), STR_ARG(type));
    return type;
}

/* Written anew from what was understood; hardly ever longer than what came. */
struct str rest_query_text(const struct rest_call *call, const struct fhir_search_query *q, size_t came_bytes)
{
    size_t tries[] = {4 * came_bytes + 512, SELF_BYTES};
    for (unsigned i = 0; i < 2; i++) {
        char *memory = arena_bytes(call->arena, tries[i]);
        struct buf b = buf_over(memory, memory ? tries[i] : 0);
        fhir_search_query_write(q, &b);
        if (!buf_overflowed(&b))
            return buf_text(&b);
    }
    return STR_NONE;
}

static struct str link_of(const struct rest_call *call, struct str path, struct str self, struct str page)
{
    return arena_printf(call->arena, "%.*s%s%.*s%s%.*s", STR_ARG(path), self.n || page.n ? "?" : "",
                        STR_ARG(self), page.n ? self.n ? "&_page=" : "_page=" : "", STR_ARG(page));
}

/* Whose records a search by patient finds is known without looking into them. */
static struct str patient_of(const struct fhir_search_query *q)
{
    if (q->compartment && str_eq(fhir_type_name(q->compartment), STR("Patient")))
        return q->compartment_id;
    for (uint32_t i = 0; i < q->criterion_count; i++) {
        const struct fhir_query_criterion *c = &q->criteria[i];
        if (c->kind != FHIR_QUERY_PARAMETER || c->value_count != 1 || !c->parameter ||
            fhir_search_type(c->parameter) != FHIR_SEARCH_REFERENCE || c->modifier == FHIR_QUERY_NOT)
            continue;
        const struct fhir_query_value *v = &c->values[0];
        bool is_patient = v->is.type == FHIR_SEARCH_REFERENCE && v->is.reference.id.n &&
                          (v->is.reference.type ? str_eq(fhir_type_name(v->is.reference.type), STR("Patient"))
                                                : str_eq(fhir_search_code(c->parameter), STR("patient")));
        if (is_patient)
            return v->is.reference.id;
    }
    return STR_NONE;
}

static bool add_records(const struct rest_call *call, const struct fhir_search_query *q,
                        enum rest_entry_mode mode, const struct store_record *records, size_t n,
                        struct rest_entry *to, struct str patient, struct rest_answer *answer)
{
    for (size_t i = 0; i < n; i++) {
        struct str body = records[i].body;
        if (q->has_summary || q->element_count)
            body = rest_subset(call, body, q->summary, q->elements, q->element_count);
        if (!body.n)
            return false;
        to[i] = (struct rest_entry){mode, &records[i], body};
        if (patient.n && mode == REST_ENTRY_MATCH)
            rest_touch(call, answer, records[i].type, records[i].id, records[i].version, patient);
        else
            rest_touch_record(call, answer, &records[i]);
    }
    return true;
}

void rest_search_answer(const struct rest_call *call, const struct fhir_search_query *q,
                        const struct store_found *found, const struct rest_search_place *place,
                        struct rest_answer *answer)
{
    struct str ignored = rest_outcome_ignored(call, &q->ignored), patient = patient_of(q);
    size_t n = found->match_count + found->included_count + 1;
    struct rest_entry *entries = arena_alloc(call->arena, n * sizeof *entries);
    struct rest_bundle bundle = {.type = "searchset",
                                 .has_total = found->has_total,
                                 .total = found->total,
                                 .self = link_of(call, place->path, place->query, place->position),
                                 .entries = entries,
                                 .n = n - 1};
    if (found->next.n)
        bundle.next = link_of(call, place->path, place->query, found->next);
    bool fine = entries &&
                add_records(call, q, REST_ENTRY_MATCH, found->matches, found->match_count, entries, patient,
                            answer) &&
                add_records(call, q, REST_ENTRY_INCLUDE, found->included, found->included_count,
                            entries + found->match_count, patient, answer);
    if (fine && ignored.n)
        entries[bundle.n++] = (struct rest_entry){REST_ENTRY_OUTCOME, NULL, ignored};
    answer->status = 200;
    answer->body = fine ? rest_bundle_write(call, &bundle) : STR_NONE;
    if (!answer->body.n)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

/* _format and _pretty of a search stand in its query, or in its form. */
static bool refuse_format(const struct rest_call *call, const struct fhir_search_query *q,
                          struct rest_answer *answer)
{
    static const char *const known[] = {"json",
                                        "application/json",
                                        "application/fhir+json",
                                        "text/json",
                                        "xml",
                                        "application/xml",
                                        "application/fhir+xml",
                                        "text/xml",
                                        "application/fhir json",
                                        "application/fhir xml"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!q->format.n || str_eq_nocase(q->format, str_of(known[i])))
            return false;
    rest_refuse(call, answer, 406, "not-supported", STR("http._format"),
                "this format is not known: json or xml");
    return true;
}

void rest_search(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    struct fhir_query_context context = context_of(call, r);
    struct fhir_query_problems problems = {0};
    struct fhir_search_query q;
    struct store_found found = {0};
    if (!fhir_search_query_parse(r->query, r->form, &context, call->arena, &q, &problems)) {
        rest_refuse_query(call, answer, &problems);
        return;
    }
    if (refuse_format(call, &q, answer))
        return;
    struct store_search search = {
        .query = &q, .count = call->site->page_entries, .position = page_of(call, r)};
    enum store_result result = store_search(call->site->store, call->view, &search, call->arena, &found);
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return;
    }
    struct rest_search_place place = {path_of(call, r), rest_query_text(call, &q, r->query.n + r->form.n),
                                      search.position};
    rest_search_answer(call, &q, &found, &place, answer);
}
