/* access/token.c - see token.h. Header and claims are read before the signature is verified, for they say by
 * which key; nothing of them leaves this file until it is. */
#include "access/token.h"

#include "access/base64url.h"
#include "json/tape.h"

#include <string.h>

enum { DEPTH_MAX = 8 };

struct part {
    struct json_tape tape;
    struct arena *arena;
};

struct str access_token_text(enum access_token_result result)
{
    static const char *const texts[] = {
        [ACCESS_TOKEN_FINE] = "the token is valid",
        [ACCESS_TOKEN_MALFORMED] = "the token is not a signed JWT",
        [ACCESS_TOKEN_ALGORITHM] = "the token is not signed with RS256, PS256 or ES256",
        [ACCESS_TOKEN_UNKNOWN_ISSUER] = "the token comes from an issuer that is not trusted here",
        [ACCESS_TOKEN_UNKNOWN_KEY] = "the token is signed with a key that its issuer has not published here",
        [ACCESS_TOKEN_BAD_SIGNATURE] = "the token's signature is wrong",
        [ACCESS_TOKEN_WRONG_AUDIENCE] = "the token is meant for another service",
        [ACCESS_TOKEN_EXPIRED] = "the token has expired",
        [ACCESS_TOKEN_NOT_YET] = "the token is not valid yet",
    };
    return str_of(texts[result]);
}

/* A part in base64url that must be a JSON object, no name twice (RFC 7515 4, RFC 7519 4). */
static bool read_part(struct str text, struct arena *arena, struct part *ret)
{
    static const struct hash_key fixed = {0x61636365, 0x7373};
    struct str json = STR_NONE;
    if (!base64url_decode(text, arena, &json))
        return false;
    size_t room = json_nodes_max(json.n);
    struct json_node *nodes = arena_alloc(arena, room * sizeof *nodes);
    ret->arena = arena;
    return nodes && json_parse(json, DEPTH_MAX, nodes, room, &ret->tape, NULL) == JSON_FINE &&
           json_type(&ret->tape, 0) == JSON_OBJECT &&
           json_find_repeated(&ret->tape, 0, &fixed, arena) == JSON_NONE;
}

static struct str text_of(const struct part *p, const char *name)
{
    uint32_t at = json_get(&p->tape, 0, str_of(name));
    return at != JSON_NONE && json_type(&p->tape, at) == JSON_STRING ? json_string(&p->tape, at, p->arena)
                                                                     : STR_NONE;
}

/* NumericDate (RFC 7519 2): seconds; a fraction is cut off. 0: absent or none. */
static int64_t moment_of(const struct part *p, const char *name)
{
    uint32_t at = json_get(&p->tape, 0, str_of(name));
    uint64_t seconds;
    if (at == JSON_NONE || json_type(&p->tape, at) != JSON_NUMBER)
        return 0;
    struct str digits = json_text(&p->tape, at);
    ptrdiff_t dot = str_find_char(digits, '.');
    if (!str_parse_u64(dot >= 0 ? str_take(digits, (size_t)dot) : digits, &seconds) ||
        seconds > INT32_MAX * 4ULL)
        return 0;
    return (int64_t)seconds * 1'000'000;
}

static bool read_algorithm(const struct part *header, enum access_algorithm *ret)
{
    struct str name = text_of(header, "alg");
    if (json_get(&header->tape, 0, STR("crit")) !=
        JSON_NONE) /* extensions we do not know (RFC 7515 4.1.11) */
        return false;
    *ret = str_eq(name, STR("RS256"))   ? ACCESS_RS256
           : str_eq(name, STR("PS256")) ? ACCESS_PS256
                                        : ACCESS_ES256;
    return *ret != ACCESS_ES256 || str_eq(name, STR("ES256"));
}

