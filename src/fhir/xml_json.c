/* From elements to JSON. Children of one name stand one after another: the reader has seen to it. */
#include "fhir/xml_tree.h"

#include "fhir/primitive.h"
#include "json/writer.h"

static void write_object(struct json_writer *, const struct xml_node *);

static bool is_primitive(const struct xml_node *node)
{
    return fhir_type_primitive(node->type) != FHIR_NO_PRIMITIVE;
}

static void write_value(struct json_writer *w, const struct xml_node *node)
{
    enum json_type as = fhir_primitive_json_type(fhir_type_primitive(node->type));
    if (!node->value.p)
        json_null(w);
    else if (as == JSON_STRING)
        json_str(w, node->value);
    else
        json_raw(w, node->value);
}

static void write_companion(struct json_writer *w, const struct xml_node *node)
{
    if (node->first)
        write_object(w, node);
    else
        json_null(w);
}

/* An element that holds a resource is that resource. */
static void write_complex(struct json_writer *w, const struct xml_node *node)
{
    write_object(w, node->element && fhir_type_kind(node->type) == FHIR_RESOURCE ? node->first : node);
}

typedef void write_function(struct json_writer *, const struct xml_node *);

/* All nodes of one name, from the first to before the end. */
static void write_group(struct json_writer *w, const struct xml_node *first, const struct xml_node *end,
                        write_function *write)
{
    bool is_list = xml_node_may_repeat(first);
    if (is_list)
        json_array_begin(w);
    for (const struct xml_node *node = first; node != end; node = node->next)
        write(w, node);
    if (is_list)
        json_array_end(w);
}

static void write_key(struct json_writer *w, const struct xml_node *node, bool is_companion)
{
    char name[128];
    struct buf key = buf_over(name, sizeof name);
    if (is_companion)
        buf_char(&key, '_');
    buf_str(&key, fhir_element_name(node->element));
    json_key(w, buf_text(&key));
}

static void write_primitives(struct json_writer *w, const struct xml_node *first, const struct xml_node *end)
{
    bool has_values = false, has_companions = false;
    for (const struct xml_node *node = first; node != end; node = node->next) {
        has_values |= node->value.p != NULL;
        has_companions |= node->first != NULL;
    }
    if (has_values) {
        write_key(w, first, false);
        write_group(w, first, end, write_value);
    }
    if (has_companions) {
        write_key(w, first, true);
        write_group(w, first, end, write_companion);
    }
}

static void write_object(struct json_writer *w, const struct xml_node *parent)
{
    json_object_begin(w);
    if (!parent->element)
        json_put_str(w, STR("resourceType"), fhir_type_name(parent->type));
    for (const struct xml_node *node = parent->first, *end; node; node = end) {
        for (end = node->next; end && end->element == node->element; end = end->next)
            ;
        if (is_primitive(node)) {
            write_primitives(w, node, end);
            continue;
        }
        write_key(w, node, false);
        write_group(w, node, end, write_complex);
    }
    json_object_end(w);
}

void xml_write_json(const struct xml_node *resource, struct buf *out)
{
    struct json_writer w = json_writer_over(out);
    write_object(&w, resource);
}
