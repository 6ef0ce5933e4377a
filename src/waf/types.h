/* waf/types.h - what type an element of a FHIR resource has: the one interface behind which a table stands.
 *
 * It is FHIR R4's definitions (src/fhir/definitions.h); another version takes their place through
 * waf_overlay_options.types. Types: https://hl7.org/fhir/R4/datatypes.html.
 */
#ifndef POLDER_WAF_TYPES_H
#define POLDER_WAF_TYPES_H

#include "base/str.h"

enum waf_kind {
    WAF_KIND_UNKNOWN,  /* nobody knows: inspected as any argument */
    WAF_KIND_COMPLEX,  /* has elements of its own */
    WAF_KIND_RESOURCE, /* any resource: it says itself which */
    /* primitive types */
    WAF_KIND_BASE64,
    WAF_KIND_BOOLEAN,
    WAF_KIND_CODE,
    WAF_KIND_DATE,
    WAF_KIND_DATE_TIME,
    WAF_KIND_DECIMAL,
    WAF_KIND_ID,
    WAF_KIND_INSTANT,
    WAF_KIND_INTEGER,
    WAF_KIND_POSITIVE,
    WAF_KIND_STRING,    /* string, markdown: free text */
    WAF_KIND_REFERENCE, /* Reference.reference: a string that is a URL, "Type/id" or "#id" */
    WAF_KIND_TIME,
    WAF_KIND_UNSIGNED,
    WAF_KIND_URI, /* uri, url, canonical, oid, uuid */
    WAF_KIND_XHTML,
};

struct waf_type {
    uint8_t kind;    /* enum waf_kind */
    bool is_guessed; /* by its name alone: what does not fit is no error but an argument like any other */
    uint16_t which;  /* of WAF_KIND_COMPLEX: the table's own number */
};

struct waf_types {
    const void *context;
    /* The type of a resource by its name. A name the table does not know: WAF_KIND_COMPLEX, guessed. */
    struct waf_type (*resource)(const void *context, struct str name);
    /* The type of an element of parent, by its name as JSON has it ("valueString"). is_scalar: what stands
     * there is a scalar; only a table that guesses needs it. */
    struct waf_type (*child)(const void *context, struct waf_type parent, struct str name, bool is_scalar);
};

extern const struct waf_types waf_types_r4;

#endif
