/* proxy/classes_proof.c - what shows that an application knows somebody: an answer that only an accepted user
 * gets.
 *
 * The gate cannot read sessions; it can see that the same thing is refused to one and given to another. A
 * credential is proved by a 2xx to a GET or HEAD of a path
 *  - of which the application answered 401 to somebody who carried no credential or another one,
 *  - or 403, or a redirect to another path, to somebody who carried another credential,
 * not longer than a day ago. Presence of a credential alone is never enough: applications hand out cookies to
 * everybody. What changes nothing is what counts, for tokens against forged requests make POST look like that
 * too.
 *
 * A credential is the Authorization field, or a cookie with the name of a session and 16 characters or more,
 * which nobody guesses; only the end of it is hashed, where signed tokens differ. Two values are needed that
 * the application treats differently: a stranger can bring about the refusal, but not the acceptance. */
#include "proxy/classes_parts.h"

enum { CREDENTIAL_MIN = 16, CREDENTIAL_HASHED = 64, REFUSAL_LASTS_S = 86'400 };

/* ---- the credential */

static bool contains_nocase(struct str text, struct str word)
{
    for (; text.n >= word.n; text = str_skip(text, 1))
        if (str_eq_nocase(str_take(text, word.n), word))
            return true;
    return false;
}

static bool is_session_name(struct str name)
{
    static const struct str words[] = {STR("sess"),  STR("sid"),     STR("auth"),
                                       STR("token"), STR("jwt"),     STR("identity"),
                                       STR("login"), STR(".aspnet"), STR("cas")};
    if (contains_nocase(name, STR("csrf")) || contains_nocase(name, STR("xsrf")))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (contains_nocase(name, words[i]))
            return true;
    return false;
}

static struct str session_cookie(const struct exchange *ex)
{
    for (unsigned i = 0; i < ex->req.field_count; i++) {
        struct str rest = ex->req.fields[i].id == FIELD_COOKIE ? ex->req.fields[i].value : STR_NONE;
        while (rest.n) {
            struct str value = str_trim(str_cut(&rest, ';'));
            struct str name = str_cut(&value, '=');
            if (value.n >= CREDENTIAL_MIN && is_session_name(name) &&
                !(ex->pool && str_eq(name, ex->pool->config->sticky_cookie)))
                return value;
        }
    }
    return STR_NONE;
}

uint64_t classes_credential(const struct exchange *ex, const struct admission *a)
{
    struct str credential = STR_NONE;
    for (unsigned i = 0; i < ex->req.field_count && !credential.n; i++)
        if (ex->req.fields[i].name.n == 13 && str_eq_nocase(ex->req.fields[i].name, STR("authorization")))
            credential = ex->req.fields[i].value;
    if (credential.n < CREDENTIAL_MIN)
        credential = session_cookie(ex);
    if (credential.n < CREDENTIAL_MIN)
        return 0;
    if (credential.n > CREDENTIAL_HASHED)
        credential = str_skip(credential, credential.n - CREDENTIAL_HASHED);
    return admission_user_key(a, credential);
}

/* ---- the table of refusals */

static uint64_t what_of(const struct exchange *ex)
{
    struct hash_key key = {ex->proxy->seed.k0 ^ shared_cluster_key(ex->cluster->name), ex->proxy->seed.k1};
    uint64_t hash = hash_bytes(&key, ex->req.path.p, ex->req.path.n);
    return hash ? hash : 1;
}

static bool redirects_elsewhere(const struct exchange *ex)
{
    if (ex->resp.status != 302 && ex->resp.status != 303 && ex->resp.status != 307)
        return false;
    for (unsigned i = 0; i < ex->resp.field_count; i++) {
        struct str to = ex->resp.fields[i].value;
        if (!str_eq_nocase(ex->resp.fields[i].name, STR("location")))
            continue;
        ptrdiff_t scheme = str_find(to, STR("://"));
        if (scheme >= 0) {
            to = str_skip(to, (size_t)scheme + 3);
            ptrdiff_t slash = str_find_char(to, '/');
            to = slash >= 0 ? str_skip(to, (size_t)slash) : STR("/");
        }
        return !str_eq(str_cut(&to, '?'), ex->req.path);
    }
    return false;
}

static void note_refusal(struct exchange *ex, bool is_plain)
{
    struct classes *c = ex->proxy->classes;
    uint64_t what = what_of(ex);
    struct classes_refusal *r = &c->refusals[what & (CLASSES_PROOFS - 1)];
    *r = (struct classes_refusal){what, ex->user, classes_now_s(ex->proxy), is_plain};
}

static bool was_refused_to_others(const struct exchange *ex)
{
    uint64_t what = what_of(ex);
    const struct classes_refusal *r = &ex->proxy->classes->refusals[what & (CLASSES_PROOFS - 1)];
    return r->what == what && r->user != ex->user && (r->user || r->is_plain) &&
           classes_now_s(ex->proxy) - r->at_s < REFUSAL_LASTS_S;
}

bool classes_proves(struct exchange *ex)
{
    bool is_plain = ex->resp.status == 401;
    if (ex->req.method != METHOD_GET && ex->req.method != METHOD_HEAD)
        return false;
    if (is_plain || (ex->user && (ex->resp.status == 403 || redirects_elsewhere(ex)))) {
        note_refusal(ex, is_plain);
        return false;
    }
    return ex->user && ex->resp.status >= 200 && ex->resp.status < 300 && was_refused_to_others(ex);
}
