/* tls/failure.c - what OpenSSL says went wrong, as one word out of a closed list. */
#include "tls/failure.h"

#include <openssl/err.h>

struct row {
    long number;
    struct str word;
};

#define WORD(number, word)                                                                                   \
    {                                                                                                        \
        (number),                                                                                            \
        {                                                                                                    \
            (word), sizeof(word) - 1                                                                         \
        }                                                                                                    \
    }

#define REASON(number, word) WORD(number, word),
#define VERDICT(number, word)
#define ALERT(number, word)
static const struct row reasons[] = {
#include "tls/failures.def"
};
#undef REASON
#undef VERDICT
#define REASON(number, word)
#define VERDICT(number, word) WORD(number, word),
static const struct row verdicts[] = {
#include "tls/failures.def"
};
#undef VERDICT
#undef ALERT
#define VERDICT(number, word)
#define ALERT(number, word) WORD(number, word),
static const struct row alerts[] = {
#include "tls/failures.def"
};

static struct str find(const struct row *rows, size_t n, long number, struct str otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].number == number)
            return rows[i].word;
    return otherwise;
}

#define FIND(rows, number, otherwise) find(rows, sizeof(rows) / sizeof *(rows), number, otherwise)

struct str failure_alert(uint8_t alert)
{
    return FIND(alerts, alert, STR("peer_alert"));
}

struct str failure_of(const SSL *ssl)
{
    int reason = 0;
    for (unsigned long e; (e = ERR_get_error());) /* the first one is the cause */
        if (reason == 0 && ERR_GET_LIB(e) == ERR_LIB_SSL)
            reason = ERR_GET_REASON(e);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return FIND(verdicts, SSL_get_verify_result(ssl), STR("bad_certificate"));
    if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
        return FIND(alerts, reason - SSL_AD_REASON_OFFSET, STR("peer_alert"));
    return FIND(reasons, reason, STR("handshake_failure"));
}
