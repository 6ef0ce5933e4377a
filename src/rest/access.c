/* rest/access.c - see access.h. Tokens that were verified are kept by their SHA-256, with what was decided
 * about their bearer: a decision is used again while the store is as it was and for a second at most. */
#include "base/unconst.h"
#include "rest/access_parts.h"

#include "fhir/primitive.h"
#include "fhir/reference.h"
#include "rest/outcome.h"
#include "rest/request.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum {
    KEPT_SETS = 128,
    KEPT_WAYS = 4,
    KEY_BYTES = 32,
    CLAIMS_BYTES = 2 << 20,
    DECIDED_BYTES = 64 << 20,
    DECIDED_US = 1'000'000,
    REASON_MIN = 10,
    REASON_MAX = 500,
};

/* A caller that was seen before. */
struct kept {
    uint8_t key[KEY_BYTES]; /* of a token, or of a partner's subject */
    const struct rest_site *site;
    struct arena *said, *decided;       /* claims; and all that was made of them */
    const struct access_claims *claims; /* NULL: a partner */
    struct str partner;
    struct access_decision decision;
    struct store_view reads, searches;
    uint64_t sequence;
    int64_t decided_us, used_us; /* 0: not decided */
};

struct rest_guard {
    struct rest_guard_options options;
    struct kept kept[KEPT_SETS][KEPT_WAYS];
};

struct rest_guard *rest_guard_new(const struct rest_guard_options *options)
{
    struct rest_guard *g = calloc(1, sizeof *g);
    struct rest_guard_options taken = *options;
    if (g)
        g->options = taken;
    else
        rest_guard_options_done(&taken);
    return g;
}

void rest_guard_options_done(struct rest_guard_options *o)
{
    for (size_t i = 0; o->issuers && i < o->issuer_count; i++)
        access_keys_free(unconst(o->issuers[i].keys));
    free(unconst(o->issuers));
    free(unconst(o->partners));
    free(unconst(o->roles));
    *o = (struct rest_guard_options){0};
}

static void forget(struct kept *k)
{
    arena_free(k->said);
    arena_free(k->decided);
    *k = (struct kept){0};
}

void rest_guard_free(struct rest_guard *g)
{
    for (unsigned i = 0; g && i < KEPT_SETS * KEPT_WAYS; i++)
        forget(&g->kept[i / KEPT_WAYS][i % KEPT_WAYS]);
    if (g)
        rest_guard_options_done(&g->options);
    free(g);
}

const struct rest_guard_options *rest_guard_options(const struct rest_guard *g)
{
    return &g->options;
}

void rest_caller_texts(struct rest_caller *c, struct str *ret[REST_CALLER_TEXTS])
{
    struct str *const all[REST_CALLER_TEXTS] = {
        &c->user,      &c->responsible,       &c->organisation, &c->address, &c->role,
        &c->reference, &c->initial_reference, &c->purpose,      &c->reason,  &c->token};
    memcpy(ret, all, sizeof all);
}

/* ---- refusing */

static bool refuse_login(const struct rest_call *call, struct rest_answer *answer, struct str why)
{
    rest_refuse(call, answer, 401, "login", STR_NONE, "%.*s",
                STR_ARG(why.n ? why : STR("a bearer token is needed")));
    answer->challenge =
        why.n ? arena_printf(call->arena,
                             "Bearer realm=\"%.*s\", error=\"invalid_token\", error_description=\"%.*s\"",
                             STR_ARG(call->site->name), STR_ARG(why))
              : arena_printf(call->arena, "Bearer realm=\"%.*s\"", STR_ARG(call->site->name));
    return false;
}

static bool refuse_role(const struct rest_call *call, struct rest_answer *answer, enum access_refusal refusal)
{
    struct str why = access_refusal_text(refusal);
    rest_refuse(call, answer, refusal == ACCESS_REFUSED_MEMORY ? 503 : 403, "forbidden", STR_NONE, "%.*s",
                STR_ARG(why));
    if (refusal == ACCESS_REFUSED_SCOPE)
        answer->challenge = arena_printf(call->arena, "Bearer realm=\"%.*s\", error=\"insufficient_scope\"",
                                         STR_ARG(call->site->name));
    return false;
}

/* ---- what came */

