/* rest/access_write.c - what a caller may ask and write. See access.h.
 *
 * What always holds: a refusal is the same whether what is hidden is there or not. Ids of a client's own
 * choice are therefore for those alone who see everything, unless nobody could have guessed them. */
#include "rest/access_parts.h"

#include "rest/document.h"
#include "rest/outcome.h"
#include "rest/request.h"
#include "rest/write.h"
#include "json/writer.h"

/* ---- asking */

static uint8_t letters_of(const struct rest_request *r)
{
    switch (r->interaction) {
    case REST_READ:
    case REST_VREAD:
        return ACCESS_READ;
    case REST_HISTORY:
        return r->id.n ? ACCESS_READ : ACCESS_SEARCH;
    case REST_SEARCH:
        return ACCESS_SEARCH;
    case REST_CREATE:
        return ACCESS_CREATE;
    case REST_UPDATE:
    case REST_PATCH:
        return ACCESS_UPDATE;
    case REST_DELETE:
        return ACCESS_DELETE;
    default:
        return 0;
    }
}

static const char *word_of(uint8_t letter)
{
    return letter == ACCESS_READ     ? "read"
           : letter == ACCESS_SEARCH ? "search for"
           : letter == ACCESS_CREATE ? "create"
           : letter == ACCESS_UPDATE ? "change"
                                     : "delete";
}

static bool refuse_type(const struct rest_call *call, const struct fhir_type *type, uint8_t letter,
                        struct rest_answer *answer)
{
    rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                "this role and this token may not %s resources of type %.*s", word_of(letter),
                STR_ARG(fhir_type_name(type)));
    answer->challenge = arena_printf(call->arena, "Bearer realm=\"%.*s\", error=\"insufficient_scope\"",
                                     STR_ARG(call->site->name));
    return false;
}

static bool is_for_administrators(struct str operation)
{
    return str_eq(operation, STR("export")) || str_eq(operation, STR("import"));
}

bool rest_may_ask(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    uint8_t letters = letters_of(r);
    if (!call->decision)
        return true;
    if (r->interaction == REST_OPERATION && is_for_administrators(r->operation) &&
        call->decision->kind != ACCESS_CLUSTER)
        return rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                           "$%.*s is for those who administer the cluster", STR_ARG(r->operation));
    if (!letters || !r->type)
        return true;
    return (access_may(call->decision, fhir_type_name(r->type)) & letters) == letters ||
           refuse_type(call, r->type, letters, answer);
}

/* ---- writing */

/* As rest_id_new makes them: nobody can ask for one that he does not know. */
static bool is_unforeseeable(struct str id)
{
    for (size_t i = 0; i < id.n; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool is_hex = (id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'f');
        if (is_dash ? id.p[i] != '-' : !is_hex)
            return false;
    }
    return id.n == REST_ID_BYTES;
}

static bool refuse_unseen(const struct rest_call *call, const struct fhir_type *type, struct str id,
                          struct rest_answer *answer)
{
    return rest_refuse(call, answer, 404, "not-found", STR_NONE,
                       "there is no %.*s/%.*s that you may change; what is new gets its id by POST",
                       STR_ARG(fhir_type_name(type)), STR_ARG(id));
}

static bool check_old(const struct rest_call *call, enum store_verb verb, const struct fhir_type *type,
                      struct str id, bool exists, struct rest_answer *answer)
{
    struct store_record record;
    if (call->decision->kind == ACCESS_CLUSTER || (!exists && verb != STORE_DELETE && is_unforeseeable(id)))
        return true;
    enum store_result result = store_read(call->site->store, call->view, type, id, call->arena, &record);
    if (result == STORE_FINE || result == STORE_DELETED)
        return true;
    return result == STORE_NOT_FOUND ? refuse_unseen(call, type, id, answer)
                                     : rest_refuse_store(call, answer, result);
}

static bool is_new_patient(const struct rest_call *call, struct str id)
{
    for (unsigned i = 0; i < call->new_patient_count; i++)
        if (str_eq(call->new_patients[i], id))
            return true;
    return false;
}

/* Whose file is open, whatever types and rules say of the Patient itself. */
static bool is_file_open(const struct rest_call *call, struct str id)
{
    struct store_record record;
    struct store_view files = *call->view;
    files.type_count = files.only_count = files.denied_count = 0;
    return is_new_patient(call, id) || store_read(call->site->store, &files, fhir_type_find(STR("Patient")),
                                                  id, call->arena, &record) == STORE_FINE;
}

