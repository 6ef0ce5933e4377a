/* tls/conn.c - one connection: OpenSSL does the handshake over memory; TLS 1.3 then goes on in our own record
 * layer and the SSL object is freed, TLS 1.2 stays with it.
 *
 *   handshake --(1.3 complete)--> records     ciphertext: input -> held (what cannot be used yet)
 *       |-------(1.2 complete)--> ssl         plaintext:  pending (what the owner had no room for)
 *       `--> failed <-- any of them
 */
#include "tls/conn.h"

#include "base/unconst.h"
#include "tls/failure.h"
#include "tls/names.h"
#include "tls/provider.h"
#include "tls/record.h"
#include "tls/setup.h"

#include "base/must.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <time.h>

enum {
    HANDSHAKE_ROOM = 18432, /* one record of OpenSSL's and some: its last flight is never cut */
    HANDSHAKE_HELD_MAX = 2 * (RECORD_SEALED_MAX + RECORD_HEADER), /* and what came with one call */
    HELD_MAX = 1 << 17, /* above what an owner that heeds TLS_WANT_ROOM feeds: 64 KiB a call */
    SUBJECT_MAX = 2048,
};

/* Bytes that could not be used yet; no memory while there are none. */
struct kept {
    char *p;
    uint32_t at, n, cap; /* bytes [at, n) are there */
};

/* Who the peer is; text behind the struct. */
struct tls_peer {
    struct str server_name, subject, names, sha256, serial;
};

enum conn_phase { PHASE_HANDSHAKE, PHASE_SSL, PHASE_RECORDS, PHASE_CLOSED, PHASE_FAILED };

struct tls_conn {
    struct tls_context *context;
    SSL *ssl;           /* NULL in PHASE_RECORDS */
    struct str input;   /* what OpenSSL may read during a call */
    struct buf *output; /* where it writes; NULL: nowhere */
    struct kept held, pending;
    struct sign_asker asker;
    struct tls_peer *peer; /* NULL: nothing is known */
    const struct tls_identity *identity;
    const struct tls_certificate *shown; /* NULL: resumed, or client side */
    const char *cipher;
    struct str failure;
    uint8_t phase, version;
    bool is_resumed, is_h2, has_client_cert, has_said_close;
    struct record_layer records; /* during the handshake only its secrets are used */
};

static enum tls_status fail(struct tls_conn *c, struct str why)
{
    c->failure = why;
    c->phase = PHASE_FAILED;
    return TLS_FAILED;
}

/* ---- kept bytes */

static size_t kept_n(const struct kept *k)
{
    return k->n - k->at;
}

static void kept_free(struct kept *k)
{
    if (k->p)
        OPENSSL_cleanse(k->p, k->cap);
    free(k->p);
    *k = (struct kept){0};
}

/* Makes room for n bytes in all, to what is there. */
static bool kept_reserve(struct kept *k, size_t n)
{
    if (k->at) {
        memmove(k->p, k->p + k->at, kept_n(k));
        k->n -= k->at;
        k->at = 0;
    }
    if (n <= k->cap)
        return true;
    if (n > HELD_MAX)
        return false;
    char *p = realloc(k->p, n);
    if (!p)
        return false;
    k->p = p;
    k->cap = (uint32_t)n;
    return true;
}

static bool kept_add(struct kept *k, struct str bytes, size_t expected_n)
{
    if (bytes.n == 0)
        return true;
    size_t n = kept_n(k) + bytes.n;
    if (!kept_reserve(k, n > expected_n ? n : expected_n))
        return false;
    memcpy(k->p + k->n, bytes.p, bytes.n);
    k->n += (uint32_t)bytes.n;
    return true;
}

static void kept_drop(struct kept *k, size_t n)
{
    k->at += (uint32_t)n;
    if (k->at == k->n)
        kept_free(k);
}

/* ---- OpenSSL over memory */

