/* JSON bodies: every scalar is an argument, named by the keys that lead to it. An array's elements bear its
 * name once more, without a number: {"a":[1,{"b":2}]} gives a.a=1 and a.a.b=2, [3] gives array.array=3. */
#include "waf/tx.h"

#include "json/tape.h"

#include <stdlib.h>

struct walk {
    const struct body_input *in;
    struct body *body;
    const struct json_tape *tape;
    char *name; /* of the path so far; grows and shrinks with it */
    size_t n, cap;
    bool is_full;
};

/* Adds a segment; the caller puts n back. */
static bool enter(struct walk *w, struct str segment)
{
    if (segment.n + 1 > w->cap - w->n) {
        w->is_full = true;
        return false;
    }
    if (w->n)
        w->name[w->n++] = '.';
    if (segment.n)
        memcpy(w->name + w->n, segment.p, segment.n);
    w->n += segment.n;
    return true;
}

static void add_scalar(struct walk *w, uint32_t node)
{
    struct str name = arena_copy(w->in->arena, (struct str){w->name, w->n}), value = STR("");
    if (json_type(w->tape, node) == JSON_STRING)
        value = json_string(w->tape, node, w->in->arena);
    else if (json_type(w->tape, node) != JSON_NULL)
        value = json_text(w->tape, node);
    if (!body_add_arg(w->in, w->body, name, value))
        w->is_full = true;
}

static void walk_value(struct walk *w, uint32_t node, struct str key);

static void walk_array(struct walk *w, uint32_t node, struct str key)
{
    if (!key.p)
        key = STR("array");
    for (uint32_t i = json_first(w->tape, node), n = json_count(w->tape, node); n > 0 && !w->is_full; n--) {
        walk_value(w, i, key);
        i = json_next(w->tape, i);
    }
}

static void walk_object(struct walk *w, uint32_t node)
{
    uint32_t key = json_first(w->tape, node);
    for (uint32_t n = json_count(w->tape, node); n > 0 && !w->is_full; n--) {
        walk_value(w, key + 1, json_string(w->tape, key, w->in->arena));
        key = json_next_member(w->tape, key);
    }
}

/* Depth is bounded by json_parse. */
static void walk_value(struct walk *w, uint32_t node, struct str key)
{
    size_t n = w->n;
    bool is_array = json_type(w->tape, node) == JSON_ARRAY;
    if ((key.p || is_array) && !enter(w, key.p ? key : STR("array")))
        return;
    if (is_array)
        walk_array(w, node, key);
    else if (json_type(w->tape, node) == JSON_OBJECT)
        walk_object(w, node);
    else
        add_scalar(w, node);
    w->n = n;
}

static void walk(const struct body_input *in, struct body *body, const struct json_tape *tape)
{
    struct walk w = {
        .in = in, .body = body, .tape = tape, .cap = in->bytes.n * 2 + 16}; /* arrays repeat a key */
    w.name = arena_bytes(in->arena, w.cap);
    if (!w.name) {
        body->limit = WAF_LIMIT_MEMORY;
        body_fail(body, in, "JSON: no memory");
        return;
    }
    walk_value(&w, 0, STR_NONE);
    if (w.is_full && !body->has_error)
        body_fail(body, in, "JSON: names are too long");
}

void body_parse_json(const struct body_input *in, struct body *body)
{
    struct json_tape tape = {0};
    size_t count = json_nodes_max(in->bytes.n), at = 0;
    struct json_node *nodes = malloc(count * sizeof *nodes);
    uint64_t depth = in->limits->json_depth < JSON_DEPTH_MAX ? in->limits->json_depth : JSON_DEPTH_MAX;
    if (!nodes) {
        body->limit = WAF_LIMIT_MEMORY;
        body_fail(body, in, "JSON: no memory");
        return;
    }
    body_hold(in, nodes, free);
    enum json_error error = json_parse(in->bytes, (unsigned)depth, nodes, count, &tape, &at);
    if (error == JSON_FINE) {
        struct str resource = in->profile == WAF_PROFILE_FHIR ? fhir_json_root(&tape, in->arena) : STR("");
        if (in->profile == WAF_PROFILE_FHIR)
            fhir_find_repeated(in, body, &tape);
        if (resource.n)
            fhir_read_json(in, body, &tape, resource);
        else
            walk(in, body, &tape);
    } else {
        if (error == JSON_TOO_DEEP)
            body->limit = WAF_LIMIT_DEPTH;
        body->error = arena_printf(in->arena, "JSON: %.*s, at byte %zu", STR_ARG(json_error_text(error)), at);
        body->has_error = true;
    }
    body_release(in, nodes, free);
}
