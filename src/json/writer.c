#include "json/writer.h"
#include "json/utf8.h"

static void value_begins(struct json_writer *w)
{
    if (w->needs_comma)
        buf_char(w->out, ',');
    w->needs_comma = true;
}

static void nest(struct json_writer *w, char bracket)
{
    value_begins(w);
    buf_char(w->out, bracket);
    w->needs_comma = false;
}

static void unnest(struct json_writer *w, char bracket)
{
    buf_char(w->out, bracket);
    w->needs_comma = true;
}

void json_object_begin(struct json_writer *w)
{
    nest(w, '{');
}

void json_object_end(struct json_writer *w)
{
    unnest(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    nest(w, '[');
}

void json_array_end(struct json_writer *w)
{
    unnest(w, ']');
}

/* 0: stands for itself; 'u': \u00xx; 'm': first byte of a longer sequence; else the letter after the
 * backslash. */
static const char escapes[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',  ['\t'] = 't', ['\n'] = 'n',
    [0x0b] = 'u',          ['\f'] = 'f',  ['\r'] = 'r', [0x0e ... 0x1f] = 'u',
    ['"'] = '"',           ['\\'] = '\\', [0x7f] = 'u', [0x80 ... 0xff] = 'm',
};

static void write_unicode_escape(struct buf *out, uint8_t code)
{
    BUF_LIT(out, "\\u00");
    buf_hex(out, &code, 1);
}

/* Writes the sequence at the beginning of s; returns the bytes it took. */
static size_t write_multibyte(struct buf *out, struct str s)
{
    unsigned bad;
    unsigned length = utf8_sequence(s.p, s.n, &bad);
    if (length == 0) {
        BUF_LIT(out, "\xef\xbf\xbd");
        return bad;
    }
    if (length == 2 && (uint8_t)s.p[0] == 0xc2 && (uint8_t)s.p[1] < 0xa0)
        write_unicode_escape(out, (uint8_t)s.p[1]);
    else
        buf_add(out, s.p, length);
    return length;
}

void json_str_part(struct json_writer *w, struct str s)
{
    size_t at = 0, plain = 0; /* plain: where the run of bytes that stand for themselves began */
    while (at < s.n) {
        char escape = escapes[(uint8_t)s.p[at]];
        if (escape == 0) {
            at++;
            continue;
        }
        buf_str(w->out, (struct str){s.p + plain, at - plain});
        if (escape == 'm') {
            at += write_multibyte(w->out, str_skip(s, at));
        } else if (escape == 'u') {
            write_unicode_escape(w->out, (uint8_t)s.p[at++]);
        } else {
            buf_add(w->out, (char[]){'\\', escape}, 2);
            at++;
        }
        plain = at;
    }
    if (s.n)
        buf_str(w->out, (struct str){s.p + plain, at - plain});
}

void json_str_begin(struct json_writer *w)
{
    value_begins(w);
    buf_char(w->out, '"');
}

void json_str_end(struct json_writer *w)
{
    buf_char(w->out, '"');
}

void json_str(struct json_writer *w, struct str s)
{
    json_str_begin(w);
    json_str_part(w, s);
    json_str_end(w);
}

void json_key(struct json_writer *w, struct str key)
{
    json_str(w, key);
    buf_char(w->out, ':');
    w->needs_comma = false;
}

void json_u64(struct json_writer *w, uint64_t value)
{
    value_begins(w);
    buf_u64(w->out, value);
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

void json_i64(struct json_writer *w, int64_t value)
{
    value_begins(w);
    if (value < 0)
        buf_char(w->out, '-');
    buf_u64(w->out, magnitude(value));
}

void json_fixed(struct json_writer *w, int64_t value, unsigned decimals)
{
    uint64_t unit = 1;
    for (unsigned i = 0; i < decimals && i < 18; i++)
        unit *= 10;
    value_begins(w);
    if (value < 0)
        buf_char(w->out, '-');
    buf_u64(w->out, magnitude(value) / unit);
    if (unit == 1)
        return;
    buf_char(w->out, '.');
    for (uint64_t rest = magnitude(value) % unit; unit > 1; rest %= unit) {
        unit /= 10;
        buf_char(w->out, (char)('0' + rest / unit));
    }
}

void json_bool(struct json_writer *w, bool value)
{
    value_begins(w);
    buf_str(w->out, value ? STR("true") : STR("false"));
}

void json_null(struct json_writer *w)
{
    value_begins(w);
    BUF_LIT(w->out, "null");
}

void json_raw(struct json_writer *w, struct str valid_json)
{
    value_begins(w);
    buf_str(w->out, valid_json);
}

void json_put_str(struct json_writer *w, struct str key, struct str value)
{
    json_key(w, key);
    json_str(w, value);
}

void json_put_u64(struct json_writer *w, struct str key, uint64_t value)
{
    json_key(w, key);
    json_u64(w, value);
}

void json_put_i64(struct json_writer *w, struct str key, int64_t value)
{
    json_key(w, key);
    json_i64(w, value);
}

void json_put_fixed(struct json_writer *w, struct str key, int64_t value, unsigned decimals)
{
    json_key(w, key);
    json_fixed(w, value, decimals);
}

void json_put_bool(struct json_writer *w, struct str key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void json_put_object(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_object_begin(w);
}

void json_put_array(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_array_begin(w);
}
