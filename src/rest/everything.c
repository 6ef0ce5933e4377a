/* rest/everything.c - Patient/$everything (the whole file of a patient in one request) and Observation/$lastn
 * (the newest of each kind: the Dutch exchange sets ask for it). Both are searches that the client need not
 * write. */
#include "rest/bundle.h"
#include "rest/document.h"
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/read.h"

enum { LASTN_LOOKED_AT_MAX = 10'000, LASTN_PAGE = 1'000, LASTN_MOST = 1'000, CODINGS_MAX = 8 };

/* ---- the query behind an operation */

static bool is_common(struct str name)
{
    return str_eq(name, STR("_format")) || str_eq(name, STR("_pretty")) || str_eq(name, rest_page_parameter);
}

static void add_pair(struct buf *b, struct str name, struct str value)
{
    static const char hex[] = "0123456789ABCDEF";
    buf_str(b, b->n ? STR("&") : STR(""));
    buf_str(b, name);
    buf_char(b, '=');
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        bool is_plain = (c >= '0' && c <= '9') ||
                        (ascii_lower((char)c) >= 'a' && ascii_lower((char)c) <= 'z') || c == '-' ||
                        c == '.' || c == '_' || c == ',' || c == ':' || c == '|' || c == '/';
        if (is_plain) {
            buf_char(b, (char)c);
            continue;
        }
        buf_char(b, '%');
        buf_char(b, hex[c >> 4]);
        buf_char(b, hex[c & 15]);
    }
}

static struct fhir_query_context context_of(const struct rest_call *call, const struct rest_request *r)
{
    return (struct fhir_query_context){
        .base_url = arena_printf(call->arena, "%.*s/", STR_ARG(call->site->base_url)),
        .is_lenient = r->is_lenient,
        .count_max = call->site->page_entries_max,
        .now_us = call->now_us,
    };
}

static bool refuse_parameter(const struct rest_call *call, const struct rest_request *r, struct str name,
                             struct rest_answer *answer)
{
    return rest_refuse(call, answer, 400, "not-supported",
                       arena_printf(call->arena, "http.%.*s", STR_ARG(str_take(name, 64))),
                       "$%.*s has no parameter \"%.*s\" here", STR_ARG(r->operation),
                       STR_ARG(str_take(name, 64)));
}

/* ---- $everything */

