/* access/policy.c - see policy.h. */
#include "access/policy.h"

#include <string.h>

#define LABEL    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
#define SHIELDED "_security=" LABEL "|R," LABEL "|V"

enum { LIST_MAX = 256 };

/* ---- tables */

struct letters {
    enum access_kind kind;
    struct str type;
    const char *letters;
};
struct rule {
    enum access_kind kind;
    struct str criterion;
};
struct chain {
    struct str type, path;
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define MAY(kind, type, letters)
#define COMMON(type)
#define ONLY(kind, criterion)
#define DENIED(kind, criterion)
#define HANGS(type, path)

static const struct access_role roles[] = {
#undef ROLE
#define ROLE(code, kind, text) {STR(code), ACCESS_##kind},
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define MAY(kind, type, letters)
#define COMMON(type)
#define ONLY(kind, criterion)
#define DENIED(kind, criterion)
#define HANGS(type, path)
#define HOUSE(code, kind) {STR(code), ACCESS_##kind},
static const struct access_role houses[] = {
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define COMMON(type)
#define ONLY(kind, criterion)
#define DENIED(kind, criterion)
#define HANGS(type, path)
#define MAY(kind, type, letters) {ACCESS_##kind, STR(type), letters},
static const struct letters may[] = {
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define MAY(kind, type, letters)
#define ONLY(kind, criterion)
#define DENIED(kind, criterion)
#define HANGS(type, path)
#define COMMON(type) STR(type),
static const struct str common[] = {
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define MAY(kind, type, letters)
#define COMMON(type)
#define DENIED(kind, criterion)
#define HANGS(type, path)
#define ONLY(kind, criterion) {ACCESS_##kind, STR(criterion)},
static const struct rule only_rules[] = {
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define MAY(kind, type, letters)
#define COMMON(type)
#define ONLY(kind, criterion)
#define HANGS(type, path)
#define DENIED(kind, criterion) {ACCESS_##kind, STR(criterion)},
static const struct rule denied_rules[] = {
#include "access/roles.def"
};

#define ROLE(code, kind, text)
#define HOUSE(code, kind)
#define MAY(kind, type, letters)
#define COMMON(type)
#define ONLY(kind, criterion)
#define DENIED(kind, criterion)
#define HANGS(type, path) {STR(type), STR(path)},
static const struct chain hangs[] = {
#include "access/roles.def"
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

struct str access_kind_name(enum access_kind kind)
{
    static const struct str names[] = {
        [ACCESS_NOBODY] = STR("nobody"),     [ACCESS_PRACTICE] = STR("practice"),
        [ACCESS_PHARMACY] = STR("pharmacy"), [ACCESS_SELF] = STR("patient"),
        [ACCESS_PARTNER] = STR("partner"),   [ACCESS_CLUSTER] = STR("cluster")};
    return names[kind];
}

struct str access_refusal_text(enum access_refusal refusal)
{
    static const struct str texts[] = {
        [ACCESS_GRANTED] = STR("granted"),
        [ACCESS_REFUSED_SCOPE] = STR("the token has no scope that allows this"),
        [ACCESS_REFUSED_USER] = STR("the token does not say who asks: it needs fhirUser, a patient, or a "
                                    "client that is known here"),
        [ACCESS_REFUSED_NO_ROLE] = STR("whoever asks has no role in this cluster that is in force"),
        [ACCESS_REFUSED_MANY] = STR("whoever asks has roles of several kinds here: the token must name the "
                                    "organisation"),
        [ACCESS_REFUSED_PATIENT] = STR("the token names another patient than the one who asks"),
        [ACCESS_REFUSED_EMERGENCY] = STR("emergency access is for those who work at a care practice"),
        [ACCESS_REFUSED_MEMORY] = STR("there is not enough memory"),
    };
    return texts[refusal];
}

struct str access_common_type(unsigned index)
{
    return index < COUNT(common) ? common[index] : STR_NONE;
}

bool access_member_is_delegated(const struct access_member *m)
{
    return m->is_post || m->through.n || m->until_us != INT64_MAX;
}

static enum access_kind kind_of(const struct access_role *table, size_t n, struct str code)
{
    for (size_t i = 0; i < n; i++)
        if (code.n && str_eq(table[i].code, code))
            return table[i].kind;
    return ACCESS_NOBODY;
}

static enum access_kind kind_of_member(const struct access_asked *a, const struct access_member *m)
{
    if (!a->user_id.n)
        return kind_of(houses, COUNT(houses), m->role);
    enum access_kind kind = kind_of(a->roles, a->role_count, m->role);
    return kind ? kind : kind_of(roles, COUNT(roles), m->role);
}

/* ---- lists */

static bool add(struct access_texts *list, struct arena *arena, struct str text)
{
    if (!list->at)
        list->at = arena_alloc(arena, LIST_MAX * sizeof *list->at);
    if (!list->at || !text.p || list->n == LIST_MAX)
        return false;
    list->at[list->n++] = text;
    return true;
}

/* One for each organisation, where the rule names them. */
static bool add_rule(struct access_texts *list, struct arena *arena, const struct access_decision *d,
                     struct str rule)
{
    ptrdiff_t at = str_find_char(rule, '%');
    if (at < 0)
        return add(list, arena, rule);
    for (unsigned i = 0; i < d->organisation_count; i++)
        if (!add(list, arena,
                 arena_printf(arena, "%.*s%.*s%.*s", (int)at, rule.p, STR_ARG(d->organisations[i]),
                              STR_ARG(str_skip(rule, (size_t)at + 1)))))
            return false;
    return true;
}

static bool add_rules(struct access_texts *list, struct arena *arena, const struct access_decision *d,
                      const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rules[i].kind == d->kind && !add_rule(list, arena, d, rules[i].criterion))
            return false;
    return true;
}

static bool add_shields(struct access_decision *d, struct arena *arena)
{
    if (!add(&d->denied, arena, STR("?" SHIELDED)))
        return false;
    for (size_t i = 0; i < COUNT(hangs); i++) {
        bool is_reverse = str_starts(hangs[i].path, STR("_has:"));
        if (!add(&d->denied, arena,
                 arena_printf(arena, "%.*s?%.*s%s" SHIELDED, STR_ARG(hangs[i].type), STR_ARG(hangs[i].path),
                              is_reverse ? ":" : ".")))
            return false;
    }
    return true;
}

/* ---- what a table and the scopes give */

static uint8_t bits_of(const char *letters)
{
    static const char order[] = "cruds"; /* as the bits of scope.h */
    uint8_t bits = 0;
    for (; *letters; letters++)
        bits |= (uint8_t)(1u << (strchr(order, *letters) - order));
    return bits;
}

static uint8_t given_by_table(enum access_kind kind, struct str type)
{
    for (size_t i = 0; i < COUNT(may); i++)
        if (may[i].kind == kind && (str_eq(may[i].type, type) || str_eq(may[i].type, STR("*"))))
            return bits_of(may[i].letters);
    return 0;
}

/* A scope with a search lets read what fits it, and write nothing: what is written might fit it no more. */
static uint8_t given_by_scopes(const struct access_decision *d, struct str type)
{
    uint8_t bits = 0;
    for (unsigned i = 0; i < d->scopes.count; i++) {
        const struct access_scope *s = &d->scopes.scope[i];
        if (!(d->contexts & 1u << s->context) || !(str_eq(s->type, STR("*")) || str_eq(s->type, type)))
            continue;
        bits |= s->query.n ? s->may & (ACCESS_READ | ACCESS_SEARCH) : s->may;
    }
    return bits;
}

static bool is_of_type(struct str criterion, struct str type)
{
    return str_starts(criterion, type) && criterion.n > type.n && criterion.p[type.n] == '?';
}

static bool has_only(const struct access_texts *only, size_t from, size_t to, struct str type)
{
    for (size_t i = from; i < to; i++)
        if (only->at[i].p[0] == '?' || is_of_type(only->at[i], type))
            return true;
    return false;
}

/* Two lists of "nothing but" cannot both be asked: then nothing of that type is seen. */
static bool is_narrowed_twice(const struct access_decision *d, struct str type)
{
    return has_only(&d->only, 0, d->only_by_table, type) &&
           has_only(&d->only, d->only_by_table, d->only.n, type);
}

uint8_t access_may(const struct access_decision *d, struct str type)
{
    uint8_t table = given_by_table(d->kind, type);
    if (d->kind == ACCESS_PARTNER)
        return table;
    uint8_t both = table & given_by_scopes(d, type);
    return both && is_narrowed_twice(d, type) ? 0 : both;
}

/* ---- scopes */

static bool has_wide_scope(const struct access_decision *d, struct str type)
{
    for (unsigned i = 0; i < d->scopes.count; i++) {
        const struct access_scope *s = &d->scopes.scope[i];
        if ((d->contexts & 1u << s->context) && !s->query.n && s->may & (ACCESS_READ | ACCESS_SEARCH) &&
            (str_eq(s->type, STR("*")) || str_eq(s->type, type)))
            return true;
    }
    return false;
}

static bool add_scope_criteria(struct access_decision *d, struct arena *arena)
{
    for (unsigned i = 0; i < d->scopes.count; i++) {
        const struct access_scope *s = &d->scopes.scope[i];
        if (!s->query.n || !(d->contexts & 1u << s->context) || has_wide_scope(d, s->type))
            continue;
        bool is_any = str_eq(s->type, STR("*"));
        struct str type = is_any ? STR_NONE : s->type;
        if (!add(&d->only, arena, arena_printf(arena, "%.*s?%.*s", STR_ARG(type), STR_ARG(s->query))))
            return false;
    }
    return true;
}

static uint8_t contexts_there(const struct access_decision *d)
{
    uint8_t bits = 0;
    for (unsigned i = 0; i < d->scopes.count; i++)
        bits |= (uint8_t)(1u << d->scopes.scope[i].context);
    return bits;
}

/* Which scopes count for whom. A person whose token has scopes of a launched patient only sees that one. */
static enum access_refusal choose_contexts(struct access_decision *d, const struct access_asked *a)
{
    uint8_t there = contexts_there(d), user = 1u << ACCESS_USER, launched = 1u << ACCESS_PATIENT;
    if (d->kind == ACCESS_SELF)
        d->contexts = there & (user | launched);
    else if (!a->user_id.n)
        d->contexts = there & 1u << ACCESS_SYSTEM;
    else if (there & user)
        d->contexts = user;
    else if (a->claims->patient.n)
        d->contexts = there & launched;
    if (d->contexts == launched && d->kind != ACCESS_SELF)
        d->launch = a->claims->patient;
    return d->contexts ? ACCESS_GRANTED : ACCESS_REFUSED_SCOPE;
}

/* ---- who it is */

static bool is_in_force(const struct access_asked *a, const struct access_member *m)
{
    return m->is_active && m->from_us <= a->now_us && a->now_us < m->until_us && m->organisation.n &&
           kind_of_member(a, m) != ACCESS_NOBODY;
}

static struct str id_behind(struct str reference, struct str type)
{
    return str_starts(reference, type) && reference.n > type.n && reference.p[type.n] == '/'
               ? str_skip(reference, type.n + 1)
               : reference;
}

static bool has_organisation(const struct access_decision *d, struct str id)
{
    for (unsigned i = 0; i < d->organisation_count; i++)
        if (str_eq(d->organisations[i], id))
            return true;
    return false;
}

static enum access_refusal take_members(struct access_decision *d, const struct access_asked *a,
                                        bool delegated)
{
    struct str named = id_behind(a->claims->organisation, STR("Organization"));
    for (size_t i = 0; i < a->member_count; i++) {
        const struct access_member *m = &a->members[i];
        if (!is_in_force(a, m) || access_member_is_delegated(m) != delegated ||
            (named.n && !str_eq(named, m->organisation) && !str_eq(named, m->through)))
            continue;
        enum access_kind kind = kind_of_member(a, m);
        if (d->kind != ACCESS_NOBODY && d->kind != kind)
            return ACCESS_REFUSED_MANY;
        d->kind = kind;
        d->role = d->role.n ? d->role : m->role;
        if (d->organisation_count < ACCESS_ORGANISATIONS_MAX && !has_organisation(d, m->organisation))
            d->organisations[d->organisation_count++] = m->organisation;
    }
    d->is_delegated = delegated;
    return d->organisation_count ? ACCESS_GRANTED : ACCESS_REFUSED_NO_ROLE;
}

/* Own organisations first: who has one stands in elsewhere only when the token says so. */
static enum access_refusal find_role(struct access_decision *d, const struct access_asked *a)
{
    enum access_refusal refusal = take_members(d, a, false);
    return refusal == ACCESS_REFUSED_NO_ROLE ? take_members(d, a, true) : refusal;
}

static enum access_refusal be_patient(struct access_decision *d, struct str id, struct str launched)
{
    launched = id_behind(launched, STR("Patient"));
    d->kind = ACCESS_SELF;
    d->patient = id;
    return !launched.n || str_eq(launched, id) ? ACCESS_GRANTED : ACCESS_REFUSED_PATIENT;
}

static enum access_refusal find_who(struct access_decision *d, const struct access_asked *a)
{
    struct str patient = id_behind(a->claims->patient, STR("Patient"));
    if (str_eq(a->user_type, STR("Patient")))
        return be_patient(d, a->user_id, a->claims->patient);
    if (str_eq(a->user_type, STR("Practitioner")) || str_eq(a->user_type, STR("PractitionerRole")))
        return find_role(d, a);
    if (a->user_id.n)
        return ACCESS_REFUSED_USER;
    if (a->is_administrator) {
        d->kind = ACCESS_CLUSTER;
        return ACCESS_GRANTED;
    }
    if (a->claims->organisation.n)
        return find_role(d, a);
    return patient.n ? be_patient(d, patient, STR_NONE) : ACCESS_REFUSED_USER;
}

/* ---- whose files, and what of them */

static bool add_criteria(struct access_decision *d, struct arena *arena)
{
    if (!add_rules(&d->only, arena, d, only_rules, COUNT(only_rules)) ||
        !add_rules(&d->denied, arena, d, denied_rules, COUNT(denied_rules)))
        return false;
    d->only_by_table = d->only.n;
    d->has_all_patients = d->kind == ACCESS_PHARMACY || d->kind == ACCESS_CLUSTER;
    bool is_own = d->kind == ACCESS_PRACTICE && !d->is_delegated && !d->is_emergency;
    bool is_shielded = d->kind == ACCESS_PHARMACY || d->kind == ACCESS_PARTNER ||
                       (d->kind == ACCESS_PRACTICE && !is_own && !d->is_emergency);
    if (d->kind == ACCESS_PRACTICE && !d->is_emergency &&
        !add_rule(&d->patient_criteria, arena, d, STR("Patient?organization=Organization/%")))
        return false;
    return !is_shielded || add_shields(d, arena);
}

static enum access_refusal be_in_emergency(struct access_decision *d, const struct access_asked *a)
{
    if (!a->emergency_patient.n)
        return ACCESS_GRANTED;
    if (d->kind != ACCESS_PRACTICE || !a->user_id.n)
        return ACCESS_REFUSED_EMERGENCY;
    d->is_emergency = true;
    d->patient = a->emergency_patient;
    return ACCESS_GRANTED;
}

enum access_refusal access_decide(const struct access_asked *a, struct arena *arena,
                                  struct access_decision *d)
{
    *d = (struct access_decision){.kind = ACCESS_NOBODY};
    if (!a->claims) {
        d->kind = ACCESS_PARTNER;
        d->organisations[d->organisation_count++] = a->partner;
        d->user = arena_printf(arena, "Organization/%.*s", STR_ARG(a->partner));
        return a->partner.n && add_criteria(d, arena) ? ACCESS_GRANTED : ACCESS_REFUSED_MEMORY;
    }
    if (!access_scopes_parse(a->claims->scope, &d->scopes))
        return ACCESS_REFUSED_SCOPE;
    enum access_refusal refusal = find_who(d, a);
    if (refusal == ACCESS_GRANTED)
        refusal = choose_contexts(d, a);
    if (refusal == ACCESS_GRANTED)
        refusal = be_in_emergency(d, a);
    if (refusal != ACCESS_GRANTED)
        return refusal;
    d->user = a->user_id.n ? arena_printf(arena, "%.*s/%.*s", STR_ARG(a->user_type), STR_ARG(a->user_id))
                           : a->claims->subject;
    return add_criteria(d, arena) && add_scope_criteria(d, arena) ? ACCESS_GRANTED : ACCESS_REFUSED_MEMORY;
}
