#include "rest/audit.h"

#include "base/mask.h"
#include "rest/document.h"
#include "json/writer.h"

enum { QUERY_MAX = 2'000, TEXT_MAX = 1'000, OBJECT_BYTES = 200 };

/* Create, read, update, delete, execute: the letters of NEN 7513. */
static char action_of(enum rest_interaction interaction)
{
    switch (interaction) {
    case REST_CREATE:
        return 'C';
    case REST_UPDATE:
    case REST_PATCH:
        return 'U';
    case REST_DELETE:
        return 'D';
    case REST_READ:
    case REST_VREAD:
    case REST_HISTORY:
        return 'R';
    default:
        return 'E';
    }
}

static void put_if(struct json_writer *w, struct str key, struct str value)
{
    if (value.n)
        json_put_str(w, key, value);
}

/* authorised, treatment relation, consent, emergency: Y, N, or - where it was not asked. */
static void put_outcome(struct json_writer *w, const struct rest_judged *j)
{
    static const char words[] = {[REST_UNKNOWN] = '-', [REST_NO] = 'N', [REST_YES] = 'Y'};
    const char text[] = {words[j->authorised], words[j->treatment], words[j->consent], words[j->emergency]};
    json_put_str(w, STR("outcome"), (struct str){text, sizeof text});
}

/* Each once; neighbours are mostly the same. */
static void put_patients(struct json_writer *w, const struct rest_answer *a)
{
    struct str last[8] = {0};
    unsigned n = 0, kept = 0;
    for (const struct rest_touched *t = a->touched; t; t = t->next) {
        bool is_known = !t->patient.n;
        for (unsigned i = 0; i < 8 && !is_known; i++)
            is_known = str_eq(last[i], t->patient);
        if (is_known)
            continue;
        if (n++ == 0)
            json_put_array(w, STR("patients"));
        if (n > REST_AUDIT_OBJECTS_MAX)
            break;
        json_str(w, t->patient);
        last[kept++ % 8] = t->patient;
    }
    if (n)
        json_array_end(w);
}

static void put_object(struct json_writer *w, const struct rest_touched *t)
{
    json_str_begin(w);
    json_str_part(w, fhir_type_name(t->type));
    json_str_part(w, STR("/"));
    json_str_part(w, t->id);
    if (t->version) {
        char memory[24];
        struct buf number = buf_over(memory, sizeof memory);
        buf_u64(&number, t->version);
        json_str_part(w, STR("/_history/"));
        json_str_part(w, buf_text(&number));
    }
    json_str_end(w);
}

static void put_objects(struct json_writer *w, const struct rest_answer *a)
{
    unsigned n = 0;
    for (const struct rest_touched *t = a->touched; t && n < REST_AUDIT_OBJECTS_MAX; t = t->next, n++) {
        if (n == 0)
            json_put_array(w, STR("objects"));
        put_object(w, t);
    }
    if (n)
        json_array_end(w);
    if (a->touched_count > n)
        json_put_u64(w, STR("more"), a->touched_count - n);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Decoded as far as it is ASCII to look at: a number behind "%7C" has no digit of the escape before it. */
static void put_query(struct json_writer *w, struct str query)
{
    char plain[QUERY_MAX], masked[QUERY_MAX];
    size_t n = 0, i = 0;
    for (; i < query.n && n < sizeof plain; i++, n++) {
        int high = query.p[i] == '%' && i + 2 < query.n ? hex_digit(query.p[i + 1]) : -1;
        int c = high >= 0 && hex_digit(query.p[i + 2]) >= 0 ? high * 16 + hex_digit(query.p[i + 2]) : -1;
        plain[n] = c >= 0x20 && c < 0x7f ? (char)c : query.p[i];
        i += plain[n] != query.p[i] || (c == '%') ? 2 : 0;
    }
    put_if(w, STR("query"), mask_citizen_numbers((struct str){plain, n}, i < query.n, masked));
}

/* What people wrote may hold a number of theirs. */
static void put_masked(struct json_writer *w, struct str key, struct str text)
{
    char masked[TEXT_MAX];
    bool is_cut = text.n > sizeof masked;
    put_if(w, key, mask_citizen_numbers(str_take(text, sizeof masked), is_cut, masked));
}

static void put_caller(struct json_writer *w, const struct rest_caller *c)
{
    put_if(w, STR("user"), c->user);
    put_if(w, STR("responsible"), c->responsible);
    put_if(w, STR("organisation"), c->organisation);
    put_if(w, STR("role"), c->role);
    put_if(w, STR("purpose"), c->purpose);
    put_masked(w, STR("reason"), c->reason);
    put_if(w, STR("token"), c->token);
    put_if(w, STR("from"), c->address);
    put_masked(w, STR("request"), c->reference);
    put_masked(w, STR("initial_request"), c->initial_reference);
}

static void put_request(struct json_writer *w, const struct rest_request *r, const struct rest_answer *a)
{
    char action = action_of(r->interaction);
    json_put_str(w, STR("action"), (struct str){&action, 1});
    json_put_str(w, STR("interaction"), rest_interaction_name(r->interaction));
    put_if(w, STR("operation"), str_take(r->operation, 64));
    if (r->type)
        json_put_str(w, STR("type"), fhir_type_name(r->type));
    put_if(w, STR("id"), r->id);
    put_query(w, r->form.n ? r->form : r->query);
    json_put_u64(w, STR("status"), a->status);
}

static size_t caller_bytes(const struct rest_caller *c)
{
    struct rest_caller copy = *c;
    struct str *all[REST_CALLER_TEXTS];
    size_t n = 0;
    rest_caller_texts(&copy, all);
    for (unsigned i = 0; i < REST_CALLER_TEXTS; i++)
        n += all[i]->n;
    return n;
}

struct str rest_audit_write(const struct rest_access *access, struct arena *arena)
{
    const struct rest_caller *c = access->caller;
    unsigned listed = access->answer->touched_count;
    listed = listed < REST_AUDIT_OBJECTS_MAX ? listed : REST_AUDIT_OBJECTS_MAX;
    size_t cap = 1024 + 6 * (QUERY_MAX + caller_bytes(c)) + (size_t)listed * 2 * OBJECT_BYTES;
    char *memory = arena_bytes(arena, cap), instant[40];
    struct buf b = buf_over(memory, memory ? cap : 0), at = buf_over(instant, sizeof instant);
    struct json_writer w = json_writer_over(&b);
    rest_instant_write(&at, access->at_us);
    json_put_str(&w, STR("at"), buf_text(&at));
    put_caller(&w, c);
    put_request(&w, access->request, access->answer);
    put_patients(&w, access->answer);
    put_objects(&w, access->answer);
    struct rest_judged judged = *access->judged;
    if (access->answer->status == 401 || access->answer->status == 403)
        judged.authorised = REST_NO;
    put_outcome(&w, &judged);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}