/* _since, _type and _count become those of a search in the patient's compartment. */
static bool everything_query(const struct rest_call *call, const struct rest_request *r, struct str *ret,
                             struct str *ret_page, struct rest_answer *answer)
{
    struct rest_pair *pairs = NULL;
    unsigned count = 0;
    size_t cap = 3 * r->query.n + 64;
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    if (r->query.n && !rest_pairs_parse(r->query, call->arena, &pairs, &count))
        return rest_refuse(call, answer, 400, "invalid", STR("http.query"), "the query cannot be read");
    for (unsigned i = 0; i < count; i++) {
        struct str name = pairs[i].name, value = pairs[i].value;
        if (str_eq(name, rest_page_parameter))
            *ret_page = value;
        else if (str_eq(name, STR("_since")))
            add_pair(&b, STR("_lastUpdated"), arena_printf(call->arena, "ge%.*s", STR_ARG(value)));
        else if (str_eq(name, STR("_type")) || str_eq(name, STR("_count")))
            add_pair(&b, name, value);
        else if (!is_common(name) && !r->is_lenient)
            return refuse_parameter(call, r, name, answer);
    }
    *ret = buf_text(&b);
    return !buf_overflowed(&b) || rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

/* The patient stands first, whether or not the search counts a patient among its own. */
static bool with_patient(const struct rest_call *call, const struct store_record *patient,
                         struct store_found *found)
{
    struct store_record *list = arena_alloc(call->arena, (found->match_count + 1) * sizeof *list);
    size_t n = 0;
    if (!list)
        return false;
    list[n++] = *patient;
    for (size_t i = 0; i < found->match_count; i++)
        if (found->matches[i].type != patient->type || !str_eq(found->matches[i].id, patient->id))
            list[n++] = found->matches[i];
    found->total += n - found->match_count;
    found->matches = list;
    found->match_count = n;
    return true;
}

static bool wants_patient(const struct fhir_search_query *q, const struct fhir_type *patient)
{
    for (uint32_t i = 0; i < q->type_count; i++)
        if (q->types[i] == patient)
            return true;
    return q->type_count == 0;
}

void rest_operation_everything(const struct rest_call *call, const struct rest_request *r,
                               struct rest_answer *answer)
{
    struct fhir_query_context context = context_of(call, r);
    struct fhir_query_problems problems = {0};
    struct fhir_search_query q;
    struct store_record patient;
    struct store_found found = {0};
    struct str query = STR_NONE, page = STR_NONE;
    context.compartment = r->type;
    context.compartment_id = r->id;
    if (!everything_query(call, r, &query, &page, answer))
        return;
    if (!fhir_search_query_parse(query, STR_NONE, &context, call->arena, &q, &problems)) {
        rest_refuse_query(call, answer, &problems);
        return;
    }
    struct store_search search = {.query = &q, .count = call->site->page_entries, .position = page};
    enum store_result result =
        store_read(call->site->store, call->view, r->type, r->id, call->arena, &patient);
    if (result == STORE_FINE)
        result = store_search(call->site->store, call->view, &search, call->arena, &found);
    if (result == STORE_FINE && !page.n && wants_patient(&q, r->type) &&
        !with_patient(call, &patient, &found))
        result = STORE_NO_MEMORY;
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return;
    }
    struct rest_search_place place = {arena_printf(call->arena, "Patient/%.*s/$everything", STR_ARG(r->id)),
                                      r->query, STR_NONE};
    rest_search_answer(call, &q, &found, &place, answer);
}

/* ---- $lastn */

/* The codes an observation has, as "system|code". */
struct kinds {
    struct str codes[CODINGS_MAX];
    unsigned n, seen;
};

struct groups {
    struct kinds *at;
    size_t n, room;
};

static void read_kinds(const struct rest_call *call, struct str body, struct kinds *ret)
{
    struct json_tape t;
    *ret = (struct kinds){0};
    if (rest_json_parse(body, call->scratch, &t, NULL) != JSON_FINE)
        return;
    uint32_t code = fhir_member(&t, 0, STR("code")), list = fhir_member(&t, code, STR("coding"));
    uint32_t n = list != JSON_NONE && json_type(&t, list) == JSON_ARRAY ? json_count(&t, list) : 0;
    for (uint32_t at = n ? json_first(&t, list) : 0; n > 0 && ret->n < CODINGS_MAX;
         n--, at = json_next(&t, at)) {
        struct str system = fhir_member_text(&t, at, STR("system"), call->scratch),
                   word = fhir_member_text(&t, at, STR("code"), call->scratch);
        ret->codes[ret->n++] = arena_printf(call->arena, "%.*s|%.*s", STR_ARG(system), STR_ARG(word));
    }
    if (ret->n == 0) { /* a text is a kind of its own */
        struct str text = fhir_member_text(&t, code, STR("text"), call->scratch);
        ret->codes[ret->n++] = arena_printf(call->arena, "\n%.*s", STR_ARG(text));
    }
    arena_reset(call->scratch);
}

static bool shares_code(const struct kinds *a, const struct kinds *b)
{
    for (unsigned i = 0; i < a->n; i++)
        for (unsigned j = 0; j < b->n; j++)
            if (str_eq(a->codes[i], b->codes[j]))
                return true;
    return false;
}

/* Is it among the newest of its kind? NULL group list: no memory. */
static bool is_among_newest(struct groups *groups, const struct kinds *kinds, unsigned most)
{
    for (size_t i = 0; i < groups->n; i++)
        if (shares_code(&groups->at[i], kinds))
            return groups->at[i].seen++ < most;
    if (groups->n == groups->room)
        return false;
    groups->at[groups->n] = *kinds;
    groups->at[groups->n++].seen = 1;
    return true;
}

