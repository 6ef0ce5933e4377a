/* Parts of a resource: the first byte says of which kind (_summary) and how many of four names (_elements).
 *
 * A part is JSON, of the same type, tagged, not much larger than the whole, and a part of itself again when
 * it is taken once more. The layout for people has the same nodes as what it lays out. */
#include "base/must.h"
#include "fhir/elements.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 13, ROOM = 1 << 22, MORE_MAX = 110 };

static bool read_resource(struct str text, struct arena *arena, struct json_tape *tape,
                          struct fhir_value *ret)
{
    size_t max = json_nodes_max(text.n);
    struct json_node *nodes = arena_alloc(arena, max * sizeof *nodes);
    must(nodes);
    return json_parse(text, 200, nodes, max, tape, NULL) == JSON_FINE && fhir_value_of_resource(tape, 0, ret);
}

static void check_part(const struct fhir_value *whole, const struct fhir_part *part, struct arena *arena)
{
    size_t room = whole->tape->text.n + MORE_MAX;
    struct buf first = buf_over(arena_bytes(arena, room), room),
               second = buf_over(arena_bytes(arena, room), room);
    struct json_tape tape;
    struct fhir_value v;
    fhir_part_write(whole, part, &first);
    must(!buf_overflowed(&first) && read_resource(buf_text(&first), arena, &tape, &v) &&
         v.type == whole->type);
    fhir_part_write(&v, part, &second);
    must(!buf_overflowed(&second) && str_eq(buf_text(&first), buf_text(&second)));
    if (part->summary != FHIR_SUMMARY_FALSE || part->element_count)
        must(str_find(buf_text(&first), STR("SUBSETTED")) > 0);
}

static void check_layout(const struct json_tape *tape, struct arena *arena, char *memory)
{
    struct buf out = buf_over(memory, ROOM);
    struct json_tape again;
    struct fhir_value v;
    fhir_pretty_write(tape, &out);
    must(!buf_overflowed(&out) && read_resource(buf_text(&out), arena, &again, &v));
    must(again.count == tape->count);
    for (uint32_t i = 0; i < tape->count; i++)
        must(json_type(tape, i) == json_type(&again, i) &&
             (json_type(tape, i) >= JSON_ARRAY || str_eq(json_text(tape, i), json_text(&again, i))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str names[] = {STR("value"), STR("name"), STR("status"), STR("text")};
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(64 << 20);
    static char memory[ROOM];
    struct fhir_part part = {
        .summary = (enum fhir_summary)(data[0] & 3), .elements = names, .element_count = data[0] >> 2 & 3};
    struct json_tape tape;
    struct fhir_value v;
    must(arena);
    if (read_resource((struct str){(const char *)data + 1, size - 1}, arena, &tape, &v)) {
        check_part(&v, &part, arena);
        check_layout(&tape, arena, memory);
    }
    arena_free(arena);
    return 0;
}
