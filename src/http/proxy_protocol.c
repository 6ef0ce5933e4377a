#include "http/proxy_protocol.h"

#include "base/cursor.h"

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum {
    V1_BYTES_MAX = 107, /* section 2.1, CR LF included */
    V2_FIXED_BYTES = 16,
    V2_VERSION = 0x20,
    V2_LOCAL = 0,
    V2_PROXY = 1,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
};

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool parse_v1_port(struct str text, uint16_t *ret)
{
    uint64_t port;
    if (text.n > 5 || (text.n > 1 && text.p[0] == '0') || !str_parse_u64(text, &port) || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool parse_v1_ip(struct str text, bool is_v4, struct addr *ret)
{
    return addr_parse_ip(text, ret) && ret->is_v4 == is_v4;
}

/* "TCP4 192.0.2.1 192.0.2.2 40000 443" */
static bool parse_v1_words(struct str line, struct proxy_header *ret)
{
    struct str family = str_cut(&line, ' ');
    bool is_v4 = str_eq(family, STR("TCP4"));
    if (str_eq(family, STR("UNKNOWN"))) { /* the rest must be ignored */
        ret->is_local = true;
        return true;
    }
    if (!is_v4 && !str_eq(family, STR("TCP6")))
        return false;
    struct str source = str_cut(&line, ' '), destination = str_cut(&line, ' '), port = str_cut(&line, ' ');
    return parse_v1_ip(source, is_v4, &ret->source) && parse_v1_ip(destination, is_v4, &ret->destination) &&
           parse_v1_port(port, &ret->source.port) && parse_v1_port(line, &ret->destination.port);
}

static ptrdiff_t parse_v1(struct str in, struct proxy_header *ret)
{
    static const struct str prefix = {"PROXY ", 6};
    struct proxy_header header = {0};
    struct str head = str_take(in, V1_BYTES_MAX);
    if (!str_eq(str_take(in, prefix.n), str_take(prefix, in.n)))
        return -1;
    ptrdiff_t lf = str_find_char(head, '\n');
    if (lf < 0)
        return head.n == V1_BYTES_MAX ? -1 : 0;
    if (lf < (ptrdiff_t)prefix.n + 1 || head.p[lf - 1] != '\r')
        return -1;
    if (!parse_v1_words(str_skip(str_take(head, (size_t)lf - 1), prefix.n), &header))
        return -1;
    *ret = header;
    return lf + 1;
}

static void take_v2_ip(struct cursor *c, bool is_v4, struct addr *ret)
{
    const uint8_t *bytes = cursor_bytes(c, is_v4 ? 4 : 16);
    ret->is_v4 = is_v4;
    if (bytes && is_v4) {
        memcpy(ret->ip, v4_mapped, 12);
        memcpy(ret->ip + 12, bytes, 4);
    } else if (bytes) {
        memcpy(ret->ip, bytes, 16);
    }
}

/* Addresses, then type-length-value rows that must fill the announced length exactly; none is read. */
static bool parse_v2_payload(struct str payload, uint8_t family, struct proxy_header *ret)
{
    struct cursor c = cursor_over(payload.p, payload.n);
    if (family != V2_TCP4 &&
        family != V2_TCP6) { /* UNSPEC, UDP, UNIX: section 2.2 has them accepted unread */
        ret->is_local = true;
        return true;
    }
    take_v2_ip(&c, family == V2_TCP4, &ret->source);
    take_v2_ip(&c, family == V2_TCP4, &ret->destination);
    ret->source.port = (uint16_t)cursor_uint_be(&c, 2);
    ret->destination.port = (uint16_t)cursor_uint_be(&c, 2);
    while (cursor_left(&c)) {
        cursor_bytes(&c, 1);
        cursor_bytes(&c, (size_t)cursor_uint_be(&c, 2));
    }
    return cursor_consumed(&c);
}

static bool is_v2_family(uint8_t family)
{
    return family >> 4 <= 3 && (family & 15) <= 2;
}

static ptrdiff_t parse_v2(struct str in, struct proxy_header *ret)
{
    struct proxy_header header = {0};
    struct str signature = {v2_signature, sizeof v2_signature};
    if (!str_eq(str_take(in, signature.n), str_take(signature, in.n)))
        return -1;
    if (in.n < V2_FIXED_BYTES)
        return 0;
    uint8_t command = (uint8_t)in.p[12], family = (uint8_t)in.p[13];
    size_t length = (size_t)(uint8_t)in.p[14] << 8 | (uint8_t)in.p[15];
    if (V2_FIXED_BYTES + length > PROXY_HEADER_MAX || !is_v2_family(family))
        return -1;
    if (command != (V2_VERSION | V2_LOCAL) && command != (V2_VERSION | V2_PROXY))
        return -1;
    if (in.n < V2_FIXED_BYTES + length)
        return 0;
    header.is_local = command == (V2_VERSION | V2_LOCAL);
    struct str payload = str_take(str_skip(in, V2_FIXED_BYTES), length);
    if (!header.is_local && !parse_v2_payload(payload, family, &header))
        return -1;
    *ret = header;
    return (ptrdiff_t)(V2_FIXED_BYTES + length);
}

ptrdiff_t proxy_header_parse(struct str in, struct proxy_header *ret)
{
    if (in.n == 0)
        return 0;
    return in.p[0] == v2_signature[0] ? parse_v2(in, ret) : parse_v1(in, ret);
}

/* One family for both addresses: an IPv4 one beside an IPv6 one is written in its mapped form. */
static bool both_v4(const struct proxy_header *header)
{
    return header->source.is_v4 && header->destination.is_v4;
}

static void write_v1_ip(struct buf *b, const struct addr *address, bool as_v4)
{
    struct addr a = *address;
    a.is_v4 = as_v4;
    addr_write_ip(b, &a);
    buf_char(b, ' ');
}

void proxy_header_write_v1(struct buf *b, const struct proxy_header *header)
{
    bool as_v4 = both_v4(header);
    if (header->is_local) {
        BUF_LIT(b, "PROXY UNKNOWN\r\n");
        return;
    }
    buf_str(b, as_v4 ? STR("PROXY TCP4 ") : STR("PROXY TCP6 "));
    write_v1_ip(b, &header->source, as_v4);
    write_v1_ip(b, &header->destination, as_v4);
    buf_u64(b, header->source.port);
    buf_char(b, ' ');
    buf_u64(b, header->destination.port);
    BUF_LIT(b, "\r\n");
}

static void write_be16(struct buf *b, uint16_t value)
{
    buf_char(b, (char)(value >> 8));
    buf_char(b, (char)(value & 0xff));
}

void proxy_header_write_v2(struct buf *b, const struct proxy_header *header)
{
    bool as_v4 = both_v4(header);
    size_t skip = as_v4 ? 12 : 0;
    buf_add(b, v2_signature, sizeof v2_signature);
    buf_char(b, header->is_local ? V2_VERSION | V2_LOCAL : V2_VERSION | V2_PROXY);
    buf_char(b, header->is_local ? 0 : as_v4 ? V2_TCP4 : V2_TCP6);
    write_be16(b, header->is_local ? 0 : (uint16_t)(2 * (16 - skip) + 4));
    if (header->is_local)
        return;
    buf_add(b, header->source.ip + skip, 16 - skip);
    buf_add(b, header->destination.ip + skip, 16 - skip);
    write_be16(b, header->source.port);
    write_be16(b, header->destination.port);
}
