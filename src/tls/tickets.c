/* tls/tickets.c - the newest key seals tickets, every known key opens them, and whoever comes with an older
 * one gets a new ticket. AES-256-CBC and HMAC-SHA-256 as OpenSSL and RFC 5077 section 4 do it. */
#include "tls/tickets.h"

#include "tls/setup.h"

#include "base/must.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <stdlib.h>

enum { TICKET_KEYS_MAX = 3, KEY_NAME_BYTES = 16 };

struct ticket_key {
    uint8_t name[KEY_NAME_BYTES], aes[32], hmac[32];
};
_Static_assert(sizeof(struct ticket_key) == 80, "as messages.def says");

struct tls_tickets {
    struct ticket_key keys[TICKET_KEYS_MAX]; /* newest first */
    unsigned count;
    EVP_CIPHER *cipher; /* fetched once: looking it up costs more than a ticket */
};

struct tls_tickets *tls_tickets_new(void)
{
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (!t || !(t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL))) {
        free(t);
        return NULL;
    }
    return t;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (!t)
        return;
    EVP_CIPHER_free(t->cipher);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
}

void tls_tickets_set(struct tls_tickets *t, struct str keys)
{
    must(keys.n % sizeof(struct ticket_key) == 0);
    unsigned count = (unsigned)(keys.n / sizeof(struct ticket_key));
    t->count = count < TICKET_KEYS_MAX ? count : TICKET_KEYS_MAX;
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    if (t->count)
        memcpy(t->keys, keys.p, t->count * sizeof(struct ticket_key));
}

static bool set_hmac(EVP_MAC_CTX *hmac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    uint8_t copy[sizeof key->hmac];
    memcpy(copy, key->hmac, sizeof copy);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, copy, sizeof copy),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_MAC_CTX_set_params(hmac, params) == 1;
    OPENSSL_cleanse(copy, sizeof copy);
    return ok;
}

static int ticket_seal(struct tls_tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       EVP_MAC_CTX *hmac)
{
    if (t->count == 0)
        return 0; /* no ticket then */
    const struct ticket_key *key = &t->keys[0];
    memcpy(name, key->name, sizeof key->name);
    bool ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) == 1 &&
              EVP_EncryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) == 1 && set_hmac(hmac, key);
    return ok ? 1 : -1;
}

/* 0: unknown, a full handshake follows; 1: good; 2: good, but give a new ticket. In TLS 1.3 always that: a
 * client shows a ticket once (RFC 8446 C.4). */
static int ticket_open(struct tls_tickets *t, bool is_tls13, const unsigned char *name,
                       const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *hmac)
{
    for (unsigned i = 0; i < t->count; i++) {
        const struct ticket_key *key = &t->keys[i];
        if (memcmp(name, key->name, sizeof key->name) != 0)
            continue;
        if (EVP_DecryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) != 1 || !set_hmac(hmac, key))
            return -1;
        return i == 0 && !is_tls13 ? 1 : 2;
    }
    return 0;
}

static int ticket_key_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                               EVP_MAC_CTX *hmac, int is_sealing)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_tickets *t = context->tickets;
    if (is_sealing)
        return ticket_seal(t, name, iv, cipher, hmac);
    return ticket_open(t, SSL_version(ssl) == TLS1_3_VERSION, name, iv, cipher, hmac);
}

bool tickets_install(SSL_CTX *ctx)
{
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_callback) == 1;
}
