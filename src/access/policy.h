/* access/policy.h - who sees what, decided: from what a token says and what the cluster's own records say of
 * its bearer to a list of searches. Pure: no store, no clock. What is decided here is carried out in the
 * store's query plans, by the view that rest/access.c makes of it.
 *
 *   claims + memberships + tables (roles.def) -> kind of caller -> whose files, which types, what is hidden
 *
 * What always holds:
 *  1. A caller acts in one capacity: as one kind, and either in its own organisations or standing in.
 *  2. A scope only narrows. What the tables do not give, no token gives.
 *  3. What cannot be decided is refused. */
#ifndef POLDER_ACCESS_POLICY_H
#define POLDER_ACCESS_POLICY_H

#include "access/scope.h"
#include "access/token.h"

enum access_kind {
    ACCESS_NOBODY,
    ACCESS_PRACTICE, /* who works at a care practice, or stands in for one */
    ACCESS_PHARMACY,
    ACCESS_SELF,    /* a patient */
    ACCESS_PARTNER, /* another house, known by its certificate */
    ACCESS_CLUSTER, /* a client that administers the cluster */
    ACCESS_KINDS,
};
struct str access_kind_name(enum access_kind); /* "practice" */

struct access_role {
    struct str code;
    enum access_kind kind;
};

/* That a person works somewhere (PractitionerRole), or an out-of-hours post stands in for a practice
 * (OrganizationAffiliation), as the records say it now. */
struct access_member {
    struct str organisation; /* id */
    struct str role;         /* code; of a system: the organisation's type */
    struct str through;      /* id of the post that stands in for the organisation; empty: none */
    bool is_active;
    bool is_post;              /* the organisation itself stands in for others */
    int64_t from_us, until_us; /* [from, until); INT64_MAX: no end */
};
/* Standing in: what has an end, and what goes through a post. */
bool access_member_is_delegated(const struct access_member *);

struct access_asked {
    const struct access_claims *claims; /* NULL: a partner */
    struct str partner;                 /* id of its Organization */
    bool is_administrator;              /* the token's client is one of those */
    struct str user_type, user_id;      /* of fhirUser; empty: no person */
    const struct access_member *members;
    size_t member_count;
    const struct access_role *roles; /* the house's own, before those of the table */
    size_t role_count;
    struct str emergency_patient; /* a reason was given to open this file; empty: none */
    int64_t now_us;
};

enum access_refusal {
    ACCESS_GRANTED,
    ACCESS_REFUSED_SCOPE,     /* a scope that cannot be understood, or none that fits this kind of caller */
    ACCESS_REFUSED_USER,      /* the token says nobody that can be known here */
    ACCESS_REFUSED_NO_ROLE,   /* no role here that is in force */
    ACCESS_REFUSED_MANY,      /* several kinds of roles, and the token does not say which */
    ACCESS_REFUSED_PATIENT,   /* the launch's patient is not the patient who asks */
    ACCESS_REFUSED_EMERGENCY, /* emergency access is for those who care */
    ACCESS_REFUSED_MEMORY,
};
struct str access_refusal_text(enum access_refusal); /* a sentence for people */

enum { ACCESS_ORGANISATIONS_MAX = 16 };

struct access_texts {
    struct str *at;
    size_t n, room;
};

struct access_decision {
    enum access_kind kind;
    bool is_delegated, is_emergency;
    bool has_all_patients;
    struct str organisations[ACCESS_ORGANISATIONS_MAX];
    unsigned organisation_count;
    struct str user, role; /* "Practitioner/1"; code */
    struct str patient;    /* the only file; empty: see the criteria */
    struct str launch;     /* and of those only this one; empty: all */
    /* Searches: "Patient?organization=Organization/1". In `denied` one without a type is for all types. */
    struct access_texts patient_criteria, denied, only;
    size_t only_by_table; /* so many of `only` are the table's, the rest the scopes' */
    struct access_scopes scopes;
    uint8_t contexts; /* 1 << enum access_context: scopes that count */
};

/* Everything lies in the arena or is borrowed from what was asked. */
enum access_refusal access_decide(const struct access_asked *, struct arena *, struct access_decision *ret);

/* ACCESS_CREATE | ...: what may be done to resources of a type, by table and scope together. */
uint8_t access_may(const struct access_decision *, struct str type);
/* The next type of which resources without a patient may be seen; empty: that was all. */
struct str access_common_type(unsigned index);

#endif
