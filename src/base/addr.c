#include "base/addr.h"

#include <arpa/inet.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool addr_parse_ip(struct str text, struct addr *ret)
{
    char z[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct addr a = {0};
    if (text.n == 0 || text.n >= sizeof z || memchr(text.p, '\0', text.n))
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    if (inet_pton(AF_INET, z, &v4) == 1) {
        memcpy(a.ip, v4_mapped, 12);
        memcpy(a.ip + 12, &v4, 4);
        a.is_v4 = true;
    } else if (inet_pton(AF_INET6, z, a.ip) != 1) {
        return false;
    }
    *ret = a;
    return true;
}

static bool parse_port(struct str text, uint16_t *ret)
{
    uint64_t port;
    if (text.n > 5 || !str_parse_u64(text, &port) || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

bool addr_parse(struct str text, struct addr *ret)
{
    struct str ip, port;
    struct addr a;
    if (text.n && text.p[0] == '[') {
        ptrdiff_t close = str_find_char(text, ']');
        if (close < 0)
            return false;
        ip = str_take(str_skip(text, 1), (size_t)close - 1);
        port = str_skip(text, (size_t)close + 1);
        if (!str_starts(port, STR(":")))
            return false;
        port = str_skip(port, 1);
    } else {
        port = text;
        ip = str_cut(&port, ':');
    }
    if (!addr_parse_ip(ip, &a) || !parse_port(port, &a.port) || a.is_v4 != (text.p[0] != '['))
        return false;
    *ret = a;
    return true;
}

bool addr_parse_prefix(struct str text, struct addr_prefix *ret)
{
    struct str bits_text = text;
    struct str ip = str_cut(&bits_text, '/');
    struct addr a;
    uint64_t bits;
    if (!addr_parse_ip(ip, &a))
        return false;
    bits = a.is_v4 ? 32 : 128;
    if (bits_text.p && (!str_parse_u64(bits_text, &bits) || bits > (a.is_v4 ? 32 : 128)))
        return false;
    memcpy(ret->ip, a.ip, 16);
    ret->bits = (uint8_t)(bits + (a.is_v4 ? 96 : 0));
    return true;
}

void addr_write_ip(struct buf *b, const struct addr *a)
{
    char z[INET6_ADDRSTRLEN];
    if (inet_ntop(a->is_v4 ? AF_INET : AF_INET6, a->is_v4 ? a->ip + 12 : a->ip, z, sizeof z))
        buf_str(b, str_of(z));
}

void addr_write(struct buf *b, const struct addr *a)
{
    if (!a->is_v4)
        buf_char(b, '[');
    addr_write_ip(b, a);
    if (!a->is_v4)
        buf_char(b, ']');
    buf_char(b, ':');
    buf_u64(b, a->port);
}

void addr_write_prefix(struct buf *b, const struct addr_prefix *p)
{
    struct addr a = {.is_v4 = p->bits >= 96 && memcmp(p->ip, v4_mapped, 12) == 0};
    memcpy(a.ip, p->ip, 16);
    addr_write_ip(b, &a);
    buf_printf(b, "/%u", a.is_v4 ? p->bits - 96u : p->bits);
}

bool addr_in_prefix(const struct addr *a, const struct addr_prefix *p)
{
    size_t whole = p->bits / 8;
    unsigned rest = p->bits % 8;
    if (memcmp(a->ip, p->ip, whole) != 0)
        return false;
    return rest == 0 || (a->ip[whole] ^ p->ip[whole]) >> (8 - rest) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

void addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof *ret);
    if (a->is_v4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        *ret_len = sizeof *in;
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
        *ret_len = sizeof *in6;
    }
}

bool addr_from_sockaddr(const void *sockaddr, socklen_t len, struct addr *ret)
{
    struct addr a = {0};
    sa_family_t family;
    if (len < sizeof family)
        return false;
    memcpy(&family, sockaddr, sizeof family);
    if (family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = sockaddr;
        memcpy(a.ip, v4_mapped, 12);
        memcpy(a.ip + 12, &in->sin_addr, 4);
        a.port = ntohs(in->sin_port);
        a.is_v4 = true;
    } else if (family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = sockaddr;
        memcpy(a.ip, &in6->sin6_addr, 16);
        a.port = ntohs(in6->sin6_port);
        a.is_v4 = memcmp(a.ip, v4_mapped, 12) == 0;
    } else {
        return false;
    }
    *ret = a;
    return true;
}
