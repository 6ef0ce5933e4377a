/* rest/access_facts.c - what the records of a cluster say of somebody: where one works, for whom one stands
 * in, who consents and who denies. Only current versions count, and only what is plain: a Consent with
 * exceptions inside (provision.provision) opens nothing. */
#include "fhir/moment.h"
#include "fhir/reference.h"
#include "rest/access_parts.h"
#include "rest/document.h"
#include "rest/read.h"

enum { ROLES_MAX = 64, CODINGS_MAX = 20 };

static const struct str role_system = STR("http://fhir.nl/fhir/NamingSystem/uzi-rolcode");
static const struct str house_system = STR("http://nictiz.nl/fhir/NamingSystem/organization-type");

/* ---- reading a resource */

struct reader {
    struct json_tape tape;
    struct arena *arena;
};

static bool open_body(struct str body, struct arena *arena, struct reader *ret)
{
    ret->arena = arena;
    return rest_json_parse(body, arena, &ret->tape, NULL) == JSON_FINE;
}

static struct str text_at(const struct reader *r, uint32_t object, const char *name)
{
    return object == JSON_NONE ? STR_NONE : fhir_member_text(&r->tape, object, str_of(name), r->arena);
}

static uint32_t at(const struct reader *r, uint32_t object, const char *name)
{
    return object == JSON_NONE ? JSON_NONE : fhir_member(&r->tape, object, str_of(name));
}

static bool is_true(const struct reader *r, const char *name)
{
    uint32_t node = at(r, 0, name);
    return node != JSON_NONE && str_eq(json_text(&r->tape, node), STR("true"));
}

static struct str id_of(const struct rest_call *call, struct str reference, const char *type)
{
    struct fhir_reference parsed = fhir_reference_parse(reference);
    size_t n = call->site->base_url.n;
    bool is_ours =
        !parsed.base.n || (parsed.base.n == n + 1 && str_starts(parsed.base, call->site->base_url));
    return parsed.type && is_ours && str_eq(fhir_type_name(parsed.type), str_of(type)) ? parsed.id : STR_NONE;
}

/* The id behind object.member.reference. */
static struct str target_at(const struct rest_call *call, const struct reader *r, uint32_t object,
                            const char *member, const char *type)
{
    return id_of(call, text_at(r, at(r, object, member), "reference"), type);
}

/* The first code of a system in a list of CodeableConcepts. */
static struct str code_at(const struct reader *r, uint32_t list, struct str system)
{
    uint32_t concept =
        list == JSON_NONE || json_type(&r->tape, list) != JSON_ARRAY || !json_count(&r->tape, list)
            ? JSON_NONE
            : json_first(&r->tape, list);
    for (uint32_t n = concept == JSON_NONE ? 0 : json_count(&r->tape, list); n > 0; n--) {
        uint32_t codings = at(r, concept, "coding");
        uint32_t k = codings == JSON_NONE ? 0 : json_count(&r->tape, codings);
        uint32_t coding = k ? json_first(&r->tape, codings) : JSON_NONE;
        for (; k > 0; k--, coding = json_next(&r->tape, coding))
            if (str_eq(text_at(r, coding, "system"), system))
                return text_at(r, coding, "code");
        concept = json_next(&r->tape, concept);
    }
    return STR_NONE;
}

/* A period that cannot be read is over. */
static void period_at(const struct reader *r, uint32_t object, int64_t *ret_from_us, int64_t *ret_until_us)
{
    uint32_t period = at(r, object, "period");
    struct str start = text_at(r, period, "start"), end = text_at(r, period, "end");
    struct fhir_moment moment;
    *ret_from_us = INT64_MIN;
    *ret_until_us = INT64_MAX;
    if (start.n)
        *ret_from_us = fhir_moment_parse(start, &moment) ? moment.low_us : INT64_MAX;
    if (end.n)
        *ret_until_us = fhir_moment_parse(end, &moment) ? moment.high_us : INT64_MIN;
}

/* ---- members */

/* What a search of ours finds, in the request's arena: of it only what is copied is kept. It sees everything,
 * and only a decision comes of it. */
static enum store_result find(const struct rest_call *call, const char *type, struct str query,
                              uint32_t count, struct store_found *ret)
{
    struct arena *arena = call->arena;
    struct fhir_search_query parsed;
    struct fhir_query_problems problems;
    struct fhir_query_context context = {.type = fhir_type_find(str_of(type)),
                                         .base_url =
                                             arena_printf(arena, "%.*s/", STR_ARG(call->site->base_url)),
                                         .count_max = count,
                                         .now_us = call->now_us};
    *ret = (struct store_found){0};
    if (!fhir_search_query_parse(query, STR_NONE, &context, arena, &parsed, &problems))
        return STORE_NOT_FOUND;
    struct store_search search = {.query = &parsed, .count = count};
    return store_search(call->site->store, NULL, &search, arena, ret);
}