static int bio_read(BIO *bio, char *to, int n)
{
    struct tls_conn *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (c->input.n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t taken = c->input.n < (size_t)n ? c->input.n : (size_t)n;
    memcpy(to, c->input.p, taken);
    c->input = str_skip(c->input, taken);
    return (int)taken;
}

static int bio_write(BIO *bio, const char *from, int n)
{
    struct tls_conn *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!c->output)
        return n;
    size_t room = c->output->cap - c->output->n;
    size_t written = room < (size_t)n ? room : (size_t)n;
    if (written == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    buf_add(c->output, from, written);
    return (int)written;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *conn_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "polder");
    if (!m || BIO_meth_set_read(m, bio_read) != 1 || BIO_meth_set_write(m, bio_write) != 1 ||
        BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

/* A call into OpenSSL may read what was held and what came now: in one piece. False: no memory. */
static bool ssl_begin(struct tls_conn *c, struct str in, struct buf *out)
{
    ERR_clear_error();
    c->output = out;
    c->input = in;
    if (kept_n(&c->held) == 0)
        return true;
    if (!kept_add(&c->held, in, 0))
        return false;
    c->input = (struct str){c->held.p + c->held.at, kept_n(&c->held)};
    return true;
}

/* What it did not read is held. */
static bool ssl_end(struct tls_conn *c)
{
    struct str rest = c->input;
    c->input = STR_NONE;
    c->output = NULL;
    if (kept_n(&c->held) == 0)
        return kept_add(&c->held, rest, 0);
    kept_drop(&c->held, kept_n(&c->held) - rest.n);
    return true;
}

/* ---- life */

static bool set_server_name(SSL *ssl, const struct tls_context *context, const char *name)
{
    X509_VERIFY_PARAM *verify = SSL_get0_param(ssl);
    struct addr address;
    bool is_address = addr_parse_ip(str_of(name), &address);
    if (!is_address && SSL_set_tlsext_host_name(ssl, unconst(name)) != 1)
        return false;
    if (!context->verifies_host)
        return true;
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_address ? X509_VERIFY_PARAM_set1_ip_asc(verify, name) == 1
                      : X509_VERIFY_PARAM_set1_host(verify, name, 0) == 1;
}

static bool conn_attach(struct tls_conn *c, const char *server_name)
{
    struct tls_context *context = c->context;
    c->ssl = SSL_new(context->identities[0].ctx);
    BIO *bio = c->ssl ? BIO_new(context->bio_method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);  /* takes it */
    if (context->certificate_count) /* something to sign with: the handshake may have to pause */
        SSL_set_mode(c->ssl, SSL_MODE_ASYNC);
    if (!context->is_client) {
        SSL_set_accept_state(c->ssl);
        return true;
    }
    SSL_set_connect_state(c->ssl);
    return !server_name || set_server_name(c->ssl, context, server_name);
}

struct tls_conn *tls_conn_new(struct tls_context *context, const char *server_name, void *owner)
{
    struct tls_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->context = tls_context_ref(context);
    c->asker = (struct sign_asker){.signer = context->signer, .owner = owner};
    if (conn_attach(c, server_name))
        return c;
    tls_conn_free(c);
    return NULL;
}

/* A handshake that waits for a signature stands on a stack of its own: it must run to its end, in failure, or
 * that stack is never given back. */
static void finish_paused(struct tls_conn *c)
{
    struct sign_request *r = c->asker.waiting;
    if (!r)
        return;
    request_forget(r);
    r->is_answered = true;
    r->signature_n = 0;
    c->input = STR_NONE;
    c->output = NULL;
    (void)SSL_do_handshake(c->ssl);
    must(!c->asker.waiting);
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    finish_paused(c);
    SSL_free(c->ssl);
    record_done(&c->records);
    kept_free(&c->held);
    kept_free(&c->pending);
    free(c->peer);
    tls_context_unref(c->context);
    ERR_clear_error();
    free(c);
}

/* ---- after the handshake */

static void write_fingerprint(struct buf *b, const X509 *certificate)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(certificate, EVP_sha256(), hash, &n) == 1)
        buf_hex(b, hash, n);
}

/* Never cut short: a prefix of a name is another name. */
static bool write_subject(struct buf *b, const X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool ok = bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0;
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    ok = ok && n <= SUBJECT_MAX;
    if (ok)
        buf_add(b, text, (size_t)n);
    BIO_free(bio);
    return ok;
}

static bool is_expired(const X509 *certificate)
{
    return X509_cmp_time(X509_get0_notAfter(certificate), NULL) <= 0;
}

