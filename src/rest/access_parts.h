/* rest/access_parts.h - between the files of access.h. */
#ifndef POLDER_REST_ACCESS_PARTS_H
#define POLDER_REST_ACCESS_PARTS_H

#include "rest/rest.h"

/* What the records say of a caller, found in the store. */
struct rest_facts {
    struct access_member members[64];
    size_t member_count;
    struct str *hidden; /* patients who deny these organisations */
    size_t hidden_count;
    struct str *open; /* patients who let a partner see */
    size_t open_count;
    struct str *limited; /* "Type?patient=Patient/1,Patient/2": what of those is not let */
    size_t limited_count;
};

enum { REST_CONSENTS_MAX = 10'000 };

/* Roles and affiliations of a person, or of the organisation that a system acts for. */
enum store_result rest_find_members(const struct rest_call *, struct str user_type, struct str user_id,
                                    struct str organisation, struct arena *, struct rest_facts *);
/* Consents that name these organisations. */
enum store_result rest_find_consents(const struct rest_call *, const struct access_decision *, struct arena *,
                                     struct rest_facts *);
/* "Type?a=b" as one criterion. False: it is none, or several. */
[[nodiscard]] bool rest_criterion_parse(const struct rest_call *, struct str text, struct arena *,
                                        struct fhir_query_criterion *ret);
/* The view of a decision. letters: what a type must allow to be seen. */
enum store_result rest_view_make(const struct rest_call *, const struct access_decision *,
                                 const struct rest_facts *, uint8_t letters, struct arena *,
                                 struct store_view *ret);

#endif
