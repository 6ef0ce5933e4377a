#include "http/url.h"

#include "base/addr.h"
#include "http/chars.h"

/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. The first byte of a
 * sequence sets what the second may be; the rest are plain continuation bytes. */
struct utf8 {
    uint8_t left; /* continuation bytes still to come */
    uint8_t low, high;
};

static bool utf8_begin(struct utf8 *u, uint8_t byte)
{
    *u = (struct utf8){.low = 0x80, .high = 0xbf};
    if (byte < 0xc2 || byte > 0xf4) /* continuation, overlong two-byte form, too large */
        return false;
    u->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0)
        u->low = 0xa0;
    else if (byte == 0xed)
        u->high = 0x9f;
    else if (byte == 0xf0)
        u->low = 0x90;
    else if (byte == 0xf4)
        u->high = 0x8f;
    return true;
}

/* Takes one byte of any value; false when the text cannot be UTF-8. */
static bool utf8_step(struct utf8 *u, uint8_t byte)
{
    if (u->left == 0)
        return byte < 0x80 || utf8_begin(u, byte);
    if (byte < u->low || byte > u->high)
        return false;
    *u = (struct utf8){.left = (uint8_t)(u->left - 1), .low = 0x80, .high = 0xbf};
    return true;
}

static void write_encoded(struct buf *out, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[3] = {'%', digits[byte >> 4], digits[byte & 15]};
    buf_add(out, text, sizeof text);
}

