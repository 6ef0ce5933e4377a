/* Field lines (RFC 9112 5), and what they say about framing and connection (RFC 9112 6, RFC 9110 7.6.1). */
#include "http/h1_parse.h"

#include "base/must.h"
#include "http/chars.h"

/* The name before the colon, all token characters; leaves the reader behind the colon. */
static enum http_refusal take_name(struct h1_reader *r, struct str *ret)
{
    const char *begin = r->at, *p = begin;
    bool underscore = false;
    for (; http_char_is(*p, CHAR_TOKEN); p++)
        underscore |= *p == '_';
    if (*p != ':' || p == begin)
        return *begin == '\n' || *begin == '\r'  ? REFUSAL_LINE_END
               : *begin == ' ' || *begin == '\t' ? REFUSAL_FIELD_FOLDED
                                                 : REFUSAL_FIELD_NAME;
    if (underscore && !r->limits->keep_underscores)
        return REFUSAL_FIELD_UNDERSCORE;
    *ret = (struct str){begin, (size_t)(p - begin)};
    r->at = p + 1;
    return REFUSAL_NONE;
}

static enum http_refusal take_value(struct h1_reader *r, struct str *ret)
{
    const char *begin = r->at;
    while (*begin == ' ' || *begin == '\t')
        begin++;
    const char *end = h1_skip_value(r, begin);
    if (*end != '\r' && *end != '\n')
        return REFUSAL_FIELD_VALUE;
    r->at = end;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *ret = (struct str){begin, (size_t)(end - begin)};
    return h1_take_line_end(r);
}

/* Connection options (RFC 9110 7.6.1). Naming a field here asks us to drop it before forwarding: a field that
 * frames, routes or marks the request must not be dropped on a stranger's word. */
static enum http_refusal note_connection(struct h1_framing *f, struct str value)
{
    while (value.p) {
        struct str option = str_trim(str_cut(&value, ','));
        if (option.n == 0)
            continue;
        if (!http_all(option, CHAR_TOKEN))
            return REFUSAL_CONNECTION;
        if (str_eq_nocase(option, STR("close")))
            f->says_close = true;
        switch (http_field_id(option)) {
        case FIELD_KEEP_ALIVE:
            f->says_keep_alive = true;
            break;
        case FIELD_UPGRADE:
            f->says_upgrade = true;
            break;
        case FIELD_OTHER:
        case FIELD_TE:
        case FIELD_TRAILER:
        case FIELD_VIA: /* the client's goes; the gate's own is written all the same */
        case FIELD_PROXY_CONNECTION:
        case FIELD_HTTP2_SETTINGS:
            break;
        default:
            return REFUSAL_CONNECTION;
        }
    }
    return REFUSAL_NONE;
}

static void note_length(struct h1_framing *f, struct str value)
{
    uint64_t length = 0;
    f->lengths += f->lengths < 2;
    if (!str_parse_u64(value, &length) || length > INT64_MAX) /* signed further on: nghttp2, off_t */
        f->bad_length = true;
    f->content_length = length;
}

static enum http_refusal note_field(struct h1_framing *f, const struct http_field *field)
{
    switch (field->id) {
    case FIELD_HOST:
        f->hosts += f->hosts < 2;
        f->host = field->value;
        break;
    case FIELD_CONTENT_LENGTH:
        note_length(f, field->value);
        break;
    case FIELD_TRANSFER_ENCODING:
        f->codings += f->codings < 2;
        f->bad_coding |= !str_eq_nocase(field->value, STR("chunked"));
        break;
    case FIELD_CONNECTION:
        return note_connection(f, field->value);
    case FIELD_UPGRADE:
        f->wants_websocket |= http_list_has(field->value, STR("websocket"));
        break;
    case FIELD_TE:
        f->te_trailers |= http_list_has(field->value, STR("trailers"));
        break;
    case FIELD_EXPECT:
        f->expects_continue = true;
        return str_eq_nocase(field->value, STR("100-continue")) ? REFUSAL_NONE : REFUSAL_EXPECTATION;
    default:
        break;
    }
    return REFUSAL_NONE;
}

static enum http_refusal take_field(struct h1_reader *r, struct http_field *ret)
{
    enum http_refusal refusal = take_name(r, &ret->name);
    if (refusal == REFUSAL_NONE)
        refusal = take_value(r, &ret->value);
    if (refusal == REFUSAL_NONE)
        ret->id = http_field_id(ret->name);
    return refusal;
}

enum http_refusal h1_take_fields(struct h1_reader *r, struct h1_fields *ret)
{
    unsigned room = r->lines; /* at least the fields' lines */
    *ret = (struct h1_fields){0};
    if (room > r->limits->field_count + 3) /* an empty line, the start line and the closing one */
        return REFUSAL_TOO_MANY_FIELDS;
    ret->items = arena_alloc(r->arena, room * sizeof *ret->items);
    if (!ret->items)
        return REFUSAL_HEAD_TOO_LARGE;
    while (r->at[0] != '\r') {
        must(ret->count < room);
        enum http_refusal refusal = take_field(r, &ret->items[ret->count]);
        if (refusal != REFUSAL_NONE)
            return refusal;
        refusal = note_field(&ret->framing, &ret->items[ret->count++]);
        if (ret->framing.refusal == REFUSAL_NONE)
            ret->framing.refusal = refusal;
    }
    if (ret->count > r->limits->field_count)
        return REFUSAL_TOO_MANY_FIELDS;
    return h1_take_line_end(r);
}

enum http_refusal h1_judge_framing(const struct h1_framing *f, enum http_version version, enum http_body *ret)
{
    if (f->lengths && f->codings)
        return REFUSAL_LENGTH_AND_TRANSFER_ENCODING;
    if (f->lengths > 1 || f->bad_length)
        return REFUSAL_LENGTH;
    if (f->codings > 1 || f->bad_coding || (f->codings && version == HTTP_1_0))
        return REFUSAL_TRANSFER_ENCODING;
    *ret = f->codings ? BODY_CHUNKED : f->lengths ? BODY_LENGTH : BODY_NONE;
    return f->refusal;
}

bool h1_stays_open(const struct h1_framing *f, enum http_version version)
{
    return !f->says_close && (version == HTTP_1_1 || f->says_keep_alive);
}
