/* Isolation in a worker, without connections: what each class gets at each level, before anything was
 * published, after nonsense was, through exceptions that end, stages and rates; and that what is enforced is
 * said. */
#include "../isolation/kit.h"

#include "proxy/client.h"
#include "proxy/guard.h"

#include <sys/mman.h>

static const char yaml[] = "networks: {inside: [10.0.0.0/8, 'fd00::/16'], management: [10.9.0.0/16]}\n"
                           "partners:\n"
                           "  - {name: umc, networks: [192.0.2.0/24, '2001:db8:1::/48']}\n"
                           "  - {name: apotheek, networks: [198.51.100.0/24, 10.5.0.0/16]}\n"
                           "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"
                           "listeners: [{name: http, address: '127.0.0.1:8080'}]\n"
                           "clusters:\n"
                           "  - {name: noord, hosts: [noord.test], routes: [{path: /, upstream: app}]}\n"
                           "  - {name: zuid, hosts: [zuid.test], routes: [{path: /, upstream: app}]}\n";

enum { NOORD, ZUID };

struct world {
    struct kit kit;
    struct proxy proxy;
    struct snapshot snapshot;
    struct listener listener;
    struct shared_worker *counts;
    void *memory;
    struct perimeter filter;
    struct isolation_state *state;
    uint32_t slots[2];
};

static struct config *config_of(const char *text)
{
    struct config_problem *problems;
    unsigned count;
    struct arena *arena = arena_new(1 << 20);
    struct config *config = config_parse(STR("polder.yaml"), str_of(text), NULL, arena, &problems, &count);
    if (!config)
        fail_msg("%.*s", STR_ARG(problems[0].text));
    arena_free(arena);
    return config;
}

