/* rest/request.h - what a request asks for: its interaction, and the fields and parameters that steer it. */
#ifndef POLDER_REST_REQUEST_H
#define POLDER_REST_REQUEST_H

#include "rest/rest.h"

enum rest_shape {
#define SHAPE(id, text) REST_SHAPE_##id,
#define INTERACTION(id, method, shape, writes)
#include "rest/interactions.def"
    REST_SHAPE_COUNT
};

enum rest_interaction {
    REST_CAPABILITIES,
    REST_READ,
    REST_VREAD,
    REST_HISTORY,
    REST_SEARCH,
    REST_SEARCH_SYSTEM,
    REST_CREATE,
    REST_UPDATE,
    REST_PATCH,
    REST_DELETE,
    REST_BUNDLE,
    REST_OPERATION,
    REST_INTERACTION_COUNT
};
struct str rest_interaction_name(enum rest_interaction); /* "read", as CapabilityStatement has it */

enum rest_format { REST_JSON, REST_XML };
enum rest_return { REST_RETURN_UNSAID, REST_RETURN_MINIMAL, REST_RETURN_REPRESENTATION, REST_RETURN_OUTCOME };

/* A request as any transport brings it; also an entry of a batch. All is borrowed. */
struct rest_http {
    enum http_method method;
    struct str path;  /* below the base URL, canonical (http/url.h): "" or beginning with '/' */
    struct str query; /* behind '?', encoded */
    const struct http_field *fields;
    unsigned field_count;
    struct str body;
    bool is_behind_gate; /* its identity fields were written by the gate, and no client's are among them */
};

struct rest_request {
    enum rest_interaction interaction;
    enum rest_shape shape;
    bool writes, is_head;
    const struct fhir_type *type;        /* NULL: of the whole system */
    struct str id;                       /* empty: none */
    uint64_t version;                    /* of VREAD */
    struct str operation;                /* without '$' */
    const struct fhir_type *compartment; /* of the type in front */
    struct str compartment_id;
    bool any_type; /* of a compartment: "*" */

    struct str query, form, body;
    enum rest_format format, body_format;
    bool is_acceptable, is_fhir_asked; /* one of our formats is accepted; FHIR's own is named */
    bool is_native;                    /* the content of a Binary is asked for, as it is */
    bool is_content;                   /* the body is the content of a Binary, and no resource */
    bool is_pretty;
    enum fhir_summary summary; /* of anything but a search, which reads its own */
    const struct str *elements;
    unsigned element_count;
    enum rest_return wanted;
    bool is_lenient, is_patch_json, is_patch_path;

    bool has_if_match, has_if_none_match, if_none_match_any, has_if_modified;
    uint64_t if_match;
    struct str if_none_match; /* as it came: a list */
    int64_t if_modified_s;
    struct str if_none_exist; /* a query; empty: none */

    int64_t since_us, at_low_us, at_high_us; /* of a history */
    uint32_t count;                          /* 0: not said */
    struct str position;                     /* _page: where a page begins */
};

/* Everything lies in the arena or is borrowed from the input. False: *ret_answer says why; of *ret the format
 * is what the client asked for as far as that is known. */
[[nodiscard]] bool rest_request_parse(const struct rest_call *, const struct rest_http *,
                                      struct rest_request *ret, struct rest_answer *ret_answer);

/* name=value pairs, decoded; false: percent encoding or UTF-8 is broken. */
struct rest_pair {
    struct str name, value;
};
[[nodiscard]] bool rest_pairs_parse(struct str encoded, struct arena *, struct rest_pair **ret,
                                    unsigned *ret_count);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7, the form that is sent); false: not that. */
[[nodiscard]] bool rest_http_date_parse(struct str text, int64_t *ret_unix_s);
/* Who asks, by the fields of a request (caller.c). peer: the address it came from. Borrows from both. */
void rest_caller_read(const struct rest_http *, struct str peer, struct rest_caller *ret);
/* The names of parameters that the parser of searches must pass over. */
extern const struct str rest_page_parameter;

#endif