static const struct http_field *field(const struct rest_http *http, struct str name, unsigned *ret_count)
{
    const struct http_field *found = NULL;
    *ret_count = 0;
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, name)) {
            found = found ? found : &http->fields[i];
            ++*ret_count;
        }
    return found;
}

/* The token of "Bearer x" (RFC 6750 2.1); empty: there is none, or another scheme's. */
static struct str bearer_token(const struct rest_http *http)
{
    unsigned count;
    const struct http_field *f = field(http, STR("authorization"), &count);
    if (count != 1 || f->value.n < 8 || !str_eq_nocase(str_take(f->value, 7), STR("Bearer ")))
        return STR_NONE;
    return str_trim(str_skip(f->value, 7));
}

/* The first common name of a subject as RFC 2253 writes it. A name with an escape fits nobody's. */
static struct str common_name(struct str subject)
{
    while (subject.n) {
        struct str part = str_cut(&subject, ',');
        if (str_find_char(part, '\\') >= 0)
            return STR_NONE;
        if (str_starts(part, STR("CN=")) && str_find_char(part, '+') < 0)
            return str_skip(part, 3);
    }
    return STR_NONE;
}

static struct str partner_of(const struct rest_guard *g, const struct rest_http *http)
{
    unsigned verified, named;
    const struct http_field *yes = field(http, STR("x-polder-client-verified"), &verified),
                            *subject = field(http, STR("x-polder-client-subject"), &named);
    if (!http->is_behind_gate || verified != 1 || named != 1 || !str_eq(yes->value, STR("yes")))
        return STR_NONE;
    struct str name = common_name(subject->value);
    for (size_t i = 0; name.n && i < g->options.partner_count; i++)
        for (unsigned k = 0; k < g->options.partners[i].name_count; k++)
            if (str_eq_nocase(g->options.partners[i].names[k], name))
                return g->options.partners[i].organisation;
    return STR_NONE;
}

/* ---- those that were seen before */

static struct kept *find_kept(struct rest_guard *g, const struct rest_site *site,
                              const uint8_t key[KEY_BYTES])
{
    struct kept *set = g->kept[key[0] % KEPT_SETS];
    for (unsigned i = 0; i < KEPT_WAYS; i++)
        if (set[i].said && set[i].site == site && memcmp(set[i].key, key, KEY_BYTES) == 0)
            return &set[i];
    return NULL;
}

/* The place of the one that was not used for longest. */
static struct kept *make_kept(struct rest_guard *g, const struct rest_site *site,
                              const uint8_t key[KEY_BYTES])
{
    struct kept *set = g->kept[key[0] % KEPT_SETS], *k = set;
    for (unsigned i = 1; i < KEPT_WAYS; i++)
        k = set[i].used_us < k->used_us ? &set[i] : k;
    forget(k);
    *k = (struct kept){.site = site, .said = arena_new(CLAIMS_BYTES), .decided = arena_new(DECIDED_BYTES)};
    memcpy(k->key, key, KEY_BYTES);
    if (k->said && k->decided)
        return k;
    forget(k);
    return NULL;
}

static bool key_of(struct str text, char kind, uint8_t ret[KEY_BYTES])
{
    if (!EVP_Digest(text.p, text.n, ret, NULL, EVP_sha256(), NULL))
        return false;
    ret[KEY_BYTES - 1] ^= (uint8_t)kind;
    return true;
}

/* A token is for one cluster: its audience is the base URL where the configuration names no other. */
static enum access_token_result verify(const struct rest_call *call, const struct rest_guard *g,
                                       struct str token, struct access_claims *ret)
{
    struct access_issuer *here = arena_alloc(call->arena, (g->options.issuer_count + 1) * sizeof *here);
    if (!here)
        return ACCESS_TOKEN_MALFORMED;
    for (size_t i = 0; i < g->options.issuer_count; i++) {
        here[i] = g->options.issuers[i];
        here[i].audience = here[i].audience.n ? here[i].audience : call->site->base_url;
    }
    return access_token_verify(token, here, g->options.issuer_count, call->now_us, call->arena, ret);
}

