/* Transformations that undo an encoding: URL, HTML, JavaScript, CSS, C escapes, base64, and UTF-8 into %u.
 * None of them is strict: what is no encoding is copied as it stands. */
#include "waf/transform.h"

#include "waf/text.h"
#include "json/utf8.h"

static struct buf room(struct arena *arena, size_t n)
{
    char *p = arena_bytes(arena, n);
    return buf_over(p, p ? n : 0);
}

static bool are_hex(struct str in, size_t at, size_t n)
{
    if (at > in.n || in.n - at < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_hex(in.p[at + i]))
            return false;
    }
    return true;
}

/* Full-width forms U+FF01..U+FF5E of ASCII: the last byte lies 0x20 below the character it looks like. */
static char narrow(const char *four_digits)
{
    uint8_t low = (uint8_t)hex_byte(four_digits + 2);
    bool is_wide = ascii_lower(four_digits[0]) == 'f' && ascii_lower(four_digits[1]) == 'f';
    return (char)(is_wide && low > 0 && low < 0x5f ? low + 0x20 : low);
}

/* ---- URL */

struct str transform_url_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    unsigned invalid = 0;
    return text_url_decode(in, arena, &invalid);
}

static char mapped(const char *four_digits, const struct unicode_map *map)
{
    unsigned code = (unsigned)(uint8_t)hex_byte(four_digits) << 8 | (uint8_t)hex_byte(four_digits + 2);
    if (map && map->byte_of[code] >= 0)
        return (char)map->byte_of[code];
    return narrow(four_digits);
}

struct str transform_url_decode_uni(struct str in, const struct unicode_map *map, struct arena *arena)
{
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        bool is_u = in.p[i] == '%' && i + 1 < in.n && ascii_lower(in.p[i + 1]) == 'u';
        if (is_u && are_hex(in, i + 2, 4)) {
            buf_char(&out, mapped(in.p + i + 2, map));
            i += 6;
        } else if (in.p[i] == '%' && are_hex(in, i + 1, 2)) {
            buf_char(&out, hex_byte(in.p + i + 1));
            i += 3;
        } else {
            buf_char(&out, in.p[i] == '+' ? ' ' : in.p[i]);
            i++;
        }
    }
    return buf_text(&out);
}

/* ---- HTML */

/* A number in digits of that base; its last byte counts, as C's (char)strtol() does. */
static char entity_byte(struct str digits, unsigned base)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (value > (INT64_MAX - 15) / base)
            return (char)0xff; /* LONG_MAX's last byte */
        value = value * base + (unsigned)hex_value(digits.p[i]);
    }
    return (char)value;
}

static bool named_entity(struct str name, char *ret)
{
    static const struct {
        const char *name;
        char is;
    } entities[] = {{"quot", '"'}, {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"nbsp", (char)0xa0}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) {
        if (str_eq_nocase(name, str_of(entities[i].name))) {
            *ret = entities[i].is;
            return true;
        }
    }
    return false;
}

static size_t span(struct str in, size_t at, bool (*is)(char))
{
    size_t end = at;
    while (end < in.n && is(in.p[end]))
        end++;
    return end - at;
}

/* in.p[at] is '&'. How many bytes the entity takes, without its semicolon; 0: none. */
static size_t read_entity(struct str in, size_t at, char *ret)
{
    size_t begin = at + 1, n;
    if (begin < in.n && in.p[begin] == '#') {
        bool is_hexadecimal = begin + 1 < in.n && ascii_lower(in.p[begin + 1]) == 'x';
        begin += is_hexadecimal ? 2 : 1;
        n = span(in, begin, is_hexadecimal ? is_hex : is_digit);
        if (!n)
            return 0;
        *ret = entity_byte((struct str){in.p + begin, n}, is_hexadecimal ? 16 : 10);
        return begin + n - at;
    }
    n = span(in, begin, is_alnum);
    return n && named_entity((struct str){in.p + begin, n}, ret) ? n + 1 : 0;
}

struct str transform_html_entity_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        char c = in.p[i];
        size_t taken = c == '&' ? read_entity(in, i, &c) : 0;
        buf_char(&out, c);
        i += taken ? taken : 1;
        if (taken && i < in.n && in.p[i] == ';')
            i++;
    }
    return buf_text(&out);
}

/* ---- JavaScript and C */

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static size_t octal_digits(struct str in, size_t at)
{
    size_t n = 0;
    while (n < 3 && at + n < in.n && is_octal(in.p[at + n]))
        n++;
    return n;
}

static char octal_byte(const char *p, size_t n)
{
    unsigned value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 3 | (unsigned)(p[i] - '0');
    return (char)value;
}

static char control_of(char letter)
{
    static const char letters[] = "abfnrtv", controls[] = "\a\b\f\n\r\t\v";
    const char *at = letter ? strchr(letters, letter) : NULL;
    return at ? controls[at - letters] : letter;
}

/* in.p[at] is a backslash and a byte follows. Returns the bytes taken. */
static size_t js_escape(struct str in, size_t at, char *ret)
{
    char kind = in.p[at + 1];
    if (kind == 'u' && are_hex(in, at + 2, 4)) {
        *ret = narrow(in.p + at + 2);
        return 6;
    }
    if (kind == 'x' && are_hex(in, at + 2, 2)) {
        *ret = hex_byte(in.p + at + 2);
        return 4;
    }
    size_t digits = octal_digits(in, at + 1);
    if (digits) {
        digits -= digits == 3 && kind > '3'; /* one byte and no more */
        *ret = octal_byte(in.p + at + 1, digits);
        return 1 + digits;
    }
    *ret = control_of(kind);
    return 2;
}

