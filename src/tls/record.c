/* tls/record.c - protecting and opening TLS 1.3 records. Invariants:
 *
 * 1. A sequence number is used once under a key: it grows with every record, and a new key starts at 0.
 * 2. Nothing that failed authentication has any effect but the end of the connection.
 * 3. After the handshake only application data, alerts, KeyUpdate and (client) NewSessionTicket are taken.
 * 4. A peer cannot keep us busy for nothing: records without data in a row are counted. */
#include "tls/record.h"

#include "base/must.h"
#include "tls/failure.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

enum { MESSAGE_NEW_SESSION_TICKET = 4, MESSAGE_KEY_UPDATE = 24, BARREN_MAX = 32 };

enum { /* RFC 8446 6 */
       ALERT_CLOSE_NOTIFY = 0,
       ALERT_UNEXPECTED_MESSAGE = 10,
       ALERT_BAD_RECORD_MAC = 20,
       ALERT_RECORD_OVERFLOW = 22,
       ALERT_DECODE_ERROR = 50,
       ALERT_USER_CANCELED = 90,
       ALERT_ILLEGAL_PARAMETER = 47,
};

static enum record_event fail(struct record_layer *l, uint8_t alert, struct str why)
{
    l->alert = alert;
    l->failure = why;
    return RECORD_FAILED;
}

/* ---- keys (RFC 8446 7.3, 7.2) */

static void half_derive(struct tls_suite *suite, struct record_half *h)
{
    suite_give_back(suite, &h->cipher);
    h->sequence = 0;
    suite_derive(suite, h->secret, h->key, h->iv);
}

static void half_update(struct tls_suite *suite, struct record_half *h)
{
    suite_next_secret(suite, h->secret);
    half_derive(suite, h);
}

void record_start(struct record_layer *l, struct tls_suite *suite, bool is_client, uint64_t sent)
{
    l->suite = suite;
    l->is_client = is_client;
    half_derive(suite, &l->in);
    half_derive(suite, &l->out);
    l->out.sequence = sent;
}

void record_done(struct record_layer *l)
{
    if (l->suite) {
        suite_give_back(l->suite, &l->in.cipher);
        suite_give_back(l->suite, &l->out.cipher);
    }
    OPENSSL_cleanse(l, sizeof *l);
}

/* ---- protection (RFC 8446 5.2, 5.3) */

/* Makes the cipher ready for the next record of this direction, its header as additional data. NULL: no
 * memory. */
static EVP_CIPHER_CTX *half_begin(struct tls_suite *suite, struct record_half *h, bool encrypts,
                                  const uint8_t *header)
{
    uint8_t nonce[SUITE_IV_BYTES];
    int n;
    if (!suite_borrow(suite, &h->cipher, h->key, encrypts))
        return NULL;
    memcpy(nonce, h->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] ^= (uint8_t)(h->sequence >> (56 - 8 * i));
    h->sequence++;
    EVP_CIPHER_CTX *ctx = h->cipher->ctx;
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, encrypts, NULL) != 1 ||
        EVP_CipherUpdate(ctx, NULL, &n, header, RECORD_HEADER) != 1)
        return NULL;
    return ctx;
}

static bool tag_get(EVP_CIPHER_CTX *ctx, uint8_t *tag)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SUITE_TAG_BYTES),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CIPHER_CTX_get_params(ctx, params) == 1;
}

static bool tag_set(EVP_CIPHER_CTX *ctx, const uint8_t *tag)
{
    uint8_t copy[SUITE_TAG_BYTES];
    memcpy(copy, tag, sizeof copy);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, copy, sizeof copy),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CIPHER_CTX_set_params(ctx, params) == 1;
}

static bool seal(struct record_layer *l, uint8_t type, struct str plain, uint8_t *to)
{
    size_t body = plain.n + 1 + SUITE_TAG_BYTES;
    const uint8_t header[RECORD_HEADER] = {RECORD_APPLICATION_DATA, 3, 3, (uint8_t)(body >> 8),
                                           (uint8_t)body};
    memcpy(to, header, sizeof header);
    uint8_t *at = to + RECORD_HEADER;
    int n = 0, last = 0;
    EVP_CIPHER_CTX *ctx = half_begin(l->suite, &l->out, true, header);
    return ctx &&
           (plain.n == 0 || EVP_EncryptUpdate(ctx, at, &n, (const uint8_t *)plain.p, (int)plain.n) == 1) &&
           EVP_EncryptUpdate(ctx, at + plain.n, &n, &type, 1) == 1 &&
           EVP_EncryptFinal_ex(ctx, at + plain.n + 1, &last) == 1 && tag_get(ctx, at + plain.n + 1);
}

static bool append(struct record_layer *l, enum record_type type, struct str plain, struct buf *out)
{
    must(plain.n <= RECORD_PLAIN_MAX);
    if (out->cap - out->n < plain.n + RECORD_OVERHEAD)
        return false;
    must(seal(l, (uint8_t)type, plain, (uint8_t *)out->p + out->n));
    out->n += plain.n + RECORD_OVERHEAD;
    return true;
}

