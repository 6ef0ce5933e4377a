#include "rest/audit_event.h"

#include "base/utc.h"
#include "fhir/moment.h"
#include "fhir/reference.h"
#include "rest/document.h"
#include "rest/outcome.h"
#include "json/writer.h"

bool rest_audit_is_asked(const struct rest_call *call, const struct rest_request *r)
{
    return call->decision && r->interaction == REST_SEARCH && r->type &&
           str_eq(fhir_type_name(r->type), STR("AuditEvent"));
}

/* ---- the question */

static bool read_patient(struct str value, struct rest_audit_question *q)
{
    struct fhir_reference parsed = fhir_reference_parse(value);
    q->patient = parsed.id.n ? parsed.id : value;
    return q->patient.n && (!parsed.type || str_eq(fhir_type_name(parsed.type), STR("Patient")));
}

static bool read_agent(const struct rest_call *call, struct str value, struct rest_audit_question *q)
{
    struct fhir_reference parsed = fhir_reference_parse(value);
    if (!parsed.type || !parsed.id.n)
        return false;
    q->user =
        arena_printf(call->arena, "%.*s/%.*s", STR_ARG(fhir_type_name(parsed.type)), STR_ARG(parsed.id));
    return true;
}

/* ge and lt: enough for a stretch. */
static bool read_date(const struct rest_call *call, struct str value, struct rest_audit_question *q)
{
    struct fhir_moment moment;
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    bool is_from = str_starts(value, STR("ge")), is_to = str_starts(value, STR("lt"));
    if ((!is_from && !is_to) || !fhir_moment_parse(str_skip(value, 2), &moment))
        return false;
    time_write_utc(&b, moment.low_us);
    struct str at = arena_copy(call->arena, str_take(buf_text(&b), REST_AT_CHARACTERS));
    if (is_from)
        q->from = at;
    else
        q->to = at;
    return at.n == REST_AT_CHARACTERS;
}

static bool read_count(struct str value, struct rest_audit_question *q)
{
    uint64_t n;
    if (!str_parse_u64(value, &n) || n == 0)
        return false;
    q->count = n < REST_AUDIT_COUNT_MAX ? (uint32_t)n : REST_AUDIT_COUNT_MAX;
    return true;
}

static bool read_pair(const struct rest_call *call, const struct rest_pair *p, struct rest_audit_question *q)
{
    if (str_eq(p->name, STR("patient")))
        return read_patient(p->value, q);
    if (str_eq(p->name, STR("agent")))
        return read_agent(call, p->value, q);
    if (str_eq(p->name, STR("date")))
        return read_date(call, p->value, q);
    if (str_eq(p->name, STR("_count")))
        return read_count(p->value, q);
    return str_eq(p->name, STR("_format")) || str_eq(p->name, STR("_pretty")) ||
           (str_eq(p->name, STR("_sort")) && str_eq(p->value, STR("-date")));
}

static bool check_asker(const struct rest_call *call, struct rest_audit_question *q,
                        struct rest_answer *answer)
{
    const struct access_decision *d = call->decision;
    if (d->kind == ACCESS_SELF && !q->patient.n)
        q->patient = d->patient;
    if (d->kind == ACCESS_SELF ? !str_eq(q->patient, d->patient) : d->kind != ACCESS_CLUSTER)
        return rest_refuse(
            call, answer, 403, "forbidden", STR_NONE,
            "the log of accesses is shown to the patient, and to those who administer the cluster");
    return q->patient.n || q->user.n ||
           rest_refuse(call, answer, 400, "required", STR_NONE,
                       "patient or agent is missing: whose accesses?");
}

bool rest_audit_question_read(const struct rest_call *call, const struct rest_request *r,
                              struct rest_audit_question *ret, struct rest_answer *answer)
{
    struct rest_pair *pairs;
    unsigned n;
    *ret = (struct rest_audit_question){.count = 100};
    if (r->compartment && str_eq(fhir_type_name(r->compartment), STR("Patient")))
        ret->patient = r->compartment_id;
    if (!rest_pairs_parse(r->form.n ? r->form : r->query, call->arena, &pairs, &n))
        return rest_refuse(call, answer, 400, "value", STR_NONE, "the query cannot be read");
    for (unsigned i = 0; i < n; i++)
        if (!read_pair(call, &pairs[i], ret))
            return rest_refuse(
                call, answer, 400, "not-supported", STR_NONE,
                "the log of accesses knows patient=ID, agent=TYPE/ID, date=geDATE, date=ltDATE and "
                "_count, newest first; not \"%.*s\" like this",
                STR_ARG(str_take(pairs[i].name, 64)));
    return check_asker(call, ret, answer);
}