/* One text, or a list that holds it (RFC 7519 4.1.3). */
static bool is_for(const struct part *claims, struct str audience)
{
    const struct json_tape *t = &claims->tape;
    uint32_t at = json_get(t, 0, STR("aud"));
    if (at == JSON_NONE)
        return false;
    if (json_type(t, at) == JSON_STRING)
        return json_string_is(t, at, audience);
    if (json_type(t, at) != JSON_ARRAY)
        return false;
    for (uint32_t i = json_first(t, at), n = json_count(t, at); n > 0; n--, i = json_next(t, i))
        if (json_type(t, i) == JSON_STRING && json_string_is(t, i, audience))
            return true;
    return false;
}

static const struct access_issuer *find_issuer(const struct access_issuer *issuers, size_t count,
                                               struct str url)
{
    for (size_t i = 0; i < count; i++)
        if (url.n && str_eq(issuers[i].url, url))
            return &issuers[i];
    return NULL;
}

static struct access_claims read_claims(const struct part *p, const struct access_issuer *issuer)
{
    struct str client = text_of(p, "client_id");
    return (struct access_claims){
        .issuer = issuer,
        .subject = text_of(p, "sub"),
        .client = client.n ? client : text_of(p, "azp"),
        .id = text_of(p, "jti"),
        .scope = text_of(p, "scope"),
        .user = text_of(p, "fhirUser"),
        .patient = text_of(p, "patient"),
        .encounter = text_of(p, "encounter"),
        .organisation = text_of(p, "organization"),
        .purpose = text_of(p, "purpose_of_use"),
        .issued_us = moment_of(p, "iat"),
        .expires_us = moment_of(p, "exp"),
    };
}

/* A token without an end is none: it could never be taken back. */
static enum access_token_result check_claims(const struct part *p, const struct access_claims *c,
                                             int64_t now_us)
{
    int64_t not_before_us = moment_of(p, "nbf");
    if (!is_for(p, c->issuer->audience))
        return ACCESS_TOKEN_WRONG_AUDIENCE;
    if (c->expires_us == 0 || now_us >= c->expires_us + ACCESS_LEEWAY_US)
        return ACCESS_TOKEN_EXPIRED;
    if (not_before_us > now_us + ACCESS_LEEWAY_US || c->issued_us > now_us + ACCESS_LEEWAY_US)
        return ACCESS_TOKEN_NOT_YET;
    return c->subject.n ? ACCESS_TOKEN_FINE : ACCESS_TOKEN_MALFORMED;
}

enum access_token_result access_token_verify(struct str token, const struct access_issuer *issuers,
                                             size_t issuer_count, int64_t now_us, struct arena *arena,
                                             struct access_claims *ret)
{
    struct str rest = token, head = str_cut(&rest, '.'), body = str_cut(&rest, '.'), signature = STR_NONE;
    struct str signed_bytes = {token.p, head.n + 1 + body.n};
    struct part header, claims;
    enum access_algorithm algorithm;
    if (token.n > ACCESS_TOKEN_MAX || !head.n || !body.n || !rest.n || !read_part(head, arena, &header) ||
        !read_part(body, arena, &claims) || !base64url_decode(rest, arena, &signature))
        return ACCESS_TOKEN_MALFORMED;
    if (!read_algorithm(&header, &algorithm))
        return ACCESS_TOKEN_ALGORITHM;
    const struct access_issuer *issuer = find_issuer(issuers, issuer_count, text_of(&claims, "iss"));
    if (!issuer)
        return ACCESS_TOKEN_UNKNOWN_ISSUER;
    switch (access_keys_verify(issuer->keys, text_of(&header, "kid"), algorithm, signed_bytes, signature)) {
    case ACCESS_SIGNATURE_NO_KEY:
        return ACCESS_TOKEN_UNKNOWN_KEY;
    case ACCESS_SIGNATURE_BAD:
        return ACCESS_TOKEN_BAD_SIGNATURE;
    case ACCESS_SIGNATURE_FINE:
        break;
    }
    struct access_claims c = read_claims(&claims, issuer);
    enum access_token_result result =
        arena_overflowed(arena) ? ACCESS_TOKEN_MALFORMED : check_claims(&claims, &c, now_us);
    if (result == ACCESS_TOKEN_FINE)
        *ret = c;
    return result;
}
