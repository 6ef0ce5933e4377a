/* proxy/guard_request.c - what a request gets where something is isolated: it passes, within a rate or not,
 * it may only read, it sees the notice, or nothing at all.
 *
 * The question is asked after the cluster is known and before anything is spent: no rule is run, no place in
 * a queue taken and no upstream touched for who is kept out, and who sees the notice learns nothing of hosts
 * and paths. */
#include "proxy/guard.h"

#include "proxy/client.h"

enum {
    STRANGERS_PER_S =
        10, /* requests of one stranger's network at level guarded; a page with what it shows is 30 */
    STRANGERS_AT_ONCE = 60,
    PROBATION_PER_S = 10, /* where neither order nor configuration said it */
};

static bool within_rate(struct exchange *ex, const struct guard_peer *peer, const struct guard_verdict *v)
{
    struct proxy *p = ex->proxy;
    uint64_t now_us = loop_now_us(p->loop);
    shared_u64 *cells = p->shared->header->rates;
    if (peer->class != ISOLATION_PARTNER)
        return guard_rate_take(cells, shared_address_hash(p->shared, peer->address), now_us, STRANGERS_PER_S,
                               STRANGERS_AT_ONCE);
    uint32_t rate = v->rate_per_s ? v->rate_per_s : PROBATION_PER_S;
    return guard_rate_take(cells, hash_bytes(&p->shared->hash_key, peer->partner.p, peer->partner.n), now_us,
                           rate, rate);
}

static bool reads_only(const struct exchange *ex)
{
    return http_method_is_safe(ex->req.method) && !ex->req.has_upgrade;
}

static void count(struct exchange *ex, const struct guard_verdict *v)
{
    shared_add(&ex->proxy->counts->isolation[v->level][v->answer], 1);
}

static bool limited(struct exchange *ex, const struct guard_peer *peer, const struct guard_verdict *v)
{
    ex->is_strict = peer->class == ISOLATION_UNKNOWN;
    if (within_rate(ex, peer, v))
        return false;
    COUNT(ex->proxy, isolation_limited_total);
    exchange_refuse_with(ex, 429, REFUSAL_ISOLATION_RATE);
    return true;
}

static bool read_only(struct exchange *ex)
{
    if (reads_only(ex))
        return false;
    COUNT(ex->proxy, isolation_read_only_total);
    exchange_refuse_with(ex, 403, REFUSAL_ISOLATION_READ_ONLY);
    return true;
}

/* The other direction: what is asked for lies with a partner whom we may not call now. */
static bool calls_out_in_vain(struct exchange *ex)
{
    uint8_t answer = guard_judge_out(ex);
    if (answer < ISOLATION_READ_ONLY)
        return false;
    if (answer == ISOLATION_READ_ONLY)
        return read_only(ex);
    COUNT(ex->proxy, isolation_refused_total);
    exchange_refuse_with(ex, 503, REFUSAL_ISOLATION_OUT);
    return true;
}

static bool comes_in_vain(struct exchange *ex, bool only_redirects)
{
    if (ex->cluster)
        ex->client->served |= guard_bit(ex->snapshot, ex->cluster);
    const struct guard_peer peer = guard_peer_of(ex->client);
    struct guard_verdict v = guard_judge(ex->proxy, ex->cluster, &peer);
    if (v.level != ISOLATION_OPEN || v.answer != ISOLATION_PASS)
        count(ex, &v);
    switch ((enum isolation_answer)v.answer) {
    case ISOLATION_PASS:
        return false;
    case ISOLATION_LIMITED:
        return !only_redirects && limited(ex, &peer, &v);
    case ISOLATION_READ_ONLY:
        return !only_redirects && read_only(ex);
    case ISOLATION_NOTICE:
        exchange_answer_notice(ex);
        return true;
    case ISOLATION_REFUSE:
        break;
    }
    COUNT(ex->proxy, isolation_refused_total);
    exchange_drop(ex, REFUSAL_ISOLATION_REFUSED);
    return true;
}

bool guard_answers(struct exchange *ex)
{
    return !ex->is_probe && (comes_in_vain(ex, false) || calls_out_in_vain(ex));
}

bool guard_answers_redirect(struct exchange *ex)
{
    return comes_in_vain(ex, true);
}
