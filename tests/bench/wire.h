/* tests/bench/wire.h - a client's end of a connection for the load generators: a socket from a chosen
 * loopback address that never blocks, TLS 1.3 on it or not, and the reading of HTTP/1.1 answers.
 *
 * For epoll in edge-triggered mode: after an event the caller calls until WIRE_WAIT comes back. */
#ifndef POLDER_TESTS_BENCH_WIRE_H
#define POLDER_TESTS_BENCH_WIRE_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_step { WIRE_WAIT, WIRE_OK, WIRE_FAILED };
enum wire_phase { WIRE_CLOSED, WIRE_CONNECTING, WIRE_HANDSHAKE, WIRE_UP };

struct wire {
    int fd;
    enum wire_phase phase;
    SSL *ssl; /* NULL: clear text */
};

double wire_now_s(void);        /* CLOCK_MONOTONIC */
void wire_files(unsigned most); /* raises the limit of open files as far as it goes */

/* TLS 1.3 with X25519, nothing verified: the load costs as little as it can. alpn "h2", or NULL for none.
 * Ends the process when there is no memory. */
SSL_CTX *wire_context(const char *alpn);

/* Begins to connect from `from` (host order) and adds the socket to epoll with `tag`. ctx NULL: clear text;
 * server_name: SNI. False: nothing is open. */
bool wire_open(struct wire *, int epoll_fd, void *tag, const struct sockaddr_in *to, uint32_t from,
               SSL_CTX *ctx, const char *server_name);
/* From connecting to WIRE_UP; WIRE_OK when it is. */
enum wire_step wire_advance(struct wire *, uint32_t events);
/* Sends what it can from *p, and moves it on; WIRE_OK: all of it. */
enum wire_step wire_send(struct wire *, const char **p, size_t *n);
/* WIRE_OK: *ret_n bytes came, at least one. The other side's end is WIRE_FAILED. */
enum wire_step wire_read(struct wire *, char *into, size_t room, size_t *ret_n);
/* abruptly: with RST, which leaves no port behind in TIME_WAIT. */
void wire_close(struct wire *, bool abruptly);

enum { ANSWER_HEAD_ROOM = 1536 };

struct answer { /* zeroed before the first byte of each */
    unsigned status;
    bool has_head, is_last, until_close, is_chunked;
    size_t head_n, body_n, length;
    char tail[5]; /* of a chunked body */
    char head[ANSWER_HEAD_ROOM];
};

/* Takes bytes of an answer; WIRE_OK: it is complete. With until_close set, the end of the connection
 * completes it; is_last: no other answer comes on this connection. */
enum wire_step answer_take(struct answer *, const char *p, size_t n);
/* The value of a field of the head, "" when it is not there; it ends before CR. */
const char *answer_field(const struct answer *, const char *name_with_colon);

#endif
