/* tests/unit/isolation/kit.h - a site with two clusters and three partners, orders in one line, chance by
 * seed. */
#ifndef POLDER_TESTS_ISOLATION_KIT_H
#define POLDER_TESTS_ISOLATION_KIT_H

#include "isolation/isolation.h"
#include "isolation/journal.h"
#include "isolation/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/sha.h>

#define KIT_SECOND INT64_C(1'000'000)
#define KIT_MINUTE (60 * KIT_SECOND)
#define KIT_HOUR   (60 * KIT_MINUTE)
#define KIT_DAY    (24 * KIT_HOUR)
#define KIT_BEGIN  INT64_C(1'579'082'400'000'000) /* 15 January 2020, 10:00 UTC */

enum { KIT_CLUSTERS = 2, KIT_PARTNERS = 3, KIT_PREFIXES = 2 };

static const struct str kit_clusters[KIT_CLUSTERS] = {STR("noord"), STR("zuid")};
static const char *const kit_networks[KIT_PARTNERS][KIT_PREFIXES] = {{"192.0.2.0/24", "2001:db8:1::/48"},
                                                                     {"198.51.100.0/24", "2001:db8:2::/48"},
                                                                     {"203.0.113.0/25", "2001:db8:3::/48"}};

struct kit {
    struct addr_prefix prefixes[KIT_PARTNERS][KIT_PREFIXES];
    struct isolation_partner partners[KIT_PARTNERS];
    struct isolation_inventory inventory;
    struct isolation_policy policy;
};

static inline void kit_init(struct kit *k)
{
    static const struct str names[KIT_PARTNERS] = {STR("umc"), STR("apotheek"), STR("z-cert")};
    *k = (struct kit){0};
    for (unsigned i = 0; i < KIT_PARTNERS; i++) {
        for (unsigned p = 0; p < KIT_PREFIXES; p++)
            assert_true(addr_parse_prefix(str_of(kit_networks[i][p]), &k->prefixes[i][p]));
        k->partners[i] = (struct isolation_partner){names[i], k->prefixes[i], KIT_PREFIXES};
    }
    k->inventory = (struct isolation_inventory){.clusters = kit_clusters,
                                                .cluster_count = KIT_CLUSTERS,
                                                .partners = k->partners,
                                                .partner_count = KIT_PARTNERS};
}

static inline struct isolation_state *kit_state(void)
{
    struct isolation_state *s = malloc(sizeof *s);
    assert_non_null(s);
    isolation_state_init(s, KIT_BEGIN);
    return s;
}

static inline struct isolation_moment kit_at(int64_t us)
{
    return (struct isolation_moment){us, true};
}

static inline struct isolation_order kit_order(enum isolation_event event, const char *cluster)
{
    struct isolation_order o = {.event = (uint8_t)event};
    assert_true(isolation_name_set(&o.who, STR("j.dijkstra")));
    assert_true(isolation_name_set(&o.role, STR("ciso")));
    assert_true(isolation_name_set(&o.cluster, str_of(cluster)));
    assert_true(
        isolation_reason_set(&o.reason, STR("a hole in the \"gateway\" of a supplier, \xc3\xa9\xc3\xa9n")));
    return o;
}

static inline struct isolation_order kit_isolate(enum isolation_level level, const char *cluster)
{
    struct isolation_order o = kit_order(ISOLATION_EVENT_ISOLATE, cluster);
    o.level = (uint8_t)level;
    return o;
}

static inline struct isolation_order kit_partner(enum isolation_event event, const char *partner,
                                                 const char *cluster)
{
    struct isolation_order o = kit_order(event, cluster);
    assert_true(isolation_name_set(&o.partner, str_of(partner)));
    return o;
}

static inline struct isolation_exception *kit_ask(struct isolation_order *o, const char *partner,
                                                  int64_t until_us)
{
    struct isolation_exception *e = &o->asked[o->asked_count++];
    *e = (struct isolation_exception){.until_us = until_us, .port_to = 65535, .direction = ISOLATION_BOTH};
    assert_true(isolation_name_set(&e->partner, str_of(partner)));
    return e;
}

static inline enum isolation_refusal kit_apply(const struct kit *k, struct isolation_state *s,
                                               const struct isolation_order *o, int64_t now_us)
{
    struct isolation_state *next = malloc(sizeof *next);
    assert_non_null(next);
    enum isolation_refusal refusal = isolation_apply(s, o, &k->inventory, &k->policy, kit_at(now_us), next);
    if (!refusal)
        *s = *next;
    free(next);
    return refusal;
}

static inline void kit_must(const struct kit *k, struct isolation_state *s, const struct isolation_order *o,
                            int64_t now_us)
{
    enum isolation_refusal refusal = kit_apply(k, s, o, now_us);
    if (refusal)
        fail_msg("refused: %.*s", STR_ARG(isolation_refusal_text(refusal, ISOLATION_EN)));
}

static inline bool kit_tick(struct isolation_state *s, struct isolation_moment now)
{
    struct isolation_state *next = malloc(sizeof *next);
    int64_t next_us;
    assert_non_null(next);
    bool did = isolation_tick(s, now, next, &next_us);
    *s = *next;
    free(next);
    return did;
}