static bool is_among(struct str list, struct str word)
{
    while (list.n)
        if (str_eq(str_cut(&list, ' '), word))
            return true;
    return false;
}

static bool is_common(const struct fhir_type *type)
{
    for (unsigned i = 0; access_common_type(i).n; i++)
        if (str_eq(access_common_type(i), fhir_type_name(type)))
            return true;
    return false;
}

static bool check_patients(const struct rest_call *call, const struct fhir_type *type,
                           const struct fhir_index_rows *rows, struct rest_answer *answer)
{
    const struct fhir_type *patient = fhir_type_find(STR("Patient"));
    struct str parameters = fhir_compartment_parameters(patient, type);
    struct str *ids = arena_alloc(call->arena, (rows->n + 1) * sizeof *ids);
    unsigned n = 0;
    for (size_t i = 0; ids && i < rows->n; i++) {
        const struct fhir_index_value *v = &rows->at[i].values[0];
        if (v->type != FHIR_SEARCH_REFERENCE || v->role != FHIR_INDEX_VALUE || v->reference.type != patient ||
            !v->reference.id.n || !is_among(parameters, fhir_search_code(rows->at[i].parameter)) ||
            (n && str_eq(ids[n - 1], v->reference.id)))
            continue;
        ids[n++] = v->reference.id;
        if (!is_file_open(call, v->reference.id))
            return rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                               "you have no access to the file of Patient/%.*s", STR_ARG(v->reference.id));
    }
    if (!ids)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    return n || call->view->has_all_patients || is_common(type) ||
           rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                       "a %.*s without a patient would be seen by nobody: name the patient",
                       STR_ARG(fhir_type_name(type)));
}

static bool names_own(const struct access_decision *d, const struct fhir_index_rows *rows,
                      const char *parameter)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct fhir_index_value *v = &rows->at[i].values[0];
        if (v->type != FHIR_SEARCH_REFERENCE ||
            !str_eq(fhir_search_code(rows->at[i].parameter), str_of(parameter)))
            continue;
        for (unsigned k = 0; k < d->organisation_count; k++)
            if (str_eq(d->organisations[k], v->reference.id))
                return true;
    }
    return false;
}

static bool has_end(const struct fhir_index_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct fhir_index_value *v = &rows->at[i].values[0];
        if (v->type == FHIR_SEARCH_DATE && str_eq(fhir_search_code(rows->at[i].parameter), STR("date")) &&
            v->date.high_us != INT64_MAX)
            return true;
    }
    return false;
}

/* Who is a practice's patient and who stands in for it is said by that practice. A patient who is there may
 * be handed on to another one. */
static bool check_practice(const struct rest_call *call, const struct fhir_type *type, bool exists,
                           const struct fhir_index_rows *rows, struct rest_answer *answer)
{
    const struct access_decision *d = call->decision;
    bool is_own = d->kind == ACCESS_PRACTICE && !d->is_delegated;
    if (str_eq(fhir_type_name(type), STR("Patient")))
        return (is_own && exists) || names_own(d, rows, "organization") ||
               rest_refuse(call, answer, 403, "forbidden", STR("Patient.managingOrganization"),
                           "a patient belongs to a practice (managingOrganization): it must be your own");
    return (is_own && has_end(rows) && names_own(d, rows, "organization")) ||
           rest_refuse(
               call, answer, 403, "forbidden", STR("PractitionerRole"),
               "a practice may let somebody stand in for it: with organization its own, and period.end; "
               "other roles are made by those who administer the cluster");
}

static bool check_new(const struct rest_call *call, const struct fhir_type *type, bool exists,
                      const struct fhir_index_rows *rows, struct rest_answer *answer)
{
    struct str name = fhir_type_name(type);
    struct store_view rules = *call->view;
    rules.type_count = 0; /* one may make what one may not search for */
    if (!store_view_fits(&rules, type, rows))
        return rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                           "you could not see this %.*s yourself: it is not yours to write", STR_ARG(name));
    if (str_eq(name, STR("Patient")) || str_eq(name, STR("PractitionerRole")))
        return check_practice(call, type, exists, rows, answer);
    return check_patients(call, type, rows, answer);
}

