/* Certificates: what `polder check` says about them, how keys and certificates find each other, names, OCSP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kit.h"

#include "tls/certificate.h"

#include <time.h>

static struct kit_cert *ca, *good;
static struct arena *arena;

static int set_up(void **state)
{
    if (tls_init() != 0)
        return -1;
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    good = kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    arena = arena_new(1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(arena);
    kit_free_all();
    return 0;
}

static void is_fine(struct str pem, const char *warning)
{
    struct str error = STR_NONE, have = STR_NONE;
    if (!tls_check_certificate(pem, time(NULL), arena, &error, &have))
        fail_msg("%.*s", STR_ARG(error));
    assert_int_equal(have.n == 0, warning == NULL);
    if (warning && str_find(have, str_of(warning)) < 0)
        fail_msg("%.*s does not say %s", STR_ARG(have), warning);
}

static void is_refused(struct str pem, const char *why)
{
    struct str error = STR_NONE, warning = STR_NONE;
    assert_false(tls_check_certificate(pem, time(NULL), arena, &error, &warning));
    if (str_find(error, str_of(why)) < 0)
        fail_msg("%.*s does not say %s", STR_ARG(error), why);
}

static struct str chain_of(const struct kit_spec *spec)
{
    return kit_cert(spec)->chain_pem;
}

static void test_check(void **state)
{
    is_fine(good->chain_pem, NULL);
    is_fine(chain_of(&(struct kit_spec){.subject = "b", .key = "P-384"}), NULL);
    is_fine(chain_of(&(struct kit_spec){.subject = "b", .key = "RSA-3072", .issuer = ca}), NULL);
    is_fine(chain_of(&(struct kit_spec){.subject = "b", .from_s = -60, .until_s = 10 * 86400 + 60}),
            "in 10 days");
    is_refused(chain_of(&(struct kit_spec){.subject = "b", .from_s = -7200, .until_s = -60}),
               "expired on 20");
    is_refused(chain_of(&(struct kit_spec){.subject = "b", .from_s = 7200, .until_s = 9000}),
               "not valid before 20");
    is_refused(chain_of(&(struct kit_spec){.subject = "b", .key = "RSA-2048"}), "fewer than 3072");
    is_refused(chain_of(&(struct kit_spec){.subject = "b", .key = "P-521"}), "P-256");
    is_refused(STR_NONE, "PEM");
    is_refused(STR("some text"), "PEM");
    is_refused(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "PEM");
    is_refused(good->key_pem, "PEM");
}

static struct str joined(struct str a, struct str b)
{
    return arena_printf(arena, "%.*s%.*s", STR_ARG(a), STR_ARG(b));
}

static void test_chain(void **state)
{
    is_fine(joined(STR("Some text before it, as openssl x509 -text writes.\n"), good->chain_pem), NULL);
    struct kit_cert *stranger = kit_cert(&(struct kit_spec){.subject = "stranger"});
    is_refused(joined(stranger->chain_pem, good->chain_pem), "certificate 1 of the chain");
    is_refused(joined(good->chain_pem, stranger->chain_pem), "certificate 2 of the chain");
    is_refused(joined(good->chain_pem, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
               "PEM");
    struct str long_chain = good->chain_pem;
    for (unsigned i = 0; i < 10; i++)
        long_chain = joined(long_chain, ca->chain_pem);
    is_refused(long_chain, "at most ten");
}

static void test_key_finds_certificate(void **state)
{
    struct keyring *ring = keyring_new();
    uint8_t of_key[32], of_certificate[32];
    struct str error;
    assert_true(keyring_add(ring, 1, good->key_pem, of_key, arena, &error));
    assert_true(tls_public_sha256(good->chain_pem, of_certificate));
    assert_memory_equal(of_key, of_certificate, 32);
    assert_true(tls_public_sha256(ca->chain_pem, of_certificate));
    assert_memory_not_equal(of_key, of_certificate, 32);
    assert_false(tls_public_sha256(good->key_pem, of_certificate));
    keyring_free(ring);
}

static void test_names(void **state)
{
    assert_true(certificate_name_covers(STR("a.example"), STR("a.example")));
    assert_false(certificate_name_covers(STR("a.example"), STR("b.a.example")));
    assert_true(certificate_name_covers(STR("*.example"), STR("a.example")));
    assert_false(certificate_name_covers(STR("*.example"), STR("a.b.example")));
    assert_false(certificate_name_covers(STR("*.example"), STR("example")));
    assert_false(certificate_name_covers(STR("*.example"), STR(".example")));
    assert_false(certificate_name_covers(STR("*.example"), STR("")));
    assert_false(certificate_name_covers(STR("*a.example"), STR("ba.example")));
}

/* The OCSP answer a client gets: by handshake, NULL when none was stapled. */
static const unsigned char *stapled(struct kit_side *side, long *ret_n)
{
    static struct kit_pair pair;
    static unsigned char copy[4096];
    SSL_CTX *client = kit_client_ctx(NULL);
    SSL_CTX_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
    kit_join(&pair, side, client, "a.example");
    kit_handshake(&pair);
    assert_true(kit_is_up(&pair));
    const unsigned char *p = NULL;
    *ret_n = SSL_get_tlsext_status_ocsp_resp(pair.client, &p);
    assert_true(*ret_n <= (long)sizeof copy);
    if (p)
        memcpy(copy, p, (size_t)*ret_n);
    kit_part(&pair);
    SSL_CTX_free(client);
    return p ? copy : NULL;
}

static void test_stapling(void **state)
{
    const struct kit_cert *certs[] = {good, NULL};
    struct kit_side side;
    long n = 0;
    kit_side_init(&side, certs);
    assert_true(kit_open(&side, NULL));
    assert_null(stapled(&side, &n));
    struct str fresh = kit_ocsp(good, true, -3600, 3600);
    side.certificates[0].ocsp_der = fresh;
    assert_true(kit_open(&side, NULL));
    assert_non_null(stapled(&side, &n));
    assert_int_equal(n, fresh.n);
    assert_memory_equal(stapled(&side, &n), fresh.p, fresh.n);
    side.certificates[0].ocsp_der = kit_ocsp(good, true, -3600, -60); /* has run out: better none than this */
    assert_true(kit_open(&side, NULL));
    assert_null(stapled(&side, &n));
    side.certificates[0].ocsp_der = kit_ocsp(good, true, 3600, 7200);
    assert_true(kit_open(&side, NULL));
    assert_null(stapled(&side, &n));
    kit_side_done(&side);
}

static void test_unusable_answers(void **state)
{
    const struct kit_cert *certs[] = {good, NULL};
    struct kit_side side;
    struct kit_cert *another = kit_cert(&(struct kit_spec){.subject = "z", .issuer = ca});
    kit_side_init(&side, certs);
    const struct str bad[] = {STR("text"), kit_ocsp(good, false, -60, 60), kit_ocsp(another, true, -60, 60)};
    for (unsigned i = 0; i < 3; i++) {
        side.certificates[0].ocsp_der = bad[i];
        assert_false(kit_open(&side, NULL));
        assert_true(str_find(side.error, STR("c.pem: its OCSP answer")) >= 0);
    }
    side.certificates[0].ocsp_der = STR_NONE;
    side.certificates[0].chain_pem = STR("text");
    assert_false(kit_open(&side, NULL));
    assert_true(str_find(side.error, STR("c.pem")) >= 0);
    kit_side_done(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),    cmocka_unit_test(test_chain),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_key_finds_certificate),
        cmocka_unit_test(test_stapling), cmocka_unit_test(test_unusable_answers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