struct str rest_audit_question_write(const struct rest_audit_question *q, struct arena *arena)
{
    return arena_printf(arena, "%.*s\n%.*s\n%.*s\n%.*s\n%u\n", STR_ARG(q->patient), STR_ARG(q->user),
                        STR_ARG(q->from), STR_ARG(q->to), q->count);
}

bool rest_audit_question_parse(struct str text, struct rest_audit_question *ret)
{
    struct rest_audit_question q;
    uint64_t count;
    q.patient = str_cut(&text, '\n');
    q.user = str_cut(&text, '\n');
    q.from = str_cut(&text, '\n');
    q.to = str_cut(&text, '\n');
    if (!str_parse_u64(str_cut(&text, '\n'), &count) || count == 0 || count > REST_AUDIT_COUNT_MAX ||
        text.n || q.patient.n > 64 || q.user.n > 128)
        return false;
    q.count = (uint32_t)count;
    *ret = q;
    return true;
}

/* ---- lines. A quote inside a text is escaped, so a key between quotes is a key. */

static struct str behind(struct str line, struct str key)
{
    ptrdiff_t at = str_find(line, key);
    return at < 0 ? STR_NONE : str_skip(line, (size_t)at + key.n);
}

static bool quotes(struct str text, struct str value)
{
    while (text.n) {
        struct str before = str_cut(&text, '"');
        if (before.n == value.n && str_eq(before, value))
            return true;
    }
    return false;
}

bool rest_audit_line_fits(struct str line, const struct rest_audit_question *q)
{
    struct str at = str_take(behind(line, STR("\"at\":\"")), REST_AT_CHARACTERS);
    if ((q->from.n && str_compare(at, q->from) < 0) || (q->to.n && str_compare(at, q->to) >= 0))
        return false;
    struct str user = behind(line, STR("\"user\":\"")), patients = behind(line, STR("\"patients\":["));
    if (q->user.n && !str_eq(str_cut(&user, '"'), q->user))
        return false;
    return !q->patient.n || quotes(str_cut(&patients, ']'), q->patient);
}

/* ---- as resources */

struct line {
    struct json_tape tape;
    struct arena *arena;
};

static struct str text(const struct line *l, const char *name)
{
    return fhir_member_text(&l->tape, 0, str_of(name), l->arena);
}

static void put_if(struct json_writer *w, const char *key, struct str value)
{
    if (value.n)
        json_put_str(w, str_of(key), value);
}

static void put_coding(struct json_writer *w, const char *key, const char *system, struct str code)
{
    json_put_object(w, str_of(key));
    json_put_str(w, STR("system"), str_of(system));
    json_put_str(w, STR("code"), code);
    json_object_end(w);
}

static void put_agent(struct json_writer *w, const struct line *l)
{
    struct str user = text(l, "user"), role = text(l, "role"), from = text(l, "from");
    json_put_array(w, STR("agent"));
    json_object_begin(w);
    if (role.n) {
        json_key(w, STR("type"));
        json_object_begin(w);
        json_put_str(w, STR("text"), role);
        json_object_end(w);
    }
    json_put_object(w, STR("who"));
    put_if(w, str_find_char(user, '/') > 0 ? "reference" : "display", user.n ? user : STR("niemand"));
    json_object_end(w);
    put_if(w, "altId", text(l, "organisation"));
    json_put_bool(w, STR("requestor"), true);
    if (from.n) {
        json_put_object(w, STR("network"));
        json_put_str(w, STR("address"), from);
        json_put_str(w, STR("type"), STR("2"));
        json_object_end(w);
    }
    json_object_end(w);
    json_array_end(w);
}

