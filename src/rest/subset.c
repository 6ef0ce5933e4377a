/* rest/subset.c - _summary and _elements (https://hl7.org/fhir/R4/search.html#summary): a resource without
 * the elements that were not asked for, marked as such by a tag. What stays is copied as it stands. */
#include "rest/bundle.h"

#include "rest/document.h"
#include "json/writer.h"

static const struct str subsetted =
    STR("{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ObservationValue\","
        "\"code\":\"SUBSETTED\"}");

struct choosing {
    enum fhir_summary summary;
    const struct str *elements;
    unsigned element_count;
    const struct fhir_type *type;
};

static bool is_named(const struct choosing *c, const struct fhir_element *e)
{
    for (unsigned i = 0; i < c->element_count; i++)
        if (str_eq(c->elements[i], fhir_element_name(e)) || str_eq(c->elements[i], fhir_element_stem(e)))
            return true;
    return false;
}

/* Mandatory elements always stay, so that what is left is valid. */
static bool stays(const struct choosing *c, struct str name)
{
    if (name.n && name.p[0] == '_')
        name = str_skip(name, 1);
    if (str_eq(name, STR("resourceType")) || str_eq(name, STR("id")) || str_eq(name, STR("meta")))
        return true;
    const struct fhir_element *e = fhir_element_find(c->type, name);
    if (!e)
        return false;
    if (fhir_element_least(e) > 0)
        return true;
    if (c->element_count)
        return is_named(c, e);
    switch (c->summary) {
    case FHIR_SUMMARY_TRUE:
        return (fhir_element_flags(e) & FHIR_SUMMARY) != 0;
    case FHIR_SUMMARY_TEXT:
        return str_eq(name, STR("text"));
    case FHIR_SUMMARY_DATA:
        return !str_eq(name, STR("text"));
    case FHIR_SUMMARY_FALSE:
    case FHIR_SUMMARY_COUNT:
        break;
    }
    return true;
}

/* meta with the tag added: in front of other tags, or as the only one. */
static void put_meta(struct json_writer *w, const struct json_tape *t, uint32_t meta)
{
    uint32_t n = meta == JSON_NONE ? 0 : json_count(t, meta), has_tag = fhir_member(t, meta, STR("tag"));
    json_key(w, STR("meta"));
    json_object_begin(w);
    for (uint32_t key = n ? json_first(t, meta) : 0; n > 0; n--, key = json_next_member(t, key)) {
        if (key + 1 == has_tag)
            continue;
        json_key(w, json_text(t, key));
        json_raw(w, json_source(t, key + 1));
    }
    json_put_array(w, STR("tag"));
    json_raw(w, subsetted);
    n = has_tag != JSON_NONE && json_type(t, has_tag) == JSON_ARRAY ? json_count(t, has_tag) : 0;
    for (uint32_t i = n ? json_first(t, has_tag) : 0; n > 0; n--, i = json_next(t, i))
        json_raw(w, json_source(t, i));
    json_array_end(w);
    json_object_end(w);
}

static void put_members(struct json_writer *w, const struct choosing *c, const struct json_tape *t)
{
    uint32_t meta = fhir_member(t, 0, STR("meta"));
    bool has_meta = false;
    uint32_t n = json_count(t, 0);
    for (uint32_t key = json_first(t, 0); n > 0; n--, key = json_next_member(t, key)) {
        struct str name = json_text(t, key);
        if (!stays(c, name))
            continue;
        if (key + 1 == meta) {
            put_meta(w, t, meta);
            has_meta = true;
            continue;
        }
        json_key(w, name);
        json_raw(w, json_source(t, key + 1));
    }
    if (!has_meta)
        put_meta(w, t, JSON_NONE);
}

struct str rest_subset(const struct rest_call *call, struct str body, enum fhir_summary summary,
                       const struct str *elements, unsigned element_count)
{
    struct json_tape t;
    struct fhir_value resource;
    if (!element_count && (summary == FHIR_SUMMARY_FALSE || summary == FHIR_SUMMARY_COUNT))
        return body;
    if (rest_json_parse(body, call->arena, &t, NULL) != JSON_FINE ||
        !fhir_value_of_resource(&t, 0, &resource))
        return STR_NONE;
    size_t cap = body.n + 512;
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    struct choosing c = {summary, elements, element_count, resource.type};
    json_object_begin(&w);
    put_members(&w, &c, &t);
    json_object_end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}
