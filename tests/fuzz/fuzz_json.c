/* What the parser accepts is a tree that the writer writes anew, and that text is the same tree: types,
 * counts, numbers as text, and what strings say. No valid text is refused for want of nodes. */
#include "base/must.h"
#include "json/tape.h"
#include "json/writer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 64, INPUT_MAX = 1 << 16 };

static struct json_tape parse_with(struct str text, size_t node_max, enum json_error *ret_error)
{
    struct json_node *nodes = malloc(node_max * sizeof *nodes);
    struct json_tape tape = {.nodes = nodes};
    size_t at = 0;
    must(nodes);
    *ret_error = json_parse(text, DEPTH, nodes, node_max, &tape, &at);
    must(at <= text.n);
    return tape;
}

static void tape_free(const struct json_tape *t)
{
    free((void *)(uintptr_t)t->nodes);
}

static struct json_tape parse(struct str text, enum json_error *ret_error)
{
    struct json_tape tape = parse_with(text, json_nodes_max(text.n), ret_error);
    if (*ret_error == JSON_TOO_LARGE) { /* only what is not closed as often as it is opened */
        enum json_error error;
        struct json_tape roomy = parse_with(text, text.n + 1, &error);
        must(error != JSON_FINE && error != JSON_TOO_LARGE);
        tape_free(&roomy);
    }
    return tape;
}

static void write_string(const struct json_tape *t, uint32_t node, struct json_writer *w, bool is_key)
{
    struct str text = json_text(t, node);
    char *memory = malloc(text.n + 1);
    must(memory);
    struct buf said = buf_over(memory, text.n);
    json_string_write(t, node, &said);
    must(!buf_overflowed(&said) && json_string_is(t, node, buf_text(&said)));
    if (is_key)
        json_key(w, buf_text(&said));
    else
        json_str(w, buf_text(&said));
    free(memory);
}

static void write_value(const struct json_tape *t, uint32_t node, struct json_writer *w)
{
    uint32_t child = json_first(t, node), left = json_count(t, node);
    must(node < t->count && json_next(t, node) > node && json_next(t, node) <= t->count);
    must(t->nodes[node].at + t->nodes[node].length <= t->text.n);
    switch (json_type(t, node)) {
    case JSON_STRING:
        write_string(t, node, w, false);
        break;
    case JSON_ARRAY:
        json_array_begin(w);
        for (; left > 0; left--, child = json_next(t, child))
            write_value(t, child, w);
        must(child == json_next(t, node));
        json_array_end(w);
        break;
    case JSON_OBJECT:
        json_object_begin(w);
        for (; left > 0; left--, child = json_next_member(t, child)) {
            write_string(t, child, w, true);
            write_value(t, child + 1, w);
        }
        must(child == json_next(t, node));
        json_object_end(w);
        break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
        json_raw(w, json_text(t, node));
        break;
    }
}

static void must_be_same(const struct json_tape *a, const struct json_tape *b)
{
    static char said_a[INPUT_MAX], said_b[INPUT_MAX];
    must(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        must(json_type(a, i) == json_type(b, i) && json_count(a, i) == json_count(b, i));
        must(json_next(a, i) == json_next(b, i));
        if (json_type(a, i) == JSON_NUMBER)
            must(str_eq(json_text(a, i), json_text(b, i)));
        if (json_type(a, i) != JSON_STRING)
            continue;
        struct buf text_a = buf_over(said_a, sizeof said_a), text_b = buf_over(said_b, sizeof said_b);
        json_string_write(a, i, &text_a);
        json_string_write(b, i, &text_b);
        must(str_eq(buf_text(&text_a), buf_text(&text_b)));
    }
}

static void check_repeated(const struct json_tape *t)
{
    static const struct hash_key key = {3, 4};
    struct arena *arena = arena_new(1 << 22);
    must(arena);
    if (json_type(t, 0) == JSON_OBJECT) {
        uint32_t found = json_find_repeated(t, 0, &key, arena);
        must(found == JSON_NONE || (found < t->count && json_type(t, found) == JSON_STRING));
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char written[6 * INPUT_MAX + 16];
    enum json_error error;
    if (size > INPUT_MAX)
        return 0;
    struct json_tape tape = parse((struct str){(const char *)data, size}, &error);
    if (error == JSON_FINE) {
        struct buf out = buf_over(written, sizeof written);
        struct json_writer w = json_writer_over(&out);
        write_value(&tape, 0, &w);
        must(!buf_overflowed(&out));
        struct json_tape again = parse(buf_text(&out), &error);
        must(error == JSON_FINE);
        must_be_same(&tape, &again);
        check_repeated(&tape);
        tape_free(&again);
    }
    tape_free(&tape);
    return 0;
}
