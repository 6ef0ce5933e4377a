/* The chunked transfer coding (RFC 9112 7.1), with its trailers.
 *
 *   SIZE -> AFTER_SIZE -> (EXTENSION ..) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *                                              `-> TRAILERS (size 0)
 *
 * Held to the grammar: CR LF ends each line, and around extensions no white space is taken ("bad" white space
 * even to the RFC): whoever sends it tests how two readers disagree. */
#include "http/h1_parse.h"

#include "base/must.h"
#include "http/chars.h"

enum {
    STATE_SIZE,
    STATE_NAME_FIRST, /* after ';' */
    STATE_NAME,
    STATE_VALUE_FIRST, /* after '=' */
    STATE_VALUE,
    STATE_QUOTED,
    STATE_ESCAPED,
    STATE_AFTER_QUOTED,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILERS,
    STATE_BAD,

    DIGITS_SHIFT = 8,          /* digits of the size so far stand above the state */
    DIGITS_MAX = 16,           /* leading zeros included */
    EXTENSION_BYTES_MAX = 4096 /* in one body; nothing reads them, and RFC 9112 7.1.1 asks for a bound */
};

/* States of a chunk extension: what follows byte c. */
static uint32_t step_extension(uint32_t state, char c)
{
    bool token = http_char_is(c, CHAR_TOKEN);
    switch (state) {
    case STATE_NAME_FIRST:
        return token ? STATE_NAME : STATE_BAD;
    case STATE_NAME:
        if (c == '=')
            return STATE_VALUE_FIRST;
        break;
    case STATE_VALUE_FIRST:
        return c == '"' ? STATE_QUOTED : token ? STATE_VALUE : STATE_BAD;
    case STATE_VALUE:
        break;
    case STATE_QUOTED:
        if (c == '"')
            return STATE_AFTER_QUOTED;
        return c == '\\' ? STATE_ESCAPED : http_char_is(c, CHAR_QUOTED) ? STATE_QUOTED : STATE_BAD;
    case STATE_ESCAPED:
        return http_char_is(c, CHAR_VALUE) ? STATE_QUOTED : STATE_BAD;
    default:
        token = false;
        break;
    }
    return c == '\r' ? STATE_SIZE_LF : c == ';' ? STATE_NAME_FIRST : token ? state : STATE_BAD;
}

static uint32_t step_size(struct h1_chunked *c, char byte)
{
    uint32_t digits = c->state >> DIGITS_SHIFT;
    if (http_char_is(byte, CHAR_HEX)) {
        if (digits == DIGITS_MAX || c->left > INT64_MAX >> 4)
            return STATE_BAD;
        c->left = c->left << 4 | http_hex_value(byte);
        return STATE_SIZE | (digits + 1) << DIGITS_SHIFT;
    }
    if (digits == 0)
        return STATE_BAD;
    return byte == '\r' ? STATE_SIZE_LF : byte == ';' ? STATE_NAME_FIRST : STATE_BAD;
}

/* The state behind one byte of anything but data. */
static uint32_t step(struct h1_chunked *c, char byte)
{
    switch (c->state & ((1U << DIGITS_SHIFT) - 1)) {
    case STATE_SIZE:
        return step_size(c, byte);
    case STATE_SIZE_LF:
        return byte != '\n' ? STATE_BAD : c->left ? STATE_DATA : STATE_TRAILERS;
    case STATE_DATA_CR:
        return byte == '\r' ? STATE_DATA_LF : STATE_BAD;
    case STATE_DATA_LF:
        return byte == '\n' ? STATE_SIZE : STATE_BAD;
    default:
        if (++c->extension_bytes > EXTENSION_BYTES_MAX)
            return STATE_BAD;
        return step_extension(c->state, byte);
    }
}

static struct str take_data(struct h1_chunked *c, struct str in)
{
    struct str data = str_take(in, c->left < in.n ? (size_t)c->left : in.n);
    c->left -= data.n;
    if (c->left == 0)
        c->state = STATE_DATA_CR;
    return data;
}

enum h1_chunked_result h1_chunked_feed(struct h1_chunked *c, struct str in, size_t *ret_taken,
                                       struct str *ret_data)
{
    size_t at = 0;
    while (at < in.n && c->state != STATE_DATA && c->state != STATE_TRAILERS && c->state != STATE_BAD)
        c->state = step(c, in.p[at++]);
    *ret_taken = at;
    if (c->state == STATE_BAD)
        return CHUNKED_BAD;
    if (c->state == STATE_TRAILERS)
        return CHUNKED_TRAILER;
    if (c->state != STATE_DATA || at == in.n)
        return CHUNKED_MORE;
    *ret_data = take_data(c, str_skip(in, at));
    *ret_taken = at + ret_data->n;
    return CHUNKED_DATA;
}

void h1_chunk_write_size(struct buf *b, uint64_t size)
{
    buf_hex_u64(b, size);
    BUF_LIT(b, "\r\n");
}

/* RFC 9110 6.5.1: what frames, routes, authenticates or steers the handling of a message comes too late
 * here, and a recipient that merges trailers would be fooled. Fields the gate itself reads have ids. */
bool h1_may_trail(const struct http_field *field)
{
    static const struct str too_late[] = {
        {"authorization", 13},
        {"proxy-authorization", 19},
        {"www-authenticate", 16},
        {"proxy-authenticate", 18},
        {"authentication-info", 19},
        {"proxy-authentication-info", 25},
        {"cache-control", 13},
        {"pragma", 6},
        {"expires", 7},
        {"age", 3},
        {"vary", 4},
        {"location", 8},
        {"content-encoding", 16},
        {"content-range", 13},
        {"range", 5},
        {"if-match", 8},
        {"if-none-match", 13},
        {"if-modified-since", 17},
        {"if-unmodified-since", 19},
        {"if-range", 8},
        {"max-forwards", 12},
    };
    if (field->id != FIELD_OTHER)
        return false;
    for (size_t i = 0; i < sizeof too_late / sizeof *too_late; i++)
        if (str_eq_nocase(field->name, too_late[i]))
            return false;
    return true;
}

static enum http_refusal read_trailers(struct h1_reader *r, struct h1_fields *ret)
{
    enum http_refusal refusal = h1_take_fields(r, ret);
    if (refusal == REFUSAL_TOO_MANY_FIELDS || refusal == REFUSAL_HEAD_TOO_LARGE)
        return refusal;
    if (refusal != REFUSAL_NONE)
        return REFUSAL_TRAILER;
    must(r->at == r->end);
    for (unsigned i = 0; i < ret->count; i++)
        if (!h1_may_trail(&ret->items[i]))
            return REFUSAL_TRAILER;
    return REFUSAL_NONE;
}

ptrdiff_t h1_parse_trailers(struct str in, size_t *scanned, const struct h1_limits *limits,
                            struct arena *arena, struct http_field **ret_fields, unsigned *ret_count,
                            enum http_refusal *ret_refusal)
{
    struct h1_reader reader;
    struct h1_fields fields;
    ptrdiff_t n = h1_reader_init(&reader, H1_TRAILERS, in, scanned, limits, arena, ret_refusal);
    if (n <= 0)
        return n;
    enum http_refusal refusal = read_trailers(&reader, &fields);
    if (refusal != REFUSAL_NONE) {
        *ret_refusal = refusal;
        return -1;
    }
    *ret_fields = fields.items;
    *ret_count = fields.count;
    return n;
}
