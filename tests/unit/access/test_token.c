/* Tokens signed by real keys, and every way in which one is not what it says. The JWK Sets are made of the
 * keys' own numbers; nothing here comes from the code under test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/token.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1'760'000'000'000'000)
#define ISSUER "https://inloggen.example"

struct world {
    EVP_PKEY *rsa, *ec, *other;
    struct access_keys *keys;
    struct access_issuer issuer;
    struct arena *arena;
};
static struct world w;

/* ---- making */

static struct str encode(const void *bytes, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *p = bytes;
    char *out = arena_bytes(w.arena, n * 2 + 4);
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v =
            (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
        for (size_t k = 0; k < 4 && i + k <= n; k++)
            out[at++] = alphabet[v >> (18 - 6 * k) & 63];
    }
    return (struct str){out, at};
}

static struct str number_of(EVP_PKEY *key, const char *name, int n)
{
    BIGNUM *number = NULL;
    unsigned char bytes[512];
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    int length = n ? n : BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, bytes, length), length);
    BN_free(number);
    return encode(bytes, (size_t)length);
}

static struct str rsa_jwk(EVP_PKEY *key, const char *id, const char *more)
{
    struct str n = number_of(key, OSSL_PKEY_PARAM_RSA_N, 0), e = number_of(key, OSSL_PKEY_PARAM_RSA_E, 0);
    return arena_printf(w.arena, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%.*s\",\"e\":\"%.*s\"%s}", id,
                        STR_ARG(n), STR_ARG(e), more);
}

static struct str ec_jwk(EVP_PKEY *key, const char *id)
{
    struct str x = number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, 32),
               y = number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    return arena_printf(w.arena,
                        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", id,
                        STR_ARG(x), STR_ARG(y));
}

static struct str sign(EVP_PKEY *key, enum access_algorithm algorithm, struct str bytes)
{
    unsigned char signature[512];
    size_t n = sizeof signature;
    EVP_PKEY_CTX *settings = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, &settings, EVP_sha256(), NULL, key), 1);
    if (algorithm == ACCESS_PS256) {
        EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &n, (const unsigned char *)bytes.p, bytes.n), 1);
    EVP_MD_CTX_free(ctx);
    if (algorithm != ACCESS_ES256)
        return encode(signature, n);
    const unsigned char *p = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &p, (long)n);
    unsigned char flat[64];
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), flat, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), flat + 32, 32);
    ECDSA_SIG_free(pair);
    return encode(flat, sizeof flat);
}

static struct str token(EVP_PKEY *key, enum access_algorithm algorithm, const char *header,
                        const char *claims)
{
    struct str h = encode(header, strlen(header)), c = encode(claims, strlen(claims));
    struct str both = arena_printf(w.arena, "%.*s.%.*s", STR_ARG(h), STR_ARG(c));
    struct str s = sign(key, algorithm, both);
    return arena_printf(w.arena, "%.*s.%.*s", STR_ARG(both), STR_ARG(s));
}

#define CLAIMS(more)                                                                                         \
    "{\"iss\":\"" ISSUER "\",\"aud\":\"polder\",\"sub\":\"u1\",\"exp\":1760000600,\"iat\":1759999900" more "}"

static enum access_token_result verify(struct str text, struct access_claims *ret)
{
    struct access_claims claims;
    return access_token_verify(text, &w.issuer, 1, NOW_US, w.arena, ret ? ret : &claims);
}

