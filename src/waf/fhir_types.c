/* The table of our own behind waf/types.h: fhir_elements.def, the ending of value[x] and the like, and for
 * the rest what a name means wherever it stands. */
#include "waf/types.h"

#include "waf/text.h"

/* Primitive kinds bear the numbers of enum waf_kind, types of ours follow. */
enum { FIRST_TYPE = WAF_KIND_XHTML + 1 };

enum type_symbol {
    T_FIRST = FIRST_TYPE - 1,
#define TYPE(symbol, elements)           T_##symbol,
#define RESOURCE(symbol, name, elements) T_##symbol,
#include "waf/fhir_elements.def"
#undef TYPE
#undef RESOURCE
    T_END,
};

enum {
    T_RESOURCE = WAF_KIND_RESOURCE,
    T_BASE64 = WAF_KIND_BASE64,
    T_BOOLEAN = WAF_KIND_BOOLEAN,
    T_CODE = WAF_KIND_CODE,
    T_DATE = WAF_KIND_DATE,
    T_DATE_TIME = WAF_KIND_DATE_TIME,
    T_DECIMAL = WAF_KIND_DECIMAL,
    T_ID = WAF_KIND_ID,
    T_INSTANT = WAF_KIND_INSTANT,
    T_INTEGER = WAF_KIND_INTEGER,
    T_POSITIVE = WAF_KIND_POSITIVE,
    T_STRING = WAF_KIND_STRING,
    T_REFERENCE = WAF_KIND_REFERENCE,
    T_TIME = WAF_KIND_TIME,
    T_UNSIGNED = WAF_KIND_UNSIGNED,
    T_URI = WAF_KIND_URI,
    T_XHTML = WAF_KIND_XHTML,
};

struct element {
    const char *name;
    uint16_t symbol;
};

#define E(name, symbol)        {name, T_##symbol},
#define TYPE(symbol, elements) static const struct element elements_##symbol[] = {elements{NULL, 0}};
#define RESOURCE(symbol, name, elements)                                                                     \
    static const struct element elements_##symbol[] = {elements{NULL, 0}};
#include "waf/fhir_elements.def"
#undef TYPE
#undef RESOURCE
#undef E

static const struct {
    const char *resource; /* NULL: a data type, or a part of a resource */
    const struct element *elements;
} table[] = {
#define TYPE(symbol, elements)           {NULL, elements_##symbol},
#define RESOURCE(symbol, name, elements) {name, elements_##symbol},
#include "waf/fhir_elements.def"
#undef TYPE
#undef RESOURCE
};

static bool find(uint16_t symbol, struct str name, uint16_t *ret_symbol)
{
    for (const struct element *e = table[symbol - FIRST_TYPE].elements; e->name; e++) {
        if (!str_eq(str_of(e->name), name))
            continue;
        *ret_symbol = e->symbol;
        return true;
    }
    return false;
}

/* ---- value[x]: the ending names the type */

static const struct {
    const char *ending;
    uint16_t symbol;
} endings[] = {
    {"Base64Binary", T_BASE64},
    {"Boolean", T_BOOLEAN},
    {"Canonical", T_URI},
    {"Code", T_CODE},
    {"Date", T_DATE},
    {"DateTime", T_DATE_TIME},
    {"Decimal", T_DECIMAL},
    {"Id", T_ID},
    {"Instant", T_INSTANT},
    {"Integer", T_INTEGER},
    {"Markdown", T_STRING},
    {"Oid", T_URI},
    {"PositiveInt", T_POSITIVE},
    {"String", T_STRING},
    {"Time", T_TIME},
    {"UnsignedInt", T_UNSIGNED},
    {"Uri", T_URI},
    {"Url", T_URI},
    {"Uuid", T_URI},
    {"Address", T_ADDRESS},
    {"Age", T_QUANTITY},
    {"Annotation", T_ANNOTATION},
    {"Attachment", T_ATTACHMENT},
    {"CodeableConcept", T_CONCEPT},
    {"Coding", T_CODING},
    {"ContactDetail", T_CONTACT_DETAIL},
    {"ContactPoint", T_CONTACT_POINT},
    {"Count", T_QUANTITY},
    {"Distance", T_QUANTITY},
    {"Dosage", T_DOSAGE},
    {"Duration", T_QUANTITY},
    {"HumanName", T_HUMAN_NAME},
    {"Identifier", T_IDENTIFIER},
    {"Meta", T_META},
    {"Money", T_MONEY},
    {"Period", T_PERIOD},
    {"Quantity", T_QUANTITY},
    {"Range", T_RANGE},
    {"Ratio", T_RATIO},
    {"Reference", T_REF},
    {"SampledData", T_SAMPLED_DATA},
    {"Signature", T_SIGNATURE},
    {"Timing", T_TIMING},
    {"UsageContext", T_USAGE_CONTEXT},
};

