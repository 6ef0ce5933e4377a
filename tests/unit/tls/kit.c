/* tests/unit/tls/kit.c - see kit.h. Whatever fails in here is the test's own fault: must(). */
#include "kit.h"

#include "base/must.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <time.h>

/* ---- memory that lives as long as the test program */

static struct kept {
    struct kept *next;
    void *p;
    struct kit_cert *cert;
} * all_kept;

static void keep(void *p, struct kit_cert *cert)
{
    struct kept *k = calloc(1, sizeof *k);
    must(k);
    *k = (struct kept){all_kept, p, cert};
    all_kept = k;
}

struct str kit_keep(struct str s)
{
    char *p = malloc(s.n + 1);
    must(p);
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    keep(p, NULL);
    return (struct str){p, s.n};
}

void kit_free_all(void)
{
    while (all_kept) {
        struct kept *k = all_kept;
        all_kept = k->next;
        if (k->cert) {
            EVP_PKEY_free(k->cert->key);
            X509_free(k->cert->x509);
        }
        free(k->cert);
        free(k->p);
        free(k);
    }
}

static struct str take_bio(BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    struct str s = kit_keep((struct str){p, (size_t)n});
    BIO_free(bio);
    return s;
}

/* ---- certificates */

static EVP_PKEY *make_key(const char *kind)
{
    if (!kind)
        kind = "P-256";
    if (strncmp(kind, "RSA-", 4) != 0)
        return EVP_EC_gen(kind);
    return EVP_RSA_gen((unsigned)strtoul(kind + 4, NULL, 10));
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static void fill_x509(struct kit_cert *c, const struct kit_spec *spec)
{
    static long serial = 1000;
    X509 *x = c->x509, *issuer = spec->issuer ? spec->issuer->x509 : x;
    bool has_dates = spec->from_s || spec->until_s;
    must(X509_set_version(x, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), has_dates ? spec->from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), has_dates ? spec->until_s : 365 * 86400);
    X509_NAME *name = X509_get_subject_name(x);
    must(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Polder, tests", -1, -1,
                                    0) == 1);
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->subject, -1, -1,
                                    0) == 1);
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 && X509_set_pubkey(x, c->key) == 1);
    add_extension(x, issuer, NID_basic_constraints, spec->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (spec->is_ca)
        add_extension(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (spec->names)
        add_extension(x, issuer, NID_subject_alt_name, spec->names);
}

struct kit_cert *kit_cert(const struct kit_spec *spec)
{
    struct kit_cert *c = calloc(1, sizeof *c);
    must(c && (c->key = make_key(spec->key)) && (c->x509 = X509_new()));
    c->issuer = spec->issuer;
    fill_x509(c, spec);
    must(X509_sign(c->x509, spec->issuer ? spec->issuer->key : c->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    must(bio && PEM_write_bio_X509(bio, c->x509) == 1);
    if (spec->issuer)
        must(PEM_write_bio_X509(bio, spec->issuer->x509) == 1);
    c->chain_pem = take_bio(bio);
    bio = BIO_new(BIO_s_mem());
    must(bio && PEM_write_bio_PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    c->key_pem = take_bio(bio);
    keep(NULL, c);
    return c;
}

struct str kit_crl(const struct kit_cert *issuer, const struct kit_cert *revoked, int until_s)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *until = X509_gmtime_adj(NULL, until_s);
    must(crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    must(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509)) == 1);
    must(X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1);
    if (revoked) {
        X509_REVOKED *r = X509_REVOKED_new();
        must(r && X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked->x509)) == 1);
        must(X509_REVOKED_set_revocationDate(r, from) == 1 && X509_CRL_add0_revoked(crl, r) == 1);
    }
    must(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    must(bio && PEM_write_bio_X509_CRL(bio, crl) == 1);
    X509_CRL_free(crl);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return take_bio(bio);
}

struct str kit_ocsp(const struct kit_cert *c, bool is_good, int from_s, int until_s)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), c->x509, c->issuer->x509);
    ASN1_TIME *from = X509_gmtime_adj(NULL, from_s), *until = X509_gmtime_adj(NULL, until_s);
    int status = is_good ? V_OCSP_CERTSTATUS_GOOD : V_OCSP_CERTSTATUS_REVOKED;
    must(OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_NOSTATUS, is_good ? NULL : from, from,
                                until));
    must(OCSP_basic_sign(basic, c->issuer->x509, c->issuer->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int n = i2d_OCSP_RESPONSE(response, &der);
    must(n > 0);
    struct str s = kit_keep((struct str){(char *)der, (size_t)n});
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return s;
}

/* ---- the gate's side */

static bool side_send(void *self, const struct msg_sign *m)
{
    struct kit_side *s = self;
    s->sent_n++;
    if (s->loses_requests)
        return false;
    if (s->holds_requests) {
        must(s->waiting_n < sizeof s->waiting / sizeof *s->waiting);
        s->waiting[s->waiting_n++] = *m;
        return true;
    }
    struct msg_signature answer;
    keyring_sign(s->keyring, m, s->tls12_allowed, &answer);
    tls_signer_answer(s->signer, &answer);
    return true;
}

static void side_ready(void *self, void *owner)
{
    struct kit_side *s = self;
    s->ready_n++;
    s->ready_owner = owner;
}

void kit_side_init(struct kit_side *s, const struct kit_cert *const *certs)
{
    *s = (struct kit_side){0};
    s->keyring = keyring_new();
    s->signer = tls_signer_new((struct tls_signer_events){side_send, side_ready, s});
    must(s->keyring && s->signer);
    struct arena *arena = arena_new(1 << 16);
    unsigned n = 0;
    for (; certs[n]; n++) {
        uint8_t sha256[32];
        struct str error = STR_NONE;
        must(n < 8 && keyring_add(s->keyring, 1, certs[n]->key_pem, sha256, arena, &error));
        s->certificates[n] = (struct config_certificate){
            .name = STR("c"), .chain_path = STR("c.pem"), .chain_pem = certs[n]->chain_pem};
        s->certificate_list[n] = &s->certificates[n];
    }
    arena_free(arena);
    s->listener = (struct config_listener){.name = STR("public"),
                                           .has_tls = true,
                                           .certificates = s->certificate_list,
                                           .certificate_count = n,
                                           .http2 = true};
}

bool kit_open(struct kit_side *s, struct tls_tickets *tickets)
{
    struct arena *arena = arena_new(1 << 16);
    must(arena);
    tls_context_unref(s->context);
    s->context = tls_context_server(&s->listener, s->signer, tickets, arena, &s->error);
    if (!s->context)
        s->error = kit_keep(s->error);
    s->tls12_allowed = s->listener.tls12;
    arena_free(arena);
    return s->context != NULL;
}

void kit_answer(struct kit_side *s)
{
    unsigned n = s->waiting_n;
    s->waiting_n = 0;
    for (unsigned i = 0; i < n; i++) {
        struct msg_signature answer;
        keyring_sign(s->keyring, &s->waiting[i], s->tls12_allowed, &answer);
        tls_signer_answer(s->signer, &answer);
    }
}

void kit_side_done(struct kit_side *s)
{
    tls_context_unref(s->context);
    tls_signer_free(s->signer);
    keyring_free(s->keyring);
}

/* ---- a client */

SSL_CTX *kit_client_ctx(const struct kit_cert *ca)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(ctx);
    if (ca) {
        must(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->x509) == 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    return ctx;
}

void kit_join(struct kit_pair *p, struct kit_side *s, SSL_CTX *client, const char *server_name)
{
    memset(p, 0, sizeof *p);
    p->gate = tls_conn_new(s->context, NULL, p);
    p->client = SSL_new(client);
    p->to_client = BIO_new(BIO_s_mem());
    p->from_client = BIO_new(BIO_s_mem());
    must(p->gate && p->client && p->to_client && p->from_client);
    SSL_set_bio(p->client, p->to_client, p->from_client);
    SSL_set_connect_state(p->client);
    if (server_name)
        must(SSL_set_tlsext_host_name(p->client, unconst(server_name)) == 1);
    p->status = TLS_WANT_INPUT;
}

void kit_give(struct kit_pair *p, struct str ciphertext)
{
    if (ciphertext.n)
        must(BIO_write(p->to_client, ciphertext.p, (int)ciphertext.n) == (int)ciphertext.n);
}

static void client_step(struct kit_pair *p)
{
    if (p->client_done || p->client_failed)
        return;
    int r = SSL_do_handshake(p->client);
    p->client_done = r == 1;
    p->client_failed = r != 1 && SSL_get_error(p->client, r) != SSL_ERROR_WANT_READ;
    ERR_clear_error();
}

/* One call with as many of the client's bytes as `chunk` says. False: there were none and none were asked
 * for. */
static bool gate_step(struct kit_pair *p, char *out_memory, size_t out_cap)
{
    char in[1 << 16];
    size_t max = p->chunk && p->chunk < sizeof in ? p->chunk : sizeof in;
    int n = BIO_read(p->from_client, in, (int)max);
    if (n <= 0 && p->status == TLS_WANT_INPUT)
        return false;
    struct buf out = buf_over(out_memory, out_cap);
    p->status = tls_conn_handshake(p->gate, (struct str){in, n > 0 ? (size_t)n : 0}, &out);
    kit_give(p, buf_text(&out));
    return true;
}

void kit_handshake(struct kit_pair *p)
{
    static char out[1 << 16];
    while (true) {
        client_step(p);
        bool moved = false;
        while (p->status != TLS_DONE && p->status != TLS_FAILED && gate_step(p, out, sizeof out)) {
            moved = true;
            if (p->status == TLS_WANT_SIGNATURE && BIO_pending(p->from_client) == 0)
                return;
        }
        client_step(p);
        if (!moved)
            return;
    }
}

void kit_feed(struct kit_pair *p)
{
    char in[1 << 16], plain[17000];
    static char out_memory[1 << 16];
    bool is_first = true;
    while (true) {
        struct buf out = buf_over(out_memory, sizeof out_memory);
        size_t max = p->chunk && p->chunk < sizeof in ? p->chunk : sizeof in, n = 0;
        int taken = BIO_read(p->from_client, in, (int)max);
        if (taken <= 0 && !is_first)
            return;
        is_first = false;
        struct str now = {in, taken > 0 ? (size_t)taken : 0};
        do {
            p->status = tls_conn_read(p->gate, now, plain, sizeof plain, &n, &out);
            must(p->got_n + n <= sizeof p->got);
            memcpy(p->got + p->got_n, plain, n);
            p->got_n += n;
            now = STR_NONE;
        } while (p->status == TLS_WANT_ROOM);
        kit_give(p, buf_text(&out));
        if (p->status == TLS_FAILED || p->status == TLS_CLOSED)
            return;
    }
}

void kit_part(struct kit_pair *p)
{
    tls_conn_free(p->gate);
    SSL_set_shutdown(p->client,
                     SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session is thrown away */
    SSL_free(p->client);
    ERR_clear_error();
}

bool kit_is_up(const struct kit_pair *p)
{
    return p->status == TLS_DONE && p->client_done && !p->client_failed;
}

struct str kit_failure(const struct kit_pair *p)
{
    return tls_conn_failure(p->gate);
}