static void begin(struct world *w)
{
    *w = (struct world){0};
    kit_init(&w->kit);
    w->snapshot = (struct snapshot){.proxy = &w->proxy, .config = config_of(yaml), .cluster_slots = w->slots};
    w->slots[ZUID] = 1;
    w->listener.config = &w->snapshot.config->listeners[0];
    w->counts = aligned_alloc(SHARED_PAGE, sizeof *w->counts);
    assert_non_null(w->counts);
    memset(w->counts, 0, sizeof *w->counts);
    w->proxy = (struct proxy){.loop = loop_new(), .counts = w->counts, .snapshot = &w->snapshot};
    list_init(&w->proxy.clients);
    w->proxy.guard = guard_new(&w->proxy);
    w->memory = mmap(NULL, perimeter_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    perimeter_init(w->memory);
    assert_true(perimeter_open(w->memory, perimeter_size(), true, &w->filter));
    struct perimeter reader;
    assert_true(perimeter_open(w->memory, perimeter_size(), false, &reader));
    proxy_perimeter(&w->proxy, &reader);
    w->state = kit_state();
}

static void end(struct world *w)
{
    guard_free(w->proxy.guard);
    loop_free(w->proxy.loop);
    config_free(w->snapshot.config);
    munmap(w->memory, perimeter_size());
    free(w->counts);
    free(w->state);
}

static int64_t now_us(const struct world *w)
{
    return loop_wall_us(w->proxy.loop);
}

static void order(struct world *w, const struct isolation_order *o)
{
    kit_must(&w->kit, w->state, o, now_us(w));
    perimeter_publish(&w->filter, w->state);
    guard_look(&w->proxy);
}

static void isolate(struct world *w, enum isolation_level level, const char *cluster)
{
    const struct isolation_order o = kit_isolate(level, cluster);
    order(w, &o);
}

static struct client client_at(const struct world *w, const char *ip)
{
    struct client c = {.proxy = &((struct world *)(uintptr_t)w)->proxy,
                       .snapshot = &((struct world *)(uintptr_t)w)->snapshot,
                       .listener = &((struct world *)(uintptr_t)w)->listener,
                       .class = ADMISSION_UNKNOWN,
                       .partner = UINT16_MAX};
    assert_true(addr_parse_ip(str_of(ip), &c.peer));
    for (unsigned i = 0; i < w->snapshot.config->partner_count; i++)
        for (unsigned n = 0; n < w->snapshot.config->partners[i].network_count; n++)
            if (addr_in_prefix(&c.peer, &w->snapshot.config->partners[i].networks[n]))
                c.partner = (uint16_t)i;
    return c;
}

static struct guard_verdict verdict(struct world *w, const char *ip, int cluster)
{
    const struct client c = client_at(w, ip);
    const struct guard_peer peer = guard_peer_of(&c);
    return guard_judge(&w->proxy, cluster < 0 ? NULL : &w->snapshot.config->clusters[cluster], &peer);
}

static unsigned answer(struct world *w, const char *ip, int cluster)
{
    return verdict(w, ip, cluster).answer;
}

#define STRANGER   "203.0.113.9"
#define HOSPITAL   "192.0.2.7"
#define WARD       "10.1.2.3"
#define MANAGEMENT "10.9.0.1"

/* ---- who */

static void classes(void **state [[maybe_unused]])
{
    static const struct {
        const char *ip;
        enum isolation_peer class;
    } cases[] = {{STRANGER, ISOLATION_UNKNOWN},
                 {HOSPITAL, ISOLATION_PARTNER},
                 {WARD, ISOLATION_INSIDE},
                 {MANAGEMENT, ISOLATION_MANAGEMENT},
                 {"10.5.0.1", ISOLATION_PARTNER}, /* narrower than 10.0.0.0/8 */
                 {"2001:db8:1::5", ISOLATION_PARTNER},
                 {"fd00::5", ISOLATION_INSIDE},
                 {"2001:db8:2::5", ISOLATION_UNKNOWN}};
    struct world w;
    begin(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct client c = client_at(&w, cases[i].ip);
        assert_int_equal(guard_peer_of(&c).class, cases[i].class);
    }
    struct client known = client_at(&w, STRANGER);
    known.class = ADMISSION_KNOWN;
    assert_int_equal(guard_peer_of(&known).class, ISOLATION_KNOWN);
    struct client certified = client_at(&w, WARD); /* from inside, with a partner's certificate */
    certified.partner = 0;
    assert_int_equal(guard_peer_of(&certified).class, ISOLATION_INSIDE);
    certified = client_at(&w, STRANGER);
    certified.partner = 0;
    assert_int_equal(guard_peer_of(&certified).class, ISOLATION_PARTNER);
    end(&w);
}

/* Under the next configuration somebody is a partner no more, and another one stands at his index. */
static void partners_of_now(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    struct snapshot next = w.snapshot;
    char text[sizeof yaml];
    memcpy(text, yaml, sizeof yaml);
    memcpy(strstr(text, "name: umc"), "name: amc", 9);
    next.config = config_of(text);
    const struct client c = client_at(&w, HOSPITAL), other = client_at(&w, "198.51.100.1");
    w.proxy.snapshot = &next;
    guard_reconfigured(&w.proxy);
    assert_int_equal(guard_peer_of(&c).class, ISOLATION_UNKNOWN);
    assert_int_equal(guard_peer_of(&other).class, ISOLATION_PARTNER);
    config_free(next.config);
    end(&w);
}

/* ---- what they get */

static void nothing_published(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    assert_int_equal(answer(&w, STRANGER, NOORD), ISOLATION_NOTICE);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_NOTICE);
    assert_int_equal(answer(&w, WARD, NOORD), ISOLATION_PASS);
    assert_int_equal(answer(&w, MANAGEMENT, -1), ISOLATION_PASS);
    perimeter_publish(&w.filter, w.state);
    assert_int_equal(answer(&w, STRANGER, NOORD), ISOLATION_PASS); /* found by the question itself */
    end(&w);
}