static bool lastn_query(const struct rest_call *call, const struct rest_request *r, struct str *ret,
                        unsigned *ret_most, struct rest_answer *answer)
{
    struct rest_pair *pairs = NULL;
    unsigned count = 0;
    uint64_t most = 1;
    size_t cap = 3 * r->query.n + 64;
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    bool has_subject = false;
    if (r->query.n && !rest_pairs_parse(r->query, call->arena, &pairs, &count))
        return rest_refuse(call, answer, 400, "invalid", STR("http.query"), "the query cannot be read");
    for (unsigned i = 0; i < count; i++) {
        struct str name = pairs[i].name, value = pairs[i].value;
        if (str_eq(name, STR("max"))) {
            if (!str_parse_u64(value, &most) || most == 0 || most > LASTN_MOST)
                return rest_refuse(call, answer, 400, "value", STR("http.max"),
                                   "max is a number from 1 to %u", LASTN_MOST);
            continue;
        }
        if (is_common(name))
            continue;
        has_subject |= str_starts(name, STR("patient")) || str_starts(name, STR("subject"));
        add_pair(&b, name, value);
    }
    if (!has_subject)
        return rest_refuse(call, answer, 400, "required", STR("http.patient"),
                           "$lastn needs a patient (or subject): whose observations?");
    add_pair(&b, STR("_sort"), STR("-date"));
    *ret = buf_text(&b);
    *ret_most = (unsigned)most;
    return !buf_overflowed(&b) || rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

struct lastn {
    struct groups groups;
    struct store_record *kept;
    size_t kept_n;
    unsigned most;
};

/* Pages from the newest on, as far as is looked. */
static enum store_result collect_newest(const struct rest_call *call, struct fhir_search_query *q,
                                        struct lastn *l)
{
    struct store_search search = {.query = q, .count = LASTN_PAGE};
    q->has_count = false;
    for (unsigned looked = 0; looked < LASTN_LOOKED_AT_MAX; looked += LASTN_PAGE) {
        struct store_found found = {0};
        enum store_result result = store_search(call->site->store, call->view, &search, call->arena, &found);
        if (result != STORE_FINE)
            return result;
        for (size_t i = 0; i < found.match_count; i++) {
            struct kinds kinds;
            read_kinds(call, found.matches[i].body, &kinds);
            if (l->kept_n < LASTN_LOOKED_AT_MAX && is_among_newest(&l->groups, &kinds, l->most))
                l->kept[l->kept_n++] = found.matches[i];
        }
        if (!found.next.n)
            return STORE_FINE;
        search.position = found.next;
    }
    return STORE_TOO_COSTLY;
}

void rest_operation_lastn(const struct rest_call *call, const struct rest_request *r,
                          struct rest_answer *answer)
{
    struct fhir_query_context context = context_of(call, r);
    struct fhir_query_problems problems = {0};
    struct fhir_search_query q;
    struct lastn l = {0};
    struct str query = STR_NONE;
    context.type = r->type;
    if (!lastn_query(call, r, &query, &l.most, answer))
        return;
    if (!fhir_search_query_parse(query, STR_NONE, &context, call->arena, &q, &problems)) {
        rest_refuse_query(call, answer, &problems);
        return;
    }
    l.groups.room = 1'000; /* kinds of observation in one file */
    l.groups.at = arena_alloc(call->arena, l.groups.room * sizeof *l.groups.at);
    l.kept = arena_alloc(call->arena, LASTN_LOOKED_AT_MAX * sizeof *l.kept);
    enum store_result result = l.groups.at && l.kept ? collect_newest(call, &q, &l) : STORE_NO_MEMORY;
    if (result != STORE_FINE) {
        rest_refuse_store(call, answer, result);
        return;
    }
    struct store_found found = {
        .matches = l.kept, .match_count = l.kept_n, .has_total = true, .total = l.kept_n};
    struct rest_search_place place = {STR("Observation/$lastn"), r->query, STR_NONE};
    rest_search_answer(call, &q, &found, &place, answer);
}