/* The text in parts, then one allocation of just its size. False: failure is set. */
static bool learn_peer(struct tls_conn *c)
{
    char text[256 + SUBJECT_MAX + TLS_NAMES_MAX + 64 + 64];
    struct buf b = buf_over(text, sizeof text);
    size_t ends[5];
    const char *name = c->context->is_client ? NULL : SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    X509 *certificate = c->context->is_client ? NULL : SSL_get0_peer_certificate(c->ssl);
    for (const char *p = name; p && *p; p++)
        buf_char(&b, ascii_lower(*p));
    ends[0] = b.n;
    c->has_client_cert = certificate && SSL_get_verify_result(c->ssl) == X509_V_OK;
    if (certificate && !c->has_client_cert) {
        c->failure = STR("bad_certificate");
        return false;
    }
    if (certificate && (!write_subject(&b, certificate) || is_expired(certificate))) {
        c->failure = is_expired(certificate) ? STR("expired_certificate") : STR("bad_certificate");
        return false;
    }
    ends[1] = b.n;
    if (certificate)
        tls_names_write(&b, certificate);
    ends[2] = b.n;
    if (certificate)
        write_fingerprint(&b, certificate);
    ends[3] = b.n;
    if (certificate) {
        const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
        buf_hex(&b, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    }
    ends[4] = b.n;
    if (buf_overflowed(&b)) { /* a serial number longer than RFC 5280 4.1.2.2 allows */
        c->failure = STR("bad_certificate");
        return false;
    }
    if (b.n == 0)
        return true;
    c->peer = malloc(sizeof *c->peer + b.n);
    if (!c->peer)
        return false;
    char *at = (char *)(c->peer + 1);
    memcpy(at, text, b.n);
    c->peer->server_name = (struct str){at, ends[0]};
    c->peer->subject = (struct str){at + ends[0], ends[1] - ends[0]};
    c->peer->names = (struct str){at + ends[1], ends[2] - ends[1]};
    c->peer->sha256 = (struct str){at + ends[2], ends[3] - ends[2]};
    c->peer->serial = (struct str){at + ends[3], ends[4] - ends[3]};
    return true;
}

static void learn_certificate(struct tls_conn *c)
{
    const struct tls_context *context = c->context;
    if (context->is_client)
        return;
    const SSL_CTX *ctx = SSL_get_SSL_CTX(c->ssl);
    for (unsigned i = 0; i < context->identity_count; i++)
        if (context->identities[i].ctx == ctx)
            c->identity = &context->identities[i];
    const X509 *leaf = c->is_resumed ? NULL : SSL_get_certificate(c->ssl);
    for (unsigned i = 0; leaf && i < context->certificate_count; i++)
        if (context->certificates[i].leaf == leaf)
            c->shown = &context->certificates[i];
}

static bool learn(struct tls_conn *c)
{
    const unsigned char *protocol = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(c->ssl, &protocol, &n);
    c->is_h2 = n == 2 && memcmp(protocol, "h2", 2) == 0;
    c->is_resumed = SSL_session_reused(c->ssl) == 1;
    c->version = SSL_version(c->ssl) == TLS1_3_VERSION ? 4 : 3;
    c->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(c->ssl));
    learn_certificate(c);
    return learn_peer(c);
}

/* Records that OpenSSL sealed under the application key: all of a server's last flight (session tickets). */
static bool count_records(struct str flight, uint64_t *ret_count)
{
    *ret_count = 0;
    while (flight.n >= RECORD_HEADER) {
        const uint8_t *p = (const uint8_t *)flight.p;
        size_t n = RECORD_HEADER + ((size_t)p[3] << 8 | p[4]);
        if (p[0] != RECORD_APPLICATION_DATA || n > flight.n)
            return false;
        flight = str_skip(flight, n);
        ++*ret_count;
    }
    return flight.n == 0;
}

/* OpenSSL's part is over: our record layer takes the keys, the SSL object goes. */
static bool take_over(struct tls_conn *c, struct str last_flight)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(c->ssl);
    struct tls_suite *suite = suite_find(c->context->suites, SSL_CIPHER_get_protocol_id(cipher));
    uint64_t sent = 0;
    if (!suite || SSL_has_pending(c->ssl) || (!c->context->is_client && !count_records(last_flight, &sent)))
        return false;
    record_start(&c->records, suite, c->context->is_client, sent);
    SSL_free(c->ssl);
    c->ssl = NULL;
    c->phase = PHASE_RECORDS;
    return true;
}

