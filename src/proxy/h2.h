/* proxy/h2.h - one HTTP/2 connection towards a client (RFC 9113) and its streams. Internal to client_h2*.c.
 *
 * client_h2.c moves bytes and watches limits; client_h2_request.c makes a canonical request of a stream's
 * fields; client_h2_answer.c is the side the exchange talks to. */
#ifndef POLDER_PROXY_H2_H
#define POLDER_PROXY_H2_H

#include "proxy/client.h"

#include <nghttp2/nghttp2.h>

struct h2_conn {
    nghttp2_session *session;
    struct client *client;
    struct list streams;
    unsigned stream_count;
    uint64_t bytes_in;
    size_t header_bytes_held; /* decoded fields of open streams: see h2_charge */
    uint64_t minute_began_ms; /* of the counts below */
    uint32_t resets, controls, window_updates;
    bool shutdown_noticed, goaway_sent, flooded;
};

enum h2_pseudo { PSEUDO_METHOD, PSEUDO_SCHEME, PSEUDO_AUTHORITY, PSEUDO_PATH, PSEUDO_PROTOCOL, PSEUDO_COUNT };

struct h2_stream {
    struct list node;
    struct h2_conn *conn;
    struct exchange *ex; /* NULL only when there was no memory for it */
    int32_t id;
    struct str pseudo[PSEUDO_COUNT];
    unsigned field_room;
    struct http_field *trailers; /* of the request; also of the answer, once that is complete */
    unsigned trailer_count, trailer_room;
    size_t header_bytes;
    enum http_refusal refused;
    struct outq out; /* body of the answer */
    size_t unconsumed; /* request body not yet given back to the flow-control window */
    uint64_t moved_at_ms, body_began_ms;
    uint64_t answered_ms; /* the answer was sent whole, but the request still comes: 0 when not so */
    size_t dropped;
    nghttp2_nv *answer_trailers;
    unsigned answer_trailer_count;
    char websocket_key[24];
    bool begun;        /* the request was handed to the exchange */
    bool head_sent;    /* an answer was submitted */
    bool answer_ended; /* nothing more comes */
    bool deferred;     /* nghttp2 waits for data of this stream */
};

/* Takes one decoded field. False: the stream is to be reset (too much memory for what was received). */
bool h2_take_field(struct h2_stream *, struct str name, struct str value, bool is_trailer);
/* All fields are there: hands the request to the exchange, or refuses it. */
void h2_begin_request(struct h2_stream *, bool has_body);

extern const struct exchange_side h2_side;
/* Something was submitted: it is sent at the end of this turn, together with what other streams have. */
void h2_schedule(struct h2_conn *);

#endif
