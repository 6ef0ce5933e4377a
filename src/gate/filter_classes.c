/* gate/filter_classes.c - classes of single addresses: what workers learned of them, and whom people block.
 * See invariant 2 of filter_packets.h. */
#include "gate/filter_packets.h"

#include "admission/admission.h"

#include <stdio.h>
#include <string.h>

enum {
    REPORTS_PER_S = 500, /* of one worker */
    REPORTS_BURST = 2000,
    KNOWN_MAX_S = 86'400,
    SUSPECT_MAX_S = 3'600,
    BLOCKED_MAX_S = 3'600,
    ORDER_MAX_S = 7 * 86'400,
};

#define NS_A_S 1'000'000'000ull

/* ---- whom nobody blocks by accident */

static bool is_same(const struct addr *a, const struct addr *b)
{
    return memcmp(a->ip, b->ip, 16) == 0;
}

/* Of an IPv6 address its /64 would be blocked. */
static bool shares_fate(const struct addr *a, const struct addr *b)
{
    return a->is_v4 || b->is_v4 ? is_same(a, b) : memcmp(a->ip, b->ip, 8) == 0;
}

static bool endpoint_address(const struct packets *p, const struct config_upstream *u,
                             const struct config_endpoint *e, struct addr *ret)
{
    *ret = e->address;
    if (!e->is_name)
        return true;
    uint32_t slot = shared_endpoint_find(&p->role->shared, shared_endpoint_key(u->name, e->host, e->port));
    return slot != SHARED_NO_SLOT && shared_endpoint_address(shared_endpoint(&p->role->shared, slot), ret);
}

static bool is_upstream(const struct packets *p, const struct addr *a)
{
    struct addr at;
    for (unsigned i = 0; i < p->config->upstream_count; i++) {
        const struct config_upstream *u = &p->config->upstreams[i];
        for (unsigned e = 0; e < u->endpoint_count; e++)
            if (endpoint_address(p, u, &u->endpoints[e], &at) && shares_fate(a, &at))
                return true;
    }
    return false;
}

static bool is_own(const struct packets *p, const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    bool is_loopback = a->is_v4 ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
    for (unsigned i = 0; i < p->config->listener_count && !is_loopback; i++)
        is_loopback = shares_fate(a, &p->config->listeners[i].address);
    for (unsigned i = 0; i < p->config->filter.address_count && !is_loopback; i++)
        is_loopback = shares_fate(a, &p->config->filter.addresses[i].address);
    return is_loopback;
}

bool classes_is_needed(const struct packets *p, const struct addr *a, const char **ret_why)
{
    struct filter_standing s;
    filter_standing_of(p->filter, a, &s);
    *ret_why = s.listed == FILTER_CLASS_PARTNER      ? "it is a partner's"
               : s.listed == FILTER_CLASS_INSIDE     ? "it is of the inside"
               : s.listed == FILTER_CLASS_MANAGEMENT ? "it is one the gate is managed from"
               : is_upstream(p, a)                   ? "it is an upstream of the gate"
               : is_own(p, a)                        ? "it is an address of the gate itself"
                                                     : NULL;
    return *ret_why != NULL;
}

/* ---- reports of workers */

static bool take_token(struct packets *p, unsigned worker)
{
    struct bucket *b = &p->buckets[worker];
    uint64_t now_ms = packets_boot_ns() / 1'000'000, gone = now_ms - b->at_ms;
    uint64_t fresh = b->at_ms ? gone * REPORTS_PER_S / 1000 : REPORTS_BURST;
    if (fresh) {
        b->tokens = b->tokens + fresh < REPORTS_BURST ? (uint32_t)(b->tokens + fresh) : REPORTS_BURST;
        b->at_ms = now_ms;
    }
    if (!b->tokens)
        return false;
    b->tokens--;
    return true;
}

/* False: no worker may say that. */
static bool class_of(const struct msg_classify *m, enum filter_class *ret, uint32_t *ret_max_s)
{
    switch (m->class) {
    case ADMISSION_KNOWN:
        *ret = FILTER_CLASS_KNOWN;
        *ret_max_s = KNOWN_MAX_S;
        return true;
    case ADMISSION_SUSPECT:
        *ret = FILTER_CLASS_SUSPECT;
        *ret_max_s = SUSPECT_MAX_S;
        return true;
    case ADMISSION_BLOCKED:
        *ret = FILTER_CLASS_BLOCKED;
        *ret_max_s = BLOCKED_MAX_S;
        return true;
    case ADMISSION_UNKNOWN: /* it lost what it had */
        *ret = FILTER_CLASS_UNKNOWN;
        *ret_max_s = UINT32_MAX;
        return true;
    default:
        return false;
    }
}