/* The byte behind "%41"; -1 unless two hex digits follow. */
static int decode_at(struct str s, size_t at)
{
    if (s.n - at < 3 || !http_char_is(s.p[at + 1], CHAR_HEX) || !http_char_is(s.p[at + 2], CHAR_HEX))
        return -1;
    return (int)(http_hex_value(s.p[at + 1]) << 4 | http_hex_value(s.p[at + 2]));
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/* Already canonical: only bytes that stand raw, and no segment that begins with a dot (those few are looked
 * at closely). This is the case for nearly every request, so it costs one look-up a byte. */
static bool path_is_plain(struct str path)
{
    unsigned all = CHAR_PATH;
    bool dotted = false;
    for (size_t i = 1; i < path.n; i++) {
        all &= http_chars[(uint8_t)path.p[i]];
        dotted |= path.p[i] == '.' && path.p[i - 1] == '/';
    }
    return all && !dotted;
}

struct path_writer {
    struct buf out;
    struct utf8 utf8;
    size_t segment;   /* where the current one begins in out */
    bool encoded_dot; /* the current one has one */
};

enum dots { NOT_DOTS, ONE_DOT, TWO_DOTS, DOTS_AND_PARAMETER };

/* What a segment of canonical text is. "..;x" is a dot segment to servers that cut path parameters first. */
static enum dots segment_dots(struct str segment)
{
    size_t n = 0;
    while (n < segment.n && segment.p[n] == '.')
        n++;
    struct str rest = str_skip(segment, n);
    if (n != 1 && n != 2)
        return NOT_DOTS;
    if (rest.n == 0)
        return n == 1 ? ONE_DOT : TWO_DOTS;
    return rest.p[0] == ';' || str_starts(rest, STR("%3B")) ? DOTS_AND_PARAMETER : NOT_DOTS;
}

static enum http_refusal end_segment(struct path_writer *w)
{
    enum dots dots = segment_dots(str_skip(buf_text(&w->out), w->segment));
    if (dots == DOTS_AND_PARAMETER || (dots != NOT_DOTS && w->encoded_dot))
        return REFUSAL_TARGET_AMBIGUOUS;
    w->segment = w->out.n + 1;
    w->encoded_dot = false;
    return REFUSAL_NONE;
}

static enum http_refusal write_raw(struct path_writer *w, char c)
{
    if (!utf8_step(&w->utf8, (uint8_t)c) || c == '\\')
        return REFUSAL_TARGET_AMBIGUOUS;
    if (is_control((uint8_t)c) || c == ' ' || c == '#' || c == '?')
        return REFUSAL_TARGET;
    if (!http_char_is(c, CHAR_PATH)) {
        write_encoded(&w->out, (uint8_t)c);
        return REFUSAL_NONE;
    }
    enum http_refusal refusal = c == '/' ? end_segment(w) : REFUSAL_NONE;
    buf_char(&w->out, c);
    return refusal;
}

static enum http_refusal write_decoded(struct path_writer *w, int byte)
{
    if (byte < 0 || is_control((uint8_t)byte) || byte == '/' || byte == '\\' ||
        !utf8_step(&w->utf8, (uint8_t)byte))
        return REFUSAL_TARGET_AMBIGUOUS;
    w->encoded_dot |= byte == '.';
    if (http_char_is((char)byte, CHAR_UNRESERVED))
        buf_char(&w->out, (char)byte);
    else
        write_encoded(&w->out, (uint8_t)byte);
    return REFUSAL_NONE;
}

/* Writes every byte in its one spelling. Dot segments stay, but none is encoded or has a parameter. */
static enum http_refusal spell_path(struct path_writer *w, struct str path)
{
    enum http_refusal refusal = REFUSAL_NONE;
    buf_char(&w->out, '/');
    w->segment = 1;
    for (size_t i = 1; i < path.n && refusal == REFUSAL_NONE; i++) {
        if (path.p[i] == '%') {
            refusal = write_decoded(w, decode_at(path, i));
            i += 2;
        } else {
            refusal = write_raw(w, path.p[i]);
        }
    }
    if (refusal != REFUSAL_NONE)
        return refusal;
    return w->utf8.left ? REFUSAL_TARGET_AMBIGUOUS : end_segment(w);
}

/* Takes the last segment off "/a/b/": what is left ends in '/'. False at the root and beside an empty one. */
static bool drop_segment(struct buf *path)
{
    if (path->n < 2 || path->p[path->n - 2] == '/')
        return false;
    do
        path->n--;
    while (path->p[path->n - 1] != '/');
    return true;
}

/* RFC 3986 5.2.4, in place (the output never overtakes the input), refusing what the RFC would guess at: a
 * climb above the root, and a dot segment beside an empty one, since servers differ in which goes first. */
static enum http_refusal remove_dot_segments(struct str path, struct buf *out)
{
    struct str rest = str_skip(path, 1);
    buf_char(out, '/');
    for (;;) {
        struct str segment = str_cut(&rest, '/');
        enum dots dots = segment_dots(segment);
        bool is_last = !rest.p;
        if (dots == NOT_DOTS) {
            memmove(out->p + out->n, segment.p, segment.n);
            out->n += segment.n;
            if (!is_last)
                buf_char(out, '/');
        } else if ((!is_last && rest.n && rest.p[0] == '/') || (out->n >= 2 && out->p[out->n - 2] == '/') ||
                   (dots == TWO_DOTS && !drop_segment(out))) {
            return REFUSAL_TARGET_AMBIGUOUS;
        }
        if (is_last)
            return REFUSAL_NONE;
    }
}

enum http_refusal url_canonical_path(struct str path, struct arena *arena, struct str *ret)
{
    if (path.n == 0 || path.p[0] != '/')
        return REFUSAL_TARGET;
    if (path_is_plain(path)) {
        *ret = path;
        return REFUSAL_NONE;
    }
    size_t cap = 3 * path.n;
    char *memory = arena_bytes(arena, cap);
    if (!memory)
        return REFUSAL_TARGET_TOO_LONG;
    struct path_writer w = {.out = buf_over(memory, cap)};
    enum http_refusal refusal = spell_path(&w, path);
    if (refusal != REFUSAL_NONE)
        return refusal;
    struct buf out = buf_over(memory, w.out.n);
    refusal = remove_dot_segments(buf_text(&w.out), &out);
    if (refusal == REFUSAL_NONE)
        *ret = buf_text(&out);
    return refusal;
}

static enum http_refusal write_query(struct buf *out, struct str query)
{
    struct utf8 utf8 = {0};
    for (size_t i = 0; i < query.n; i++) {
        char c = query.p[i];
        if (!utf8_step(&utf8, (uint8_t)c))
            return REFUSAL_TARGET_AMBIGUOUS;
        if ((uint8_t)c >= 0x80)
            write_encoded(out, (uint8_t)c);
        else if (c == '%' ? decode_at(query, i) < 0 : !http_char_is(c, CHAR_QUERY))
            return REFUSAL_TARGET;
        else
            buf_char(out, c);
    }
    return utf8.left ? REFUSAL_TARGET_AMBIGUOUS : REFUSAL_NONE;
}

/* Valid encodings stay as they came, case of the digits included: signatures over the raw query (the SAML
 * redirect binding, for one) would break otherwise, and a query has no dot segments to disagree about. */
enum http_refusal url_canonical_query(struct str query, struct arena *arena, struct str *ret)
{
    size_t plain = http_span(query, CHAR_QUERY);
    while (plain < query.n && query.p[plain] == '%' && decode_at(query, plain) >= 0)
        plain += 3 + http_span(str_skip(query, plain + 3), CHAR_QUERY);
    if (plain == query.n) {
        *ret = query;
        return REFUSAL_NONE;
    }
    size_t cap = 3 * query.n;
    char *memory = arena_bytes(arena, cap);
    if (!memory)
        return REFUSAL_TARGET_TOO_LONG;
    struct buf out = buf_over(memory, cap);
    enum http_refusal refusal = write_query(&out, query);
    if (refusal == REFUSAL_NONE)
        *ret = buf_text(&out);
    return refusal;
}

/* ":" and the port, or nothing. No leading zero: "080" is 80 to some and an error or octal to others. */
static bool port_is_good(struct str text)
{
    uint64_t port;
    if (text.n == 0)
        return true;
    if (text.p[0] != ':' || text.n < 2 || text.n > 6 || text.p[1] == '0')
        return false;
    return str_parse_u64(str_skip(text, 1), &port) && port <= 65535;
}

/* A last label that is a number makes the whole an IPv4 address to some resolvers ("127.1", "0x7f.1",
 * "2130706433"): only four decimal numbers are one. */
static bool numbers_are_ipv4(struct str name)
{
    struct addr ignored;
    struct str last = name, rest = name;
    if (last.n && last.p[last.n - 1] == '.')
        last.n--;
    for (rest = last; rest.p;)
        last = str_cut(&rest, '.');
    if (last.n == 0 || last.p[0] < '0' || last.p[0] > '9')
        return true;
    bool is_hex = last.n >= 2 && last.p[1] == 'x';
    for (size_t i = 0; i < last.n && !is_hex; i++)
        if (last.p[i] < '0' || last.p[i] > '9')
            return true;
    return !is_hex && addr_parse_ip(name, &ignored);
}

static bool labels_are_good(struct str name)
{
    if (name.n == 0 || name.p[0] == '.')
        return false;
    for (size_t i = 1; i < name.n; i++)
        if (name.p[i] == '.' && name.p[i - 1] == '.')
            return false;
    return numbers_are_ipv4(name);
}

/* "[2001:DB8::0:1]:443" is written anew: an address has many spellings and one meaning. */
static enum http_refusal canonical_ipv6(struct str authority, struct arena *arena, struct str *ret_authority,
                                        struct str *ret_host)
{
    enum { TEXT_MAX = ADDR_TEXT_MAX + 2 };
    struct addr address;
    ptrdiff_t close = str_find_char(authority, ']');
    if (close < 0)
        return REFUSAL_AUTHORITY;
    struct str inside = str_take(str_skip(authority, 1), (size_t)close - 1);
    struct str port = str_skip(authority, (size_t)close + 1);
    if (!addr_parse_ip(inside, &address) || address.is_v4 || !port_is_good(port))
        return REFUSAL_AUTHORITY;
    char *memory = arena_bytes(arena, TEXT_MAX);
    if (!memory)
        return REFUSAL_HEAD_TOO_LARGE;
    struct buf out = buf_over(memory, TEXT_MAX);
    buf_char(&out, '[');
    addr_write_ip(&out, &address);
    buf_char(&out, ']');
    *ret_host = buf_text(&out);
    buf_str(&out, port);
    *ret_authority = buf_text(&out);
    return buf_overflowed(&out) ? REFUSAL_AUTHORITY : REFUSAL_NONE;
}

enum http_refusal url_canonical_authority(struct str authority, struct arena *arena,
                                          struct str *ret_authority, struct str *ret_host)
{
    enum { AUTHORITY_MAX = 255 };
    if (authority.n == 0 || authority.n > AUTHORITY_MAX)
        return REFUSAL_AUTHORITY;
    if (authority.p[0] == '[')
        return canonical_ipv6(authority, arena, ret_authority, ret_host);
    size_t host_n = http_span(authority, CHAR_HOST);
    if (host_n < authority.n && authority.p[host_n] >= 'A' && authority.p[host_n] <= 'Z') {
        char *lower = arena_bytes(arena, authority.n);
        if (!lower)
            return REFUSAL_HEAD_TOO_LARGE;
        for (size_t i = 0; i < authority.n; i++)
            lower[i] = ascii_lower(authority.p[i]);
        authority.p = lower;
        host_n = http_span(authority, CHAR_HOST);
    }
    struct str host = str_take(authority, host_n);
    if (!port_is_good(str_skip(authority, host_n)) || !labels_are_good(host))
        return REFUSAL_AUTHORITY;
    *ret_authority = authority;
    *ret_host = host;
    return REFUSAL_NONE;
}

bool url_split_absolute(struct str target, struct str *ret_scheme, struct str *ret_authority,
                        struct str *ret_path, struct str *ret_query, bool *ret_has_query)
{
    ptrdiff_t colon = str_find_char(target, ':');
    if (colon <= 0)
        return false;
    struct str scheme = str_take(target, (size_t)colon), rest = str_skip(target, (size_t)colon + 1);
    if (!str_starts(rest, STR("//")) ||
        (!str_eq_nocase(scheme, STR("http")) && !str_eq_nocase(scheme, STR("https"))))
        return false;
    rest = str_skip(rest, 2);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    struct str query = str_skip(rest, n);
    *ret_scheme = scheme;
    *ret_authority = str_take(rest, n);
    *ret_path = str_cut(&query, '?');
    *ret_has_query = query.p != NULL;
    *ret_query = query;
    return true;
}