static void put_entities(struct json_writer *w, const struct line *l)
{
    static const char *const lists[] = {"patients", "objects"};
    json_put_array(w, STR("entity"));
    for (unsigned k = 0; k < 2; k++) {
        uint32_t list = json_get(&l->tape, 0, str_of(lists[k]));
        uint32_t n = list == JSON_NONE ? 0 : json_count(&l->tape, list);
        for (uint32_t at = n ? json_first(&l->tape, list) : 0; n > 0; n--, at = json_next(&l->tape, at)) {
            json_object_begin(w);
            json_put_object(w, STR("what"));
            json_key(w, STR("reference"));
            json_str_begin(w);
            json_str_part(w, k ? STR("") : STR("Patient/"));
            json_str_part(w, json_string(&l->tape, at, l->arena));
            json_str_end(w);
            json_object_end(w);
            json_object_end(w);
        }
    }
    json_array_end(w);
}

static void put_event(const struct rest_call *call, struct json_writer *w, const struct line *l,
                      struct str id)
{
    struct str action = text(l, "action"), purpose = text(l, "purpose"), outcome = text(l, "outcome");
    uint64_t status = 0;
    (void)json_get_u64(&l->tape, json_get(&l->tape, 0, STR("status")), &status);
    json_put_str(w, STR("resourceType"), STR("AuditEvent"));
    json_put_str(w, STR("id"), id);
    put_coding(w, "type", "http://terminology.hl7.org/CodeSystem/audit-event-type", STR("rest"));
    json_put_array(w, STR("subtype"));
    json_object_begin(w);
    json_put_str(w, STR("code"), text(l, "interaction"));
    json_object_end(w);
    json_array_end(w);
    put_if(w, "action", action);
    json_put_str(w, STR("recorded"), text(l, "at"));
    json_put_str(w, STR("outcome"), status < 400 ? STR("0") : status < 500 ? STR("4") : STR("8"));
    /* the four of NEN 7513: authorised, treatment relation, consent, emergency */
    json_put_str(w, STR("outcomeDesc"),
                 arena_printf(call->arena, "NEN 7513: %.*s%s%.*s", STR_ARG(outcome),
                              text(l, "reason").n ? "; " : "", STR_ARG(text(l, "reason"))));
    if (purpose.n) {
        json_put_array(w, STR("purposeOfEvent"));
        json_object_begin(w);
        json_put_str(w, STR("text"), purpose);
        json_object_end(w);
        json_array_end(w);
    }
    put_agent(w, l);
    json_put_object(w, STR("source"));
    json_put_object(w, STR("observer"));
    json_put_str(w, STR("display"), call->site->organisation.n ? call->site->organisation : call->site->name);
    json_object_end(w);
    json_object_end(w);
    put_entities(w, l);
}

static void put_entry(const struct rest_call *call, struct json_writer *w, struct str line)
{
    struct line l = {.arena = call->arena};
    uint64_t number = 0;
    if (rest_json_parse(line, call->arena, &l.tape, NULL) != JSON_FINE)
        return;
    (void)json_get_u64(&l.tape, json_get(&l.tape, 0, STR("n")), &number);
    struct str id = arena_printf(call->arena, "log-%llu", (unsigned long long)number);
    json_object_begin(w);
    json_put_str(
        w, STR("fullUrl"),
        arena_printf(call->arena, "%.*s/AuditEvent/%.*s", STR_ARG(call->site->base_url), STR_ARG(id)));
    json_put_object(w, STR("resource"));
    put_event(call, w, &l, id);
    json_object_end(w);
    json_object_end(w);
}

static void put_older(const struct rest_call *call, struct json_writer *w)
{
    json_object_begin(w);
    json_key(w, STR("resource"));
    json_raw(w, rest_outcome_fine(
                    call, STR("only the newest part of the log was looked at: older accesses may exist. "
                              "Ask with date=lt, or at the desk (polder audit)")));
    json_put_object(w, STR("search"));
    json_put_str(w, STR("mode"), STR("outcome"));
    json_object_end(w);
    json_object_end(w);
}

void rest_audit_answer(const struct rest_call *call, const struct rest_request *r, struct str lines,
                       bool has_older, struct rest_answer *answer)
{
    size_t cap = 8'192 + lines.n * 8 + 6 * r->query.n;
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Bundle"));
    json_put_str(&w, STR("type"), STR("searchset"));
    if (lines.n || has_older)
        json_put_array(&w, STR("entry"));
    for (struct str left = lines; left.n;)
        put_entry(call, &w, str_cut(&left, '\n'));
    if (has_older)
        put_older(call, &w);
    if (lines.n || has_older)
        json_array_end(&w);
    json_object_end(&w);
    answer->status = 200;
    answer->body = buf_text(&b);
    if (buf_overflowed(&b))
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}
