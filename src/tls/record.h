/* tls/record.h - the TLS 1.3 record layer after the handshake (RFC 8446 5): protects and opens records,
 * answers key updates. OpenSSL does the handshake; then its object, 12 KB and more a connection, is let go
 * and this goes on.
 *
 * Pure: bytes in, bytes out. */
#ifndef POLDER_TLS_RECORD_H
#define POLDER_TLS_RECORD_H

#include "base/buf.h"
#include "tls/suite.h"

enum {
    RECORD_HEADER = 5,
    RECORD_PLAIN_MAX = 16384,                              /* RFC 8446 5.1 */
    RECORD_SEALED_MAX = RECORD_PLAIN_MAX + 256,            /* RFC 8446 5.2, without the header */
    RECORD_OVERHEAD = RECORD_HEADER + 1 + SUITE_TAG_BYTES, /* of a record without padding */
};

enum record_type { /* RFC 8446 5.1 */
                   RECORD_CHANGE_CIPHER_SPEC = 20,
                   RECORD_ALERT = 21,
                   RECORD_HANDSHAKE = 22,
                   RECORD_APPLICATION_DATA = 23,
};

struct record_half {             /* one direction */
    struct suite_cipher *cipher; /* borrowed; NULL: not set up now */
    uint64_t sequence;
    uint8_t key[SUITE_KEY_MAX], iv[SUITE_IV_BYTES];
    uint8_t secret[SUITE_SECRET_MAX]; /* application_traffic_secret_N */
};

struct record_layer {
    struct tls_suite *suite; /* NULL: not started */
    struct record_half in, out;
    struct str failure;            /* a word, static; empty: none */
    uint8_t alert;                 /* to be sent for it; 0: none */
    uint32_t skip_n;               /* bytes of a message that is not for us */
    uint8_t message[4], message_n; /* the head of a handshake message, as far as it came */
    uint8_t barren;                /* records in a row that brought no data */
    bool is_client;
    bool owes_update; /* the peer asked for a KeyUpdate */
};

/* Both secrets must be set. sent: records that were already sealed under the outgoing key. */
void record_start(struct record_layer *, struct tls_suite *, bool is_client, uint64_t sent);
void record_done(struct record_layer *); /* wipes; also when it was never started */

/* How many bytes a record has that begins with these five, the header included; 0: it is none that may come
 * now, and failure and alert are set. */
size_t record_length(struct record_layer *, const uint8_t header[RECORD_HEADER]);

enum record_event {
    RECORD_DATA,    /* *ret_n bytes of application data (may be 0) */
    RECORD_HANDLED, /* nothing for the owner */
    RECORD_CLOSED,  /* close_notify */
    RECORD_FAILED,  /* failure and alert are set */
};

/* Opens one whole record of n bytes. plain has room for n - RECORD_HEADER - SUITE_TAG_BYTES bytes. */
enum record_event record_open(struct record_layer *, const uint8_t *record, size_t n, uint8_t *plain,
                              size_t *ret_n);

/* Appends one record, plain being at most RECORD_PLAIN_MAX. False, with nothing appended: `out` has less room
 * than plain and RECORD_OVERHEAD (or a KeyUpdate has to go first and has no room). */
bool record_seal(struct record_layer *, enum record_type, struct str plain, struct buf *out);

/* Sends the KeyUpdate that is owed, when there is room. */
void record_pay_update(struct record_layer *, struct buf *out);

#endif
