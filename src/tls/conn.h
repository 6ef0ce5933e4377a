/* tls/conn.h - one TLS connection as a transformation of bytes: no socket, no system call.
 *
 * The owner moves ciphertext: what it received goes in, what comes out it sends. Private keys are never
 * here: a handshake that needs a signature asks the signer (tls/signer.h) and goes on when it answers. */
#ifndef POLDER_TLS_CONN_H
#define POLDER_TLS_CONN_H

#include "base/buf.h"
#include "tls/context.h"

enum tls_status {
    TLS_DONE,           /* the handshake is complete / some bytes were moved */
    TLS_WANT_INPUT,     /* feed more ciphertext */
    TLS_WANT_SIGNATURE, /* the signer was asked; its `ready` will name this connection's owner */
    TLS_WANT_ROOM,      /* `out` (or the room for plaintext) is full: empty it, call again */
    TLS_CLOSED,         /* the peer said close_notify */
    TLS_FAILED,         /* alert sent or received, or nonsense: close. tls_conn_failure() names it */
};

struct tls_conn;

/* owner is handed to the signer's `ready`. server_name: for the client side (SNI and verification), else
 * NULL. NULL: no memory. Takes a reference on the context. */
struct tls_conn *tls_conn_new(struct tls_context *, const char *server_name, void *owner);
void tls_conn_free(struct tls_conn *); /* NULL is fine; a signature that still comes is dropped */

/* `in` is always consumed whole (what cannot be used yet is kept inside, bounded by one record and its
 * overhead, 2 x 16.5 KiB); pass an empty one to go on with what was kept. Ciphertext to send is appended to
 * `out`, which needs 20 KiB of room. After TLS_FAILED `out` may hold an alert: send it, then close. */
enum tls_status tls_conn_handshake(struct tls_conn *, struct str in, struct buf *out);

/* Decrypts into plain[0..cap): *ret_n bytes were written (it may be some together with any status but
 * FAILED). TLS_DONE: some were, and all input is used up; TLS_WANT_INPUT: none, feed more. TLS_WANT_ROOM:
 * plain is full and more is waiting: call again with an empty `in`, and feed nothing before that. With a cap
 * of 16,640 bytes or more no record is copied. `out` gets what the protocol itself has to say (an alert, a
 * KeyUpdate): 64 bytes are enough. */
enum tls_status tls_conn_read(struct tls_conn *, struct str in, char *plain, size_t cap, size_t *ret_n,
                              struct buf *out);

/* Encrypts as much of plain as has room in out: *ret_taken. Never asks for input. */
enum tls_status tls_conn_write(struct tls_conn *, struct str plain, size_t *ret_taken, struct buf *out);

void tls_conn_close_notify(struct tls_conn *, struct buf *out);

struct tls_info {
    bool resumed, is_h2;
    uint8_t version;           /* 3: TLS 1.2, 4: TLS 1.3 */
    struct str cipher;         /* standard name, static */
    struct str server_name;    /* SNI, lower case, or empty; lives with the connection */
    bool has_client_cert;      /* a client certificate was presented and verified */
    struct str client_subject; /* RFC 2253 text; lives with the connection */
    struct str client_names;   /* DNS names and common names, lower case, a line end behind each */
    struct str client_sha256;  /* fingerprint, 64 hex digits */
    struct str client_serial;  /* hex */
};
/* After the handshake. */
void tls_conn_info(const struct tls_conn *, struct tls_info *ret);
/* Does the certificate shown on this connection cover that host? (HTTP/2 connection coalescing, 421) */
bool tls_conn_covers(const struct tls_conn *, struct str host);
/* A word for counters and logs: "bad_certificate", "no_shared_cipher", "not_tls", ... static. */
struct str tls_conn_failure(const struct tls_conn *);

#endif
