/* gate/filter_cuts.c - sessions through the outside interfaces, and what the filter counted and kept. */
#include "gate/filter_packets.h"

#include <errno.h>
#include <string.h>

/* ---- sessions that a state refuses */

static bool any_cuts(const struct config *c, const struct isolation_state *state)
{
    bool cuts = isolation_level_cuts(isolation_level(state, STR_NONE));
    for (unsigned i = 0; c && i < c->cluster_count && !cuts; i++)
        cuts = isolation_level_cuts(isolation_level(state, c->clusters[i].name));
    return cuts;
}

struct last {
    struct isolation_results *results;
    int64_t now_us;
};

static void later(int64_t *at_us, int64_t now_us, uint32_t quiet_ms)
{
    int64_t us = now_us - (int64_t)quiet_ms * 1000;
    if (quiet_ms != UINT32_MAX && us > *at_us)
        *at_us = us;
}

static void cut_seen(const struct filter_session *s, void *context)
{
    struct last *l = context;
    later(&l->results->last_in_us, l->now_us, s->quiet_in_ms);
    later(&l->results->last_out_us, l->now_us, s->quiet_out_ms);
}

/* A kernel that ends no sessions drops their packets all the same: that is told, and is no failure. */
bool packets_cut(struct packets *p, const struct isolation_state *state, struct isolation_results *ret,
                 struct buf *problem)
{
    struct filter_problem why = {""};
    struct last last = {ret, packets_wall_us()};
    *ret = (struct isolation_results){0};
    if (!p->filter || !p->is_configured || !p->outside_count || !any_cuts(p->config, state))
        return true;
    int n = filter_sessions(p->filter, FILTER_LEVEL_MAX, true, cut_seen, &last, &why);
    if (n == -EOPNOTSUPP) {
        packets_notice(p,
                       "this kernel ends no sessions (CONFIG_INET_DIAG_DESTROY): what the level refuses is "
                       "silent at once, and gone when its peers give up");
        return true;
    }
    if (n < 0) {
        buf_str(problem, str_of(why.text));
        return false;
    }
    ret->sessions_cut = (uint64_t)n;
    return true;
}

/* ---- sessions, for a dry run */

struct lister {
    const struct packets *packets;
    struct isolation_session *to;
    size_t room, count;
};

static struct str partner_of(const struct config *c, const struct addr *a)
{
    for (unsigned i = 0; i < c->partner_count; i++)
        for (unsigned k = 0; k < c->partners[i].network_count; k++)
            if (addr_in_prefix(a, &c->partners[i].networks[k]))
                return c->partners[i].name;
    return STR_NONE;
}

static struct str cluster_of(const struct config *c, const struct addr *local)
{
    for (unsigned i = 0; i < c->filter.address_count; i++)
        if (memcmp(c->filter.addresses[i].address.ip, local->ip, 16) == 0)
            return c->filter.addresses[i].cluster;
    return STR_NONE;
}

static bool is_service(const struct config *c, uint16_t port)
{
    bool found = port == c->gate.management.port;
    for (unsigned i = 0; i < c->listener_count && !found; i++)
        found = c->listeners[i].address.port == port;
    for (unsigned i = 0; i < c->filter.port_count && !found; i++)
        found = c->filter.ports[i].port == port;
    return found;
}

static enum isolation_peer peer_of(enum filter_class class)
{
    return class == FILTER_CLASS_KNOWN        ? ISOLATION_KNOWN
           : class == FILTER_CLASS_PARTNER    ? ISOLATION_PARTNER
           : class == FILTER_CLASS_INSIDE     ? ISOLATION_INSIDE
           : class == FILTER_CLASS_MANAGEMENT ? ISOLATION_MANAGEMENT
                                              : ISOLATION_UNKNOWN;
}

static void session_seen(const struct filter_session *s, void *context)
{
    struct lister *l = context;
    const struct config *c = l->packets->config;
    struct filter_standing standing;
    bool is_in = is_service(c, s->local.port);
    if (l->count++ >= l->room)
        return;
    filter_standing_of(l->packets->filter, &s->peer, &standing);
    l->to[l->count - 1] = (struct isolation_session){.cluster = cluster_of(c, &s->local),
                                                     .partner = partner_of(c, &s->peer),
                                                     .peer = s->peer,
                                                     .port = is_in ? s->local.port : s->peer.port,
                                                     .class = peer_of(standing.class),
                                                     .direction = is_in ? ISOLATION_IN : ISOLATION_OUT};
}

/* What the strictest level would refuse is everything but the management line, which no level touches. */
size_t packets_sessions(struct packets *p, struct isolation_session *ret, size_t room)
{
    struct lister l = {p, ret, room, 0};
    struct filter_problem why;
    if (!p->filter || !p->is_configured || !p->outside_count)
        return 0;
    if (filter_sessions(p->filter, FILTER_LEVEL_SEALED, false, session_seen, &l, &why) < 0)
        filter_say("%s", why.text);
    return l.count;
}

/* ---- samples and counts */

static void sample_seen(const struct filter_sample *sample, void *context)
{
    struct packets *p = context;
    p->samples[p->sample_end++ % PACKETS_SAMPLES_MAX] = *sample;
}

void samples_take(struct packets *p)
{
    if (p->filter && p->samples)
        (void)filter_samples_take(p->filter, sample_seen, p);
}

static void count_programs(const struct packets *p, struct perimeter_packets *to)
{
    struct filter_counts counts;
    if (filter_counts_read(p->filter, &counts) != 0)
        return;
    for (unsigned way = 0; way < 2; way++) {
        memcpy(to->packets[way], counts.packets[way], sizeof to->packets[way]);
        memcpy(to->dry[way], counts.dry[way], sizeof to->dry[way]);
        memcpy(to->passed[way], counts.class_passed[way], sizeof to->passed[way]);
        memcpy(to->dropped[way], counts.class_dropped[way], sizeof to->dropped[way]);
    }
    to->samples_lost = counts.samples_lost;
    to->level = (uint8_t)filter_level(p->filter, 0);
}

_Static_assert((int)PERIMETER_REASONS == (int)FILTER_REASON_MAX &&
                   (int)PERIMETER_CLASSES == (int)FILTER_CLASS_MAX,
               "the perimeter's memory has the filter's shape");

void packets_report(struct packets *p)
{
    struct perimeter_packets now = {.at_us = packets_wall_us(), .mode = (uint8_t)p->mode};
    bool is_on = p->config && p->config->filter.interface_count;
    if (!is_on && p->mode != PERIMETER_FAILED)
        now.mode = PERIMETER_OFF;
    memcpy(now.why, p->why, sizeof now.why);
    now.why[sizeof now.why - 1] = '\0';
    now.level = (uint8_t)p->level;
    now.interface_count = (uint8_t)p->outside_count;
    for (unsigned i = 0; i < p->outside_count; i++) {
        memcpy(now.interfaces[i].name, p->outside[i].name, sizeof now.interfaces[i].name);
        now.interfaces[i].ingress = (uint8_t)p->outside[i].how.ingress;
        now.interfaces[i].egress = (uint8_t)p->outside[i].how.egress;
        now.interfaces[i].is_attached = p->outside[i].is_attached;
    }
    if (p->filter) {
        (void)filter_hosts_sweep(p->filter);
        samples_take(p);
        count_programs(p, &now);
    }
    perimeter_packets_write(&p->role->perimeter, &now);
}
