/* cli/records_load_read.c - files of resources, in parcels: NDJSON a line at a time, a JSON document as a
 * whole. A file may be larger than memory, a line or document not. */
#include "cli/records_load.h"

#include "fhir/primitive.h"
#include "fhir/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP = 1 << 20, DEPTH = 200, STEPS_MAX = 20'000'000, ENTRY_MORE = 400 };

struct load_reader {
    struct load *load;
    int fd;
    bool is_document, has_ended;
    char *memory; /* what was read and not used: [from, to) */
    size_t room, from, to;
    uint64_t at;      /* place of `from` in the file */
    uint64_t text_at; /* where the text began that is being worked on */
    unsigned line;
    struct json_node *nodes;
    size_t node_room;
    struct json_tape tape; /* of a document whose entries go on */
    uint32_t entry, entries_left;
};

/* ---- parcels */

#define TRANSACTION "\"transaction\""
#define BATCH       "\"batch\"      "

static bool parcel_room(struct parcel *p, size_t more)
{
    if (p->text.cap - p->text.n >= more)
        return true;
    size_t cap = p->text.cap * 2 > p->text.n + more ? p->text.cap * 2 : p->text.n + more;
    char *memory = realloc(p->text.p, cap);
    if (!memory)
        return false;
    p->text.p = memory;
    p->text.cap = cap;
    return true;
}

void parcel_begin(struct parcel *p, uint64_t at)
{
    struct buf text = p->text;
    *p = (struct parcel){.text = text, .begin = at, .end = at};
    p->text.n = 0;
}

bool parcel_add(struct parcel *p, struct str resource, struct str type, struct str id, unsigned line)
{
    struct load_entry *e = &p->entries[p->count];
    struct buf name = buf_over(e->name, sizeof e->name - 1);
    if (!parcel_room(p, resource.n + ENTRY_MORE))
        return false;
    if (p->count == 0) {
        BUF_LIT(&p->text, "{\"resourceType\":\"Bundle\",\"type\":");
        p->type_at = p->text.n;
        BUF_LIT(&p->text, TRANSACTION ",\"entry\":[");
    } else {
        buf_char(&p->text, ',');
    }
    buf_printf(&name, "%.*s/%.*s", STR_ARG(type), STR_ARG(id));
    e->name[name.n] = '\0';
    e->line = line;
    p->count++;
    BUF_LIT(&p->text, "{\"resource\":");
    buf_str(&p->text, resource);
    BUF_LIT(&p->text, ",\"request\":{\"method\":\"PUT\",\"url\":\"");
    buf_str(&p->text, buf_text(&name));
    BUF_LIT(&p->text, "\"}}");
    return true;
}

bool parcel_end(struct parcel *p)
{
    if (!p->is_whole && !parcel_room(p, 2))
        return false;
    if (!p->is_whole)
        BUF_LIT(&p->text, "]}");
    return true;
}

void parcel_make_batch(struct parcel *p)
{
    memcpy(p->text.p + p->type_at, BATCH, sizeof BATCH - 1);
    p->is_batch = true;
    p->tries = 0;
}

void parcel_free(struct parcel *p)
{
    if (p)
        free(p->text.p);
    free(p);
}

/* ---- resources */

/* Of a dry run: what the service would say. */
static bool is_valid(struct load_reader *r, uint32_t object, struct str type, struct str id, unsigned line)
{
    struct load *load = r->load;
    struct fhir_path_env env = {.steps_max = STEPS_MAX};
    struct fhir_validate_input input = {.tape = &r->tape, .object = object, .env = &env};
    struct fhir_validation v;
    arena_reset(load->checks);
    fhir_validate(load->validator, &input, load->checks, load->scratch, &v);
    for (size_t i = 0; !v.is_valid && i < v.n; i++)
        if (v.issues[i].is_error) {
            load_failed(load, line, 1, "%.*s/%.*s: %.*s (%.*s)", STR_ARG(type), STR_ARG(id),
                        STR_ARG(v.issues[i].text), STR_ARG(v.issues[i].location));
            break;
        }
    return v.is_valid;
}

static struct str member(const struct json_tape *t, uint32_t object, const char *name)
{
    uint32_t node = json_get(t, object, str_of(name));
    return node != JSON_NONE && json_type(t, node) == JSON_STRING ? json_text(t, node) : STR_NONE;
}

