#include "fhir/patch_doc.h"

#include "json/writer.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_MAX = 400 };

/* ---- faults */

enum fhir_patch_result patch_fail(struct patch_doc *d, enum fhir_patch_result result, const char *format, ...)
{
    char text[MESSAGE_MAX] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->error->what = arena_copy(d->arena, str_of(text));
    return d->error->what.n ? result : patch_too_much(d);
}

enum fhir_patch_result patch_too_much(struct patch_doc *d)
{
    d->error->what = STR("the patch asks for too much: apply it in parts");
    return FHIR_PATCH_TOO_MUCH;
}

bool patch_work(struct patch_doc *d, uint64_t amount)
{
    d->work += amount;
    return d->work <= PATCH_WORK_MAX;
}

/* ---- the two sides */

static bool make_room(struct patch_doc *d, unsigned side, size_t n)
{
    size_t room = n + n / 2 + 256;
    if (n <= d->sides[side].room)
        return true;
    d->sides[side].text = arena_bytes(d->arena, room);
    d->sides[side].nodes = arena_alloc(d->arena, json_nodes_max(room) * sizeof(struct json_node));
    d->sides[side].room = d->sides[side].text && d->sides[side].nodes ? room : 0;
    return d->sides[side].room;
}

bool patch_doc_init(struct patch_doc *d, const struct json_tape *document, size_t bytes_max,
                    struct arena *arena, struct fhir_patch_error *error)
{
    *d = (struct patch_doc){.arena = arena, .bytes_max = bytes_max, .error = error};
    d->tape = *document;
    *error = (struct fhir_patch_error){.what = STR("")};
    return document->text.n <= bytes_max;
}

/* The text with the cut on the other side, which becomes the document. */
enum fhir_patch_result patch_splice(struct patch_doc *d, size_t at, size_t n, struct str text)
{
    struct str old = d->tape.text;
    size_t size = old.n - n + text.n;
    unsigned side = !d->side;
    if (size > d->bytes_max || !patch_work(d, size) || !make_room(d, side, size))
        return patch_too_much(d);
    struct buf out = buf_over(d->sides[side].text, size);
    buf_str(&out, str_take(old, at));
    buf_str(&out, text);
    buf_str(&out, str_skip(old, at + n));
    struct json_tape tape;
    if (json_parse(buf_text(&out), FHIR_PATCH_DEPTH_MAX, d->sides[side].nodes, json_nodes_max(size), &tape,
                   NULL) != JSON_FINE)
        return patch_fail(d, FHIR_PATCH_TOO_MUCH, "the result nests more than %d deep", FHIR_PATCH_DEPTH_MAX);
    d->side = side;
    d->tape = tape;
    return FHIR_PATCH_FINE;
}

/* ---- where a node's text begins and ends; of a string with its quotes */

static size_t begin_of(const struct patch_doc *d, uint32_t node)
{
    return (size_t)(json_source(&d->tape, node).p - d->tape.text.p);
}

static size_t end_of(const struct patch_doc *d, uint32_t node)
{
    return begin_of(d, node) + json_source(&d->tape, node).n;
}

enum fhir_patch_result patch_replace(struct patch_doc *d, uint32_t node, struct str json)
{
    size_t at = begin_of(d, node);
    return patch_splice(d, at, end_of(d, node) - at, json);
}

/* The text with a comma before it, or behind it. */
static struct str with_comma(struct patch_doc *d, struct str json, bool is_before, bool is_behind)
{
    char *text = arena_bytes(d->arena, json.n + 2);
    struct buf out = buf_over(text, text ? json.n + 2 : 0);
    if (is_before)
        buf_char(&out, ',');
    buf_str(&out, json);
    if (is_behind)
        buf_char(&out, ',');
    return buf_overflowed(&out) ? STR_NONE : buf_text(&out);
}

static enum fhir_patch_result add_at(struct patch_doc *d, size_t at, struct str json, bool is_before,
                                     bool is_behind)
{
    struct str text = json.n + 2 > d->bytes_max ? STR_NONE : with_comma(d, json, is_before, is_behind);
    return text.p ? patch_splice(d, at, 0, text) : patch_too_much(d);
}

/* Behind the last child. */
static enum fhir_patch_result append(struct patch_doc *d, uint32_t container, struct str json)
{
    uint32_t last = json_first(&d->tape, container);
    if (!json_count(&d->tape, container))
        return add_at(d, begin_of(d, container) + 1, json, false, false);
    for (uint32_t left = json_count(&d->tape, container); left > 1; left--)
        last = patch_step(&d->tape, container, last);
    bool is_object = json_type(&d->tape, container) == JSON_OBJECT;
    return add_at(d, end_of(d, last + is_object), json, true, false);
}

enum fhir_patch_result patch_add_member(struct patch_doc *d, uint32_t object, struct str name,
                                        struct str json)
{
    size_t room = name.n * 6 + json.n + 4;
    char *text = room <= d->bytes_max * 8 ? arena_bytes(d->arena, room) : NULL;
    struct buf out = buf_over(text, text ? room : 0);
    struct json_writer w = json_writer_over(&out);
    json_key(&w, name);
    json_raw(&w, json);
    return buf_overflowed(&out) ? patch_too_much(d) : append(d, object, buf_text(&out));
}

enum fhir_patch_result patch_insert(struct patch_doc *d, uint32_t array, uint32_t index, struct str json)
{
    uint32_t node = json_first(&d->tape, array);
    if (index >= json_count(&d->tape, array))
        return append(d, array, json);
    for (; index > 0; index--)
        node = json_next(&d->tape, node);
    return add_at(d, begin_of(d, node), json, false, true);
}

enum fhir_patch_result patch_remove(struct patch_doc *d, uint32_t container, uint32_t child)
{
    bool is_object = json_type(&d->tape, container) == JSON_OBJECT;
    uint32_t node = json_first(&d->tape, container), before = JSON_NONE;
    uint32_t left = json_count(&d->tape, container);
    for (; node != child; left--) {
        before = node;
        node = patch_step(&d->tape, container, node);
    }
    size_t begin = begin_of(d, child), end = end_of(d, child + is_object);
    if (before != JSON_NONE)
        begin = end_of(d, before + is_object);
    else if (left > 1)
        end = begin_of(d, patch_step(&d->tape, container, child));
    return patch_splice(d, begin, end - begin, STR(""));
}