static bool take_token(const struct rest_call *call, struct rest_guard *g, struct str token,
                       struct kept **ret, struct rest_answer *answer)
{
    uint8_t key[KEY_BYTES];
    if (token.n > ACCESS_TOKEN_MAX || !key_of(token, 0, key))
        return refuse_login(call, answer, access_token_text(ACCESS_TOKEN_MALFORMED));
    struct kept *k = find_kept(g, call->site, key);
    if (k) {
        *ret = k;
        bool is_over = call->now_us >= k->claims->expires_us + ACCESS_LEEWAY_US;
        return !is_over || refuse_login(call, answer, access_token_text(ACCESS_TOKEN_EXPIRED));
    }
    struct access_claims claims;
    enum access_token_result result = verify(call, g, token, &claims);
    if (result != ACCESS_TOKEN_FINE)
        return refuse_login(call, answer, access_token_text(result));
    if (!(k = make_kept(g, call->site, key)))
        return refuse_role(call, answer, ACCESS_REFUSED_MEMORY);
    struct access_claims *copy = arena_alloc(k->said, sizeof *copy);
    *ret = k;
    if (copy) {
        *copy = claims;
        copy->issuer = NULL;
        struct str *const texts[] = {&copy->subject,   &copy->client,       &copy->id,
                                     &copy->scope,     &copy->user,         &copy->patient,
                                     &copy->encounter, &copy->organisation, &copy->purpose};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            *texts[i] = texts[i]->n ? arena_copy(k->said, *texts[i]) : STR_NONE;
    }
    k->claims = copy;
    if (copy && !arena_overflowed(k->said))
        return true;
    forget(k);
    return refuse_role(call, answer, ACCESS_REFUSED_MEMORY);
}

static bool take_partner(const struct rest_call *call, struct rest_guard *g, struct str partner,
                         struct kept **ret, struct rest_answer *answer)
{
    uint8_t key[KEY_BYTES];
    if (!key_of(partner, 1, key))
        return refuse_role(call, answer, ACCESS_REFUSED_MEMORY);
    struct kept *k = find_kept(g, call->site, key);
    if (!k && (k = make_kept(g, call->site, key)))
        k->partner = arena_copy(k->said, partner);
    *ret = k;
    return k || refuse_role(call, answer, ACCESS_REFUSED_MEMORY);
}

/* ---- deciding */

static bool is_administrator(const struct rest_guard *g, const struct access_claims *c)
{
    for (size_t i = 0; i < g->options.administrator_count; i++)
        if (c->client.n && str_eq(g->options.administrators[i], c->client))
            return true;
    return false;
}

/* fhirUser: a reference to somebody of this cluster. One of another server is nobody here. */
static void read_user(const struct rest_call *call, const struct access_claims *c, struct access_asked *a)
{
    struct fhir_reference r = fhir_reference_parse(c->user);
    size_t n = call->site->base_url.n;
    bool is_ours = !r.base.n || (r.base.n == n + 1 && str_starts(r.base, call->site->base_url));
    if (!c->user.n)
        return;
    a->user_type = r.type && is_ours ? fhir_type_name(r.type) : STR("unknown");
    a->user_id = r.type && is_ours ? r.id : c->user;
}

static struct str id_of_organisation(struct str reference)
{
    struct fhir_reference r = fhir_reference_parse(reference);
    return r.id.n ? r.id : reference;
}

struct deciding {
    const struct rest_call *call;
    const struct rest_guard *guard;
    struct kept *kept;
    struct str emergency_patient;
    struct rest_facts facts;
    struct arena *arena;
    enum access_refusal refusal;
};

static enum store_result decide(struct deciding *d, struct access_decision *ret)
{
    struct access_asked asked = {.claims = d->kept->claims,
                                 .partner = d->kept->partner,
                                 .roles = d->guard->options.roles,
                                 .role_count = d->guard->options.role_count,
                                 .emergency_patient = d->emergency_patient,
                                 .now_us = d->call->now_us};
    enum store_result result = STORE_FINE;
    if (asked.claims) {
        asked.is_administrator = is_administrator(d->guard, asked.claims);
        read_user(d->call, asked.claims, &asked);
        result = rest_find_members(d->call, asked.user_type, asked.user_id,
                                   id_of_organisation(asked.claims->organisation), d->arena, &d->facts);
    }
    asked.members = d->facts.members;
    asked.member_count = d->facts.member_count;
    if (result == STORE_FINE)
        d->refusal = access_decide(&asked, d->arena, ret);
    if (result == STORE_FINE && d->refusal == ACCESS_GRANTED)
        result = rest_find_consents(d->call, ret, d->arena, &d->facts);
    return result;
}

