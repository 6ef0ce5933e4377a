/* proxy/guard.h - isolation in a worker: who may come in, on what terms, and what is cut when that changes.
 *
 * The state in force lies in the perimeter's memory (perimeter.h). A worker acts by a copy of its own and
 * looks at one number to see whether there is a newer one: before every request, and when it is woken.
 *
 *   guard.c          the copy, and the answers made from it
 *   guard_who.c      which class of isolation a peer is of
 *   guard_request.c  one connection, one request: passes, or what it gets instead
 *   guard_rate.c     how many in a second, over all workers
 *   guard_cut.c      what a newer state refuses is ended
 *   notice.c         the page for who is kept out
 *
 * Invariants
 *  1. Before anything was published, and when what was published makes no sense, everybody gets what level
 * closed gives.
 *  2. isolation_applied in shared memory moves to a number only after everything that state refuses was cut.
 * What is cut is reset: nothing of it that waits in a buffer, the kernel's included, leaves any more.
 *  3. From the moment a request finds a newer state it is judged by that one, although the others are cut
 * only at the end of the turn.
 *  4. A level holds until another state says otherwise; an exception ends by the wall clock, here, at each
 * question.
 *  5. Nothing that a client says of itself counts: its address, and the certificate its handshake proved. */
#ifndef POLDER_PROXY_GUARD_H
#define POLDER_PROXY_GUARD_H

#include "proxy/exchange.h"

#include "isolation/isolation.h"

struct guard *guard_new(struct proxy *); /* NULL: no memory */
void guard_free(struct guard *);         /* NULL is fine */

/* Takes a newer state when there is one, cuts what it refuses, and says so. From the top of a turn only. */
void guard_look(struct proxy *);
/* Another configuration is in force: who was a partner under the old one may be none any more. */
void guard_reconfigured(struct proxy *);

/* Before anything is spent on a connection. False: it may do nothing here at all. */
bool guard_may_come(struct proxy *, const struct addr *peer);

/* A request whose cluster is known, or not. True: it was answered here, or dropped. */
bool guard_answers(struct exchange *);
/* On a listener that only redirects: true when it was answered or dropped. */
bool guard_answers_redirect(struct exchange *);

/* ---- between the files */

struct guard_peer {
    struct str partner; /* of class ISOLATION_PARTNER */
    const struct addr *address;
    uint16_t port; /* of the side that was called */
    uint8_t class; /* enum isolation_peer */
};
struct guard_peer guard_peer_of(const struct client *);
/* Whose network an address lies in; NULL: of no partner, or more narrowly of our own. */
const struct config_partner *guard_partner_at(const struct snapshot *, const struct addr *);
bool guard_is_management(const struct proxy *, const struct addr *);

struct guard_verdict {
    uint8_t answer, level; /* enum isolation_answer, isolation_level */
    uint32_t rate_per_s;   /* of a partner on probation */
};
/* cluster NULL: the site. */
struct guard_verdict guard_judge(struct proxy *, const struct config_cluster *, const struct guard_peer *);
/* Whether we may call where the request goes: the strictest answer (enum isolation_answer) among its
 * endpoints. Only partners' networks are asked about: an application is never shut out for not being listed.
 */
uint8_t guard_judge_out(const struct exchange *);
const struct isolation_state *guard_state(const struct proxy *);
/* What stands for a cluster in client.served: by its name, so that a reload changes nothing. */
static inline uint64_t guard_bit(const struct snapshot *s, const struct config_cluster *cluster)
{
    return UINT64_C(1) << s->cluster_slots[cluster->index] % 64;
}

/* Takes one of so many a second, with so many at once. key: whose. */
bool guard_rate_take(shared_u64 *cells, uint64_t key, uint64_t now_us, uint32_t per_s, uint32_t at_once);

void guard_cut(struct proxy *); /* what the copy refuses, at once */

/* ---- the notice (notice.c) */

struct notice_page {
    struct http_field fields[10];
    unsigned field_count;
    struct str body; /* in the exchange's arena; {NULL, 0}: no room */
};
void notice_make(struct exchange *, struct notice_page *ret);

#endif
