/* tests/unit/tls/kit.h - what every TLS test needs: certificates made on the spot, a signer in the same
 * process, and a client (OpenSSL's own) that talks to a tls_conn over memory. */
#ifndef POLDER_TESTS_TLS_KIT_H
#define POLDER_TESTS_TLS_KIT_H

#include "base/unconst.h"
#include "tls/conn.h"
#include "tls/signer.h"

#include <openssl/ssl.h>

/* ---- certificates; freed with kit_free_all */

struct kit_cert {
    EVP_PKEY *key;
    X509 *x509;
    struct str chain_pem, key_pem;
    const struct kit_cert *issuer; /* NULL: itself */
};

struct kit_spec {
    const char *subject; /* common name */
    const char *names;   /* "DNS:a.example,DNS:*.b.example"; NULL: none */
    const char *key;     /* "P-256" (default), "P-384", "P-521", "RSA-3072", "RSA-2048" */
    const struct kit_cert *issuer;
    int from_s, until_s; /* relative to now; both 0: an hour ago to a year ahead */
    bool is_ca;
};

struct kit_cert *kit_cert(const struct kit_spec *);
struct str kit_crl(const struct kit_cert *issuer, const struct kit_cert *revoked, int until_s); /* PEM */
struct str kit_ocsp(const struct kit_cert *, bool is_good, int from_s, int until_s);            /* DER */
struct str kit_keep(struct str); /* a copy that lives until kit_free_all */

/* ---- one side: configuration, signer, context */

struct kit_side {
    struct keyring *keyring;
    struct tls_signer *signer;
    struct msg_sign waiting[8]; /* requests not yet answered, when holds_requests */
    unsigned waiting_n, sent_n, ready_n;
    bool holds_requests, loses_requests, tls12_allowed;
    void *ready_owner;
    struct config_certificate certificates[8];
    const struct config_certificate *certificate_list[8];
    struct config_listener listener;
    struct tls_context *context;
    struct str error;
};

/* A listener with these certificates (NULL-terminated), HTTP/2 on, tickets off; change .listener, then
 * kit_open. */
void kit_side_init(struct kit_side *, const struct kit_cert *const *certs);
bool kit_open(struct kit_side *, struct tls_tickets *); /* false: .error */
void kit_answer(struct kit_side *);                     /* all waiting requests, from the keyring */
void kit_side_done(struct kit_side *);
void kit_free_all(void);

/* ---- a client and a connection of ours, joined */

struct kit_pair {
    struct tls_conn *gate;
    SSL *client;
    BIO *to_client, *from_client; /* ciphertext */
    enum tls_status status;       /* of the gate's last call */
    bool client_done, client_failed;
    size_t chunk;      /* bytes fed to the gate in one call; 0: all there are */
    char got[1 << 17]; /* what the gate decrypted */
    size_t got_n;
};

SSL_CTX *kit_client_ctx(const struct kit_cert *ca); /* verifies against it; NULL: verifies nothing */
void kit_join(struct kit_pair *, struct kit_side *, SSL_CTX *client, const char *server_name);
void kit_handshake(struct kit_pair *); /* until both are done, one failed, or nothing moves */
void kit_feed(struct kit_pair *);      /* the client's ciphertext to the gate; data to got */
void kit_give(struct kit_pair *, struct str ciphertext); /* the gate's output to the client */
void kit_part(struct kit_pair *);
bool kit_is_up(const struct kit_pair *);
struct str kit_failure(const struct kit_pair *);

#define assert_str(have, want)                                                                               \
    do {                                                                                                     \
        struct str assert_have_ = (have);                                                                    \
        struct str assert_want_ = STR(want);                                                                 \
        if (!str_eq(assert_have_, assert_want_))                                                             \
            fail_msg("have \"%.*s\", want \"%s\"", STR_ARG(assert_have_), want);                             \
    } while (0)

#endif