static const char *const choices[] = {
    "abatement", "age",   "allowed",  "answer",    "asNeeded",     "author",   "born",          "bounds",
    "content",   "dose",  "deceased", "default",   "defaultValue", "detail",   "due",           "effective",
    "fixed",     "item",  "location", "maxValue",  "medication",   "minValue", "multipleBirth", "occurrence",
    "occurred",  "onset", "pattern",  "performed", "product",      "rate",     "reported",      "scheduled",
    "serviced",  "start", "timing",   "value",     "initial",
};

static bool is_choice(struct str start)
{
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (str_eq(start, str_of(choices[i])))
            return true;
    }
    return false;
}

static bool find_choice(struct str name, uint16_t *ret_symbol)
{
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct str ending = str_of(endings[i].ending);
        if (!str_ends(name, ending) || !is_choice(str_take(name, name.n - ending.n)))
            continue;
        *ret_symbol = endings[i].symbol;
        return true;
    }
    return false;
}

/* ---- the interface */

static struct waf_type type_of(uint16_t symbol, bool is_guessed)
{
    if (symbol < FIRST_TYPE)
        return (struct waf_type){.kind = (uint8_t)symbol, .is_guessed = is_guessed};
    return (struct waf_type){.kind = WAF_KIND_COMPLEX, .is_guessed = is_guessed, .which = symbol};
}

static struct waf_type resource(const void *, struct str name)
{
    for (uint16_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].resource && str_eq(str_of(table[i].resource), name))
            return type_of(FIRST_TYPE + i, false);
    }
    return type_of(T_ANY_RESOURCE, true);
}

static bool is_resource(uint16_t symbol)
{
    return symbol == T_ANY_RESOURCE || (symbol >= FIRST_TYPE && table[symbol - FIRST_TYPE].resource);
}

/* By name alone. A code is a word where it is a scalar, and a concept where it is an object. */
static struct waf_type guess(struct str name, bool is_scalar)
{
    uint16_t symbol;
    if (str_eq(name, STR("code")) || str_eq(name, STR("type")))
        return type_of(is_scalar ? T_CODE : T_CONCEPT, true);
    if (!is_scalar && str_eq(name, STR("text")))
        return type_of(T_NARRATIVE, true);
    if (!is_scalar && str_eq(name, STR("name")))
        return type_of(T_HUMAN_NAME, true);
    if (!find(T_ANYWHERE, name, &symbol))
        return (struct waf_type){.kind = WAF_KIND_UNKNOWN};
    bool is_primitive = symbol < FIRST_TYPE && symbol != T_RESOURCE;
    return is_primitive == is_scalar ? type_of(symbol, true) : (struct waf_type){.kind = WAF_KIND_UNKNOWN};
}

static struct waf_type named_child(struct waf_type parent, struct str name, bool is_scalar)
{
    uint16_t symbol;
    bool has_elements = parent.kind == WAF_KIND_COMPLEX && parent.which >= FIRST_TYPE && parent.which < T_END;
    if (has_elements && find(parent.which, name, &symbol))
        return type_of(symbol, parent.is_guessed);
    if (has_elements && is_resource(parent.which) && find(T_ANY_RESOURCE, name, &symbol))
        return type_of(symbol, parent.is_guessed && symbol != T_NARRATIVE);
    if (find(T_ELEMENT, name, &symbol) || find_choice(name, &symbol))
        return type_of(symbol, parent.is_guessed || !has_elements);
    return guess(name, is_scalar);
}

/* "_birthDate": the id and the extensions of birthDate. */
static struct waf_type child(const void *, struct waf_type parent, struct str name, bool is_scalar)
{
    if (!name.n || name.p[0] != '_')
        return named_child(parent, name, is_scalar);
    struct waf_type primitive = named_child(parent, str_skip(name, 1), true);
    if (primitive.kind <= WAF_KIND_RESOURCE)
        return (struct waf_type){.kind = WAF_KIND_UNKNOWN};
    return type_of(T_ELEMENT, parent.is_guessed);
}

const struct waf_types waf_types_own = {.resource = resource, .child = child};
