/* waf/fhir.h - bodies that are FHIR resources, and FHIR searches, read by the types of their elements. Inside
 * src/waf only.
 *
 * Every leaf goes one of five ways, and none is skipped unread:
 *
 *     typed        valid for its type, and of characters in which no attack can be written (fhir_check)
 *     argument     valid but unusual: ARGS, as any argument
 *     text         free text, and elements nobody knows: ARGS too, but a rule may leave it out (!FHIR_TEXT)
 *     error        invalid for its type; it is an argument as well, in case the error is excluded. What is
 *                  wrong begins with "loosely" where only the form is, such as a time without its zone
 *     attachment   what base64 decodes to, where that can be markup or text
 *
 * Names are the path of elements, "entry.resource.name.family", without numbers. In ARGS_NAMES stand only the
 * names of elements that the table does not know, each alone: what FHIR chose says nothing. */
#ifndef POLDER_WAF_FHIR_H
#define POLDER_WAF_FHIR_H

#include "waf/text.h"
#include "waf/types.h"
#include "waf/xhtml.h"
#include "json/tape.h"

struct body;
struct body_input;

struct fhir_values {
    bool was_read;                                        /* the body is a FHIR resource */
    struct pairs typed, text, names, errors, attachments; /* errors: element, what is wrong with it */
};

/* ---- one value (fhir_primitive.c, fhir_code.c, fhir_uri.c) */

enum fhir_finding {
    FHIR_HARMLESS, /* valid, and no attack can be written in its characters */
    FHIR_UNUSUAL,  /* valid */
    FHIR_LOOSE,    /* not valid, but of characters its type is made of: a sloppy sender */
    FHIR_INVALID,
};

enum fhir_finding fhir_check(enum waf_kind, struct str value);
enum fhir_finding fhir_check_uri(struct str value);
enum fhir_finding fhir_check_reference(struct str value);
bool fhir_is_token(struct str value);      /* what a harmless code is made of */
bool fhir_is_id(struct str value);         /* what a harmless id is made of */
bool fhir_is_known_code(struct str value); /* a unit, a type of media, a comparator */
bool fhir_is_resource_name(struct str);    /* "Patient", by its letters */
bool fhir_has_control(struct str value);
const char *fhir_kind_name(enum waf_kind);

/* ---- where it goes (fhir.c) */

struct fhir_reading {
    const struct body_input *in;
    struct body *body;
    const struct waf_types *types;
    bool is_full; /* a limit was met; nothing more is added */
};

/* An element's place: its name and its type. Known elements are made once for all resources of a body. */
struct fhir_place {
    struct str element, name;
    struct waf_type type;
    bool is_known; /* so is every element above it */
    struct fhir_place *children, *next;
};

struct fhir_place *fhir_place_root(struct fhir_reading *, struct str resource_type); /* NULL: no memory */
struct fhir_place *fhir_place_child(struct fhir_reading *, struct fhir_place *, struct str element,
                                    bool is_scalar);
/* The same place, once it is known which resource stands there. */
struct fhir_place *fhir_place_resource(struct fhir_reading *, struct fhir_place *, struct str resource_type);

/* content_type: of base64, what its sibling says; else empty. */
void fhir_add_leaf(struct fhir_reading *, const struct fhir_place *, struct str value,
                   struct str content_type);
void fhir_add_argument(struct fhir_reading *, struct str name, struct str value);
void fhir_add_error(struct fhir_reading *, struct str name, const char *what);
/* div: as it came, an argument when it was refused. */
void fhir_add_xhtml(struct fhir_reading *, struct str name, struct str div, const struct xhtml_result *);
void fhir_add_base64(struct fhir_reading *, struct str name, struct str value, struct str content_type);

/* ---- whole bodies */

/* "Patient" of a resource, else empty. */
struct str fhir_json_root(const struct json_tape *, struct arena *);
void fhir_read_json(const struct body_input *, struct body *, const struct json_tape *, struct str root);
/* Names that an object has twice: readers differ in which they take. For any JSON. */
void fhir_find_repeated(const struct body_input *, struct body *, const struct json_tape *);
/* False: the root is not one of FHIR's, and nothing was read. */
bool fhir_read_xml(const struct body_input *, struct body *);
/* Moves what is harmless from args to fhir.typed; path is the request's. */
void fhir_type_search(struct body *, struct str path, struct arena *);
bool fhir_is_xml_type(struct str content_type);
bool fhir_is_json_type(struct str content_type);

#endif