static enum tls_status complete(struct tls_conn *c, struct str last_flight)
{
    if (!learn(c))
        return fail(c, c->failure.n ? c->failure : STR("internal"));
    SSL_clear_mode(c->ssl, SSL_MODE_ASYNC);
    c->phase = PHASE_SSL;
    if (c->version == 4 && !take_over(c, last_flight))
        return fail(c, STR("internal"));
    return TLS_DONE;
}

/* ---- handshake */

static enum tls_status handshake_result(struct tls_conn *c, int result, struct str flight)
{
    if (result == 1)
        return complete(c, flight);
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_INPUT;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_ROOM;
    case SSL_ERROR_WANT_ASYNC:
        return TLS_WANT_SIGNATURE;
    case SSL_ERROR_WANT_ASYNC_JOB:
        return fail(c, STR("too_many_handshakes"));
    default:
        return fail(c, c->asker.was_refused ? STR("signature_refused") : failure_of(c->ssl));
    }
}

enum tls_status tls_conn_handshake(struct tls_conn *c, struct str in, struct buf *out)
{
    if (c->phase != PHASE_HANDSHAKE)
        return c->phase == PHASE_FAILED ? TLS_FAILED : TLS_DONE;
    bool is_waiting = c->asker.waiting && !c->asker.waiting->is_answered;
    if (is_waiting || out->cap - out->n < HANDSHAKE_ROOM) {
        if (kept_n(&c->held) > HANDSHAKE_HELD_MAX || !kept_add(&c->held, in, 0))
            return fail(c, STR("too_much_input"));
        return is_waiting ? TLS_WANT_SIGNATURE : TLS_WANT_ROOM;
    }
    if (!ssl_begin(c, in, out))
        return fail(c, STR("too_much_input"));
    size_t before = out->n;
    const struct schedule_sink sink = {
        .client_secret = c->context->is_client ? c->records.out.secret : c->records.in.secret,
        .server_secret = c->context->is_client ? c->records.in.secret : c->records.out.secret,
    };
    provider_enter(&c->asker, &sink);
    int result = SSL_do_handshake(c->ssl);
    provider_leave();
    if (!ssl_end(c))
        return fail(c, STR("too_much_input"));
    return handshake_result(c, result, (struct str){out->p + before, out->n - before});
}

/* ---- data through OpenSSL: TLS 1.2 */

static enum tls_status ssl_result(struct tls_conn *c, int result)
{
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_INPUT;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_ROOM;
    case SSL_ERROR_ZERO_RETURN:
        c->phase = PHASE_CLOSED;
        return TLS_CLOSED;
    default:
        return fail(c, failure_of(c->ssl));
    }
}

static enum tls_status ssl_read(struct tls_conn *c, struct str in, char *plain, size_t cap, size_t *ret_n,
                                struct buf *out)
{
    enum tls_status status = TLS_WANT_ROOM;
    if (!ssl_begin(c, in, out))
        return fail(c, STR("too_much_input"));
    while (*ret_n < cap) {
        size_t n = 0;
        int result = SSL_read_ex(c->ssl, plain + *ret_n, cap - *ret_n, &n);
        *ret_n += n;
        if (result == 1)
            continue;
        status = ssl_result(c, result);
        break;
    }
    bool is_all_used = status == TLS_WANT_INPUT || (c->input.n == 0 && !SSL_has_pending(c->ssl));
    if (!ssl_end(c))
        return fail(c, STR("too_much_input"));
    return *ret_n > 0 && is_all_used && status != TLS_CLOSED && status != TLS_FAILED ? TLS_DONE : status;
}