bool rest_may_write(const struct rest_call *call, enum store_verb verb, const struct fhir_type *type,
                    struct str id, bool exists, const struct fhir_index_rows *rows,
                    struct rest_answer *answer)
{
    uint8_t letter = verb == STORE_DELETE ? ACCESS_DELETE : exists ? ACCESS_UPDATE : ACCESS_CREATE;
    if (!call->decision)
        return true;
    if (!(access_may(call->decision, fhir_type_name(type)) & letter))
        return refuse_type(call, type, letter, answer);
    return check_old(call, verb, type, id, exists, answer) &&
           (!rows || call->decision->kind == ACCESS_CLUSTER || check_new(call, type, exists, rows, answer));
}

/* ---- emergencies */

static void put_reference(struct json_writer *w, const char *key, struct str reference)
{
    json_put_object(w, str_of(key));
    json_put_str(w, STR("reference"), reference);
    json_object_end(w);
}

static struct str practice_of(const struct rest_call *call, const struct store_record *patient)
{
    struct json_tape t;
    if (rest_json_parse(patient->body, call->arena, &t, NULL) != JSON_FINE)
        return STR_NONE;
    uint32_t organisation = fhir_member(&t, 0, STR("managingOrganization"));
    return organisation == JSON_NONE ? STR_NONE
                                     : fhir_member_text(&t, organisation, STR("reference"), call->arena);
}

static struct str write_notice(const struct rest_call *call, struct str patient, struct str practice)
{
    const struct rest_caller *c = call->caller;
    size_t cap = 4'096 + 6 * (c->reason.n + c->user.n + c->organisation.n + practice.n);
    char *memory = arena_bytes(call->arena, cap), instant[40];
    struct buf b = buf_over(memory, memory ? cap : 0), at = buf_over(instant, sizeof instant);
    struct json_writer w = json_writer_over(&b);
    rest_instant_write(&at, call->now_us);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Communication"));
    json_put_str(&w, STR("status"), STR("completed"));
    json_put_str(&w, STR("priority"), STR("urgent"));
    json_key(&w, STR("category"));
    json_raw(&w, STR("[{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ActReason\","
                     "\"code\":\"BTG\",\"display\":\"break the glass\"}],\"text\":\"Noodtoegang\"}]"));
    put_reference(&w, "subject", arena_printf(call->arena, "Patient/%.*s", STR_ARG(patient)));
    json_put_str(&w, STR("sent"), buf_text(&at));
    if (practice.n) {
        json_put_array(&w, STR("recipient"));
        json_object_begin(&w);
        json_put_str(&w, STR("reference"), practice);
        json_object_end(&w);
        json_array_end(&w);
    }
    if (str_starts(c->user, STR("Practitioner")))
        put_reference(&w, "sender", c->user);
    json_put_array(&w, STR("payload"));
    json_object_begin(&w);
    json_key(&w, STR("contentString"));
    json_str_begin(&w);
    json_str_part(&w, STR("Dit dossier is met een noodknop geopend. Reden: "));
    json_str_part(&w, c->reason);
    json_str_end(&w);
    json_object_end(&w);
    json_array_end(&w);
    json_object_end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

enum rest_written rest_notify_emergency(const struct rest_call *call, struct str patient,
                                        struct rest_answer *answer)
{
    const struct fhir_type *patients = fhir_type_find(STR("Patient"));
    struct store_record record;
    struct rest_request request = {.interaction = REST_CREATE,
                                   .writes = true,
                                   .type = fhir_type_find(STR("Communication")),
                                   .wanted = REST_RETURN_MINIMAL};
    struct rest_call open = *call;
    open.view = NULL;
    open.decision = NULL;
    enum store_result result = store_read(call->site->store, NULL, patients, patient, call->arena, &record);
    if (result == STORE_NOT_FOUND || result == STORE_DELETED)
        rest_refuse(call, answer, 404, "not-found", STR_NONE, "there is no Patient/%.*s", STR_ARG(patient));
    else if (result != STORE_FINE)
        rest_refuse_store(call, answer, result);
    else
        request.body = write_notice(call, patient, practice_of(call, &record));
    if (request.body.n)
        return rest_answer_write(&open, &request, answer);
    if (result == STORE_FINE)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
    return REST_ANSWERED;
}