/* False: refused. */
static bool refuse_or_not(const struct deciding *d, enum store_result result, struct rest_answer *answer)
{
    if (result == STORE_NOT_INDEXED) /* a scope's search that cannot be read */
        return refuse_role(d->call, answer, ACCESS_REFUSED_SCOPE);
    if (result != STORE_FINE)
        return rest_refuse_store(d->call, answer, result);
    return d->refusal == ACCESS_GRANTED || refuse_role(d->call, answer, d->refusal);
}

static bool decide_kept(const struct rest_call *call, const struct rest_guard *g, struct kept *k,
                        struct rest_answer *answer)
{
    uint64_t sequence = store_last_sequence(call->site->store);
    k->used_us = call->now_us;
    if (k->decided_us && sequence && k->sequence == sequence && call->now_us >= k->decided_us &&
        call->now_us < k->decided_us + DECIDED_US)
        return true;
    arena_reset(k->decided);
    k->decided_us = 0;
    struct deciding d = {.call = call, .guard = g, .kept = k, .arena = k->decided};
    enum store_result result = decide(&d, &k->decision);
    if (result == STORE_FINE && d.refusal == ACCESS_GRANTED)
        result = rest_view_make(call, &k->decision, &d.facts, ACCESS_READ, k->decided, &k->reads);
    if (result == STORE_FINE && d.refusal == ACCESS_GRANTED)
        result = rest_view_make(call, &k->decision, &d.facts, ACCESS_SEARCH, k->decided, &k->searches);
    if (result == STORE_FINE && arena_overflowed(k->decided))
        result = STORE_NO_MEMORY;
    if (!refuse_or_not(&d, result, answer))
        return false;
    k->sequence = sequence;
    k->decided_us = call->now_us;
    return true;
}

/* ---- emergencies */

static bool is_patient_parameter(const struct rest_request *r, struct str name)
{
    bool is_patient = r->type && str_eq(fhir_type_name(r->type), STR("Patient"));
    return str_eq(name, STR("patient")) || str_eq(name, STR("subject")) ||
           (is_patient && str_eq(name, STR("_id")));
}

/* The patient that the request itself names, and only one. */
static struct str named_patient(const struct rest_call *call, const struct rest_request *r)
{
    struct rest_pair *pairs;
    unsigned n;
    struct str found = STR_NONE;
    if (r->compartment && str_eq(fhir_type_name(r->compartment), STR("Patient")))
        return r->compartment_id;
    if (r->type && str_eq(fhir_type_name(r->type), STR("Patient")) && r->id.n)
        return r->id;
    if (!rest_pairs_parse(r->form.n ? r->form : r->query, call->arena, &pairs, &n))
        return STR_NONE;
    for (unsigned i = 0; i < n; i++) {
        if (!is_patient_parameter(r, pairs[i].name))
            continue;
        struct str id = pairs[i].value;
        id = str_starts(id, STR("Patient/")) ? str_skip(id, 8) : id;
        if (found.n && !str_eq(found, id))
            return STR_NONE;
        found = id;
    }
    return fhir_primitive_is_valid(FHIR_ID, found) ? found : STR_NONE;
}

static bool check_emergency(const struct rest_call *call, const struct rest_request *r, struct str reason,
                            struct str *ret_patient, struct rest_answer *answer)
{
    if (reason.n < REASON_MIN || reason.n > REASON_MAX)
        return rest_refuse(
            call, answer, 403, "forbidden", STR_NONE,
            "an emergency needs a reason of %u to %u characters in the header Emergency-Reason", REASON_MIN,
            REASON_MAX);
    if (r->writes)
        return rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                           "an emergency opens a file for reading only");
    *ret_patient = named_patient(call, r);
    return ret_patient->n ||
           rest_refuse(call, answer, 403, "forbidden", STR_NONE,
                       "an emergency opens one file: the request must name the patient, as in "
                       "Patient/1/$everything or Observation?patient=1");
}

