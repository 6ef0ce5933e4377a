/* access/scope.h - SMART on FHIR scopes (SMART App Launch 2.0, "Scopes and Launch Context"): what a token
 * lets its bearer do at most. Whether he may, is decided elsewhere; a scope only narrows.
 *
 *   patient/Observation.rs   system/Patient.cruds   user/Observation.rs?category=vital-signs
 *
 * Scopes of version 1 (.read, .write, .*) are read as rs, cud and cruds, as the guide's table says. Scopes
 * that are not about resources (openid, fhirUser, launch, offline_access) are passed over. */
#ifndef POLDER_ACCESS_SCOPE_H
#define POLDER_ACCESS_SCOPE_H

#include "base/arena.h"

enum access_context { ACCESS_PATIENT, ACCESS_USER, ACCESS_SYSTEM };

enum { ACCESS_CREATE = 1, ACCESS_READ = 2, ACCESS_UPDATE = 4, ACCESS_DELETE = 8, ACCESS_SEARCH = 16 };

struct access_scope {
    enum access_context context;
    struct str type;  /* "*": every type */
    struct str query; /* a search that resources must fit; empty: all of them */
    uint8_t may;      /* ACCESS_CREATE | ... */
};

enum { ACCESS_SCOPES_MAX = 64 };

struct access_scopes {
    struct access_scope scope[ACCESS_SCOPES_MAX];
    unsigned count;
};

/* text: separated by spaces (RFC 6749 3.3). False: one of them is a resource scope that cannot be understood,
 * or there are too many: then nothing may be done. *ret borrows from the text. */
[[nodiscard]] bool access_scopes_parse(struct str text, struct access_scopes *ret);
/* Whether any scope, of any context, could let it happen to a resource of that type. */
bool access_scopes_allow(const struct access_scopes *, struct str type, uint8_t what);

#endif
