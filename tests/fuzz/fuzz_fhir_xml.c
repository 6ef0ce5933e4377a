/* FHIR in XML, and (when it begins with a brace) in JSON.
 *
 * What is read from XML is JSON, of a resource, that can be written as XML again, and that reads as the same
 * JSON. What is written from JSON reads again, and is the same XML when it is written once more. A refusal
 * says why. */
#include "base/must.h"
#include "fhir/xml_write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 13, ROOM = 1 << 18, ARENA_BYTES = 64 << 20 };

static const struct hash_key test_key = {1, 2};

/* Room for all: an element of JSON is two bytes, in XML its name twice. */
static struct str take_copy(const struct buf *out, struct arena *arena)
{
    struct str copy = arena_copy(arena, buf_text(out));
    must(copy.p && !buf_overflowed(out));
    return copy;
}

static void check_error(const struct fhir_xml_error *error)
{
    must(error->what.n && error->what.n < 1'000);
}

static bool read_xml(struct str xml, struct arena *arena, char *memory, struct str *ret)
{
    struct buf out = buf_over(memory, ROOM);
    struct fhir_xml_error error;
    if (!fhir_xml_read(xml, &test_key, arena, &out, &error)) {
        check_error(&error);
        return false;
    }
    *ret = take_copy(&out, arena);
    return true;
}

static bool read_json(struct str text, struct arena *arena, struct json_tape *tape, struct fhir_value *ret)
{
    size_t max = json_nodes_max(text.n);
    struct json_node *nodes = arena_alloc(arena, max * sizeof *nodes);
    must(nodes);
    return json_parse(text, JSON_DEPTH_MAX, nodes, max, tape, NULL) == JSON_FINE &&
           fhir_value_of_resource(tape, 0, ret);
}

static bool write_xml(const struct fhir_value *v, struct arena *arena, char *memory, struct str *ret)
{
    struct buf out = buf_over(memory, ROOM);
    struct fhir_xml_error error;
    if (!fhir_xml_write(v, false, &test_key, arena, &out, &error)) {
        check_error(&error);
        return false;
    }
    *ret = take_copy(&out, arena);
    return true;
}

static void check_xml(struct str input, struct arena *arena, char *memory)
{
    struct str json, xml, again;
    struct json_tape tape;
    struct fhir_value v;
    if (!read_xml(input, arena, memory, &json))
        return;
    must(read_json(json, arena, &tape, &v));
    must(write_xml(&v, arena, memory, &xml));
    must(read_xml(xml, arena, memory, &again));
    must(str_eq(json, again));
}

static void check_json(struct str input, struct arena *arena, char *memory)
{
    struct str json, xml, again;
    struct json_tape tape;
    struct fhir_value v;
    if (!read_json(input, arena, &tape, &v) || !write_xml(&v, arena, memory, &xml))
        return;
    must(read_xml(xml, arena, memory, &json));
    must(read_json(json, arena, &tape, &v));
    must(write_xml(&v, arena, memory, &again));
    must(str_eq(xml, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    char *memory = malloc(ROOM);
    must(arena && memory);
    struct str input = {(const char *)data, size};
    if (data[0] == '{')
        check_json(input, arena, memory);
    else
        check_xml(input, arena, memory);
    free(memory);
    arena_free(arena);
    return 0;
}