static enum tls_status ssl_write(struct tls_conn *c, struct str plain, size_t *ret_taken, struct buf *out)
{
    enum { OVERHEAD = 64 };
    ERR_clear_error();
    while (plain.n > 0) {
        size_t room = out->cap - out->n, n = plain.n < RECORD_PLAIN_MAX ? plain.n : RECORD_PLAIN_MAX;
        if (room <= OVERHEAD)
            return TLS_WANT_ROOM;
        n = n < room - OVERHEAD ? n : room - OVERHEAD;
        c->output = out;
        int result = SSL_write_ex(c->ssl, plain.p, n, &n);
        c->output = NULL;
        if (result != 1)
            return ssl_result(c, result);
        *ret_taken += n;
        plain = str_skip(plain, n);
    }
    return TLS_DONE;
}

/* ---- data through our record layer: TLS 1.3 */

static enum tls_status records_fail(struct tls_conn *c, struct buf *out)
{
    const char alert[] = {2, (char)c->records.alert};
    if (c->records.alert && !c->has_said_close)
        (void)record_seal(&c->records, RECORD_ALERT, (struct str){alert, sizeof alert}, out);
    return fail(c, c->records.failure);
}

/* The next whole record, from what is held or else straight from `in`; STR_NONE: there is none yet (all of
 * `in` is then held), or the record layer has a failure, or there is no memory. */
static struct str next_record(struct tls_conn *c, struct str *in)
{
    if (kept_n(&c->held) == 0) {
        size_t n = in->n < RECORD_HEADER ? 0 : record_length(&c->records, (const uint8_t *)in->p);
        if (n > 0 && n <= in->n)
            return str_take(*in, n);
        if (c->records.failure.n == 0 && !kept_add(&c->held, *in, n))
            c->records.failure = STR("too_much_input");
        *in = STR_NONE;
        return STR_NONE;
    }
    while (true) {
        size_t have = kept_n(&c->held);
        const uint8_t *p = (const uint8_t *)c->held.p + c->held.at;
        size_t n = have < RECORD_HEADER ? RECORD_HEADER : record_length(&c->records, p);
        if (n == 0)
            return STR_NONE;
        if (have >= n && n > RECORD_HEADER)
            return (struct str){(const char *)p, n};
        if (in->n == 0)
            return STR_NONE;
        struct str part = str_take(*in, n - have);
        if (!kept_add(&c->held, part, n)) {
            c->records.failure = STR("too_much_input");
            return STR_NONE;
        }
        *in = str_skip(*in, part.n);
    }
}

static void drop_record(struct tls_conn *c, struct str *in, size_t n)
{
    if (kept_n(&c->held))
        kept_drop(&c->held, n);
    else
        *in = str_skip(*in, n);
}

/* Into the owner's memory when it has room for all of it, else into memory of our own that is handed out in
 * parts. */
static enum record_event open_next(struct tls_conn *c, struct str record, char *plain, size_t cap,
                                   size_t *ret_n)
{
    size_t need = record.n - RECORD_HEADER - SUITE_TAG_BYTES, n = 0;
    const uint8_t *bytes = (const uint8_t *)record.p;
    if (need <= cap - *ret_n) {
        enum record_event event = record_open(&c->records, bytes, record.n, (uint8_t *)plain + *ret_n, &n);
        *ret_n += n;
        return event;
    }
    if (!kept_reserve(&c->pending, need)) {
        c->records.failure = STR("no_memory");
        return RECORD_FAILED;
    }
    enum record_event event = record_open(&c->records, bytes, record.n, (uint8_t *)c->pending.p, &n);
    c->pending.n = (uint32_t)n;
    if (n == 0)
        kept_free(&c->pending);
    return event;
}

static void hand_out_pending(struct tls_conn *c, char *plain, size_t cap, size_t *ret_n)
{
    size_t n = kept_n(&c->pending), room = cap - *ret_n;
    n = n < room ? n : room;
    if (n == 0)
        return;
    memcpy(plain + *ret_n, c->pending.p + c->pending.at, n);
    *ret_n += n;
    kept_drop(&c->pending, n);
}

