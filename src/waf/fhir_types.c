/* FHIR R4's definitions behind waf/types.h; and for what they do not define, resources and elements of other
 * versions, what a name means nearly wherever it stands. */
#include "waf/types.h"

#include "fhir/definitions.h"

static const struct {
    const char *name;
    enum waf_kind kind;
} primitives[] = {
    {"base64Binary", WAF_KIND_BASE64},
    {"boolean", WAF_KIND_BOOLEAN},
    {"canonical", WAF_KIND_URI},
    {"code", WAF_KIND_CODE},
    {"date", WAF_KIND_DATE},
    {"dateTime", WAF_KIND_DATE_TIME},
    {"decimal", WAF_KIND_DECIMAL},
    {"id", WAF_KIND_ID},
    {"instant", WAF_KIND_INSTANT},
    {"integer", WAF_KIND_INTEGER},
    {"markdown", WAF_KIND_STRING},
    {"oid", WAF_KIND_URI},
    {"positiveInt", WAF_KIND_POSITIVE},
    {"string", WAF_KIND_STRING},
    {"time", WAF_KIND_TIME},
    {"unsignedInt", WAF_KIND_UNSIGNED},
    {"uri", WAF_KIND_URI},
    {"url", WAF_KIND_URI},
    {"uuid", WAF_KIND_URI},
    {"xhtml", WAF_KIND_XHTML},
};

static const struct waf_type unknown = {.kind = WAF_KIND_UNKNOWN};

static bool is_named(const struct fhir_type *type, struct str name)
{
    return str_eq(fhir_type_name(type), name);
}

static enum waf_kind primitive_kind(const struct fhir_type *type)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++) {
        if (is_named(type, str_of(primitives[i].name)))
            return primitives[i].kind;
    }
    return WAF_KIND_UNKNOWN;
}

static struct waf_type type_of(const struct fhir_type *type, bool is_guessed)
{
    enum waf_kind kind = WAF_KIND_COMPLEX;
    if (fhir_type_kind(type) == FHIR_PRIMITIVE)
        kind = primitive_kind(type);
    else if (is_named(type, STR("Resource")))
        kind = WAF_KIND_RESOURCE;
    return (struct waf_type){(uint8_t)kind, is_guessed, (uint16_t)fhir_type_index(type)};
}

static struct waf_type named(const char *name, bool is_guessed)
{
    const struct fhir_type *type = fhir_type_find(str_of(name));
    return type ? type_of(type, is_guessed) : unknown;
}

static struct waf_type resource(const void *, struct str name)
{
    const struct fhir_type *type = fhir_type_find(name);
    if (!type || fhir_type_kind(type) != FHIR_RESOURCE || is_named(type, STR("Resource")))
        return named("DomainResource", true);
    return type_of(type, false);
}

/* ---- by name alone */

static const struct {
    const char *name, *type;
} guesses[] = {
#define GUESS(name, type) {name, type},
#include "waf/fhir_guesses.def"
#undef GUESS
};

/* A code is a word where it is a scalar, and a concept where it is an object. */
static const char *guessed_type(struct str name, bool is_scalar)
{
    if (str_eq(name, STR("code")) || str_eq(name, STR("type")))
        return is_scalar ? "code" : "CodeableConcept";
    if (!is_scalar && str_eq(name, STR("text")))
        return "Narrative";
    if (!is_scalar && str_eq(name, STR("name")))
        return "HumanName";
    for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++) {
        if (str_eq(name, str_of(guesses[i].name)))
            return guesses[i].type;
    }
    return NULL;
}

static bool is_primitive(struct waf_type type)
{
    return type.kind > WAF_KIND_RESOURCE;
}

/* "valueString": what Extension may have as a value any choice may. */
static struct waf_type guessed_choice(struct str name)
{
    static const char *const types[] = {"Extension", "Observation", "ElementDefinition"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct fhir_element *element = fhir_element_find(fhir_type_find(str_of(types[i])), name);
        if (element && fhir_element_flags(element) & FHIR_CHOICE)
            return type_of(fhir_element_type(element), true);
    }
    return unknown;
}

static struct waf_type guess(struct str name, bool is_scalar)
{
    const char *type = guessed_type(name, is_scalar);
    struct waf_type guessed = type ? named(type, true) : guessed_choice(name);
    return is_primitive(guessed) == is_scalar ? guessed : unknown;
}

/* ---- by what is defined */

static struct waf_type defined_child(const struct fhir_type *parent, struct str name, bool is_guessed)
{
    if (fhir_type_is_a(parent, fhir_type_find(STR("Resource"))) && str_eq(name, STR("resourceType")))
        return named("code", is_guessed);
    const struct fhir_element *element = fhir_element_find(parent, name);
    if (!element)
        return unknown;
    struct waf_type type = type_of(fhir_element_type(element), is_guessed);
    if (is_named(parent, STR("Reference")) && str_eq(name, STR("reference")))
        type.kind = WAF_KIND_REFERENCE;
    return type;
}

static struct waf_type named_child(struct waf_type parent, struct str name, bool is_scalar)
{
    bool has_elements = parent.kind == WAF_KIND_COMPLEX && parent.which < fhir_type_count();
    struct waf_type type = unknown;
    if (has_elements)
        type = defined_child(fhir_type_at(parent.which), name, parent.is_guessed);
    if (type.kind == WAF_KIND_XHTML || (type.kind == WAF_KIND_COMPLEX && str_eq(name, STR("text"))))
        type.is_guessed = false; /* a narrative is one in every version */
    return type.kind != WAF_KIND_UNKNOWN ? type : guess(name, is_scalar);
}

/* "_birthDate": the id and the extensions of birthDate. */
static struct waf_type child(const void *, struct waf_type parent, struct str name, bool is_scalar)
{
    if (!name.n || name.p[0] != '_')
        return named_child(parent, name, is_scalar);
    struct waf_type primitive = named_child(parent, str_skip(name, 1), true);
    return is_primitive(primitive) ? named("Element", parent.is_guessed) : unknown;
}

const struct waf_types waf_types_r4 = {.resource = resource, .child = child};
