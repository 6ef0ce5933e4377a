#include "rest/binary.h"

#include "fhir/reference.h"
#include "rest/document.h"
#include "rest/outcome.h"
#include "json/writer.h"

enum { MEDIA_MAX = 255, CONTEXT_MAX = 512 };

/* ---- in */

static bool is_json(struct str media)
{
    return str_eq_nocase(media, STR("application/fhir+json")) ||
           str_eq_nocase(media, STR("application/json")) || str_eq_nocase(media, STR("text/json"));
}

static bool is_xml(struct str media)
{
    return str_eq_nocase(media, STR("application/fhir+xml")) ||
           str_eq_nocase(media, STR("application/xml")) || str_eq_nocase(media, STR("text/xml"));
}

static struct str skip_blank(struct str text)
{
    while (text.n && (text.p[0] == ' ' || text.p[0] == '\t' || text.p[0] == '\r' || text.p[0] == '\n'))
        text = str_skip(text, 1);
    return text;
}

/* Behind declaration and comments the root's name. What cannot be read so is left to the reader of XML, who
 * says where it is wrong. */
static bool has_other_root(struct str text)
{
    for (text = skip_blank(text); text.n > 1 && text.p[0] == '<' && (text.p[1] == '?' || text.p[1] == '!');
         text = skip_blank(text)) {
        ptrdiff_t end = str_find(text, str_starts(text, STR("<!--")) ? STR("-->") : STR(">"));
        if (end < 0)
            return false;
        text = str_skip(text, (size_t)end + 1);
        if (text.n > 1 && text.p[0] == '-')
            text = str_skip(text, 2);
    }
    return text.n && !str_starts(text, STR("<Binary"));
}

/* The name may stand anywhere in the object: a resource that is none is found out when it is parsed. */
static bool names_no_binary(struct str text)
{
    static const struct str name = STR("\"Binary\"");
    text = skip_blank(text);
    return text.n && (text.p[0] != '{' || str_find(text, name) < 0);
}

bool rest_binary_is_content(const struct rest_request *r, struct str media, struct str body)
{
    if (!r->type || !str_eq(fhir_type_name(r->type), STR("Binary")) || !media.n ||
        (r->interaction != REST_CREATE && r->interaction != REST_UPDATE))
        return false;
    return is_json(media) ? names_no_binary(body) : is_xml(media) ? has_other_root(body) : true;
}

static void put_base64(struct buf *b, struct str bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i < 3 ? bytes.n - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? (uint8_t)bytes.p[i + k] : 0);
        for (unsigned k = 0; k < 4; k++)
            buf_char(b, k <= left ? letters[bits >> (18 - 6 * k) & 63] : '=');
    }
}

static struct str field(const struct rest_http *http, const char *name)
{
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, str_of(name)))
            return http->fields[i].value;
    return STR_NONE;
}

static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] > 0x7e)
            return false;
    return true;
}

static bool check_fields(const struct rest_call *call, struct str media, struct str context,
                         struct rest_answer *answer)
{
    if (media.n > MEDIA_MAX || !is_printable(media) || str_find_char(media, '/') < 1)
        return rest_refuse(call, answer, 400, "value", STR("http.content-type"),
                           "the Content-Type is no media type, such as application/pdf");
    return !context.n ||
           (context.n <= CONTEXT_MAX && is_printable(context) && fhir_reference_parse(context).type) ||
           rest_refuse(call, answer, 400, "value", STR("http.x-security-context"),
                       "X-Security-Context is a reference to a resource, such as DocumentReference/1");
}

static struct str write_binary(const struct rest_call *call, const struct rest_request *r, struct str media,
                               struct str context)
{
    size_t cap = r->body.n / 3 * 4 + 1'024 + 6 * (media.n + context.n);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Binary"));
    if (r->id.n)
        json_put_str(&w, STR("id"), r->id);
    json_put_str(&w, STR("contentType"), media);
    if (context.n) {
        json_put_object(&w, STR("securityContext"));
        json_put_str(&w, STR("reference"), context);
        json_object_end(&w);
    }
    json_key(&w, STR("data"));
    json_str_begin(&w);
    put_base64(&b, r->body); /* no character of it needs an escape */
    json_str_end(&w);
    json_object_end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

bool rest_binary_wrap(const struct rest_call *call, struct rest_request *r, struct rest_http *http,
                      struct rest_answer *answer)
{
    static const struct http_field json = {STR("content-type"), STR("application/fhir+json"),
                                           FIELD_CONTENT_TYPE};
    struct str media = str_trim(field(http, "content-type")),
               context = str_trim(field(http, "x-security-context"));
    if (!check_fields(call, media, context, answer))
        return false;
    struct http_field *fields = arena_alloc(call->arena, (http->field_count + 1) * sizeof *fields);
    struct str body = write_binary(call, r, media, context);
    if (!fields || !body.n)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    for (unsigned i = 0; i < http->field_count; i++)
        fields[i] = str_eq_nocase(http->fields[i].name, json.name) ? json : http->fields[i];
    http->fields = fields;
    http->body = r->body = body;
    r->is_content = false;
    return true;
}

/* ---- out */

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* White space may stand in it (https://hl7.org/fhir/R4/datatypes.html#base64Binary). */
static bool decode(struct str text, struct arena *arena, struct str *ret)
{
    char *to = arena_bytes(arena, text.n / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned held = 0, ends = 0;
    size_t n = 0;
    for (size_t i = 0; to && i < text.n; i++) {
        char c = text.p[i];
        int value = value_of(c);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        ends += c == '=';
        if (c == '=' && ends <= 2)
            continue;
        if (value < 0 || ends)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[n++] = (char)(bits >> held);
        }
    }
    *ret = (struct str){to, n};
    return to != NULL;
}

bool rest_binary_content(const struct rest_call *call, struct str resource, struct str *ret_type,
                         struct str *ret)
{
    struct json_tape t;
    if (rest_json_parse(resource, call->arena, &t, NULL) != JSON_FINE)
        return false;
    struct str media = fhir_member_text(&t, 0, STR("contentType"), call->arena);
    /* It goes into a header: a code may hold line ends, a header must not. */
    bool is_fine = media.n && media.n <= MEDIA_MAX && is_printable(media) && str_find_char(media, '/') > 0;
    *ret_type = is_fine ? media : STR("application/octet-stream");
    return decode(fhir_member_text(&t, 0, STR("data"), call->arena), call->arena, ret);
}
