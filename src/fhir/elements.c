#include "fhir/elements.h"

#include "base/must.h"
#include "json/writer.h"

#define TAG_SYSTEM "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"

static const struct str subsetted = {"{\"system\":\"" TAG_SYSTEM "\",\"code\":\"SUBSETTED\"}",
                                     sizeof "{\"system\":\"" TAG_SYSTEM "\",\"code\":\"SUBSETTED\"}" - 1};

/* ---- members */

/* The element a member is of, or the one it accompanies. */
static const struct fhir_element *element_of(const struct json_tape *t, const struct fhir_type *type,
                                             uint32_t key)
{
    struct str name = json_text(t, key);
    if (t->nodes[key].has_escapes)
        return NULL;
    return fhir_element_find(type, name.n > 1 && name.p[0] == '_' ? str_skip(name, 1) : name);
}

static bool is_named(const struct fhir_part *part, const struct fhir_element *element)
{
    for (uint32_t i = 0; i < part->element_count; i++) {
        if (str_eq(part->elements[i], fhir_element_name(element)) ||
            str_eq(part->elements[i], fhir_element_stem(element)))
            return true;
    }
    return false;
}

static bool is_kept_by_summary(const struct fhir_part *part, const struct fhir_element *element)
{
    bool is_text = str_eq(fhir_element_name(element), STR("text"));
    switch (part->summary) {
    case FHIR_SUMMARY_TRUE:
        return fhir_element_flags(element) & (FHIR_SUMMARY | FHIR_MODIFIER) || fhir_element_least(element);
    case FHIR_SUMMARY_TEXT:
        return is_text || fhir_element_least(element);
    case FHIR_SUMMARY_DATA:
        return !is_text;
    default:
        return true;
    }
}

static bool is_kept(const struct fhir_part *part, const struct fhir_element *element)
{
    if (str_eq(fhir_element_name(element), STR("id")))
        return true;
    bool is_kept_by_elements = !part->element_count || is_named(part, element) ||
                               fhir_element_least(element) || fhir_element_flags(element) & FHIR_MODIFIER;
    return is_kept_by_elements && is_kept_by_summary(part, element);
}

static void copy_key(struct json_writer *w, const struct json_tape *t, uint32_t key)
{
    json_raw(w, json_source(t, key));
    buf_char(w->out, ':');
    w->needs_comma = false;
}

/* ---- summaries: below the top level by the marks of the types */

/* What a value leaves when nothing of it is kept: nothing, for FHIR has no empty elements. */
struct mark {
    size_t n;
    bool needs_comma;
};

static struct mark mark_of(const struct json_writer *w)
{
    return (struct mark){w->out->n, w->needs_comma};
}

static bool take_back(struct json_writer *w, struct mark mark)
{
    w->out->n = mark.n;
    w->needs_comma = mark.needs_comma;
    return false;
}

static bool write_summary(struct json_writer *, const struct json_tape *, const struct fhir_type *,
                          uint32_t node);

static bool write_summary_object(struct json_writer *w, const struct json_tape *t,
                                 const struct fhir_type *type, uint32_t object)
{
    static const struct fhir_part summary = {.summary = FHIR_SUMMARY_TRUE};
    struct mark before = mark_of(w);
    uint32_t key = json_first(t, object), kept = 0;
    json_object_begin(w);
    for (uint32_t left = json_count(t, object); left > 0; left--, key = json_next_member(t, key)) {
        const struct fhir_element *element = element_of(t, type, key);
        struct mark member = mark_of(w);
        if (!element || !is_kept(&summary, element))
            continue;
        copy_key(w, t, key);
        if (write_summary(w, t, fhir_element_type(element), key + 1))
            kept++;
        else
            (void)take_back(w, member);
    }
    json_object_end(w);
    return kept || take_back(w, before);
}

static bool write_summary_list(struct json_writer *w, const struct json_tape *t, const struct fhir_type *type,
                               uint32_t list)
{
    struct mark before = mark_of(w);
    uint32_t child = json_first(t, list), kept = 0;
    json_array_begin(w);
    for (uint32_t left = json_count(t, list); left > 0; left--, child = json_next(t, child))
        kept += write_summary(w, t, type, child);
    json_array_end(w);
    return kept || take_back(w, before);
}

/* Whole are primitives with their companions, and resources inside others. False: nothing is kept. */
static bool write_summary(struct json_writer *w, const struct json_tape *t, const struct fhir_type *type,
                          uint32_t node)
{
    bool is_whole = fhir_type_primitive(type) != FHIR_NO_PRIMITIVE || fhir_type_kind(type) == FHIR_RESOURCE;
    if (!is_whole && json_type(t, node) == JSON_OBJECT)
        return write_summary_object(w, t, type, node);
    if (!is_whole && json_type(t, node) == JSON_ARRAY)
        return write_summary_list(w, t, type, node);
    json_raw(w, json_source(t, node));
    return true;
}

/* ---- meta */