static void add_role(const struct rest_call *call, const struct store_record *record, struct arena *arena,
                     struct rest_facts *f)
{
    struct reader r;
    if (f->member_count == ROLES_MAX || !open_body(record->body, call->arena, &r))
        return;
    struct access_member *m = &f->members[f->member_count++];
    *m = (struct access_member){.organisation =
                                    arena_copy(arena, target_at(call, &r, 0, "organization", "Organization")),
                                .role = arena_copy(arena, code_at(&r, at(&r, 0, "code"), role_system)),
                                .is_active = is_true(&r, "active")};
    period_at(&r, 0, &m->from_us, &m->until_us);
}

static enum store_result find_roles(const struct rest_call *call, struct str type, struct str id,
                                    struct arena *arena, struct rest_facts *f)
{
    struct store_found found;
    struct store_record record;
    if (str_eq(type, STR("PractitionerRole"))) {
        enum store_result result =
            store_read(call->site->store, NULL, fhir_type_find(type), id, call->arena, &record);
        if (result == STORE_FINE)
            add_role(call, &record, arena, f);
        return result == STORE_NOT_FOUND || result == STORE_DELETED ? STORE_FINE : result;
    }
    struct str query = arena_printf(call->arena, "practitioner=Practitioner/%.*s", STR_ARG(id));
    enum store_result result = find(call, "PractitionerRole", query, ROLES_MAX, &found);
    for (size_t i = 0; result == STORE_FINE && i < found.match_count; i++)
        add_role(call, &found.matches[i], arena, f);
    return result;
}

/* An out-of-hours post stands in for the practices that let it. */
static enum store_result add_affiliations(const struct rest_call *call, struct access_member *through,
                                          struct arena *arena, struct rest_facts *f)
{
    struct store_found found;
    struct str query = arena_printf(call->arena, "active=true&participating-organization=Organization/%.*s",
                                    STR_ARG(through->organisation));
    enum store_result result = find(call, "OrganizationAffiliation", query, ROLES_MAX, &found);
    for (size_t i = 0; result == STORE_FINE && i < found.match_count && f->member_count < ROLES_MAX; i++) {
        struct reader r;
        through->is_post = true;
        if (!open_body(found.matches[i].body, call->arena, &r))
            continue;
        struct access_member *m = &f->members[f->member_count++];
        *m = (struct access_member){
            .organisation = arena_copy(arena, target_at(call, &r, 0, "organization", "Organization")),
            .role = through->role,
            .is_active = is_true(&r, "active"),
            .through = through->organisation};
        period_at(&r, 0, &m->from_us, &m->until_us);
    }
    return result;
}

static enum store_result find_house(const struct rest_call *call, struct str id, struct arena *arena,
                                    struct rest_facts *f)
{
    struct store_record record;
    struct reader r;
    enum store_result result =
        store_read(call->site->store, NULL, fhir_type_find(STR("Organization")), id, call->arena, &record);
    if (result == STORE_FINE && open_body(record.body, call->arena, &r))
        f->members[f->member_count++] =
            (struct access_member){.organisation = arena_copy(arena, id),
                                   .role = arena_copy(arena, code_at(&r, at(&r, 0, "type"), house_system)),
                                   .is_active = is_true(&r, "active"),
                                   .from_us = INT64_MIN,
                                   .until_us = INT64_MAX};
    return result == STORE_NOT_FOUND || result == STORE_DELETED ? STORE_FINE : result;
}

static bool is_in_force(const struct access_member *m, int64_t now_us)
{
    return m->is_active && m->organisation.n && m->from_us <= now_us && now_us < m->until_us;
}

enum store_result rest_find_members(const struct rest_call *call, struct str user_type, struct str user_id,
                                    struct str organisation, struct arena *arena, struct rest_facts *f)
{
    enum store_result result = STORE_FINE;
    if (!user_id.n)
        return organisation.n ? find_house(call, organisation, arena, f) : STORE_FINE;
    if (str_starts(user_type, STR("Practitioner")))
        result = find_roles(call, user_type, user_id, arena, f);
    for (size_t i = 0, n = f->member_count; i < n && result == STORE_FINE; i++)
        if (is_in_force(&f->members[i], call->now_us))
            result = add_affiliations(call, &f->members[i], arena, f);
    return result;
}

