/* proxy/client.h - a client's connection. */
#ifndef POLDER_PROXY_CLIENT_H
#define POLDER_PROXY_CLIENT_H

#include "proxy/exchange.h"

enum client_state {
    CLIENT_PROXY_HEADER, /* waiting for the PROXY protocol header */
    CLIENT_HANDSHAKE,    /* TLS */
    CLIENT_H1,
    CLIENT_H2,
    CLIENT_TUNNEL, /* HTTP/1 upgraded: bytes both ways */
    CLIENT_LINGER, /* our side is shut: read and drop until the peer closes, so that our last answer arrives
                    */
};

struct client {
    struct transport t;
    struct timer timer;
    struct list node; /* proxy.clients */
    struct proxy *proxy;
    struct snapshot *snapshot;
    struct listener *listener; /* of that snapshot */
    struct chunk *in;          /* bytes not yet used; NULL when there are none */
    struct outq out;           /* bytes for the client */
    struct exchange *ex;       /* HTTP/1: the request being worked on */
    struct h2_conn *h2;
    uint64_t wait_began_ms; /* when the present transfer (a body in, an answer out) first had to wait */
    uint64_t moved_at_ms;   /* when its last byte moved */
    uint64_t moved;         /* bytes since it began to wait */
    size_t scanned;
    struct h1_chunked chunked;
    struct addr peer;
    struct deferred again; /* process what is in `in` */
    uint64_t address_hash;
    uint64_t served;  /* clusters that it asked for, guard_bit() */
    uint64_t source;  /* key of its address, in admission; classes.h */
    struct list turn; /* while its handshake waits: admit_handshakes.h */
    uint64_t sign_asked_us;
    uint32_t classed_s; /* when its class was looked up, monotonic */
    uint32_t again_s;   /* it was told to come back then; 0: it was not */
    uint16_t partner;   /* index, or CLASSES_NO_PARTNER */
    uint8_t class;      /* enum admission_class of its address and certificate */
    uint8_t handshake;  /* enum handshake_turn */
    uint8_t points;     /* of suspicion, of this connection alone */
    enum client_state state : 8;
    bool close_after : 1; /* after the present answer */
    bool in_trailers : 1;
    bool counted : 1;  /* in the connections-per-address table */
    bool is_first : 1; /* no request yet */
    bool sent_continue : 1;
    bool answer_ended : 1;   /* waiting for `out` to be sent, then the next request */
    bool chunked_out : 1;    /* the present answer is framed as chunks */
    bool head_waits : 1;     /* a head has begun to come; its time limit runs */
    bool transfer_waits : 1; /* a transfer waits; stall and rate limits run */
    bool dead : 1;           /* close at the next turn: nobody frees a client from below its own calls */
    uint8_t ip_text_n;
    char ip_text[46];
};

void client_accept(struct proxy *, struct listener *, int fd, const struct addr *peer);
void client_close(struct client *);  /* at once; frees. Only from the top: see client_fail */
void client_cut(struct client *);    /* the same, and nothing that waits in any buffer leaves any more */
void client_fail(struct client *);   /* close at the next turn */
void client_linger(struct client *); /* after an answer that closes: shut, drain, close */
void client_set_timeout(struct client *, uint32_t timeout_ms); /* from now; 0: none */
/* A transfer cannot go on now: from here on it must move (limits: stall_timeout_ms, min_body_rate_bps). */
void client_transfer_waits(struct client *);
void client_transfer_moved(struct client *, size_t bytes);
bool client_transfer_too_slow(const struct client *);
bool client_flush(struct client *); /* sends what waits; false: it failed (client_fail) */
const struct config_limits *client_limits(const struct client *);
void client_refresh_snapshot(struct client *); /* at the beginning of a request: the configuration in force */
/* Fills what client certificates say; false: none. */
bool client_tls_info(const struct client *, struct tls_info *ret);

void client_h1_ready(struct client *); /* readable, writable, or resumed */
void client_h1_timeout(struct client *);
void client_tunnel_ready(struct client *);
bool client_h2_start(struct client *); /* false: no memory */
void client_h2_ready(struct client *);
void client_h2_timeout(struct client *);
void client_h2_free(struct client *);
void client_h2_drain(struct client *); /* GOAWAY, streams go on */
/* One more of its requests waits for its turn. False: too many do. */
bool client_h2_may_wait(struct exchange *);
void client_h2_refuse(struct exchange *); /* REFUSED_STREAM: the client may try again */

#endif