static inline enum isolation_answer kit_judge(const struct isolation_state *s, const char *cluster,
                                              enum isolation_peer class, const char *partner, int64_t now_us)
{
    struct addr a;
    assert_true(addr_parse(STR("192.0.2.7:0"), &a));
    struct isolation_question q = {str_of(cluster), str_of(partner), &a, class, ISOLATION_IN, 443};
    return isolation_judge(s, &q, now_us);
}

/* ---- every question that could be asked, so to speak */

enum { KIT_QUESTIONS = 3 * 2 * 2 * (2 + KIT_PARTNERS * 2 + 2) };

static inline unsigned kit_question(const struct kit *k, unsigned i, struct isolation_question *ret,
                                    struct addr *address)
{
    static const uint16_t ports[] = {443, 2525};
    static const struct str clusters[] = {STR_NONE, STR("noord"), STR("zuid")};
    unsigned who = i % (2 + KIT_PARTNERS * 2 + 2);
    i /= 2 + KIT_PARTNERS * 2 + 2;
    *ret = (struct isolation_question){.direction = i % 2 ? ISOLATION_OUT : ISOLATION_IN,
                                       .port = ports[i / 2 % 2]};
    ret->cluster = clusters[i / 4];
    static const enum isolation_peer others[] = {ISOLATION_UNKNOWN, ISOLATION_KNOWN, ISOLATION_INSIDE,
                                                 ISOLATION_MANAGEMENT};
    if (who < KIT_PARTNERS * 2) {
        memcpy(address->ip, k->prefixes[who / 2][who % 2].ip, 16);
        address->ip[15] = 9;
        ret->partner = k->partners[who / 2].name;
        ret->class = ISOLATION_PARTNER;
        ret->address = address;
    } else {
        ret->class = others[who - KIT_PARTNERS * 2];
    }
    return who;
}

static inline void kit_answers(const struct kit *k, const struct isolation_state *s, int64_t now_us,
                               uint8_t answers[KIT_QUESTIONS])
{
    for (unsigned i = 0; i < KIT_QUESTIONS; i++) {
        struct isolation_question q;
        struct addr address = {0};
        kit_question(k, i, &q, &address);
        answers[i] = (uint8_t)isolation_judge(s, &q, now_us);
    }
}

/* ---- chance */

static inline uint64_t kit_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static inline unsigned kit_below(uint64_t *state, unsigned n)
{
    return (unsigned)((kit_random(state) >> 20) % n);
}

static inline struct isolation_order kit_random_order(const struct kit *k, uint64_t *chance, int64_t now_us)
{
    static const char *const clusters[] = {"", "", "noord", "zuid"};
    static const enum isolation_event events[] = {
        ISOLATION_EVENT_ISOLATE, ISOLATION_EVENT_ISOLATE, ISOLATION_EVENT_ISOLATE, ISOLATION_EVENT_EXCEPT,
        ISOLATION_EVENT_REVOKE,  ISOLATION_EVENT_CONFIRM, ISOLATION_EVENT_NEXT,    ISOLATION_EVENT_NEXT,
        ISOLATION_EVENT_NEXT,    ISOLATION_EVENT_BACK,    ISOLATION_EVENT_ALARM};
    struct isolation_order o =
        kit_order(events[kit_below(chance, sizeof events / sizeof *events)], clusters[kit_below(chance, 4)]);
    bool is_isolate = o.event == ISOLATION_EVENT_ISOLATE;
    o.level = is_isolate ? (uint8_t)kit_below(chance, ISOLATION_LEVEL_COUNT) : 0;
    if (!is_isolate && o.event != ISOLATION_EVENT_EXCEPT && o.event != ISOLATION_EVENT_CONFIRM)
        assert_true(isolation_name_set(&o.partner, k->partners[kit_below(chance, KIT_PARTNERS)].name));
    if (is_isolate && kit_below(chance, 3) == 0)
        o.until_us = now_us + KIT_MINUTE * (1 + kit_below(chance, 600));
    if (is_isolate && kit_below(chance, 4) == 0)
        o.confirm_by_us = now_us + KIT_MINUTE * (1 + kit_below(chance, 60));
    o.partners_back = is_isolate && kit_below(chance, 4) == 0;
    unsigned asked = o.event == ISOLATION_EVENT_EXCEPT    ? 1 + kit_below(chance, 2)
                     : is_isolate && kit_below(chance, 2) ? kit_below(chance, 3)
                                                          : 0;
    for (unsigned i = 0; i < asked; i++) {
        unsigned partner = kit_below(chance, KIT_PARTNERS);
        struct isolation_exception *e = &o.asked[o.asked_count++];
        *e = (struct isolation_exception){.until_us = now_us + KIT_MINUTE * (1 + kit_below(chance, 300)),
                                          .direction = (uint8_t)(1 + kit_below(chance, 3)),
                                          .port_to = 65535};
        assert_true(isolation_name_set(&e->partner, k->partners[partner].name));
        if (kit_below(chance, 2)) {
            e->port_from = 443;
            e->port_to = 443;
        }
        e->has_prefix = kit_below(chance, 2);
        if (e->has_prefix)
            e->prefix = k->prefixes[partner][kit_below(chance, KIT_PREFIXES)];
    }
    return o;
}

static inline void kit_sha256(const void *bytes, size_t n, uint8_t ret[ISOLATION_HASH_BYTES])
{
    (void)SHA256(bytes, n, ret);
}

#endif
