/* rest/smart.c - what clients are told of how to get in: .well-known/smart-configuration and the security
 * part of the CapabilityStatement, both from the same configuration that decides (SMART App Launch 2.0,
 * "Conformance"). Where access is off they say nothing of security. */
#include "rest/read.h"

#include "json/writer.h"

enum { CONFIGURATION_BYTES = 8'192 };

#define OAUTH_URIS "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"

static void put_list(struct json_writer *w, const char *key, const char *const *words, size_t n)
{
    json_put_array(w, str_of(key));
    for (size_t i = 0; i < n; i++)
        json_str(w, str_of(words[i]));
    json_array_end(w);
}

struct str rest_smart_configuration(const struct rest_call *call)
{
    static const char *const capabilities[] = {"permission-v1",
                                               "permission-v2",
                                               "permission-patient",
                                               "permission-user",
                                               "context-standalone-patient",
                                               "client-confidential-asymmetric"};
    static const char *const grants[] = {"authorization_code", "client_credentials"};
    static const char *const methods[] = {"S256"};
    static const char *const scopes[] = {"openid",          "fhirUser",     "launch",        "launch/patient",
                                         "patient/*.cruds", "user/*.cruds", "system/*.cruds"};
    const struct rest_guard *guard = call->site->guard;
    const struct rest_guard_options *o = guard ? rest_guard_options(guard) : NULL;
    size_t cap = CONFIGURATION_BYTES;
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    if (o && o->issuer_count)
        json_put_str(&w, STR("issuer"), o->issuers[0].url);
    if (o && o->authorize_url.n)
        json_put_str(&w, STR("authorization_endpoint"), o->authorize_url);
    if (o && o->token_url.n)
        json_put_str(&w, STR("token_endpoint"), o->token_url);
    put_list(&w, "grant_types_supported", grants, sizeof grants / sizeof *grants);
    put_list(&w, "scopes_supported", scopes, sizeof scopes / sizeof *scopes);
    put_list(&w, "code_challenge_methods_supported", methods, sizeof methods / sizeof *methods);
    put_list(&w, "capabilities", capabilities, sizeof capabilities / sizeof *capabilities);
    json_object_end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static void put_uri(struct json_writer *w, const char *name, struct str uri)
{
    if (!uri.n)
        return;
    json_object_begin(w);
    json_put_str(w, STR("url"), str_of(name));
    json_put_str(w, STR("valueUri"), uri);
    json_object_end(w);
}

void rest_smart_write_security(const struct rest_call *call, struct json_writer *w)
{
    if (!call->site->guard)
        return;
    const struct rest_guard_options *o = rest_guard_options(call->site->guard);
    json_put_object(w, STR("security"));
    if (o->authorize_url.n || o->token_url.n) {
        json_put_array(w, STR("extension"));
        json_object_begin(w);
        json_put_str(w, STR("url"), STR(OAUTH_URIS));
        json_put_array(w, STR("extension"));
        put_uri(w, "authorize", o->authorize_url);
        put_uri(w, "token", o->token_url);
        json_array_end(w);
        json_object_end(w);
        json_array_end(w);
    }
    json_key(w, STR("service"));
    json_raw(
        w, STR("[{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/restful-security-service\","
               "\"code\":\"SMART-on-FHIR\"}]}]"));
    json_put_str(
        w, STR("description"),
        STR("A bearer token of a trusted issuer with SMART scopes (v2), or a partner's client certificate. "
            "In an emergency the header Emergency-Reason opens one patient's file; the practice is told."));
    json_object_end(w);
}
