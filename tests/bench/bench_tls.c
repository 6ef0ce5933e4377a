/* tests/bench/bench_tls.c - what TLS costs, in memory and without sockets: full handshakes a second of CPU
 * (server side only, with the signature made in the same process and with it left out), resumed ones, a
 * record of 1 KB and of 16 KB each way, and heap bytes per idle connection. The client's work is not counted.
 */
#include "kit.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct kit_cert *ca;
static struct kit_side side;
static SSL_CTX *client;
static struct tls_tickets *tickets;
static SSL_SESSION *session;
static double gate_s; /* CPU time of our side */

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

/* The gate's half of a handshake, timed; the client's is not. */
static struct tls_conn *accept_one(SSL **ret_client)
{
    static char in[1 << 15], out_memory[1 << 15];
    SSL *ssl = SSL_new(client);
    BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, to, from);
    SSL_set_connect_state(ssl);
    SSL_set_tlsext_host_name(ssl, unconst("a.example"));
    if (session)
        SSL_set_session(ssl, session);
    struct tls_conn *conn = NULL;
    enum tls_status status = TLS_WANT_INPUT;
    while (status == TLS_WANT_INPUT) {
        SSL_do_handshake(ssl);
        int n = BIO_read(from, in, sizeof in);
        struct buf out = buf_over(out_memory, sizeof out_memory);
        double start = cpu_s();
        if (!conn)
            conn = tls_conn_new(side.context, NULL, NULL);
        status = tls_conn_handshake(conn, (struct str){in, n > 0 ? (size_t)n : 0}, &out);
        gate_s += cpu_s() - start;
        BIO_write(to, out.p, (int)out.n);
    }
    if (status != TLS_DONE) {
        fprintf(stderr, "handshake failed: %.*s\n", STR_ARG(tls_conn_failure(conn)));
        exit(1);
    }
    *ret_client = ssl;
    return conn;
}

static void part(struct tls_conn *conn, SSL *ssl)
{
    double start = cpu_s();
    tls_conn_free(conn);
    gate_s += cpu_s() - start;
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
}

static double handshake_s(unsigned count)
{
    gate_s = 0;
    for (unsigned i = 0; i < count; i++) {
        SSL *ssl;
        char byte;
        struct tls_conn *conn = accept_one(&ssl);
        if (session)
            SSL_read(ssl, &byte, 1); /* the next ticket */
        part(conn, ssl);
    }
    return gate_s / count;
}

/* The measure: OpenSSL alone with the key in its hands, as a server in one process does it. */
static double openssl_s(const struct kit_cert *cert, unsigned count)
{
    static char in[1 << 15];
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, NULL, TLS_server_method());
    SSL_CTX_use_certificate(ctx, cert->x509);
    SSL_CTX_use_PrivateKey(ctx, cert->key);
    SSL_CTX_add1_chain_cert(ctx, cert->issuer->x509);
    SSL_CTX_set_num_tickets(ctx, 1);
    gate_s = 0;
    for (unsigned i = 0; i < count; i++) {
        SSL *peer = SSL_new(client), *ssl = NULL;
        BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
        SSL_set_bio(peer, to, from);
        SSL_set_connect_state(peer);
        int result = -1;
        while (result != 1) {
            SSL_do_handshake(peer);
            int n = BIO_read(from, in, sizeof in);
            double start = cpu_s();
            if (!ssl) {
                ssl = SSL_new(ctx);
                SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
                SSL_set_accept_state(ssl);
            }
            BIO_write(SSL_get_rbio(ssl), in, n);
            result = SSL_do_handshake(ssl);
            char *out = NULL;
            long out_n = BIO_get_mem_data(SSL_get_wbio(ssl), &out);
            gate_s += cpu_s() - start;
            BIO_write(to, out, (int)out_n);
            (void)BIO_reset(SSL_get_wbio(ssl));
        }
        double start = cpu_s();
        SSL_free(ssl);
        gate_s += cpu_s() - start;
        SSL_free(peer);
    }
    SSL_CTX_free(ctx);
    return gate_s / count;
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_handshakes(const char *name, double *rounds, unsigned n)
{
    qsort(rounds, n, sizeof *rounds, order);
    printf("%-48s %9.0f /s  %7.1f us (best %.1f)\n", name, 1 / rounds[n / 2], rounds[n / 2] * 1e6,
           rounds[0] * 1e6);
}

/* In short rounds by turns, since neighbours on the machine disturb both alike. */
static void bench_full(const struct kit_cert *cert, unsigned count)
{
    enum { ROUNDS = 15 };
    double alone[ROUNDS], ours[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        alone[i] = openssl_s(cert, count / ROUNDS + 1);
        ours[i] = handshake_s(count / ROUNDS + 1);
    }
    print_handshakes("full handshakes, OpenSSL alone, key in process", alone, ROUNDS);
    print_handshakes("full handshakes, ours, signature included", ours, ROUNDS);
}

