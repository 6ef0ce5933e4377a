/* proxy/guard_cut.c - a newer state is in force: what it refuses ends.
 *
 * A connection that may not go on is reset, so that what waits in the kernel's buffers is thrown away with
 * it. A request that still waits for its answer gets the notice instead of the answer, where nothing of an
 * earlier answer is on the way on the same connection. Requests under way go on at levels that do not cut
 * (levels.def). */
#include "proxy/guard.h"

#include "proxy/client.h"
#include "proxy/h2.h"
#include "proxy/inspect.h"

#include <linux/tcp.h> /* glibc 2.36 knows an older struct tcp_info */
#include <netinet/in.h>
#include <sys/socket.h>

enum fate { STAYS, SEES_TROUBLE, SEES_NOTICE, IS_RESET };

/* Whether anything that was said is not yet with the peer. */
static bool has_unsent(const struct client *c)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (c->out.bytes || c->t.cipher.bytes)
        return true;
    return getsockopt(c->t.io.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_unacked ||
           info.tcpi_notsent_bytes;
}

static enum fate fate_of_tunnel(const struct guard_verdict *v)
{
    return v->answer >= ISOLATION_READ_ONLY ? IS_RESET : STAYS;
}

/* Of a request whose head is there. */
static enum fate fate_of(const struct exchange *ex, const struct guard_peer *peer)
{
    struct guard_verdict v = guard_judge(ex->proxy, ex->cluster, peer);
    if (v.answer == ISOLATION_REFUSE)
        return IS_RESET;
    uint8_t out = guard_judge_out(ex);
    v.answer = ex->tunnel && out > v.answer ? out : v.answer;
    if (ex->tunnel)
        return fate_of_tunnel(&v);
    if (v.answer < ISOLATION_NOTICE && out >= ISOLATION_NOTICE && !ex->by_gate)
        return ex->answer_begun ? IS_RESET : SEES_TROUBLE;
    if (v.answer < ISOLATION_NOTICE || ex->by_gate || !isolation_level_cuts(v.level))
        return STAYS;
    return ex->answer_begun ? IS_RESET : SEES_NOTICE;
}

static bool is_underway(const struct exchange *ex)
{
    return ex && ex->state != EXCHANGE_READ;
}

/* Instead of the answer that was asked for. */
static void answer(struct exchange *ex, enum fate fate)
{
    if (fate == SEES_NOTICE)
        exchange_answer_notice(ex);
    else if (fate == SEES_TROUBLE)
        exchange_refuse_with(ex, 503, REFUSAL_ISOLATION_OUT);
}

static void end_exchange(struct exchange *ex)
{
    if (is_underway(ex) && ex->state < EXCHANGE_DONE)
        exchange_cut(ex);
}

static void reset(struct client *c)
{
    COUNT(c->proxy, isolation_cut_total);
    end_exchange(c->ex);
    for (struct list *node = c->h2 ? c->h2->streams.next : NULL; node && node != &c->h2->streams;
         node = node->next)
        end_exchange(container_of(node, struct h2_stream, node)->ex);
    client_cut(c);
}

/* ---- HTTP/1 and connections without a request */

/* The clusters that this peer may not use any more, as bits of client.served. */
static uint64_t shut_bits(const struct proxy *p, const struct guard_peer *peer)
{
    const struct snapshot *s = p->snapshot;
    uint64_t bits = 0;
    for (unsigned i = 0; i < s->config->cluster_count; i++)
        if (guard_judge(s->proxy, &s->config->clusters[i], peer).answer >= ISOLATION_NOTICE)
            bits |= guard_bit(s, &s->config->clusters[i]);
    return bits;
}

/* One that was not served yet has nothing to lose, and sees the notice when it asks. */
static bool may_idle(struct client *c, const struct guard_peer *peer)
{
    uint8_t answer = guard_judge(c->proxy, NULL, peer).answer;
    if (answer == ISOLATION_REFUSE)
        return false;
    return c->served == 0 || (answer < ISOLATION_NOTICE && !(c->served & shut_bits(c->proxy, peer)));
}

static void look_at_h1(struct client *c, const struct guard_peer *peer)
{
    enum fate fate = is_underway(c->ex) ? fate_of(c->ex, peer) : may_idle(c, peer) ? STAYS : IS_RESET;
    if (fate == SEES_NOTICE && has_unsent(c) && !c->is_first)
        fate = IS_RESET;
    if (fate == IS_RESET)
        reset(c);
    else
        answer(c->ex, fate);
}

/* ---- HTTP/2 */

static enum fate worst_fate(const struct h2_conn *h, const struct guard_peer *peer)
{
    enum fate worst = STAYS;
    for (struct list *node = h->streams.next; node != &h->streams; node = node->next) {
        const struct exchange *ex = container_of(node, struct h2_stream, node)->ex;
        enum fate fate = is_underway(ex) ? fate_of(ex, peer) : STAYS;
        worst = fate > worst ? fate : worst;
    }
    return worst;
}

/* Streams of several clusters may share a connection: those of the others go on. */
static void end_streams(struct h2_conn *h, const struct guard_peer *peer)
{
    bool is_kept_out = false;
    for (struct list *node = h->streams.next, *next; node != &h->streams; node = next) {
        struct h2_stream *s = container_of(node, struct h2_stream, node);
        enum fate fate = is_underway(s->ex) ? fate_of(s->ex, peer) : STAYS;
        next = node->next;
        answer(s->ex, fate);
        if (fate == IS_RESET) {
            exchange_cut(s->ex);
            h2_reset(s, NGHTTP2_CANCEL);
        }
        is_kept_out |= fate > SEES_TROUBLE;
    }
    if (is_kept_out)
        client_h2_drain(h->client);
}

static void look_at_h2(struct client *c, const struct guard_peer *peer)
{
    struct h2_conn *h = c->h2;
    bool is_idle = list_is_empty(&h->streams);
    enum fate worst = is_idle ? (may_idle(c, peer) ? STAYS : IS_RESET) : worst_fate(h, peer);
    if (worst == STAYS)
        return;
    if (is_idle || (worst > SEES_TROUBLE && h->left_ms && has_unsent(c)))
        reset(c);
    else
        end_streams(h, peer);
}

/* ---- all of them */

static void look_at(struct client *c)
{
    const struct guard_peer peer = guard_peer_of(c);
    if (c->dead) { /* its end waits for the next turn, and what it was told must not arrive meanwhile */
        if (!may_idle(c, &peer))
            reset(c);
    } else if (c->state == CLIENT_H2) {
        look_at_h2(c, &peer);
    } else {
        look_at_h1(c, &peer);
    }
}

void guard_cut(struct proxy *p)
{
    if (!p->snapshot)
        return;
    for (struct list *node = p->clients.next, *next; node != &p->clients; node = next) {
        next = node->next;
        look_at(container_of(node, struct client, node));
    }
}