/* RFC 8446 4.6.3. We never ask for one back: the peer counts its own records. */
static bool send_key_update(struct record_layer *l, struct buf *out)
{
    static const char update[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
    if (!append(l, RECORD_HANDSHAKE, (struct str){update, sizeof update}, out))
        return false;
    l->owes_update = false;
    half_update(l->suite, &l->out);
    return true;
}

void record_pay_update(struct record_layer *l, struct buf *out)
{
    if (l->owes_update)
        (void)send_key_update(l, out);
}

bool record_seal(struct record_layer *l, enum record_type type, struct str plain, struct buf *out)
{
    bool is_worn = l->out.sequence >= l->suite->record_limit;
    if ((is_worn || l->owes_update) && !send_key_update(l, out))
        return false;
    return append(l, type, plain, out);
}

/* ---- opening */

size_t record_length(struct record_layer *l, const uint8_t header[RECORD_HEADER])
{
    size_t body = (size_t)header[3] << 8 | header[4];
    if (header[0] != RECORD_APPLICATION_DATA)
        (void)fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_record"));
    else if (body > RECORD_SEALED_MAX)
        (void)fail(l, ALERT_RECORD_OVERFLOW, STR("record_overflow"));
    else if (body < 1 + SUITE_TAG_BYTES)
        (void)fail(l, ALERT_BAD_RECORD_MAC, STR("bad_record_mac"));
    else
        return RECORD_HEADER + body;
    return 0;
}

static bool open_record(struct record_layer *l, const uint8_t *record, size_t n, uint8_t *plain)
{
    int written = 0, last = 0;
    size_t sealed = n - RECORD_HEADER - SUITE_TAG_BYTES;
    EVP_CIPHER_CTX *ctx = half_begin(l->suite, &l->in, false, record);
    return ctx && tag_set(ctx, record + RECORD_HEADER + sealed) &&
           EVP_DecryptUpdate(ctx, plain, &written, record + RECORD_HEADER, (int)sealed) == 1 &&
           EVP_DecryptFinal_ex(ctx, plain + sealed, &last) == 1;
}

static enum record_event take_alert(struct record_layer *l, const uint8_t *alert, size_t n)
{
    if (n != 2)
        return fail(l, ALERT_DECODE_ERROR, STR("bad_alert"));
    if (alert[1] == ALERT_CLOSE_NOTIFY)
        return RECORD_CLOSED;
    if (alert[1] == ALERT_USER_CANCELED)
        return RECORD_HANDLED;
    return fail(l, 0, failure_alert(alert[1]));
}

static enum record_event take_key_update(struct record_layer *l, uint8_t request)
{
    if (request > 1)
        return fail(l, ALERT_ILLEGAL_PARAMETER, STR("bad_key_update"));
    if (request == 1)
        l->owes_update = true;
    half_update(l->suite, &l->in);
    return RECORD_HANDLED;
}

/* The head of a message is complete: is it one that may come now? */
static enum record_event take_message_head(struct record_layer *l)
{
    uint32_t length = (uint32_t)l->message[1] << 16 | (uint32_t)l->message[2] << 8 | l->message[3];
    if (l->message[0] == MESSAGE_NEW_SESSION_TICKET && l->is_client && length <= 65535 + 300) {
        l->message_n = 0;
        l->skip_n = length; /* connections to upstreams are kept open rather than resumed */
        return RECORD_HANDLED;
    }
    if (l->message[0] == MESSAGE_KEY_UPDATE && length == 1)
        return RECORD_HANDLED;
    return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_message"));
}

/* Messages may be cut and joined at will, but a KeyUpdate ends its record (RFC 8446 5.1). */
static enum record_event take_handshake(struct record_layer *l, const uint8_t *p, size_t n)
{
    if (n == 0)
        return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_message"));
    enum record_event event = RECORD_HANDLED;
    while (n > 0 && event == RECORD_HANDLED) {
        if (l->skip_n) {
            size_t skipped = n < l->skip_n ? n : l->skip_n;
            l->skip_n -= (uint32_t)skipped;
            p += skipped;
            n -= skipped;
        } else if (l->message_n < sizeof l->message) {
            l->message[l->message_n++] = *p++;
            n--;
            if (l->message_n == sizeof l->message)
                event = take_message_head(l);
        } else if (n != 1) {
            event = fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_message"));
        } else {
            l->message_n = 0;
            n--;
            event = take_key_update(l, *p);
        }
    }
    return event;
}

static enum record_event take(struct record_layer *l, uint8_t type, const uint8_t *plain, size_t n)
{
    bool is_in_message = l->message_n || l->skip_n;
    if (type == RECORD_HANDSHAKE)
        return take_handshake(l, plain, n);
    if (is_in_message)
        return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_message"));
    if (type == RECORD_APPLICATION_DATA)
        return RECORD_DATA;
    if (type == RECORD_ALERT)
        return take_alert(l, plain, n);
    return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_record"));
}

enum record_event record_open(struct record_layer *l, const uint8_t *record, size_t n, uint8_t *plain,
                              size_t *ret_n)
{
    *ret_n = 0;
    if (!open_record(l, record, n, plain))
        return fail(l, ALERT_BAD_RECORD_MAC, STR("bad_record_mac"));
    size_t end = n - RECORD_HEADER - SUITE_TAG_BYTES;
    if (end > RECORD_PLAIN_MAX + 1)
        return fail(l, ALERT_RECORD_OVERFLOW, STR("record_overflow"));
    while (end > 0 && plain[end - 1] == 0) /* padding, RFC 8446 5.4 */
        end--;
    if (end == 0)
        return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("unexpected_record"));
    enum record_event event = take(l, plain[end - 1], plain, end - 1);
    bool is_fruitful = event == RECORD_DATA && end > 1;
    l->barren = is_fruitful ? 0 : (uint8_t)(l->barren + 1);
    if (l->barren > BARREN_MAX && event != RECORD_FAILED)
        return fail(l, ALERT_UNEXPECTED_MESSAGE, STR("too_many_empty_records"));
    if (event == RECORD_DATA)
        *ret_n = end - 1;
    return event;
}
