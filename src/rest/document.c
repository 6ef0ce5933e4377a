#include "rest/document.h"

#include "base/utc.h"
#include "rest/outcome.h"

#include <stdlib.h>

/* ---- parsing */

/* Real resources have a node for some ten bytes; what is denser is parsed once more. */
enum json_error rest_json_parse(struct str text, struct arena *arena, struct json_tape *ret,
                                size_t *ret_error_at)
{
    size_t most = json_nodes_max(text.n), few = text.n / 8 + 64;
    size_t tries[] = {few < most ? few : most, most};
    enum json_error error = JSON_TOO_LARGE;
    for (unsigned i = 0; i < 2 && error == JSON_TOO_LARGE; i++) {
        if (i && tries[1] == tries[0])
            break;
        struct json_node *nodes = arena_alloc(arena, tries[i] * sizeof *nodes);
        if (!nodes)
            return JSON_TOO_LARGE;
        error = json_parse(text, FHIR_VALIDATE_DEPTH_MAX + 10, nodes, tries[i], ret, ret_error_at);
    }
    return error;
}

static bool refuse_text(const struct rest_call *call, struct rest_answer *answer, struct str text,
                        enum json_error error, size_t at)
{
    unsigned line, column;
    json_position(text, at, &line, &column);
    return rest_refuse(
        call, answer, error == JSON_TOO_LARGE ? 413 : 400, error == JSON_TOO_LARGE ? "too-long" : "structure",
        arena_printf(call->arena, "line %u, column %u", line, column),
        "the body is no JSON: line %u, column %u: %.*s", line, column, STR_ARG(json_error_text(error)));
}

bool rest_resource_parse(const struct rest_call *call, struct str text, struct json_tape *ret_tape,
                         struct fhir_value *ret, struct rest_answer *answer)
{
    size_t at = 0;
    if (!text.n)
        return rest_refuse(call, answer, 400, "required", STR_NONE,
                           "the body is empty: it has to be a resource");
    enum json_error error = rest_json_parse(text, call->arena, ret_tape, &at);
    if (error != JSON_FINE)
        return refuse_text(call, answer, text, error, at);
    if (json_type(ret_tape, 0) != JSON_OBJECT)
        return rest_refuse(call, answer, 400, "structure", STR_NONE,
                           "the body has to be a JSON object: {\"resourceType\": ...}");
    if (fhir_value_of_resource(ret_tape, 0, ret))
        return true;
    struct str name = fhir_member_text(ret_tape, 0, STR("resourceType"), call->arena);
    if (!name.n)
        return rest_refuse(call, answer, 400, "required", STR("resourceType"),
                           "\"resourceType\" is missing: it says what the resource is");
    return rest_refuse(call, answer, 400, "value", STR("resourceType"),
                       "\"resourceType\": there is no resource type \"%.*s\" in FHIR R4",
                       STR_ARG(str_take(name, 64)));
}

/* ---- edits */

void rest_edit_add(struct rest_edits *e, struct arena *arena, size_t at, size_t length, struct str text)
{
    if (e->n == e->room) {
        size_t room = e->room ? 2 * e->room : 8;
        struct rest_edit *list = arena_alloc(arena, room * sizeof *list);
        if (!list) {
            e->failed = true;
            return;
        }
        if (e->n)
            memcpy(list, e->list, e->n * sizeof *list);
        e->list = list;
        e->room = room;
    }
    e->list[e->n++] = (struct rest_edit){at, length, text};
}

