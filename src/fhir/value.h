/* fhir/value.h - a resource on the JSON tape, seen with its types: what stands where, and of which type.
 *
 * A value is one element: the JSON value, and of a primitive also its companion ("_name"), which holds its id
 * and extensions; either may be missing, not both. Nothing is copied or checked: names that the type does not
 * have are passed over, and a JSON value of the wrong kind is a value that has no children. Of a name that is
 * repeated the first one counts. */
#ifndef POLDER_FHIR_VALUE_H
#define POLDER_FHIR_VALUE_H

#include "fhir/definitions.h"
#include "json/tape.h"

struct fhir_value {
    const struct json_tape *tape;
    const struct fhir_type *type;       /* of a resource inside another one: its own */
    const struct fhir_element *element; /* NULL: the resource itself */
    uint32_t node, companion;           /* JSON_NONE: there is none */
};

/* The resource an object is, by its resourceType. False: it does not say, or no type of R4. */
bool fhir_value_of_resource(const struct json_tape *, uint32_t object, struct fhir_value *ret);

/* A member of an object by its name, whatever its type; JSON_NONE: none, or not an object. */
uint32_t fhir_member(const struct json_tape *, uint32_t object, struct str name);
/* The text of a member that is a string, a number or a boolean; empty: it is not there. */
struct str fhir_member_text(const struct json_tape *, uint32_t object, struct str name, struct arena *);

enum fhir_primitive fhir_value_primitive(const struct fhir_value *); /* FHIR_NO_PRIMITIVE: it has elements */
/* Of a primitive: its text, without quotes. Copies only what has escapes. Empty: it has only a companion. */
struct str fhir_value_text(const struct fhir_value *, struct arena *);

/* Children in the order of the document, those of an array one by one. */
struct fhir_children {
    struct fhir_value parent;
    struct str name;                                             /* all when n is 0 */
    const struct fhir_element *choice, *single;                  /* what is looked for by name */
    uint32_t object, key, left;                                  /* members not looked at yet */
    bool is_once;                                                /* by name: not looked for yet */
    struct fhir_value item;                                      /* the member under way */
    uint32_t value_at, value_left, companion_at, companion_left; /* its arrays */
};

/* By name: "value" of a choice finds valueString. */
struct fhir_children fhir_children_named(const struct fhir_value *parent, struct str name);
struct fhir_children fhir_children_all(const struct fhir_value *parent);
bool fhir_children_next(struct fhir_children *, struct fhir_value *ret);
/* The first child of that name. */
bool fhir_child(const struct fhir_value *parent, struct str name, struct fhir_value *ret);
/* The text of a primitive child; empty: it has none. */
struct str fhir_child_text(const struct fhir_value *parent, struct str name, struct arena *);

#endif