static void levels(void **state [[maybe_unused]])
{
    enum { P = ISOLATION_PASS, L = ISOLATION_LIMITED, N = ISOLATION_NOTICE, R = ISOLATION_REFUSE };
    static const uint8_t expected[ISOLATION_LEVEL_COUNT][4] = {/* stranger, hospital, ward, management */
                                                               [ISOLATION_OPEN] = {P, P, P, P},
                                                               [ISOLATION_GUARDED] = {L, P, P, P},
                                                               [ISOLATION_PARTNERS] = {N, P, P, P},
                                                               [ISOLATION_CLOSED] = {N, N, P, P},
                                                               [ISOLATION_SEALED] = {R, R, R, P}};
    static const char *const ips[] = {STRANGER, HOSPITAL, WARD, MANAGEMENT};
    for (unsigned level = ISOLATION_GUARDED; level < ISOLATION_LEVEL_COUNT; level++)
        for (unsigned scope = 0; scope < 2; scope++) {
            struct world w;
            begin(&w);
            isolate(&w, (enum isolation_level)level, scope ? "noord" : "");
            for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(answer(&w, ips[i], NOORD), expected[level][i]);
                assert_int_equal(answer(&w, ips[i], NOORD), expected[level][i]); /* kept in its cell */
                assert_int_equal(answer(&w, ips[i], ZUID), scope ? P : expected[level][i]);
                assert_int_equal(answer(&w, ips[i], -1), scope ? P : expected[level][i]);
            }
            end(&w);
        }
}

static void sealed_costs_nothing(void **state [[maybe_unused]])
{
    struct world w;
    struct addr stranger, management;
    begin(&w);
    assert_true(addr_parse_ip(STR(STRANGER), &stranger));
    assert_true(addr_parse_ip(STR(MANAGEMENT), &management));
    assert_true(guard_may_come(&w.proxy, &stranger)); /* closed: for the notice */
    isolate(&w, ISOLATION_SEALED, "noord");
    assert_true(guard_may_come(&w.proxy, &stranger));
    isolate(&w, ISOLATION_SEALED, "zuid");
    assert_false(guard_may_come(&w.proxy, &stranger));
    assert_true(guard_may_come(&w.proxy, &management));
    end(&w);
}

static void stages(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    w.kit.policy.probation_per_s = 7;
    isolate(&w, ISOLATION_CLOSED, "");
    isolate(&w, ISOLATION_PARTNERS, "");
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_NOTICE); /* lowering reconnects nobody */
    struct isolation_order next = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    order(&w, &next);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_READ_ONLY);
    assert_int_equal(answer(&w, "198.51.100.1", NOORD), ISOLATION_NOTICE); /* the other partner */
    order(&w, &next);
    assert_int_equal(answer(&w, HOSPITAL, ZUID), ISOLATION_LIMITED);
    assert_int_equal(verdict(&w, HOSPITAL, ZUID).rate_per_s, 7);
    order(&w, &next);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_PASS);
    struct isolation_order back = kit_partner(ISOLATION_EVENT_BACK, "umc", "");
    order(&w, &back);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_LIMITED);
    end(&w);
}

/* An exception is for its networks and ports, and its end comes without anybody saying so. */
static void exceptions(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    struct isolation_order o = kit_isolate(ISOLATION_CLOSED, "");
    struct isolation_exception *e = kit_ask(&o, "umc", now_us(&w) + KIT_HOUR);
    e->has_prefix = true;
    assert_true(addr_parse_prefix(STR("192.0.2.0/28"), &e->prefix));
    order(&w, &o);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_PASS);
    assert_int_equal(answer(&w, "192.0.2.99", NOORD), ISOLATION_NOTICE);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_PASS);
    w.state->exception[0].until_us = now_us(&w) - 1; /* as if an hour had passed */
    perimeter_publish(&w.filter, w.state);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_NOTICE);
    end(&w);
}

/* The very cell that said "pass" says otherwise as soon as the end has come. */
static void exception_ends_in_its_cell(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    struct isolation_order o = kit_isolate(ISOLATION_CLOSED, "");
    kit_ask(&o, "umc", now_us(&w) + KIT_HOUR);
    kit_must(&w.kit, w.state, &o, now_us(&w));
    w.state->exception[0].from_us = now_us(&w) - 2;
    w.state->exception[0].until_us = now_us(&w) + 2000;
    perimeter_publish(&w.filter, w.state);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_PASS);
    while (now_us(&w) < w.state->exception[0].until_us)
        loop_refresh_now(w.proxy.loop);
    assert_int_equal(answer(&w, HOSPITAL, NOORD), ISOLATION_NOTICE);
    end(&w);
}

