/* rest/access.h - who asks, and what that one may see. The one place where a caller becomes a view of the
 * store: everything else passes the view on and decides nothing.
 *
 *   bearer token, or the client certificate that the gate names -> who -> what the cluster's records say of
 * that one (roles, organisations, consents) -> access/policy.h -> struct store_view
 *
 * What always holds:
 *  1. Without a guard everything is seen (the configuration says `access: off`, on loopback only). With one,
 *     nothing is seen by whom nobody knows.
 *  2. A decision is as old as a second at most, and never older than the last write it could depend on.
 *  3. What one may not see is not there: 404, and nowhere counted. 403 depends on the caller and the kind of
 *     question alone, never on what is stored. */
#ifndef POLDER_REST_ACCESS_H
#define POLDER_REST_ACCESS_H

#include "access/policy.h"
#include "base/hash.h"
#include "store/store.h"

struct rest_call;
struct rest_http;
struct rest_request;
struct rest_answer;

/* What a request says of who asks. All is borrowed. */
struct rest_caller {
    struct str user;         /* who: "Practitioner/1", a client's subject; empty: nobody said */
    struct str responsible;  /* in whose name */
    struct str organisation; /* which; several with a blank between */
    struct str address;      /* where from: "192.0.2.7" */
    struct str reference;    /* the request's id, also of what AORTA calls requestID */
    struct str initial_reference;
    struct str role, purpose; /* "practice 01.015"; "TREAT" */
    struct str reason;        /* of an emergency */
    struct str token;         /* its id (jti) */
};
enum { REST_CALLER_TEXTS = 10 };
/* All of them, in that order: for what writes and reads a caller as bytes. */
void rest_caller_texts(struct rest_caller *, struct str *ret[REST_CALLER_TEXTS]);

/* The four outcomes that NEN 7513 asks of every access. UNKNOWN: the question was not asked. */
enum rest_judgement { REST_UNKNOWN, REST_NO, REST_YES };
struct rest_judged {
    uint8_t authorised, treatment, consent, emergency; /* enum rest_judgement */
};

/* ---- the guard of a process */

struct rest_partner {
    struct str organisation; /* id of its Organization in every cluster */
    const struct str *names; /* common names of its certificates */
    unsigned name_count;
};

struct rest_guard_options {
    const struct access_issuer *issuers; /* without an audience: the base URL of the cluster that is asked */
    size_t issuer_count;
    const struct rest_partner *partners;
    size_t partner_count;
    const struct access_role *roles; /* besides those of access/roles.def */
    size_t role_count;
    const struct str *administrators; /* ids of clients that may do everything in every cluster */
    size_t administrator_count;
    struct str authorize_url, token_url; /* told to clients; may be empty */
};

struct rest_guard;
void rest_guard_options_done(struct rest_guard_options *); /* the lists; of options that came to no guard */
/* Takes the lists of issuers (with their keys), partners and roles, from malloc, also when it fails; texts
 * and all else are borrowed and outlive the guard. NULL: no memory. */
struct rest_guard *rest_guard_new(const struct rest_guard_options *);
void rest_guard_free(struct rest_guard *); /* NULL is fine */
const struct rest_guard_options *rest_guard_options(const struct rest_guard *);

/* What a request may see and do. Lives until the next call with the same guard, or as long as the arena. */
struct rest_grant {
    const struct store_view *view;          /* NULL: everything is seen */
    const struct access_decision *decision; /* NULL: access is off */
    struct str emergency_patient;           /* whose file a reason opened; empty: no emergency */
};
/* Sees nothing: of a request that nobody has judged. */
extern const struct store_view rest_sees_nothing;

/* Decides; also fills in of the caller who it is. False: refused, 401 or 403. Capabilities are everybody's.
 */
[[nodiscard]] bool rest_view_of(const struct rest_call *, const struct rest_http *,
                                const struct rest_request *, struct rest_caller *, struct rest_judged *,
                                struct rest_grant *ret, struct rest_answer *);

/* May that be asked at all, of that type? True, or 403. Also of every entry of a bundle. */
[[nodiscard]] bool rest_may_ask(const struct rest_call *, const struct rest_request *, struct rest_answer *);

/* May this be written? What was there must be seen, what comes must lie in files that are open. exists: one
 * is there now. rows: of what comes; NULL: a deletion. False: refused; 404 for what is not seen. */
[[nodiscard]] bool rest_may_write(const struct rest_call *, enum store_verb, const struct fhir_type *,
                                  struct str id, bool exists, const struct fhir_index_rows *,
                                  struct rest_answer *);

#endif
