/* proxy/h2.h - one HTTP/2 connection towards a client (RFC 9113) and its streams. Internal to client_h2*.c.
 *
 * client_h2.c moves bytes and hands nghttp2's calls on; client_h2_request.c makes a canonical request of a
 * stream's fields; client_h2_body.c takes what follows it; client_h2_answer.c is the side the exchange talks
 * to; client_h2_limits.c ends what floods, stalls or crawls. */
#ifndef POLDER_PROXY_H2_H
#define POLDER_PROXY_H2_H

#include "proxy/client.h"

#include <nghttp2/nghttp2.h>

struct h2_conn {
    nghttp2_session *session;
    struct client *client;
    struct list streams;
    unsigned stream_count;
    unsigned streams_said; /* how many it may have, as it was told */
    uint64_t bytes_in;
    size_t header_bytes_held; /* decoded fields of open streams: see charge() */
    size_t answer_bytes_held; /* answers of all streams that wait to be sent */
    uint64_t minute_began_ms; /* of the counts below */
    uint64_t bytes_sent;      /* bodies of answers */
    uint32_t resets, controls, window_updates;
    uint64_t left_ms;       /* when something of any answer last left */
    uint64_t idle_since_ms; /* when the last stream ended */
    bool ticking; /* the client's timer looks at streams; otherwise it waits for the end of idleness */
    bool shutdown_noticed, goaway_sent, flooded;
};

enum h2_pseudo { PSEUDO_METHOD, PSEUDO_SCHEME, PSEUDO_AUTHORITY, PSEUDO_PATH, PSEUDO_PROTOCOL, PSEUDO_COUNT };

struct h2_stream {
    struct list node;
    struct h2_conn *conn;
    struct exchange *ex;
    int32_t id;
    struct str pseudo[PSEUDO_COUNT];
    unsigned field_room;
    struct http_field *trailers; /* of the request */
    unsigned trailer_count, trailer_room;
    size_t header_bytes;
    enum http_refusal refused;

    struct outq early; /* came before the application agreed to an upgrade: bounded by the stream's window */
    size_t unconsumed; /* request body not yet given back to the flow-control window */
    size_t dropped;    /* request body that nobody wanted any more */
    uint64_t came_ms;  /* when the last of the request came */
    uint64_t began_ms; /* from when on the request's body must keep its rate; moves on while the gate makes it
                          wait */
    uint64_t paused_ms; /* the gate makes it wait since then; 0: it does not */

    struct outq out;        /* body of the answer */
    uint64_t left_ms;       /* when the last of the answer left, or began to wait */
    uint64_t wait_began_ms; /* since when something of the answer waits */
    uint64_t left_since;    /* bytes that left since then */
    uint64_t answered_ms;   /* the answer was sent whole, but the request still comes: 0 when not so */
    nghttp2_nv *answer_trailers;
    unsigned answer_trailer_count;
    char websocket_key[24];
    bool begun;        /* the request was handed to the exchange, or is due */
    bool is_due;       /* it is whole, and handed over before this turn ends */
    bool has_length;   /* it announced how long its body is */
    bool ended;        /* the client ended its side */
    bool head_sent;    /* an answer was submitted */
    bool answer_ended; /* nothing more of it comes */
    bool deferred;     /* nghttp2 waits for data of this stream */
};

/* Takes one decoded field. False: too much memory or work for what was received; the connection is to end. */
bool h2_take_field(struct h2_stream *, struct str name, struct str value, bool is_trailer);
/* All fields are there: hands the request to the exchange, or refuses it. One that is whole is handed over at
 * the end of the turn, see begin_due. */
void h2_begin_request(struct h2_stream *, bool has_body);

/* Some of the request's body. Gives the window back as far as it was taken. */
void h2_take_body(struct h2_stream *, struct str bytes);
/* The client ended its side of the stream, with these trailers or without. */
void h2_end_request(struct h2_stream *);
/* The request turned out wrong after it began: refuses it, or resets the stream when the answer has begun. */
void h2_refuse_body(struct h2_stream *, enum http_refusal);
/* What the upstream did not want yet is taken now. */
void h2_body_goes_on(struct h2_stream *);

extern const struct exchange_side h2_side;
/* Something was submitted: it is sent at the end of this turn, together with what other streams have. */
void h2_schedule(struct h2_conn *);
void h2_reset(struct h2_stream *, uint32_t code);

/* A frame begins to come, or came. */
void h2_count_frame(struct h2_conn *, const nghttp2_frame_hd *);
void h2_count_empty_data(struct h2_conn *);
/* A frame was sent that ends a stream or the connection: counted, and held against the client when it was to
 * blame. */
void h2_count_end(struct h2_conn *, const nghttp2_frame *);
void h2_flooded(struct h2_conn *);
/* How many streams it may have now, by its class and the pressure on the gate. */
unsigned h2_streams_allowed(const struct h2_conn *);
/* One more request: false when it has too many (REFUSED_STREAM: the client may try again), or is blocked. */
bool h2_may_begin(struct h2_stream *);
/* A stream was opened or something began to wait: the timer looks after it from now on. */
void h2_watch(struct h2_conn *);

#endif
