/* tests/bench/attack.h - the parts of bench-attack: attack.c has the connections and the time, attack_kinds.c
 * what each kind sends and makes of what comes. */
#ifndef POLDER_TESTS_BENCH_ATTACK_H
#define POLDER_TESTS_BENCH_ATTACK_H

#include "wire.h"

enum { H2_OUT_ROOM = 8192, H2_HEAD_ROOM = 81 };

struct h2_side {
    uint32_t next_stream;
    unsigned running;                 /* streams without an answer */
    unsigned most;                    /* streams at once, as the gate says */
    unsigned char head[H2_HEAD_ROOM]; /* of the frame that comes, and as much of its payload as matters */
    unsigned head_n, skip;            /* skip: what is left of its payload */
    bool is_settings_due, has_gone_on;
};

struct bot { /* one connection */
    struct wire wire;
    bool is_up, is_busy, is_raw;
    unsigned serial, ticks;
    double next_s; /* when it sends its next piece, or gives up */
    const char *out;
    size_t out_n;
    struct answer answer;
    struct h2_side h2;
    char own[H2_OUT_ROOM];
};

struct kind {
    const char *name, *alpn;
    /* False: the connection is of no more use. */
    bool (*up)(struct bot *);
    bool (*bytes)(struct bot *, const char *, size_t);
    bool (*tick)(struct bot *, double now);
};

struct plan {
    const struct kind *kind;
    const char *host, *path, *cookie;
    uint32_t from;
    unsigned connections, addresses, streams, is_clear, closed;
    bool is_open;
    double connects, rate, every_s, patience_s, at_s, for_s, count_s;
};

struct counts { /* from count_s on */
    uint64_t opened, failed, asked, good, refused, no_connection, pieces;
    unsigned up, most_up;
};

extern struct plan plan;
extern struct counts counts;

bool bytes_make(SSL_CTX *); /* once, before the rest; false: no memory */
bool is_counting(void);
bool may_request(void); /* by the rate */
/* The bytes must stay until they are sent. False: the connection broke. */
bool bot_send(struct bot *, const char *, size_t);
void bot_done(struct bot *); /* closes it; it was no failure */

void h1_answered(struct bot *);
bool h1_up(struct bot *), hello_up(struct bot *), handshake_up(struct bot *), slow_head_up(struct bot *),
    slow_body_up(struct bot *), h2_up(struct bot *), streams_up(struct bot *);
bool h1_bytes(struct bot *, const char *, size_t), hello_bytes(struct bot *, const char *, size_t),
    h2_bytes(struct bot *, const char *, size_t), streams_bytes(struct bot *, const char *, size_t);
bool slow_head_tick(struct bot *, double now), slow_body_tick(struct bot *, double now),
    resets_tick(struct bot *, double now), control_tick(struct bot *, double now);

#endif