/* ---- consents */

struct consents {
    const struct rest_call *call;
    struct arena *arena;
    struct rest_facts *facts;
    const struct access_decision *decision;
};

/* Types of an exchange that a class of a Consent can name one by one. */
static const char *const exchanged[] = {"Coverage",
                                        "Flag",
                                        "AllergyIntolerance",
                                        "Condition",
                                        "Procedure",
                                        "Immunization",
                                        "MedicationRequest",
                                        "MedicationDispense",
                                        "MedicationStatement",
                                        "Observation",
                                        "DiagnosticReport",
                                        "CarePlan",
                                        "DeviceUseStatement",
                                        "DocumentReference",
                                        "Task"};

static bool has_class(const struct reader *r, uint32_t classes, struct str type)
{
    uint32_t node = json_count(&r->tape, classes) ? json_first(&r->tape, classes) : JSON_NONE;
    for (uint32_t n = json_count(&r->tape, classes); n > 0; n--, node = json_next(&r->tape, node))
        if (str_eq(text_at(r, node, "code"), type))
            return true;
    return false;
}

static void limit(struct consents *c, const struct reader *r, uint32_t classes, struct str patient)
{
    for (size_t i = 0; i < sizeof exchanged / sizeof *exchanged; i++) {
        if (has_class(r, classes, str_of(exchanged[i])) || c->facts->limited_count == REST_CONSENTS_MAX)
            continue;
        c->facts->limited[c->facts->limited_count++] =
            arena_printf(c->arena, "%s?patient=Patient/%.*s", exchanged[i], STR_ARG(patient));
    }
}

/* What narrows a permission in ways that are not carried out here makes it no permission. */
static bool is_plain(const struct reader *r, uint32_t provision)
{
    static const char *const others[] = {"provision", "securityLabel", "purpose", "code",
                                         "data",      "dataPeriod",    "action"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (at(r, provision, others[i]) != JSON_NONE)
            return false;
    return true;
}

static void add_consent(struct consents *c, const struct store_record *record)
{
    struct reader r;
    int64_t from_us, until_us;
    if (!open_body(record->body, c->call->arena, &r))
        return;
    uint32_t provision = at(&r, 0, "provision"), classes = at(&r, provision, "class");
    struct str patient = arena_copy(c->arena, target_at(c->call, &r, 0, "patient", "Patient")),
               type = text_at(&r, provision, "type");
    period_at(&r, provision, &from_us, &until_us);
    if (!patient.n || c->call->now_us < from_us || c->call->now_us >= until_us)
        return;
    if (str_eq(type, STR("deny"))) {
        c->facts->hidden[c->facts->hidden_count++] = patient;
    } else if (str_eq(type, STR("permit")) && is_plain(&r, provision) &&
               c->decision->kind == ACCESS_PARTNER) {
        c->facts->open[c->facts->open_count++] = patient;
        if (classes != JSON_NONE && json_type(&r.tape, classes) == JSON_ARRAY)
            limit(c, &r, classes, patient);
    }
}

static struct str consent_query(const struct access_decision *d, struct arena *arena)
{
    struct str query = STR("status=active&actor=");
    for (unsigned i = 0; i < d->organisation_count; i++)
        query = arena_printf(arena, "%.*s%sOrganization/%.*s", STR_ARG(query), i ? "," : "",
                             STR_ARG(d->organisations[i]));
    return query;
}

enum store_result rest_find_consents(const struct rest_call *call, const struct access_decision *d,
                                     struct arena *arena, struct rest_facts *f)
{
    struct consents c = {call, arena, f, d};
    struct store_found found;
    if (!d->organisation_count || d->is_emergency)
        return STORE_FINE;
    enum store_result result =
        find(call, "Consent", consent_query(d, call->arena), REST_CONSENTS_MAX, &found);
    if (result != STORE_FINE || !found.match_count)
        return result;
    if (found.next.n) /* one that is not looked at might deny */
        return STORE_TOO_COSTLY;
    f->hidden = arena_alloc(arena, found.match_count * sizeof *f->hidden);
    f->open = arena_alloc(arena, found.match_count * sizeof *f->open);
    f->limited =
        d->kind == ACCESS_PARTNER ? arena_alloc(arena, REST_CONSENTS_MAX * sizeof *f->limited) : NULL;
    if (!f->hidden || !f->open || (d->kind == ACCESS_PARTNER && !f->limited))
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < found.match_count; i++)
        add_consent(&c, &found.matches[i]);
    return f->limited_count == REST_CONSENTS_MAX ? STORE_TOO_COSTLY : STORE_FINE;
}