static enum access_token_result verify_claims(const char *claims)
{
    return verify(token(w.ec, ACCESS_ES256, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", claims), NULL);
}

static int setup(void **state)
{
    char problem[256];
    struct buf b = buf_over(problem, sizeof problem);
    w.arena = arena_new(16 << 20);
    w.rsa = EVP_RSA_gen(2048);
    w.ec = EVP_EC_gen("P-256");
    w.other = EVP_EC_gen("P-256");
    struct str a = rsa_jwk(w.rsa, "r1", ""), e = ec_jwk(w.ec, "e1");
    w.keys = access_keys_new(arena_printf(w.arena, "{\"keys\":[%.*s,{\"kty\":\"oct\",\"k\":\"AAAA\"},%.*s]}",
                                          STR_ARG(a), STR_ARG(e)),
                             &b);
    w.issuer = (struct access_issuer){STR(ISSUER), STR("polder"), w.keys};
    return w.keys ? 0 : -1;
}

static int teardown(void **state)
{
    access_keys_free(w.keys);
    EVP_PKEY_free(w.rsa);
    EVP_PKEY_free(w.ec);
    EVP_PKEY_free(w.other);
    arena_free(w.arena);
    return 0;
}

/* ---- what is right */

static void test_each_algorithm_is_verified_and_its_claims_are_read(void **state)
{
    static const char claims[] =
        CLAIMS(",\"scope\":\"patient/*.rs\",\"patient\":\"p1\",\"fhirUser\":\"Practitioner/7\","
               "\"azp\":\"app\",\"organization\":\"Organization/o\",\"purpose_of_use\":\"BTG\"");
    const struct {
        EVP_PKEY *key;
        enum access_algorithm algorithm;
        const char *header;
    } rows[] = {{w.rsa, ACCESS_RS256, "{\"alg\":\"RS256\",\"kid\":\"r1\"}"},
                {w.rsa, ACCESS_PS256, "{\"alg\":\"PS256\",\"kid\":\"r1\"}"},
                {w.ec, ACCESS_ES256, "{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"kid\":\"e1\"}"},
                {w.ec, ACCESS_ES256, "{\"alg\":\"ES256\"}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct access_claims c;
        assert_int_equal(verify(token(rows[i].key, rows[i].algorithm, rows[i].header, claims), &c),
                         ACCESS_TOKEN_FINE);
        assert_ptr_equal(c.issuer, &w.issuer);
        assert_true(str_eq(c.subject, STR("u1")) && str_eq(c.patient, STR("p1")) &&
                    str_eq(c.client, STR("app")));
        assert_true(str_eq(c.user, STR("Practitioner/7")) && str_eq(c.organisation, STR("Organization/o")));
        assert_true(str_eq(c.scope, STR("patient/*.rs")) && str_eq(c.purpose, STR("BTG")));
        assert_int_equal(c.expires_us, INT64_C(1'760'000'600'000'000));
    }
}

static void test_audience_may_be_a_list(void **state)
{
    assert_int_equal(
        verify_claims("{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"polder\"],\"sub\":\"u\",\"exp\":1760000600}"),
        ACCESS_TOKEN_FINE);
}

/* ---- what is not */

static void test_a_changed_byte_anywhere_is_seen(void **state)
{
    struct str good = token(w.ec, ACCESS_ES256, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS(""));
    for (size_t i = 0; i < good.n; i++) {
        struct str bad = arena_copy(w.arena, good);
        char *at = arena_copy_z(w.arena, bad);
        at[i] = at[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify((struct str){at, good.n}, NULL), ACCESS_TOKEN_FINE);
    }
    for (size_t n = 0; n < good.n; n++)
        assert_int_not_equal(verify(str_take(good, n), NULL), ACCESS_TOKEN_FINE);
}

static void test_no_algorithm_but_those_of_the_keys(void **state)
{
    struct str head = encode("{\"alg\":\"none\"}", 14), body = encode(CLAIMS(""), strlen(CLAIMS("")));
    assert_int_equal(verify(arena_printf(w.arena, "%.*s.%.*s.", STR_ARG(head), STR_ARG(body)), NULL),
                     ACCESS_TOKEN_MALFORMED);
    assert_int_equal(verify(arena_printf(w.arena, "%.*s.%.*s.AAAA", STR_ARG(head), STR_ARG(body)), NULL),
                     ACCESS_TOKEN_ALGORITHM);
    assert_int_equal(
        verify(token(w.rsa, ACCESS_RS256, "{\"alg\":\"HS256\",\"kid\":\"r1\"}", CLAIMS("")), NULL),
        ACCESS_TOKEN_ALGORITHM);
    assert_int_equal(
        verify(token(w.rsa, ACCESS_RS256, "{\"alg\":\"ES256\",\"kid\":\"r1\"}", CLAIMS("")), NULL),
        ACCESS_TOKEN_UNKNOWN_KEY);
    assert_int_equal(
        verify(token(w.rsa, ACCESS_RS256, "{\"alg\":\"PS256\",\"kid\":\"r1\"}", CLAIMS("")), NULL),
        ACCESS_TOKEN_BAD_SIGNATURE);
    assert_int_equal(
        verify(token(w.ec, ACCESS_ES256, "{\"alg\":\"ES256\",\"kid\":\"e1\",\"crit\":[\"x\"]}", CLAIMS("")),
               NULL),
        ACCESS_TOKEN_ALGORITHM);
}

static void test_the_key_of_somebody_else(void **state)
{
    assert_int_equal(
        verify(token(w.other, ACCESS_ES256, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS("")), NULL),
        ACCESS_TOKEN_BAD_SIGNATURE);
    assert_int_equal(
        verify(token(w.other, ACCESS_ES256, "{\"alg\":\"ES256\",\"kid\":\"e9\"}", CLAIMS("")), NULL),
        ACCESS_TOKEN_UNKNOWN_KEY);
}

static void test_issuer_audience_and_time(void **state)
{
    assert_int_equal(
        verify_claims(
            "{\"iss\":\"https://elders.example\",\"aud\":\"polder\",\"sub\":\"u\",\"exp\":1760000600}"),
        ACCESS_TOKEN_UNKNOWN_ISSUER);
    assert_int_equal(verify_claims("{\"aud\":\"polder\",\"sub\":\"u\",\"exp\":1760000600}"),
                     ACCESS_TOKEN_UNKNOWN_ISSUER);
    assert_int_equal(verify_claims("{\"iss\":\"" ISSUER "\",\"aud\":\"x\",\"sub\":\"u\",\"exp\":1760000600}"),
                     ACCESS_TOKEN_WRONG_AUDIENCE);
    assert_int_equal(verify_claims("{\"iss\":\"" ISSUER "\",\"sub\":\"u\",\"exp\":1760000600}"),
                     ACCESS_TOKEN_WRONG_AUDIENCE);
    assert_int_equal(
        verify_claims("{\"iss\":\"" ISSUER "\",\"aud\":\"polder\",\"sub\":\"u\",\"exp\":1759999969}"),
        ACCESS_TOKEN_EXPIRED);
    assert_int_equal(verify_claims("{\"iss\":\"" ISSUER "\",\"aud\":\"polder\",\"sub\":\"u\"}"),
                     ACCESS_TOKEN_EXPIRED);
    assert_int_equal(
        verify_claims("{\"iss\":\"" ISSUER
                      "\",\"aud\":\"polder\",\"sub\":\"u\",\"exp\":1760000600,\"nbf\":1760000031}"),
        ACCESS_TOKEN_NOT_YET);
    assert_int_equal(verify_claims("{\"iss\":\"" ISSUER "\",\"aud\":\"polder\",\"exp\":1760000600}"),
                     ACCESS_TOKEN_MALFORMED);
}

static void test_names_that_stand_twice_are_refused(void **state)
{
    assert_int_equal(verify_claims(CLAIMS(",\"sub\":\"u2\"")), ACCESS_TOKEN_MALFORMED);
}

/* ---- key sets */

static bool is_refused(struct str json)
{
    char problem[256];
    struct buf b = buf_over(problem, sizeof problem);
    struct access_keys *keys = access_keys_new(json, &b);
    access_keys_free(keys);
    return !keys && b.n > 0;
}

static void test_weak_and_broken_keys_are_refused(void **state)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    struct str jwk = rsa_jwk(small, "s", "");
    assert_true(is_refused(arena_printf(w.arena, "{\"keys\":[%.*s]}", STR_ARG(jwk))));
    EVP_PKEY_free(small);
    assert_true(is_refused(STR(
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}")));
    assert_true(is_refused(STR("{\"keys\":[]}")));
    assert_true(is_refused(STR("{\"keys\":{}}")));
    assert_true(is_refused(STR("[]")));
    assert_true(is_refused(STR("{")));
    assert_true(is_refused(STR("")));
}

static void test_a_key_keeps_to_its_algorithm_and_use(void **state)
{
    char problem[256];
    struct buf b = buf_over(problem, sizeof problem);
    struct str jwk = rsa_jwk(w.rsa, "r1", ",\"alg\":\"PS256\"");
    struct access_keys *keys = access_keys_new(arena_printf(w.arena, "{\"keys\":[%.*s]}", STR_ARG(jwk)), &b);
    struct access_issuer issuer = {STR(ISSUER), STR("polder"), keys};
    struct access_claims c;
    struct str rs = token(w.rsa, ACCESS_RS256, "{\"alg\":\"RS256\",\"kid\":\"r1\"}", CLAIMS(""));
    struct str ps = token(w.rsa, ACCESS_PS256, "{\"alg\":\"PS256\",\"kid\":\"r1\"}", CLAIMS(""));
    assert_int_equal(access_token_verify(rs, &issuer, 1, NOW_US, w.arena, &c), ACCESS_TOKEN_UNKNOWN_KEY);
    assert_int_equal(access_token_verify(ps, &issuer, 1, NOW_US, w.arena, &c), ACCESS_TOKEN_FINE);
    access_keys_free(keys);
    jwk = rsa_jwk(w.rsa, "r1", ",\"use\":\"enc\"");
    assert_true(is_refused(arena_printf(w.arena, "{\"keys\":[%.*s]}", STR_ARG(jwk))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_algorithm_is_verified_and_its_claims_are_read),
        cmocka_unit_test(test_audience_may_be_a_list),
        cmocka_unit_test(test_a_changed_byte_anywhere_is_seen),
        cmocka_unit_test(test_no_algorithm_but_those_of_the_keys),
        cmocka_unit_test(test_the_key_of_somebody_else),
        cmocka_unit_test(test_issuer_audience_and_time),
        cmocka_unit_test(test_names_that_stand_twice_are_refused),
        cmocka_unit_test(test_weak_and_broken_keys_are_refused),
        cmocka_unit_test(test_a_key_keeps_to_its_algorithm_and_use),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