/* False: no memory. What cannot be loaded is told and passed over. */
static bool add_resource(struct load_reader *r, struct parcel *p, uint32_t object, unsigned line)
{
    struct str type = member(&r->tape, object, "resourceType"), id = member(&r->tape, object, "id");
    const struct fhir_type *known = fhir_type_find(type);
    if (!type.n)
        load_failed(r->load, line, 1, "this is no resource: \"resourceType\" is missing");
    else if (!known || !fhir_type_is_resource(known))
        load_failed(r->load, line, 1, "\"%.*s\" is no type of resource in FHIR R4",
                    STR_ARG(str_take(type, 64)));
    else if (!id.n)
        load_failed(r->load, line, 1,
                    "a %.*s without \"id\": what is loaded keeps the ids it has, so that loading again "
                    "changes nothing",
                    STR_ARG(type));
    else if (!fhir_primitive_is_valid(FHIR_ID, id))
        load_failed(r->load, line, 1, "\"%.*s\" is no id: 1 to 64 letters, digits, '-' and '.'",
                    STR_ARG(str_take(id, 80)));
    else if (!r->load->validator || is_valid(r, object, type, id, line))
        return parcel_add(p, json_source(&r->tape, object), type, id, line);
    return true;
}

static bool is_work(const struct json_tape *t)
{
    struct str kind = member(t, 0, "type");
    return str_eq(member(t, 0, "resourceType"), STR("Bundle")) &&
           (str_eq(kind, STR("transaction")) || str_eq(kind, STR("batch")));
}

/* A Bundle to be carried out stands alone in its parcel. */
static bool add_whole(struct load_reader *r, struct parcel *p, unsigned line)
{
    struct str text = json_source(&r->tape, 0);
    if (!parcel_room(p, text.n))
        return false;
    buf_str(&p->text, text);
    p->is_whole = true;
    p->count = 1;
    p->entries[0].line = line;
    memcpy(p->entries[0].name, "Bundle", sizeof "Bundle");
    return true;
}

/* ---- bytes */

/* False: the file cannot be read, or a line of it does not fit; told. *ret_more: there was something to read.
 */
static bool read_more(struct load_reader *r, bool *ret_more)
{
    if (r->from > 0) {
        memmove(r->memory, r->memory + r->from, r->to - r->from);
        r->to -= r->from;
        r->from = 0;
    }
    if (r->room - r->to < STEP) {
        char *memory = r->room < LOAD_LINE_MAX ? realloc(r->memory, r->room * 2 + 2 * STEP) : NULL;
        if (!memory) {
            load_failed(r->load, r->line, 1, "larger than 64 MiB in one piece");
            return false;
        }
        r->memory = memory;
        r->room = r->room * 2 + 2 * STEP;
    }
    ssize_t n;
    do
        n = read(r->fd, r->memory + r->to, r->room - r->to);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        load_failed(r->load, 0, 1, "cannot be read: %s", strerror(errno));
    *ret_more = n > 0;
    r->to += n > 0 ? (size_t)n : 0;
    return n >= 0;
}

/* The next line, or the whole document; *ret_found false: the end. */
static bool next_text(struct load_reader *r, struct str *ret, bool *ret_found)
{
    size_t looked = 0;
    r->text_at = r->at;
    for (;;) {
        char *line_end = r->is_document || r->from + looked == r->to
                             ? NULL
                             : memchr(r->memory + r->from + looked, '\n', r->to - r->from - looked);
        if (line_end || r->has_ended) {
            size_t n = line_end ? (size_t)(line_end - r->memory) - r->from + 1 : r->to - r->from;
            *ret = (struct str){r->memory + r->from, n};
            *ret_found = n > 0;
            r->from += n;
            r->at += n;
            return true;
        }
        bool more;
        looked = r->to - r->from;
        if (!read_more(r, &more))
            return false;
        r->has_ended = !more;
    }
}

static bool parse(struct load_reader *r, struct str text)
{
    size_t wanted = json_nodes_max(text.n), at = 0;
    unsigned line, column;
    if (wanted > r->node_room) {
        free(r->nodes);
        r->nodes = calloc(wanted, sizeof *r->nodes);
        r->node_room = r->nodes ? wanted : 0;
    }
    if (!r->nodes) {
        load_failed(r->load, r->line, 1, "out of memory");
        return false;
    }
    enum json_error error = json_parse(text, DEPTH, r->nodes, wanted, &r->tape, &at);
    if (error == JSON_FINE && json_type(&r->tape, 0) == JSON_OBJECT)
        return true;
    json_position(text, at, &line, &column);
    struct str why = error == JSON_FINE ? STR("it is no object") : json_error_text(error);
    load_failed(r->load, r->line + line - 1, 1, "column %u: this is no JSON: %.*s", column, STR_ARG(why));
    return false;
}

