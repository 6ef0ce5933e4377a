#include "suite.h"

#include "../suites/disk.h"
#include "json/writer.h"

#include <glob.h>

static bool list_files(const char *folder, const char *pattern, struct arena *arena, glob_t *ret)
{
    const char *whole = arena_copy_z(arena, arena_printf(arena, "%s/%s", folder, pattern));
    return whole && glob(whole, 0, NULL, ret) == 0;
}

/* ---- lines */

static struct str unescape(struct str line, struct arena *arena)
{
    char *memory = arena_bytes(arena, line.n + 1);
    struct buf out = buf_over(memory, memory ? line.n + 1 : 0);
    for (size_t i = 0; i < line.n; i++) {
        bool is_escape = line.p[i] == '\\' && i + 1 < line.n;
        i += is_escape;
        buf_char(&out, is_escape && line.p[i] == 'n' ? '\n' : line.p[i]);
    }
    return buf_text(&out);
}

bool care_read_lines(const char *folder, struct arena *arena, struct str **ret_lines, size_t *ret_count)
{
    enum { LINES_MAX = 10'000 };
    glob_t found;
    struct str *lines = arena_alloc(arena, LINES_MAX * sizeof *lines), text;
    size_t n = 0;
    if (!lines || !list_files(folder, "*.txt", arena, &found))
        return false;
    bool fine = true;
    for (size_t i = 0; i < found.gl_pathc && fine; i++) {
        fine = disk_read(found.gl_pathv[i], arena, &text);
        while (fine && text.n && n < LINES_MAX) {
            struct str line = str_cut(&text, '\n');
            bool is_comment = line.n > 1 && line.p[0] == '#' && n == 0;
            if (line.n && !is_comment && !str_starts(line, STR("# ")))
                lines[n++] = unescape(line, arena);
        }
    }
    globfree(&found);
    *ret_lines = lines;
    *ret_count = n;
    return fine;
}

/* ---- blocks */

static bool add_request(struct care_requests *list, struct arena *arena, struct care_request request)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 64;
        struct care_request *items = arena_alloc(arena, cap * sizeof *items);
        if (!items)
            return false;
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = request;
    return true;
}

static struct str next_block(struct str *text)
{
    ptrdiff_t end = str_find(*text, STR("\n=== "));
    struct str block = end < 0 ? *text : str_take(*text, (size_t)end);
    *text = end < 0 ? STR_NONE : str_skip(*text, (size_t)end + 1);
    return block;
}

static bool read_blocks(struct str text, struct arena *arena, struct care_requests *ret)
{
    ptrdiff_t first = str_starts(text, STR("=== ")) ? 0 : str_find(text, STR("\n=== "));
    if (first < 0)
        return false;
    text = str_skip(text, (size_t)first + (first > 0));
    while (text.n) {
        struct str block = next_block(&text), name = str_skip(str_cut(&block, '\n'), 4);
        struct str line = str_cut(&block, '\n'), method = str_cut(&line, ' '), target = str_cut(&line, ' ');
        while (block.n && block.p[block.n - 1] == '\n')
            block.n--;
        if (!add_request(ret, arena, (struct care_request){name, method, target, line, block}))
            return false;
    }
    return true;
}

bool care_read_requests(const char *folder, struct arena *arena, struct care_requests *ret)
{
    glob_t found;
    struct str text;
    if (!list_files(folder, "*.txt", arena, &found))
        return false;
    bool fine = true;
    for (size_t i = 0; i < found.gl_pathc && fine; i++)
        fine = disk_read(found.gl_pathv[i], arena, &text) && read_blocks(text, arena, ret);
    globfree(&found);
    return fine;
}

/* ---- a line as a request */

const char *care_way_name(enum care_way way)
{
    static const char *const names[] = {"note in FHIR JSON", "note in FHIR XML", "narrative", "plain JSON",
                                        "form field"};
    return names[way];
}

static void put_xml(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '<' || c == '&' || c == '"' || c == '\n' || c == '>')
            buf_printf(out, "&#%u;", (unsigned)c);
        else
            buf_char(out, c);
    }
}

static void put_json(struct buf *out, struct str text)
{
    struct json_writer w = json_writer_over(out);
    json_str(&w, text);
}

static void put_form(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_printf(out, "%%%02X", (unsigned)(uint8_t)text.p[i]);
}