static bool decide_emergency(const struct rest_call *call, const struct rest_guard *g, struct kept *k,
                             const struct rest_request *r, struct str reason, struct rest_grant *ret,
                             struct rest_answer *answer)
{
    struct access_decision *decision = arena_alloc(call->arena, sizeof *decision);
    struct store_view *view = arena_alloc(call->arena, sizeof *view);
    struct deciding d = {.call = call, .guard = g, .kept = k, .arena = call->arena};
    if (!decision || !view)
        return refuse_role(call, answer, ACCESS_REFUSED_MEMORY);
    if (!check_emergency(call, r, reason, &d.emergency_patient, answer))
        return false;
    enum store_result result = decide(&d, decision);
    if (result == STORE_FINE && d.refusal == ACCESS_GRANTED)
        result = rest_view_make(call, decision, &d.facts, ACCESS_READ | ACCESS_SEARCH, call->arena, view);
    *ret = (struct rest_grant){view, decision, d.emergency_patient};
    return refuse_or_not(&d, result, answer);
}

/* ---- all of it */

static void describe(const struct rest_call *call, const struct kept *k, const struct access_decision *d,
                     struct rest_caller *c, struct rest_judged *judged)
{
    struct str kind = access_kind_name(d->kind), organisations = STR_NONE;
    for (unsigned i = 0; i < d->organisation_count; i++)
        organisations = arena_printf(call->arena, "%.*s%s%.*s", STR_ARG(organisations), i ? " " : "",
                                     STR_ARG(d->organisations[i]));
    c->user = arena_copy(call->arena, d->user);
    c->organisation = organisations;
    c->responsible = d->organisation_count && !str_starts(d->user, STR("Pra"))
                         ? arena_printf(call->arena, "Organization/%.*s", STR_ARG(d->organisations[0]))
                         : c->user;
    c->role = arena_printf(call->arena, "%.*s%s%.*s%s", STR_ARG(kind), d->role.n ? " " : "", STR_ARG(d->role),
                           d->is_delegated ? " standing in" : "");
    if (k->claims) {
        c->purpose = d->is_emergency ? STR("BTG") : arena_copy(call->arena, k->claims->purpose);
        c->token = arena_copy(call->arena, k->claims->id);
    }
    *judged = (struct rest_judged){.authorised = REST_YES, .emergency = d->is_emergency ? REST_YES : REST_NO};
    if (d->kind == ACCESS_PRACTICE)
        judged->treatment = d->is_emergency ? REST_NO : REST_YES;
    if (d->kind == ACCESS_PARTNER)
        judged->consent = REST_YES;
}

static bool take_caller(const struct rest_call *call, struct rest_guard *g, const struct rest_http *http,
                        struct kept **ret, struct rest_answer *answer)
{
    unsigned count;
    struct str token = bearer_token(http), partner;
    if (token.n)
        return take_token(call, g, token, ret, answer);
    if (field(http, STR("authorization"), &count))
        return refuse_login(call, answer,
                            STR("the field Authorization must stand there once, as Bearer and a token"));
    partner = partner_of(g, http);
    return partner.n ? take_partner(call, g, partner, ret, answer) : refuse_login(call, answer, STR_NONE);
}

bool rest_view_of(const struct rest_call *call, const struct rest_http *http, const struct rest_request *r,
                  struct rest_caller *caller, struct rest_judged *judged, struct rest_grant *ret,
                  struct rest_answer *answer)
{
    struct rest_guard *g = call->site->guard;
    struct kept *k = NULL;
    unsigned count;
    *judged = (struct rest_judged){.authorised = REST_YES};
    *ret = (struct rest_grant){.view = g ? &rest_sees_nothing : NULL};
    if (!g || r->interaction == REST_CAPABILITIES)
        return true;
    judged->authorised = REST_NO;
    if (!take_caller(call, g, http, &k, answer))
        return false;
    const struct http_field *reason = field(http, STR("emergency-reason"), &count);
    bool is_emergency = reason || (k->claims && str_eq(k->claims->purpose, STR("BTG")));
    if (is_emergency) {
        caller->reason = reason ? str_take(reason->value, REASON_MAX) : STR_NONE;
        if (!decide_emergency(call, g, k, r, reason ? str_trim(reason->value) : STR_NONE, ret, answer))
            return false;
    } else {
        if (!decide_kept(call, g, k, answer))
            return false;
        bool is_read = r->id.n && r->interaction != REST_OPERATION; /* one resource, by its id */
        *ret = (struct rest_grant){.view = is_read ? &k->reads : &k->searches, .decision = &k->decision};
    }
    describe(call, k, ret->decision, caller, judged);
    return true;
}
