/* tls/schemes.c - the shapes of what a TLS handshake signs. */
#include "tls/schemes.h"

static const char context_server[] = "TLS 1.3, server CertificateVerify";
static const char context_client[] = "TLS 1.3, client CertificateVerify";

void sign_prefix(enum sign_kind kind, uint8_t ret[SIGN_TLS13_PREFIX])
{
    _Static_assert(sizeof context_server == 34 && sizeof context_client == 34, "33 bytes and the zero");
    memset(ret, ' ', 64);
    memcpy(ret + 64, kind == SIGN_TLS13_CLIENT ? context_client : context_server, sizeof context_server);
}

/* SHA-256 or SHA-384: the hashes of TLS 1.3's cipher suites. */
static bool is_transcript_hash(size_t n)
{
    return n == 32 || n == 48;
}

static bool has_prefix(struct str input, enum sign_kind kind)
{
    uint8_t prefix[SIGN_TLS13_PREFIX];
    sign_prefix(kind, prefix);
    return input.n > sizeof prefix && memcmp(input.p, prefix, sizeof prefix) == 0 &&
           is_transcript_hash(input.n - sizeof prefix);
}

/* ServerECDHParams, RFC 8422 5.4: named_curve, group, length and bytes of an uncompressed point. */
static bool is_ecdh_params(struct str params)
{
    static const struct {
        uint8_t head[4], point_form;
        size_t point_n;
    } groups[] = {
        {{3, 0, 29, 32}, 0, 32}, /* x25519: any 32 bytes */
        {{3, 0, 23, 65}, 4, 65}, /* P-256 */
        {{3, 0, 24, 97}, 4, 97}, /* P-384 */
    };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (params.n == 4 + groups[i].point_n && memcmp(params.p, groups[i].head, 4) == 0)
            return groups[i].point_form == 0 || (uint8_t)params.p[4] == groups[i].point_form;
    return false;
}

enum sign_kind sign_kind_of(struct str input)
{
    static const char spaces[] = "                                ";
    if (has_prefix(input, SIGN_TLS13_SERVER))
        return SIGN_TLS13_SERVER;
    if (has_prefix(input, SIGN_TLS13_CLIENT))
        return SIGN_TLS13_CLIENT;
    bool is_spaces = input.n >= 32 && memcmp(input.p, spaces, 32) == 0;
    return !is_spaces && is_ecdh_params(str_skip(input, 64)) ? SIGN_TLS12_SERVER : SIGN_NOTHING;
}
