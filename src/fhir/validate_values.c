/* Values of elements: syntax of primitives, required codes, types of references. */
#include "fhir/primitive.h"
#include "fhir/reference.h"
#include "fhir/validate_run.h"

static struct str shown(struct str text)
{
    size_t n = text.n < 48 ? text.n : 48;
    while (n < text.n && n > 0 && ((uint8_t)text.p[n] & 0xc0) == 0x80) /* whole characters */
        n--;
    return str_take(text, n);
}

/* ---- primitives */

static bool has_json_type(struct validate_run *run, const struct fhir_value *v)
{
    enum json_type wanted = fhir_primitive_json_type(fhir_value_primitive(v)),
                   type = json_type(run->tape, v->node);
    return type == wanted || (wanted == JSON_TRUE && type == JSON_FALSE);
}

static bool is_listed(const struct fhir_element *element)
{
    return element && (fhir_element_flags(element) & FHIR_REQUIRED_BINDING) &&
           fhir_element_value_set(element);
}

void validate_primitive(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    enum fhir_primitive type = fhir_value_primitive(v);
    struct str name = fhir_type_name(v->type), hint = fhir_primitive_hint(type);
    if (!has_json_type(run, v)) {
        validate_add(run, FHIR_ISSUE_VALUE, true, place, v->node, "type", "This is no %.*s: write %.*s.",
                     STR_ARG(name), STR_ARG(hint));
        return;
    }
    arena_reset(run->scratch);
    struct str text = fhir_value_text(v, run->scratch);
    if (!fhir_primitive_is_valid(type, text)) {
        validate_add(run, FHIR_ISSUE_VALUE, true, place, v->node, "syntax", "'%.*s' is no %.*s: write %.*s.",
                     STR_ARG(shown(text)), STR_ARG(name), STR_ARG(hint));
        return;
    }
    if (is_listed(v->element) && !fhir_value_set_has(fhir_element_value_set(v->element), STR_NONE, text))
        validate_add(run, FHIR_ISSUE_CODE_INVALID, true, place, v->node, "binding",
                     "'%.*s' is not one of the codes of %.*s: use one of those.", STR_ARG(shown(text)),
                     STR_ARG(fhir_value_set_url(fhir_element_value_set(v->element))));
}

/* ---- codes */

static bool is_named(const struct fhir_type *type, const char *name)
{
    return str_eq(fhir_type_name(type), str_of(name));
}

static bool coding_is_of(struct validate_run *run, const struct fhir_value_set *set, uint32_t coding)
{
    struct str system = fhir_member_text(run->tape, coding, STR("system"), run->scratch);
    struct str code = fhir_member_text(run->tape, coding, STR("code"), run->scratch);
    return fhir_value_set_has(set, system.n ? system : STR_NONE, code);
}

/* One of the codings has to be of the set. */
static bool concept_is_of(struct validate_run *run, const struct fhir_value_set *set, uint32_t concept)
{
    uint32_t list = fhir_member(run->tape, concept, STR("coding"));
    if (list == JSON_NONE || json_type(run->tape, list) != JSON_ARRAY)
        return false;
    uint32_t coding = json_first(run->tape, list);
    for (uint32_t left = json_count(run->tape, list); left > 0;
         left--, coding = json_next(run->tape, coding)) {
        if (coding_is_of(run, set, coding))
            return true;
    }
    return false;
}

void validate_binding(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    if (!is_listed(v->element) || json_type(run->tape, v->node) != JSON_OBJECT)
        return;
    const struct fhir_value_set *set = fhir_element_value_set(v->element);
    bool is_concept = is_named(v->type, "CodeableConcept");
    arena_reset(run->scratch);
    if (!is_concept && !is_named(v->type, "Coding"))
        return;
    if (is_concept ? concept_is_of(run, set, v->node) : coding_is_of(run, set, v->node))
        return;
    validate_add(run, FHIR_ISSUE_CODE_INVALID, true, place, v->node, "binding",
                 "No code of %.*s is given: use one, with its system.", STR_ARG(fhir_value_set_url(set)));
}

/* ---- references */

/* The type of a contained resource; NULL: it is not there (ref-1 says so). */
static const struct fhir_type *contained_type(struct validate_run *run, struct str id)
{
    struct fhir_value child;
    if (!id.n)
        return run->env.root_resource.type;
    if (!validate_has_text(run->contained, run->contained_count, id))
        return NULL;
    struct fhir_children children = fhir_children_named(&run->env.root_resource, STR("contained"));
    while (fhir_children_next(&children, &child)) {
        if (run->steps_left > 0)
            run->steps_left--;
        if (!run->steps_left)
            break;
        if (str_eq(fhir_member_text(run->tape, child.node, STR("id"), run->scratch), id))
            return child.type;
    }
    return NULL;
}

static bool may_point_at(const struct fhir_element *element, const struct fhir_type *type)
{
    unsigned count = fhir_element_target_count(element);
    for (unsigned i = 0; i < count; i++) {
        if (fhir_type_is_a(type, fhir_element_target(element, i)))
            return true;
    }
    return count == 0;
}

void validate_reference(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    if (!v->element || !is_named(v->type, "Reference") || json_type(run->tape, v->node) != JSON_OBJECT)
        return;
    arena_reset(run->scratch);
    struct str text = fhir_member_text(run->tape, v->node, STR("reference"), run->scratch);
    struct str named = fhir_member_text(run->tape, v->node, STR("type"), run->scratch);
    struct fhir_reference r = fhir_reference_parse(text);
    const struct fhir_type *type = r.is_contained ? contained_type(run, r.id) : r.type;
    const struct fhir_type *said = fhir_type_find(named);
    if (type && said && type != said)
        validate_add(run, FHIR_ISSUE_VALUE, true, place, v->node, "reference",
                     "'%.*s' is no %.*s: correct one of the two.", STR_ARG(shown(text)),
                     STR_ARG(shown(named)));
    type = type ? type : said;
    if (type && !may_point_at(v->element, type))
        validate_add(run, FHIR_ISSUE_VALUE, true, place, v->node, "reference",
                     "'%.*s' cannot refer to a %.*s: refer to a %.*s.",
                     STR_ARG(fhir_element_stem(v->element)), STR_ARG(fhir_type_name(type)),
                     STR_ARG(fhir_type_name(fhir_element_target(v->element, 0))));
}