static struct str without_blanks(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n'))
        s = str_skip(s, 1);
    while (s.n &&
           (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
        s.n--;
    return s;
}

/* ---- entries of a Bundle that is only a collection */

static void begin_entries(struct load_reader *r)
{
    uint32_t list = json_get(&r->tape, 0, STR("entry"));
    bool is_list = list != JSON_NONE && json_type(&r->tape, list) == JSON_ARRAY;
    r->entries_left = is_list ? json_count(&r->tape, list) : 0;
    r->entry = is_list ? json_first(&r->tape, list) : 0;
}

static bool add_entry(struct load_reader *r, struct parcel *p)
{
    unsigned line, column;
    uint32_t resource = json_get(&r->tape, r->entry, STR("resource"));
    json_position(r->tape.text, r->tape.nodes[r->entry].at, &line, &column);
    r->entry = json_next(&r->tape, r->entry);
    r->entries_left--;
    return resource == JSON_NONE || add_resource(r, p, resource, line);
}

/* ---- the next parcel */

static bool is_full(const struct parcel *p)
{
    return p->count == LOAD_ENTRIES || p->text.n >= LOAD_BYTES || p->is_whole;
}

/* What one text (a line, a document) holds. False: no memory. *ret_again: it stands alone, and comes again.
 */
static bool add_text(struct load_reader *r, struct parcel *p, bool *ret_again)
{
    struct str type = member(&r->tape, 0, "resourceType");
    *ret_again = is_work(&r->tape) && p->count > 0;
    if (is_work(&r->tape))
        return *ret_again || add_whole(r, p, r->line);
    if (!str_eq(type, STR("Bundle")) || (!r->is_document && member(&r->tape, 0, "id").n))
        return add_resource(r, p, 0, r->line);
    begin_entries(r);
    return true;
}

enum load_read load_reader_next(struct load_reader *r, struct parcel *p)
{
    parcel_begin(p, r->entries_left ? r->text_at : r->at);
    while (!is_full(p)) {
        struct str text;
        bool found, again = false;
        if (r->entries_left) {
            if (!add_entry(r, p))
                return LOAD_TROUBLE;
            continue;
        }
        if (!next_text(r, &text, &found))
            return LOAD_TROUBLE;
        if (!found)
            break;
        bool is_empty = without_blanks(text).n == 0;
        if (!is_empty && parse(r, without_blanks(text)) && !add_text(r, p, &again))
            return LOAD_TROUBLE;
        if (again) { /* back to where it began */
            r->from -= text.n;
            r->at -= text.n;
            break;
        }
        r->line++;
    }
    p->end = r->entries_left ? r->text_at : r->at;
    return p->count == 0 ? LOAD_END : parcel_end(p) ? LOAD_PARCEL : LOAD_TROUBLE;
}

/* ---- the file */

/* How many lines stand before a place. */
static unsigned lines_before(int fd, uint64_t place)
{
    char bytes[1 << 15];
    unsigned lines = 0;
    for (uint64_t at = 0; at < place;) {
        size_t wanted = place - at < sizeof bytes ? (size_t)(place - at) : sizeof bytes;
        ssize_t n = read(fd, bytes, wanted);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            lines += bytes[i] == '\n';
        at += (uint64_t)n;
    }
    return lines;
}

struct load_reader *load_reader_open(struct load *load, const char *path, uint64_t from)
{
    struct load_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct load_reader){.load = load, .line = 1, .fd = open(path, O_RDONLY | O_CLOEXEC), .at = from};
    r->is_document = str_ends(str_of(path), STR(".json"));
    if (r->fd < 0) {
        load_failed(load, 0, 1, "cannot be read: %s", strerror(errno));
        load_reader_close(r);
        return NULL;
    }
    r->line += lines_before(r->fd, from);
    return r;
}

void load_reader_close(struct load_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    free(r->memory);
    free(r->nodes);
    free(r);
}