static void bench_records(const char *suite, size_t size, unsigned count)
{
    static char text[1 << 14], wire[1 << 15], plain[1 << 15];
    SSL *ssl;
    SSL_CTX_set_ciphersuites(client, suite);
    struct tls_conn *conn = accept_one(&ssl);
    size_t n = 0;
    gate_s = 0;
    for (unsigned i = 0; i < count; i++) {
        struct buf out = buf_over(wire, sizeof wire);
        double start = cpu_s();
        for (unsigned j = 0; j < 16; j++) {
            out.n = 0;
            tls_conn_write(conn, (struct str){text, size}, &n, &out);
        }
        gate_s += cpu_s() - start;
    }
    printf("%-28s %6zu bytes sealed %9.0f ns\n", suite, size, gate_s / count / 16 * 1e9);
    gate_s = 0;
    static char sealed[16][1 << 15];
    for (unsigned i = 0; i < count; i++) {
        struct buf out = buf_over(wire, sizeof wire);
        int sealed_n[16];
        for (unsigned j = 0; j < 16; j++) {
            SSL_write(ssl, text, (int)size);
            sealed_n[j] = BIO_read(SSL_get_wbio(ssl), sealed[j], sizeof sealed[j]);
        }
        double start = cpu_s();
        for (unsigned j = 0; j < 16; j++)
            tls_conn_read(conn, (struct str){sealed[j], (size_t)sealed_n[j]}, plain, sizeof plain, &n, &out);
        gate_s += cpu_s() - start;
    }
    printf("%-28s %6zu bytes opened %9.0f ns\n", suite, size, gate_s / count / 16 * 1e9);
    part(conn, ssl);
}

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static void bench_memory(const char *name, unsigned count)
{
    struct tls_conn **conns = calloc(count, sizeof *conns);
    char out_memory[1000], byte;
    SSL *ssl;
    size_t n = 0;
    struct tls_conn *first = accept_one(&ssl);
    part(first, ssl);
    size_t before = heap_bytes();
    for (unsigned i = 0; i < count; i++) {
        conns[i] = accept_one(&ssl);
        struct buf out = buf_over(out_memory, sizeof out_memory);
        tls_conn_write(conns[i], STR("x"), &n, &out); /* both directions were used once */
        SSL_write(ssl, "x", 1);
        char in[100];
        int r = BIO_read(SSL_get_wbio(ssl), in, sizeof in);
        tls_conn_read(conns[i], (struct str){in, (size_t)r}, &byte, 1, &n, &out);
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(ssl);
    }
    printf("%-48s %9.0f bytes (%u connections)\n", name, (double)(heap_bytes() - before) / count, count);
    for (unsigned i = 0; i < count; i++)
        tls_conn_free(conns[i]);
    free(conns);
}

static void open_with(const struct kit_cert *cert)
{
    const struct kit_cert *certs[] = {cert, NULL};
    kit_side_init(&side, certs);
    side.listener.tls12 = true;
    side.listener.session_tickets = true;
    if (!kit_open(&side, tickets))
        exit(1);
}

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    if (tls_init() != 0)
        return 1;
    char keys[80] = "ticket key";
    tickets = tls_tickets_new();
    tls_tickets_set(tickets, (struct str){keys, sizeof keys});
    ca = kit_cert(&(struct kit_spec){.subject = "ca", .is_ca = true});
    struct kit_cert *ecdsa =
        kit_cert(&(struct kit_spec){.subject = "a", .names = "DNS:a.example", .issuer = ca});
    client = kit_client_ctx(NULL);
    open_with(ecdsa);
    (void)handshake_s(scale / 10 + 1);
    bench_full(ecdsa, scale);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    SSL *ssl;
    char byte;
    struct tls_conn *conn = accept_one(&ssl);
    SSL_read(ssl, &byte, 1);
    part(conn, ssl);
    double resumed = handshake_s(scale);
    print_handshakes("resumed handshakes", &resumed, 1);
    SSL_CTX_sess_set_new_cb(client, NULL);
    SSL_SESSION_free(session);
    session = NULL;
    bench_memory("heap per idle connection, TLS 1.3", 4000);
    SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
    bench_memory("heap per idle connection, TLS 1.2", 200);
    SSL_CTX_set_max_proto_version(client, TLS1_3_VERSION);
    static const char *const suites[] = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    for (unsigned i = 0; i < 3; i++) {
        bench_records(suites[i], 1024, scale * 4);
        bench_records(suites[i], 16384, scale / 2);
    }
    kit_side_done(&side);
    tls_tickets_free(tickets);
    SSL_CTX_free(client);
    kit_free_all();
    return 0;
}
