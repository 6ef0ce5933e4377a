/* tests/unit/sys_sandbox/lawful.h - what each role does all day, so that its sandbox lets it.
 *
 * lawful_prepare() makes what a role is given before it enters; the others run inside. Each returns NULL when
 * all went well, or the name of what failed. */
#ifndef POLDER_TESTS_LAWFUL_H
#define POLDER_TESTS_LAWFUL_H

#include <openssl/ssl.h>
#include <stdint.h>

struct lawful {
    int epoll, listener, client, channel[2], log, memory;
    uint16_t port;
    SSL_CTX *tls;
    EVP_PKEY *key;
};

const char *lawful_prepare(struct lawful *);
const char *lawful_common(struct lawful *);   /* every role */
const char *lawful_worker(struct lawful *);   /* accepts a connection, speaks TLS 1.3 */
const char *lawful_signer(struct lawful *);   /* signs, locks memory */
const char *lawful_observer(struct lawful *); /* writes its log */
const char *lawful_dialer(struct lawful *);   /* looks a name up and connects */

#endif