/* Counts, lengths and levels that cannot be: nothing is read beyond its array, and the gate is closed. */
static void nonsense(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    for (unsigned i = 0; i < 9; i++) {
        isolation_state_init(w.state, KIT_BEGIN);
        struct isolation_state *s = w.state;
        s->scope_count = i == 0 ? 0 : i == 1 ? UINT32_MAX : 1;
        s->exception_count = i == 2 ? ISOLATION_EXCEPTIONS + 1 : i == 7;
        s->standing_count = i == 3 ? UINT32_MAX : i == 8;
        s->scope[0].now.depth = i == 4 ? 0 : i == 5 ? 200 : 1;
        s->scope[0].now.layer[0].level = i == 6 ? ISOLATION_LEVEL_COUNT : ISOLATION_OPEN;
        s->exception[0].partner.n = 255;
        s->exception[0].until_us = 1;
        s->standing[0].partner.n = 255;
        perimeter_publish(&w.filter, s);
        guard_look(&w.proxy);
        if (answer(&w, STRANGER, NOORD) != ISOLATION_NOTICE ||
            answer(&w, HOSPITAL, NOORD) != ISOLATION_NOTICE)
            fail_msg("nonsense %u opened the gate", i);
        assert_int_equal(answer(&w, WARD, NOORD), ISOLATION_PASS);
    }
    isolation_state_init(w.state, KIT_BEGIN);
    perimeter_publish(&w.filter, w.state);
    assert_int_equal(answer(&w, STRANGER, NOORD), ISOLATION_PASS);
    end(&w);
}

/* A question finds the newer state at once; that it is applied is said only when the others were cut. */
static void says_what_it_applies(void **state [[maybe_unused]])
{
    struct world w;
    begin(&w);
    uint64_t n = perimeter_publish(&w.filter, w.state);
    assert_int_equal(answer(&w, STRANGER, NOORD), ISOLATION_PASS);
    assert_int_equal(atomic_load(&w.counts->isolation_applied), 0);
    guard_look(&w.proxy);
    assert_int_equal(atomic_load(&w.counts->isolation_applied), n);
    isolate(&w, ISOLATION_CLOSED, "");
    assert_int_equal(atomic_load(&w.counts->isolation_applied), n + 1);
    assert_int_equal(atomic_load(&w.counts->counters[COUNTER_isolation_level]), ISOLATION_CLOSED);
    end(&w);
}

/* ---- rates */

static void rates(void **state [[maybe_unused]])
{
    static shared_u64 cells[SHARED_RATE_CELLS];
    uint64_t second = 1'000'000, now = 50 * second;
    unsigned taken = 0;
    for (unsigned i = 0; i < 100; i++)
        taken += guard_rate_take(cells, 1, now, 10, 20);
    assert_int_equal(taken, 20); /* at once */
    for (taken = 0, now += second; guard_rate_take(cells, 1, now, 10, 20);)
        taken++;
    assert_int_equal(taken, 10); /* a second later */
    for (taken = 0, now += 3600 * second; guard_rate_take(cells, 1, now, 10, 20);)
        taken++;
    assert_int_equal(taken, 20);                         /* a pause saves no more than that up */
    assert_true(guard_rate_take(cells, 2, now, 10, 20)); /* somebody else */
    for (unsigned i = 0; i < SHARED_RATE_CELLS; i++)     /* a worker gone wild */
        atomic_store(&cells[i], UINT64_MAX);
    assert_true(guard_rate_take(cells, 1, now, 10, 20));
    assert_true(guard_rate_take(cells, 3, now, 0, 0)); /* at least one */
    assert_false(guard_rate_take(cells, 3, now, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),
        cmocka_unit_test(partners_of_now),
        cmocka_unit_test(nothing_published),
        cmocka_unit_test(levels),
        cmocka_unit_test(sealed_costs_nothing),
        cmocka_unit_test(stages),
        cmocka_unit_test(exceptions),
        cmocka_unit_test(exception_ends_in_its_cell),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(says_what_it_applies),
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
