/* base/access_event.h - one finished request, as a worker hands it to the observer: one fixed-size record.
 *
 * Written into a ring in shared memory, so the layout is an ABI between processes of one build. Text is
 * cut to its place and never ends in a NUL. A query string, a cookie or a token is never put in. */
#ifndef POLDER_BASE_ACCESS_EVENT_H
#define POLDER_BASE_ACCESS_EVENT_H

#include "base/addr.h"

enum access_flag {
    ACCESS_TLS = 1 << 0,
    ACCESS_RESUMED = 1 << 1,
    ACCESS_CLIENT_CERT = 1 << 2,
    ACCESS_CLIENT_ABORT = 1 << 3,
    ACCESS_UPSTREAM_REUSED = 1 << 4,
    ACCESS_HAS_QUERY = 1 << 5,
    ACCESS_TUNNEL = 1 << 6,
    ACCESS_BY_GATE = 1 << 7, /* the answer was the gate's own (refusal, redirect, error page) */
};

struct access_event {
    int64_t at_us;                     /* wall clock when the request's first byte came */
    uint64_t request_id[2];            /* the id shown to the client and sent upstream, as 32 hex digits */
    uint64_t bytes_in, bytes_out;      /* bodies */
    uint32_t duration_us, upstream_us; /* until the last byte was handed over; until the upstream's head */
    uint32_t endpoint;                 /* over all upstreams; UINT32_MAX: none */
    uint16_t cluster, route, listener; /* UINT16_MAX: none */
    uint16_t status;
    uint16_t flags;
    uint16_t refusal;    /* enum http_refusal */
    uint8_t version;     /* enum http_version */
    uint8_t tls_version; /* 0x03, 0x04: TLS 1.2, 1.3; 0: none */
    uint8_t retries;
    uint8_t method_len, host_len, agent_len;
    uint16_t path_len;
    struct addr client; /* after the PROXY protocol */
    char method[16];
    char host[64];
    char path[240];
    char agent[96];
    uint32_t generation; /* low half of the generation of the configuration that cluster, route, listener and
                            endpoint count in */
};

_Static_assert(sizeof(struct access_event) == 512, "one event is eight cache lines");

#endif