static bool is_tagged(const struct json_tape *t, uint32_t tags)
{
    uint32_t tag = json_first(t, tags);
    for (uint32_t left = json_count(t, tags); left > 0; left--, tag = json_next(t, tag)) {
        uint32_t code = fhir_member(t, tag, STR("code")), system = fhir_member(t, tag, STR("system"));
        if (code != JSON_NONE && system != JSON_NONE && json_string_is(t, code, STR("SUBSETTED")) &&
            json_string_is(t, system, STR(TAG_SYSTEM)))
            return true;
    }
    return false;
}

static void write_tags(struct json_writer *w, const struct json_tape *t, uint32_t tags)
{
    bool is_list = tags != JSON_NONE && json_type(t, tags) == JSON_ARRAY;
    json_array_begin(w);
    uint32_t tag = is_list ? json_first(t, tags) : JSON_NONE;
    for (uint32_t left = is_list ? json_count(t, tags) : 0; left > 0; left--, tag = json_next(t, tag))
        json_raw(w, json_source(t, tag));
    if (!is_list || !is_tagged(t, tags))
        json_raw(w, subsetted);
    json_array_end(w);
}

/* meta as it is, with the tag. */
static void write_meta(struct json_writer *w, const struct json_tape *t, uint32_t meta)
{
    bool is_object = meta != JSON_NONE && json_type(t, meta) == JSON_OBJECT;
    uint32_t tags = is_object ? fhir_member(t, meta, STR("tag")) : JSON_NONE;
    uint32_t key = is_object ? json_first(t, meta) : JSON_NONE;
    json_put_object(w, STR("meta"));
    for (uint32_t left = is_object ? json_count(t, meta) : 0; left > 0;
         left--, key = json_next_member(t, key)) {
        if (t->nodes[key].has_escapes || str_eq(json_text(t, key), STR("tag")))
            continue;
        copy_key(w, t, key);
        json_raw(w, json_source(t, key + 1));
    }
    json_key(w, STR("tag"));
    write_tags(w, t, tags);
    json_object_end(w);
}

/* ---- a resource */

static void write_member(struct json_writer *w, const struct fhir_value *resource,
                         const struct fhir_part *part, uint32_t key)
{
    const struct json_tape *t = resource->tape;
    const struct fhir_element *element = element_of(t, resource->type, key);
    if (!element || str_eq(json_text(t, key), STR("meta")) || !is_kept(part, element))
        return;
    struct mark before = mark_of(w);
    copy_key(w, t, key);
    if (part->summary != FHIR_SUMMARY_TRUE)
        json_raw(w, json_source(t, key + 1));
    else if (!write_summary(w, t, fhir_element_type(element), key + 1))
        (void)take_back(w, before);
}

void fhir_part_write(const struct fhir_value *resource, const struct fhir_part *part, struct buf *out)
{
    const struct json_tape *t = resource->tape;
    struct json_writer w = json_writer_over(out);
    must(part->summary != FHIR_SUMMARY_COUNT);
    if (part->summary == FHIR_SUMMARY_FALSE && !part->element_count) {
        buf_str(out, json_source(t, resource->node));
        return;
    }
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), fhir_type_name(resource->type));
    uint32_t id = fhir_member(t, resource->node, STR("id"));
    if (id != JSON_NONE) {
        json_key(&w, STR("id"));
        json_raw(&w, json_source(t, id));
    }
    write_meta(&w, t, fhir_member(t, resource->node, STR("meta")));
    uint32_t key = json_first(t, resource->node);
    for (uint32_t left = json_count(t, resource->node); left > 0; left--, key = json_next_member(t, key)) {
        if (!str_eq(json_text(t, key), STR("id")))
            write_member(&w, resource, part, key);
    }
    json_object_end(&w);
}

/* ---- layout */

static void begin_line(struct buf *out, unsigned depth)
{
    buf_char(out, '\n');
    for (unsigned i = 0; i < depth && !buf_overflowed(out); i++)
        BUF_LIT(out, "  ");
}

static void write_pretty(const struct json_tape *t, uint32_t node, unsigned depth, struct buf *out)
{
    bool is_object = json_type(t, node) == JSON_OBJECT;
    if (json_type(t, node) < JSON_ARRAY || !json_count(t, node)) {
        buf_str(out, json_type(t, node) < JSON_ARRAY ? json_source(t, node)
                     : is_object                     ? STR("{}")
                                                     : STR("[]"));
        return;
    }
    uint32_t child = json_first(t, node), count = json_count(t, node);
    buf_char(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < count && !buf_overflowed(out); i++) {
        if (i)
            buf_char(out, ',');
        begin_line(out, depth + 1);
        if (is_object) {
            buf_str(out, json_source(t, child));
            BUF_LIT(out, ": ");
        }
        write_pretty(t, child + is_object, depth + 1, out);
        child = is_object ? json_next_member(t, child) : json_next(t, child);
    }
    begin_line(out, depth);
    buf_char(out, is_object ? '}' : ']');
}

void fhir_pretty_write(const struct json_tape *t, struct buf *out)
{
    write_pretty(t, 0, 0, out);
    buf_char(out, '\n');
}
