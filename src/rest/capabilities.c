/* rest/capabilities.c - [base]/metadata: what can be asked here, written from the same tables that answer. */
#include "rest/bundle.h"
#include "rest/document.h"
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/read.h"
#include "rest/subscription.h"
#include "json/writer.h"

enum { STATEMENT_BYTES = 4 << 20 };

static void put_codes(struct json_writer *w, struct str key, const char *const *codes, size_t n)
{
    json_put_array(w, key);
    for (size_t i = 0; i < n; i++)
        json_str(w, str_of(codes[i]));
    json_array_end(w);
}

static void put_interactions(struct json_writer *w, const char *const *codes, size_t n)
{
    json_put_array(w, STR("interaction"));
    for (size_t i = 0; i < n; i++) {
        json_object_begin(w);
        json_put_str(w, STR("code"), str_of(codes[i]));
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_parameters(struct json_writer *w, const struct fhir_type *type)
{
    for (const struct fhir_type *t = type; t; t = fhir_type_base(t))
        for (unsigned i = 0; i < fhir_search_count(t); i++) {
            const struct fhir_search_parameter *p = fhir_search_at(t, i);
            if (fhir_search_type(p) == FHIR_SEARCH_SPECIAL)
                continue;
            json_object_begin(w);
            json_put_str(w, STR("name"), fhir_search_code(p));
            json_put_str(w, STR("type"), fhir_search_type_name(fhir_search_type(p)));
            json_object_end(w);
        }
}

static bool has_operation(const struct rest_operation *o, const struct fhir_type *type)
{
    if (!type)
        return !o->type && (o->levels & REST_LEVEL_SYSTEM);
    return o->type ? str_eq(str_of(o->type), fhir_type_name(type))
                   : (o->levels & ~(unsigned)REST_LEVEL_SYSTEM) != 0;
}

static void put_operations(struct json_writer *w, const struct fhir_type *type)
{
    unsigned count, n = 0;
    const struct rest_operation *all = rest_operations(&count);
    for (unsigned i = 0; i < count; i++) {
        if (!has_operation(&all[i], type))
            continue;
        if (n++ == 0)
            json_put_array(w, STR("operation"));
        json_object_begin(w);
        json_put_str(w, STR("name"), all[i].name);
        json_put_str(w, STR("definition"), str_of(all[i].definition));
        json_object_end(w);
    }
    if (n)
        json_array_end(w);
}

/* What can be subscribed to (Subscriptions R5 Backport, "Capability Statement for R4"). */
static void put_topics(struct json_writer *w)
{
    json_put_array(w, STR("extension"));
    for (unsigned i = 0; rest_topic_at(i); i++) {
        json_object_begin(w);
        json_put_str(w, STR("url"),
                     STR("http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
                         "capability-subscriptiontopic-canonical"));
        json_key(w, STR("valueCanonical"));
        json_str_begin(w);
        json_str_part(w, STR(REST_TOPIC_BASE));
        json_str_part(w, rest_topic_at(i)->name);
        json_str_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_resource(struct json_writer *w, const struct fhir_type *type)
{
    static const char *const interactions[] = {"read",         "vread",  "update",
                                               "patch",        "delete", "history-instance",
                                               "history-type", "create", "search-type"};
    json_object_begin(w);
    if (str_eq(fhir_type_name(type), STR("Subscription")))
        put_topics(w);
    json_put_str(w, STR("type"), fhir_type_name(type));
    put_interactions(w, interactions, sizeof interactions / sizeof *interactions);
    json_put_str(w, STR("versioning"), STR("versioned-update"));
    json_put_bool(w, STR("readHistory"), true);
    json_put_bool(w, STR("updateCreate"), true);
    json_put_bool(w, STR("conditionalCreate"), true);
    json_put_str(w, STR("conditionalRead"), STR("full-support"));
    json_put_bool(w, STR("conditionalUpdate"), true);
    json_put_str(w, STR("conditionalDelete"), STR("single"));
    json_put_array(w, STR("searchParam"));
    put_parameters(w, type);
    json_array_end(w);
    put_operations(w, type);
    json_object_end(w);
}

static void put_rest(const struct rest_call *call, struct json_writer *w)
{
    static const char *const interactions[] = {"transaction", "batch", "search-system", "history-system"};
    json_put_array(w, STR("rest"));
    json_object_begin(w);
    json_put_str(w, STR("mode"), STR("server"));
    rest_smart_write_security(call, w);
    json_put_array(w, STR("resource"));
    for (unsigned i = 0; i < fhir_type_count(); i++)
        if (rest_type_is_kept(fhir_type_at(i)))
            put_resource(w, fhir_type_at(i));
    json_array_end(w);
    put_interactions(w, interactions, sizeof interactions / sizeof *interactions);
    put_operations(w, NULL);
    json_object_end(w);
    json_array_end(w);
}

static void put_software(const struct rest_call *call, struct json_writer *w)
{
    json_put_object(w, STR("software"));
    json_put_str(w, STR("name"), STR("Polder"));
    json_put_str(w, STR("version"), STR(POLDER_VERSION));
    json_object_end(w);
    json_put_object(w, STR("implementation"));
    json_put_str(w, STR("description"),
                 call->site->organisation.n ? call->site->organisation : call->site->name);
    json_put_str(w, STR("url"), call->site->base_url);
    json_object_end(w);
}

void rest_capabilities(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer)
{
    static const char *const formats[] = {"application/fhir+json", "application/fhir+xml", "json", "xml"};
    static const char *const patches[] = {"application/json-patch+json", "application/fhir+json",
                                          "application/fhir+xml"};
    char *memory = arena_bytes(call->arena, STATEMENT_BYTES), instant[40];
    struct buf b = buf_over(memory, memory ? STATEMENT_BYTES : 0), now = buf_over(instant, sizeof instant);
    struct json_writer w = json_writer_over(&b);
    rest_instant_write(&now, call->now_us);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("CapabilityStatement"));
    json_put_str(&w, STR("status"), STR("active"));
    json_put_str(&w, STR("date"), buf_text(&now));
    json_put_str(&w, STR("kind"), STR("instance"));
    put_software(call, &w);
    json_put_str(&w, STR("fhirVersion"), STR("4.0.1"));
    put_codes(&w, STR("format"), formats, sizeof formats / sizeof *formats);
    put_codes(&w, STR("patchFormat"), patches, sizeof patches / sizeof *patches);
    put_rest(call, &w);
    json_object_end(&w);
    answer->status = 200;
    answer->body = buf_overflowed(&b)
                       ? STR_NONE
                       : rest_subset(call, buf_text(&b), r->summary, r->elements, r->element_count);
    if (!answer->body.n)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
}
