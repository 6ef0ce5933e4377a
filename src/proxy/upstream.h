/* proxy/upstream.h - connections towards upstream endpoints, and which endpoint gets a request. */
#ifndef POLDER_PROXY_UPSTREAM_H
#define POLDER_PROXY_UPSTREAM_H

#include "http/proxy_protocol.h"
#include "proxy/exchange.h"

enum upstream_state {
    UP_DIALING,    /* the dialer was asked */
    UP_CONNECTING, /* a descriptor, TCP handshake under way */
    UP_HANDSHAKE,  /* TLS */
    UP_IDLE,       /* in endpoint.idle */
    UP_BUSY,       /* carries ex */
    UP_TUNNEL,
};

struct upstream_conn {
    struct transport t;
    struct timer timer;
    struct list node; /* endpoint.idle while UP_IDLE, else endpoint.busy */
    struct proxy *proxy;
    struct endpoint *endpoint;
    struct snapshot *snapshot; /* holds the endpoint */
    struct exchange *ex;       /* NULL: idle, or the exchange went away while dialing */
    struct dial_waiter dial;
    struct deferred again; /* look again: a send failed, or bytes wait */
    struct chunk *in;
    size_t scanned;
    size_t head_sent; /* of ex->up_head */
    struct h1_chunked chunked;
    uint64_t body_left;
    enum upstream_state state : 8;
    uint8_t interim_count; /* interim answers to this request */
    bool reused : 1;       /* this request went over a kept connection */
    bool counted : 1;      /* in the endpoint's active requests */
    bool in_trailers : 1;
    bool head_seen : 1;
    bool send_failed : 1; /* nothing more can be sent; an answer may still be there */
};

/* Chooses an endpoint and a connection for ex, or asks for one. Exchange gets _connected, or _failed. */
void upstream_attach(struct exchange *);
/* ex lets go. The connection is kept when it is clean, closed when not. */
void upstream_detach(struct exchange *);
/* How long the upstream may take for the next step of this request's answer. */
uint32_t upstream_response_timeout_ms(const struct exchange *);
/* Sends head and body that wait. */
void upstream_send(struct exchange *);
/* The client side can take more of the answer. */
void upstream_resume(struct exchange *);
void upstream_close(struct upstream_conn *);
void upstream_close_idle(struct endpoint *); /* all of them */
void upstream_close_all(struct endpoint *);  /* those at work too: the worker ends */
void upstream_fail(struct upstream_conn *, uint16_t status, bool may_retry); /* tells ex, closes */
void upstream_finish(struct upstream_conn *,
                     bool reusable); /* the answer is complete: lets go of ex, keeps or closes */

void upstream_tunnel_ready(struct upstream_conn *);
void tunnel_begin(struct exchange *); /* tunnel.c: the upgrade was answered */

/* ---- balance.c: NULL: no endpoint can be used. `not_this` was just tried. */
struct endpoint *balance_choose(struct exchange *, const struct endpoint *not_this);
bool endpoint_usable(const struct endpoint *, uint64_t now_ms);
/* Passive checks: what became of a request. */
void endpoint_note_result(struct endpoint *, bool failed);

/* ---- checks.c */
void checks_start(struct proxy *); /* for the snapshot in force; again after every commit */
void checks_stop(struct proxy *);

/* ---- upstream_h1.c */
void upstream_h1_ready(struct upstream_conn *);

#endif
