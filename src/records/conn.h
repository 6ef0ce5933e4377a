/* records/conn.h - a connection of a worker: HTTP/1.1, one request at a time, pipelined ones wait in the
 * buffer.
 *
 *   HEAD -> BODY -> WORKING -> WRITING -> HEAD ... or LINGER -> closed
 *
 * A stream is written in pieces, whenever there is one, and waits in between: WRITING -> STREAM -> WRITING
 * ... It ends with its connection.
 *
 * An answer that closes is followed by reading what still comes, for a while: a close with unread bytes would
 * take the answer back (RFC 9112 9.6).
 *
 * What always holds: a request's bytes stay where they are until its answer is written, for its parts point
 * at them. A connection whose client is gone lives on while the worker works on its request, so that what was
 * done is still audited. Every state but WORKING and STREAM has a time limit. */
#ifndef POLDER_RECORDS_CONN_H
#define POLDER_RECORDS_CONN_H

#include "base/addr.h"
#include "http/h1.h"
#include "sys/loop.h"

enum conn_state { CONN_HEAD, CONN_BODY, CONN_WORKING, CONN_WRITING, CONN_LINGER, CONN_STREAM };

struct conn;

/* What all connections of a worker share. */
struct conn_owner {
    struct loop *loop;
    struct list conns;
    unsigned count;
    bool is_draining;
    uint64_t body_max;
    uint32_t idle_ms, request_ms;
    struct h1_limits limits;
    void (*request)(struct conn_owner *,
                    struct conn *);                   /* a whole request is there; answer with conn_answer */
    void (*closed)(struct conn_owner *);              /* one connection less */
    void (*sent)(struct conn_owner *, struct conn *); /* a piece of a stream was written */
    void (*gone)(struct conn_owner *, struct conn *); /* a stream is over, its connection goes */
};

struct conn {
    struct conn_owner *owner;
    struct list node;
    struct io io;
    struct timer timer;
    struct deferred again;
    enum conn_state state;
    bool can_read, can_write, has_ended, is_dead, must_close, said_continue, is_stream, is_over;

    char *in;
    size_t in_n, in_cap, head_n, scanned;
    struct http_request request;
    char *body; /* of its own when it did not come with the head */
    size_t body_n, body_cap;
    struct h1_chunked chunked;
    bool in_trailers;
    struct arena *arena, *scratch; /* of the request */

    char head[2048]; /* of the answer */
    size_t head_out;
    struct str out;
    size_t sent;

    char address[ADDR_TEXT_MAX];
    size_t address_n;
    bool is_behind_gate; /* its listener is one that only the gate reaches */
    void *work;          /* the worker's, while WORKING */
};

/* Takes the descriptor. False: no memory; it is closed. */
bool conn_accept(struct conn_owner *, int take_fd, const struct addr *peer, bool is_behind_gate);
struct str conn_body(const struct conn *);
/* The head without its empty line lies in c->head (head_out bytes); the body lives until it is written. */
void conn_answer(struct conn *, struct str body);
/* The same as the beginning of a stream, which has no length and ends with its connection; `sent` follows. */
void conn_stream_begin(struct conn *, struct str piece);
void conn_stream_send(struct conn *,
                      struct str piece); /* while nothing is being written; it lives until `sent` */
void conn_stream_hold(struct conn *);    /* the worker is at a piece: the connection stays until then */
void conn_stream_end(struct conn *);     /* while nothing is being written */
void conn_drain(struct conn_owner *);    /* idle ones end now, others after their answer */
void conn_end_all(struct conn_owner *);

#endif