static void put_body(struct buf *out, struct str line, enum care_way way, struct arena *arena)
{
    char *memory = arena_bytes(arena, line.n * 6 + 128);
    struct buf div = buf_over(memory, memory ? line.n * 6 + 128 : 0);
    switch (way) {
    case CARE_JSON:
        BUF_LIT(out, "{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"consult\"},"
                     "\"subject\":{\"reference\":\"Patient/1\"},\"note\":[{\"text\":");
        put_json(out, line);
        BUF_LIT(out, "}]}");
        break;
    case CARE_XML:
        BUF_LIT(out, "<Observation xmlns=\"http://hl7.org/fhir\"><status value=\"final\"/><code><text "
                     "value=\"consult\"/></code><note><text value=\"");
        put_xml(out, line);
        BUF_LIT(out, "\"/></note></Observation>");
        break;
    case CARE_NARRATIVE:
        BUF_LIT(&div, "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>");
        put_xml(&div, line);
        BUF_LIT(&div, "</p></div>");
        BUF_LIT(out,
                "{\"resourceType\":\"Composition\",\"status\":\"final\",\"text\":{\"status\":\"generated\","
                "\"div\":");
        put_json(out, buf_text(&div));
        BUF_LIT(out, "}}");
        break;
    case CARE_PROPERTY:
        BUF_LIT(out, "{\"onderwerp\":\"bericht\",\"tekst\":");
        put_json(out, line);
        BUF_LIT(out, "}");
        break;
    case CARE_FORM:
    case CARE_WAYS:
        BUF_LIT(out, "onderwerp=bericht&tekst=");
        put_form(out, line);
        break;
    }
}

struct care_request care_of_line(struct str line, enum care_way way, struct arena *arena)
{
    static const struct {
        const char *target, *type;
    } ways[] = {
        [CARE_JSON] = {"/fhir/Observation", "application/fhir+json; charset=utf-8"},
        [CARE_XML] = {"/fhir/Observation", "application/fhir+xml"},
        [CARE_NARRATIVE] = {"/fhir/Composition", "application/fhir+json;fhirVersion=4.0"},
        [CARE_PROPERTY] = {"/portaal/bericht", "application/json"},
        [CARE_FORM] = {"/portaal/bericht", "application/x-www-form-urlencoded"},
    };
    size_t room = line.n * 16 + 1024;
    char *memory = arena_bytes(arena, room);
    struct buf out = buf_over(memory, memory ? room : 0);
    put_body(&out, line, way, arena);
    return (struct care_request){.name = line,
                                 .method = STR("POST"),
                                 .target = str_of(ways[way].target),
                                 .type = str_of(ways[way].type),
                                 .body = buf_text(&out)};
}

/* ---- bundles */

static bool is_resource(const struct care_request *r)
{
    return str_starts(r->body, STR("{\"resourceType\"")) && str_find(r->type, STR("fhir+json")) >= 0;
}

bool care_bundle(const struct care_requests *requests, const char *type, size_t count, struct arena *arena,
                 struct care_request *ret)
{
    size_t room = 4096, n = 0;
    for (size_t i = 0; i < requests->n; i++)
        room += requests->items[i].body.n + 256;
    char *memory = arena_bytes(arena, room);
    struct buf out = buf_over(memory, memory ? room : 0);
    buf_printf(&out, "{\"resourceType\":\"Bundle\",\"type\":\"%s\",\"entry\":[", type);
    for (size_t i = 0; i < requests->n && n < count; i++) {
        if (!is_resource(&requests->items[i]))
            continue;
        buf_printf(&out, "%s{\"fullUrl\":\"https://fhir.praktijk-voorbeeld.nl/r4/x/%zu\",\"resource\":",
                   n ? "," : "", n);
        buf_str(&out, requests->items[i].body);
        BUF_LIT(&out, ",\"request\":{\"method\":\"POST\",\"url\":\"Observation\"}}");
        n++;
    }
    BUF_LIT(&out, "]}");
    *ret = (struct care_request){.name = arena_printf(arena, "%s of %zu", type, count),
                                 .method = STR("POST"),
                                 .target = STR("/fhir"),
                                 .type = STR("application/fhir+json"),
                                 .body = buf_text(&out)};
    return n == count && !buf_overflowed(&out);
}