static bool may_change(struct packets *p, const struct addr *a, enum filter_class to)
{
    struct filter_standing now;
    const char *why;
    filter_standing_of(p->filter, a, &now);
    if (now.is_ordered || now.listed == FILTER_CLASS_BLOCKED)
        return false;
    if (to == FILTER_CLASS_KNOWN || to == FILTER_CLASS_UNKNOWN)
        return !filter_class_is_listed(now.listed);
    return now.class != FILTER_CLASS_KNOWN && !classes_is_needed(p, a, &why);
}

bool packets_classify(struct packets *p, unsigned worker, const struct msg_classify *m)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    enum filter_class class;
    struct addr a = {0};
    uint32_t max_s;
    if (m->ip_len != sizeof a.ip || worker >= SHARED_WORKERS_MAX || !class_of(m, &class, &max_s) ||
        m->seconds > max_s || (m->seconds == 0 && class != FILTER_CLASS_UNKNOWN))
        return false;
    memcpy(a.ip, m->ip, sizeof a.ip);
    a.is_v4 = memcmp(a.ip, mapped, sizeof mapped) == 0;
    if (!p->filter || !p->is_configured)
        return true;
    if (!take_token(p, worker) || !may_change(p, &a, class)) {
        p->ignored++;
        return true;
    }
    int error = class == FILTER_CLASS_UNKNOWN ? filter_host_clear(p->filter, &a)
                                              : filter_host_set(p->filter, &a, class, m->seconds * NS_A_S);
    p->ignored += error != 0; /* the table is full: it is swept every second */
    return true;
}

/* ---- orders of people */

static void forget_block(struct packets *p, const struct addr *a)
{
    for (unsigned i = 0; i < p->block_count; i++)
        if (shares_fate(a, &p->blocks[i].address)) {
            p->blocks[i] = p->blocks[--p->block_count];
            return;
        }
}

static void forget_ended(struct packets *p)
{
    int64_t now_us = packets_wall_us();
    for (unsigned i = 0; i < p->block_count;)
        if (p->blocks[i].until_us <= now_us)
            p->blocks[i] = p->blocks[--p->block_count];
        else
            i++;
}

static void remember_block(struct packets *p, uint32_t uid, const struct addr *a, uint64_t for_s,
                           struct str reason)
{
    struct ordered_block b = {
        .address = *a, .until_us = packets_wall_us() + (int64_t)for_s * 1'000'000, .uid = uid};
    reason = str_take(reason, sizeof b.reason - 1);
    memcpy(b.reason, reason.p, reason.n);
    forget_block(p, a);
    forget_ended(p);
    if (p->block_count < PACKETS_ORDERS_MAX)
        p->blocks[p->block_count++] = b;
}

bool classes_block(struct packets *p, uint32_t uid, const struct addr *a, uint64_t for_s, struct str reason,
                   const char **ret_why)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    if (classes_is_needed(p, a, ret_why))
        return false;
    *ret_why = "a block has an end, at most 7 days from now (--for)";
    if (for_s == 0 || for_s > ORDER_MAX_S)
        return false;
    *ret_why = "a block has a reason (--reason)";
    if (!reason.n)
        return false;
    *ret_why = "the table of addresses is full";
    if (filter_host_order(p->filter, a, FILTER_CLASS_BLOCKED, for_s * NS_A_S) != 0)
        return false;
    remember_block(p, uid, a, for_s, reason);
    addr_write_ip(&b, a);
    filter_say("user %u blocked %.*s for %llu s: %.*s", uid, STR_ARG(buf_text(&b)), (unsigned long long)for_s,
               STR_ARG(reason));
    return true;
}

bool classes_unblock(struct packets *p, const struct addr *a, const char **ret_why)
{
    struct filter_standing s;
    filter_standing_of(p->filter, a, &s);
    *ret_why = s.listed == FILTER_CLASS_BLOCKED ? "it stands in filter.block of the configuration"
                                                : "it is not blocked";
    if (s.listed == FILTER_CLASS_BLOCKED || s.class != FILTER_CLASS_BLOCKED)
        return false;
    *ret_why = "the table of addresses cannot be written";
    forget_block(p, a);
    return filter_host_clear(p->filter, a) == 0;
}