static int by_place(const void *a, const void *b)
{
    const struct rest_edit *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

struct str rest_edits_apply(struct rest_edits *e, struct str text, size_t from, struct arena *arena)
{
    size_t total = text.n, at = 0;
    for (size_t i = 0; i < e->n; i++)
        total += e->list[i].text.n;
    char *memory = e->failed ? NULL : arena_bytes(arena, total + 1);
    struct buf b = buf_over(memory, total + 1);
    if (!memory)
        return STR_NONE;
    if (e->n)
        qsort(e->list, e->n, sizeof *e->list, by_place);
    for (size_t i = 0; i < e->n; i++) {
        buf_add(&b, text.p + at, e->list[i].at - from - at);
        buf_str(&b, e->list[i].text);
        at = e->list[i].at - from + e->list[i].length;
    }
    buf_add(&b, text.p + at, text.n - at);
    return buf_text(&b);
}

/* ---- id and meta */

void rest_instant_write(struct buf *b, int64_t time_us)
{
    char memory[40];
    struct buf t = buf_over(memory, sizeof memory);
    time_write_utc(&t, time_us);
    buf_str(b, str_take(buf_text(&t), 23)); /* milliseconds: FHIR's clients read no more reliably */
    buf_char(b, 'Z');
}

/* Where the value of a member lies, with the quotes of a string. */
static void replace(struct rest_edits *e, struct arena *arena, const struct json_tape *t, uint32_t node,
                    struct str text)
{
    struct str source = json_source(t, node);
    rest_edit_add(e, arena, (size_t)(source.p - t->text.p), source.n, text);
}

/* Behind the opening bracket of an object, with a comma when more follows. */
static void insert_first(struct rest_edits *e, struct arena *arena, const struct json_tape *t,
                         uint32_t object, struct str members)
{
    struct str text = json_count(t, object) ? arena_printf(arena, "%.*s,", STR_ARG(members)) : members;
    rest_edit_add(e, arena, (size_t)t->nodes[object].at + 1, 0, text);
}

static void insert_behind(struct rest_edits *e, struct arena *arena, const struct json_tape *t,
                          uint32_t value, struct str members)
{
    struct str source = json_source(t, value);
    rest_edit_add(e, arena, (size_t)(source.p - t->text.p) + source.n, 0,
                  arena_printf(arena, ",%.*s", STR_ARG(members)));
}

static void set_meta(struct rest_edits *e, struct arena *arena, const struct json_tape *t, uint32_t meta,
                     struct str version, struct str time)
{
    uint32_t has_version = fhir_member(t, meta, STR("versionId")),
             has_time = fhir_member(t, meta, STR("lastUpdated"));
    struct str members = STR_NONE;
    if (has_version != JSON_NONE)
        replace(e, arena, t, has_version, version);
    else
        members = arena_printf(arena, "\"versionId\":%.*s", STR_ARG(version));
    if (has_time != JSON_NONE)
        replace(e, arena, t, has_time, time);
    else
        members = arena_printf(arena, "%.*s%s\"lastUpdated\":%.*s", STR_ARG(members), members.n ? "," : "",
                               STR_ARG(time));
    if (members.n)
        insert_first(e, arena, t, meta, members);
}

void rest_edit_identity(struct rest_edits *e, struct arena *arena, const struct json_tape *t, uint32_t object,
                        struct str id, uint64_t version, int64_t time_us)
{
    char memory[40];
    struct buf instant = buf_over(memory, sizeof memory);
    rest_instant_write(&instant, time_us);
    struct str version_text = arena_printf(arena, "\"%llu\"", (unsigned long long)version),
               time = arena_printf(arena, "\"%.*s\"", STR_ARG(buf_text(&instant))),
               id_text = id.n ? arena_printf(arena, "\"%.*s\"", STR_ARG(id)) : STR_NONE, members = STR_NONE;
    uint32_t has_id = fhir_member(t, object, STR("id")), meta = fhir_member(t, object, STR("meta")),
             type = fhir_member(t, object, STR("resourceType"));
    if (id.n && has_id != JSON_NONE)
        replace(e, arena, t, has_id, id_text);
    else if (id.n)
        members = arena_printf(arena, "\"id\":%.*s", STR_ARG(id_text));
    if (meta != JSON_NONE && json_type(t, meta) == JSON_OBJECT)
        set_meta(e, arena, t, meta, version_text, time);
    else
        members = arena_printf(arena, "%.*s%s\"meta\":{\"versionId\":%.*s,\"lastUpdated\":%.*s}",
                               STR_ARG(members), members.n ? "," : "", STR_ARG(version_text), STR_ARG(time));
    e->failed |= arena_overflowed(arena);
    if (members.n && !e->failed)
        insert_behind(e, arena, t, has_id != JSON_NONE ? has_id : type, members);
}
