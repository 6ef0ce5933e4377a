#include "rest/format.h"

#include "fhir/xml_write.h"
#include "rest/binary.h"
#include "rest/document.h"
#include "rest/outcome.h"

enum { INDENT = 2 };

/* ---- in */

static bool refuse_xml(const struct rest_call *call, const struct fhir_xml_error *e,
                       struct rest_answer *answer)
{
    if (!e->line)
        return rest_refuse(call, answer, 400, "structure", e->path, "the body cannot be read: %.*s",
                           STR_ARG(e->what));
    return rest_refuse(call, answer, 400, "structure", e->path,
                       "the body cannot be read: line %u, column %u: %.*s", e->line, e->column,
                       STR_ARG(e->what));
}

bool rest_body_to_json(const struct rest_call *call, struct rest_request *r, struct rest_http *http,
                       struct rest_answer *answer)
{
    static const struct http_field json = {STR("content-type"), STR("application/fhir+json"),
                                           FIELD_CONTENT_TYPE};
    struct fhir_xml_error error = {0};
    if (r->is_content)
        return rest_binary_wrap(call, r, http, answer);
    if (!r->body.n || r->form.n || r->is_patch_json || r->body_format == REST_JSON)
        return true;
    size_t cap = r->body.n + 4096;
    bool fine = false;
    for (unsigned i = 0; i < 2 && !fine; i++, cap *= 6) {
        char *memory = arena_bytes(call->arena, cap);
        struct buf b = buf_over(memory, memory ? cap : 0);
        fine = memory && fhir_xml_read(r->body, &call->site->engine->key, call->scratch, &b, &error);
        if (fine)
            r->body = buf_text(&b);
        else if (!buf_overflowed(&b))
            return refuse_xml(call, &error, answer);
        arena_reset(call->scratch);
    }
    struct http_field *fields = arena_alloc(call->arena, (http->field_count + 1) * sizeof *fields);
    if (!fine || !fields)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    memcpy(fields, http->fields, http->field_count * sizeof *fields);
    for (unsigned i = 0; i < http->field_count; i++)
        if (fields[i].id == FIELD_CONTENT_TYPE)
            fields[i] = json;
    http->fields = fields;
    http->body = r->body;
    return true;
}

/* ---- out */

static void new_line(struct buf *b, unsigned depth)
{
    buf_char(b, '\n');
    for (unsigned i = 0; i < depth * INDENT; i++)
        buf_char(b, ' ');
}

/* Valid JSON with line ends and indentation; strings as they are. */
static void write_pretty(struct str text, struct buf *b)
{
    unsigned depth = 0;
    bool in_string = false, is_empty = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            buf_char(b, c);
            if (c == '\\' && i + 1 < text.n)
                buf_char(b, text.p[++i]);
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            continue;
        if (c == '}' || c == ']') {
            depth -= depth > 0;
            if (!is_empty)
                new_line(b, depth);
        } else if (is_empty) {
            new_line(b, depth);
        }
        is_empty = c == '{' || c == '[';
        buf_char(b, c);
        depth += is_empty;
        in_string = c == '"';
        if (c == ',')
            new_line(b, depth);
        else if (c == ':')
            buf_char(b, ' ');
    }
    buf_char(b, '\n');
}

static struct str pretty(const struct rest_call *call, struct str text)
{
    for (size_t cap = 4 * text.n + 1024; cap <= 64 * text.n + 1024; cap *= 4) {
        char *memory = arena_bytes(call->arena, cap);
        struct buf b = buf_over(memory, memory ? cap : 0);
        write_pretty(text, &b);
        if (!buf_overflowed(&b))
            return buf_text(&b);
    }
    return text; /* nested deeper than anybody reads */
}

static struct str to_xml(const struct rest_call *call, const struct rest_request *r,
                         struct rest_answer *answer)
{
    struct json_tape t;
    struct fhir_value resource;
    struct fhir_xml_error error = {0};
    if (rest_json_parse(answer->body, call->arena, &t, NULL) != JSON_FINE ||
        !fhir_value_of_resource(&t, 0, &resource))
        return STR_NONE;
    for (size_t cap = 2 * answer->body.n + 4096, i = 0; i < 2; i++, cap *= 6) {
        char *memory = arena_bytes(call->arena, cap);
        struct buf b = buf_over(memory, memory ? cap : 0);
        bool fine = memory && fhir_xml_write(&resource, r->is_pretty, &call->site->engine->key, call->scratch,
                                             &b, &error);
        arena_reset(call->scratch);
        if (fine)
            return buf_text(&b);
    }
    return STR_NONE;
}

struct str rest_render(const struct rest_call *call, const struct rest_request *r, struct rest_answer *answer,
                       struct str *ret_type)
{
    *ret_type = STR("application/fhir+json; charset=utf-8");
    struct str content;
    if (!answer->body.n)
        return STR_NONE;
    if (r->interaction == REST_OPERATION && answer->status == 200 &&
        str_starts(r->operation, STR("export"))) {
        *ret_type = str_eq(r->operation, STR("export-file")) ? STR("application/fhir+ndjson")
                                                             : STR("application/json");
        return answer->body;
    }
    if (r->is_native && answer->status == 200 && rest_binary_content(call, answer->body, ret_type, &content))
        return content;
    if (r->format == REST_XML) {
        struct str xml = to_xml(call, r, answer);
        if (!xml.n && answer->status < 400) {
            rest_refuse(call, answer, 406, "not-supported", STR("http.accept"),
                        "this cannot be written as XML: ask for application/fhir+json");
            return answer->body;
        }
        if (xml.n) {
            *ret_type = STR("application/fhir+xml; charset=utf-8");
            return xml;
        }
    }
    return r->is_pretty ? pretty(call, answer->body) : answer->body;
}