static enum tls_status records_read(struct tls_conn *c, struct str in, char *plain, size_t cap, size_t *ret_n,
                                    struct buf *out)
{
    hand_out_pending(c, plain, cap, ret_n);
    while (kept_n(&c->pending) == 0) {
        struct str record = next_record(c, &in);
        if (c->records.failure.n)
            return records_fail(c, out);
        if (record.n == 0)
            break;
        enum record_event event = open_next(c, record, plain, cap, ret_n);
        drop_record(c, &in, record.n);
        if (event == RECORD_FAILED)
            return records_fail(c, out);
        if (event == RECORD_CLOSED) {
            c->phase = PHASE_CLOSED;
            return TLS_CLOSED;
        }
        hand_out_pending(c, plain, cap, ret_n);
    }
    record_pay_update(&c->records, out);
    if (!kept_add(&c->held, in, 0))
        return fail(c, STR("too_much_input"));
    if (kept_n(&c->pending))
        return TLS_WANT_ROOM;
    return *ret_n > 0 ? TLS_DONE : TLS_WANT_INPUT;
}

static enum tls_status records_write(struct tls_conn *c, struct str plain, size_t *ret_taken, struct buf *out)
{
    while (plain.n > 0) {
        size_t room = out->cap - out->n, n = plain.n < RECORD_PLAIN_MAX ? plain.n : RECORD_PLAIN_MAX;
        if (room <= RECORD_OVERHEAD)
            return TLS_WANT_ROOM;
        n = n < room - RECORD_OVERHEAD ? n : room - RECORD_OVERHEAD;
        if (!record_seal(&c->records, RECORD_APPLICATION_DATA, str_take(plain, n), out))
            return TLS_WANT_ROOM;
        *ret_taken += n;
        plain = str_skip(plain, n);
    }
    return TLS_DONE;
}

/* ---- data */

enum tls_status tls_conn_read(struct tls_conn *c, struct str in, char *plain, size_t cap, size_t *ret_n,
                              struct buf *out)
{
    *ret_n = 0;
    enum tls_status status = TLS_FAILED;
    if (c->phase == PHASE_CLOSED)
        return TLS_CLOSED;
    if (c->phase == PHASE_SSL)
        status = ssl_read(c, in, plain, cap, ret_n, out);
    else if (c->phase == PHASE_RECORDS)
        status = records_read(c, in, plain, cap, ret_n, out);
    if (status == TLS_FAILED)
        *ret_n = 0;
    return status;
}

/* After the peer's close_notify there may still be something to say (RFC 8446 6.1). */
static bool may_write(const struct tls_conn *c)
{
    return (c->phase == PHASE_SSL || c->phase == PHASE_RECORDS || c->phase == PHASE_CLOSED) &&
           !c->has_said_close;
}

enum tls_status tls_conn_write(struct tls_conn *c, struct str plain, size_t *ret_taken, struct buf *out)
{
    *ret_taken = 0;
    if (!may_write(c))
        return TLS_FAILED;
    return c->ssl ? ssl_write(c, plain, ret_taken, out) : records_write(c, plain, ret_taken, out);
}

void tls_conn_close_notify(struct tls_conn *c, struct buf *out)
{
    static const char close_notify[] = {1, 0}; /* warning, close_notify */
    if (!may_write(c))
        return;
    c->has_said_close = true;
    if (!c->ssl) {
        (void)record_seal(&c->records, RECORD_ALERT, (struct str){close_notify, sizeof close_notify}, out);
        return;
    }
    c->output = out;
    (void)SSL_shutdown(c->ssl);
    c->output = NULL;
    ERR_clear_error();
}

/* ---- questions */

void tls_conn_info(const struct tls_conn *c, struct tls_info *ret)
{
    *ret = (struct tls_info){
        .resumed = c->is_resumed,
        .is_h2 = c->is_h2,
        .version = c->version,
        .cipher = str_of(c->cipher),
        .has_client_cert = c->has_client_cert,
    };
    if (!c->peer)
        return;
    ret->server_name = c->peer->server_name;
    ret->client_subject = c->peer->subject;
    ret->client_names = c->peer->names;
    ret->client_sha256 = c->peer->sha256;
    ret->client_serial = c->peer->serial;
}

bool tls_conn_covers(const struct tls_conn *c, struct str host)
{
    if (c->shown)
        return certificate_covers(c->shown, host);
    const struct tls_identity *i = c->identity; /* resumed: it was one of these */
    return i && (!i->ecdsa || certificate_covers(i->ecdsa, host)) &&
           (!i->rsa || certificate_covers(i->rsa, host));
}

struct str tls_conn_failure(const struct tls_conn *c)
{
    return c->failure;
}