/* Differs from js_escape in what it does not know: that loses its backslash and stays a letter; three octal
 * digits are always taken. */
static size_t c_escape(struct str in, size_t at, char *ret)
{
    char kind = in.p[at + 1];
    if (ascii_lower(kind) == 'x' && are_hex(in, at + 2, 2)) {
        *ret = hex_byte(in.p + at + 2);
        return 4;
    }
    size_t digits = octal_digits(in, at + 1);
    *ret = digits ? octal_byte(in.p + at + 1, digits) : control_of(kind);
    return digits ? 1 + digits : 2;
}

static struct str unescape(struct str in, struct arena *arena, size_t (*escape)(struct str, size_t, char *))
{
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        char c = in.p[i];
        i += c == '\\' && i + 1 < in.n ? escape(in, i, &c) : 1;
        buf_char(&out, c);
    }
    return buf_text(&out);
}

struct str transform_js_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    return unescape(in, arena, js_escape);
}

struct str transform_escape_seq_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    return unescape(in, arena, c_escape);
}

/* ---- CSS (CSS 2.1, 4.1.3), reduced to bytes: the last two digits count, full-width forms become ASCII. */

static char css_byte(const char *p, size_t digits)
{
    if (digits == 1)
        return (char)hex_value(p[0]);
    if (digits < 4)
        return hex_byte(p + digits - 2);
    for (size_t i = 0; i + 4 < digits; i++) {
        if (p[i] != '0')
            return hex_byte(p + digits - 2);
    }
    return narrow(p + digits - 4);
}

struct str transform_css_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct buf out = room(arena, in.n);
    for (size_t i = 0; i < in.n;) {
        if (in.p[i] != '\\') {
            buf_char(&out, in.p[i++]);
            continue;
        }
        if (++i == in.n) /* a backslash at the very end continues nothing */
            break;
        size_t digits = 0;
        while (digits < 6 && i + digits < in.n && is_hex(in.p[i + digits]))
            digits++;
        if (digits) {
            buf_char(&out, css_byte(in.p + i, digits));
            i += digits;
            i += i < in.n && is_space(in.p[i]);
        } else if (in.p[i] == '\n') {
            i++;
        } else {
            buf_char(&out, in.p[i++]);
        }
    }
    return buf_text(&out);
}

/* ---- base64: up to the first byte outside the alphabet (RFC 4648 4). */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct str transform_base64_decode(struct str in, const struct unicode_map *, struct arena *arena)
{
    struct buf out = room(arena, in.n);
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < in.n && base64_value(in.p[i]) >= 0; i++) {
        bits = bits << 6 | (uint32_t)base64_value(in.p[i]);
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_char(&out, (char)(bits >> have));
        }
    }
    return buf_text(&out);
}

/* ---- UTF-8 into %uHHHH, as ModSecurity 2.9 has it: a character written longer than it has to be is decoded
 * all the same (so that %c0%af is found to be a slash), with its first byte behind it, as half a surrogate
 * pair has; a first byte without those that must follow is dropped, and so is a NUL. */

static unsigned utf8_length(uint8_t first)
{
    return (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : (first & 0xf8) == 0xf0 ? 4 : 1;
}

/* The code of n bytes; false: not all of them are there. */
static bool utf8_code(struct str in, unsigned n, uint32_t *ret_code)
{
    uint32_t code = (uint8_t)in.p[0] & (0x7fU >> n);
    if (n > in.n)
        return false;
    for (unsigned i = 1; i < n; i++) {
        if (((uint8_t)in.p[i] & 0xc0) != 0x80)
            return false;
        code = code << 6 | ((uint8_t)in.p[i] & 0x3f);
    }
    *ret_code = code;
    return true;
}

static unsigned write_percent_u(struct buf *out, struct str in, unsigned n)
{
    static const uint32_t smallest[] = {[2] = 0x80, [3] = 0x800, [4] = 0x10000};
    uint8_t first = (uint8_t)in.p[0];
    uint32_t code;
    if (first >= 0xf5)
        buf_char(out, in.p[0]);
    if (!utf8_code(in, n, &code))
        return 1;
    buf_printf(out, "%%u%04x", (unsigned)code);
    if (code < smallest[n] || (code >= 0xd800 && code <= 0xdfff))
        buf_char(out, in.p[0]);
    return n;
}

struct str transform_utf8_to_unicode(struct str in, const struct unicode_map *, struct arena *arena)
{
    size_t wide = 0, nuls = 0;
    for (size_t i = 0; i < in.n; i++) {
        wide += (uint8_t)in.p[i] >= 0xc0;
        nuls += in.p[i] == '\0';
    }
    if (!wide && !nuls)
        return in;
    struct buf out = room(arena, in.n + wide * 7); /* %u and at most six digits and a byte for a sequence */
    for (size_t i = 0; i < in.n;) {
        unsigned n = utf8_length((uint8_t)in.p[i]);
        if (n > 1) {
            i += write_percent_u(&out, str_skip(in, i), n);
            continue;
        }
        if (in.p[i])
            buf_char(&out, in.p[i]);
        i++;
    }
    return buf_text(&out);
}
