/* FHIR in JSON (https://hl7.org/fhir/R4/json.html): the tree is walked with the type of every element in
 * hand. An element's "_name" holds the id and the extensions of a primitive one. */
#include "waf/fhir.h"

#include "waf/tx.h"

#include <stdlib.h>

static struct str text_of(const struct json_tape *tape, uint32_t node, struct arena *arena)
{
    if (json_type(tape, node) == JSON_STRING)
        return json_string(tape, node, arena);
    return json_type(tape, node) == JSON_NULL ? STR("") : json_text(tape, node);
}

static struct str member(const struct json_tape *tape, uint32_t object, struct str name, struct arena *arena)
{
    uint32_t node = json_get(tape, object, name);
    if (node == JSON_NONE || json_type(tape, node) != JSON_STRING)
        return STR("");
    return json_string(tape, node, arena);
}

struct str fhir_json_root(const struct json_tape *tape, struct arena *arena)
{
    struct str name = member(tape, 0, STR("resourceType"), arena);
    return fhir_is_resource_name(name) ? name : STR("");
}

/* ---- names that come twice */

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static bool repeats(const struct json_tape *tape, uint32_t object, struct str *names, struct arena *arena)
{
    uint32_t n = json_count(tape, object), key = json_first(tape, object);
    for (uint32_t i = 0; i < n; i++, key = json_next_member(tape, key))
        names[i] = json_string(tape, key, arena);
    qsort(names, n, sizeof *names, compare_names);
    for (uint32_t i = 1; i < n; i++) {
        if (str_eq(names[i], names[i - 1]))
            return true;
    }
    return false;
}

/* Sorted, not hashed: what a sender chooses must not decide how long it takes. */
void fhir_find_repeated(const struct body_input *in, struct body *body, const struct json_tape *tape)
{
    struct fhir_reading r = {.in = in, .body = body};
    struct str *names = malloc(tape->count * sizeof *names);
    bool has_names = names != NULL, is_repeated = false;
    for (uint32_t i = 0; names && i < tape->count && !is_repeated; i++)
        is_repeated = json_type(tape, i) == JSON_OBJECT && json_count(tape, i) > 1 &&
                      repeats(tape, i, names, in->arena);
    free(names); /* before anything that may pause */
    if (is_repeated)
        fhir_add_error(&r, STR("JSON"), "a name comes twice in one object");
    if (!has_names) {
        body->limit = WAF_LIMIT_MEMORY;
        body_fail(body, in, "JSON: no memory");
    }
}

/* ---- the walk; depth is bounded by json_parse */

struct walk {
    struct fhir_reading reading;
    const struct json_tape *tape;
};

static void walk_object(struct walk *w, struct fhir_place *place, uint32_t object);

static bool is_container(const struct json_tape *tape, uint32_t node)
{
    return json_type(tape, node) >= JSON_ARRAY;
}

/* An object where a primitive stands is how operators of databases come in. */
static void report_shape(struct walk *w, const struct fhir_place *place)
{
    bool is_primitive = place->type.kind > WAF_KIND_RESOURCE;
    if (is_primitive && !place->type.is_guessed)
        fhir_add_error(&w->reading, place->name, "an object where a primitive type stands");
}

static void walk_leaf(struct walk *w, const struct fhir_place *place, uint32_t node, uint32_t object)
{
    struct arena *arena = w->reading.in->arena;
    struct str value = text_of(w->tape, node, arena), content_type = STR("");
    if (place->type.kind == WAF_KIND_XHTML) {
        struct xhtml_result found = xhtml_check(value, arena);
        fhir_add_xhtml(&w->reading, place->name, value, &found);
        return;
    }
    if (place->type.kind == WAF_KIND_BASE64)
        content_type = member(w->tape, object, STR("contentType"), arena);
    fhir_add_leaf(&w->reading, place, value, content_type);
}

static void walk_value(struct walk *w, struct fhir_place *place, uint32_t node, uint32_t object)
{
    enum json_type type = json_type(w->tape, node);
    if (type == JSON_ARRAY) {
        uint32_t item = json_first(w->tape, node);
        for (uint32_t n = json_count(w->tape, node); n > 0 && !w->reading.is_full; n--) {
            walk_value(w, place, item, object);
            item = json_next(w->tape, item);
        }
    } else if (type == JSON_OBJECT) {
        report_shape(w, place);
        walk_object(w, place, node);
    } else if (type != JSON_NULL) {
        walk_leaf(w, place, node, object);
    }
}

/* Of an array: what its first element is. */
static bool is_scalar(const struct json_tape *tape, uint32_t node)
{
    while (json_type(tape, node) == JSON_ARRAY && json_count(tape, node))
        node = json_first(tape, node);
    return !is_container(tape, node);
}

static void walk_member(struct walk *w, struct fhir_place *place, uint32_t key, uint32_t object)
{
    struct str name = json_string(w->tape, key, w->reading.in->arena);
    struct fhir_place *child =
        fhir_place_child(&w->reading, place, name, name.n && name.p[0] != '_' && is_scalar(w->tape, key + 1));
    if (child)
        walk_value(w, child, key + 1, object);
}

static void walk_object(struct walk *w, struct fhir_place *place, uint32_t object)
{
    struct arena *arena = w->reading.in->arena;
    if (place->type.kind == WAF_KIND_RESOURCE)
        place = fhir_place_resource(&w->reading, place, member(w->tape, object, STR("resourceType"), arena));
    uint32_t key = json_first(w->tape, object);
    for (uint32_t n = json_count(w->tape, object); n > 0 && !w->reading.is_full && place; n--) {
        walk_member(w, place, key, object);
        key = json_next_member(w->tape, key);
    }
}

void fhir_read_json(const struct body_input *in, struct body *body, const struct json_tape *tape,
                    struct str root)
{
    struct walk w = {.reading = {.in = in, .body = body, .types = in->types ? in->types : &waf_types_r4},
                     .tape = tape};
    struct fhir_place *place = fhir_place_root(&w.reading, root);
    body->fhir.was_read = true;
    if (place)
        walk_object(&w, place, 0);
}
