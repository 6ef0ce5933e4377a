/* A configuration and a state of isolation as the packet filter's policy. */
#include "gate/filter_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

int64_t packets_wall_us(void)
{
    return 1'000'000'000;
}

uint64_t packets_boot_ns(void)
{
    return 5'000'000'000;
}

#define HEAD                                                                                                 \
    "listeners: [{name: http, address: 192.0.2.1:8080}]\n"                                                   \
    "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"                                              \
    "partners: [{name: mcl, networks: [198.51.100.0/24]}]\n"                                                 \
    "networks: {management: [10.9.0.0/24]}\n"
#define CLUSTER(name) "{name: " name ", hosts: " name ".example, routes: [{path: /, upstream: app}]}"

static struct config *parse(const char *yaml)
{
    struct config_problem *problems;
    unsigned count;
    struct arena *arena = arena_new(1 << 20);
    struct config *c = config_parse(STR("p.yaml"), str_of(yaml), NULL, arena, &problems, &count);
    if (!c)
        fail_msg("%.*s", STR_ARG(problems[0].text));
    arena_free(arena);
    return c;
}

static struct policy make(const struct config *c, const struct isolation_rule *rules, size_t count)
{
    char memory[200];
    struct buf problem = buf_over(memory, sizeof memory);
    struct policy p;
    struct filter_problem why = {""};
    assert_true(policy_make(c, rules, count, &p, &problem));
    if (filter_policy_check(&p.p, &why) != 0)
        fail_msg("%s", why.text);
    return p;
}

static struct addr_prefix prefix(const char *text)
{
    struct addr_prefix p;
    assert_true(addr_parse_prefix(str_of(text), &p));
    return p;
}

/* What a network is listed as; FILTER_CLASS_MAX: not at all. */
static unsigned listed(const struct policy *p, const char *text)
{
    struct addr_prefix wanted = prefix(text);
    for (size_t i = 0; i < p->p.list_count; i++)
        if (memcmp(&p->lists[i].prefix, &wanted, sizeof wanted) == 0)
            return p->lists[i].class;
    return FILTER_CLASS_MAX;
}

static void lists_and_ports(void **)
{
    struct config *c = parse(HEAD "clusters: [" CLUSTER(
        "noord") "]\n"
                 "filter: {interfaces: [eth0], block: [203.0.113.0/24, 198.0.0.0/8],\n"
                 "  allow: [203.0.113.8, 198.51.100.7], ports: [{port: 22, serves: manage}]}\n");
    struct policy p = make(c, NULL, 0);
    assert_int_equal(listed(&p, "198.51.100.0/24"), FILTER_CLASS_PARTNER);
    assert_int_equal(listed(&p, "10.9.0.0/24"), FILTER_CLASS_MANAGEMENT);
    assert_int_equal(listed(&p, "203.0.113.0/24"), FILTER_CLASS_BLOCKED);
    assert_int_equal(listed(&p, "203.0.113.8/32"), FILTER_CLASS_UNKNOWN);
    assert_int_equal(listed(&p, "198.51.100.7/32"), FILTER_CLASS_MAX); /* stays the partner's */
    assert_int_equal(p.p.port_count, 2);
    assert_int_equal(p.ports[0].port, 8080);
    assert_int_equal(p.ports[0].services, FILTER_SERVES(WEB) | FILTER_SERVES(NOTICE));
    assert_int_equal(p.ports[1].services, FILTER_SERVES(MANAGE));
    policy_done(&p);
    config_free(c);
}

static void isolation_comes_first_and_ends_by_the_clock_of_the_kernel(void **)
{
    struct config *c = parse(HEAD "clusters: [" CLUSTER(
        "noord") "]\n"
                 "filter: {interfaces: [eth0], allow: [{network: 203.0.113.8, ports: 22}]}\n");
    const struct isolation_rule rules[] = {
        {.prefix = prefix("198.51.100.0/24"),
         .port_from = 8080,
         .port_to = 8080,
         .is_allow = true,
         .direction = ISOLATION_IN,
         .last_level = ISOLATION_CLOSED},
        {.prefix = prefix("198.51.100.0/24"),
         .port_to = 65'535,
         .direction = ISOLATION_OUT,
         .last_level = ISOLATION_CLOSED},
        {.prefix = prefix("198.51.100.9/32"),
         .port_to = 65'535,
         .is_allow = true,
         .direction = ISOLATION_IN,
         .last_level = ISOLATION_CLOSED,
         .until_us = 1'000'000'000 + 2'000'000},
        {.prefix = prefix("198.51.100.9/32"),
         .port_to = 65'535,
         .is_allow = true,
         .direction = ISOLATION_IN,
         .last_level = ISOLATION_CLOSED,
         .until_us = 1'000'000'000},
    };
    struct policy p = make(c, rules, 4);
    assert_int_equal(p.p.order_count, 4); /* the last one of isolation is over */
    assert_int_equal(p.orders[0].rule.action, FILTER_RULE_ALLOW);
    assert_int_equal(p.orders[1].rule.action, FILTER_RULE_BLOCK);
    assert_int_equal(p.orders[1].rule.direction, FILTER_OUT);
    assert_int_equal(p.orders[2].rule.until_ns, 7'000'000'000);
    assert_int_equal(p.orders[3].rule.last_level, FILTER_LEVEL_GUARDED);
    policy_done(&p);
    config_free(c);
}

static void write_yaml(struct buf *b, const char *head, const char *rest)
{
    buf_str(b, str_of(head));
    buf_str(b, str_of(rest));
    buf_char(b, '\0');
    assert_false(buf_overflowed(b));
}

static void numbers_of_clusters_do_not_depend_on_their_order(void **)
{
    static const char addresses[] =
        "filter: {interfaces: [eth0], addresses: [{address: 192.0.2.5, cluster: noord}, "
        "{address: 192.0.2.6, cluster: zuid}]}\n";
    char yaml[4096];
    uint8_t there[3], back[3];
    struct buf b = buf_over(yaml, sizeof yaml);
    write_yaml(&b, HEAD "clusters: [" CLUSTER("noord") ", " CLUSTER("zuid") ", " CLUSTER("oost") "]\n",
               addresses);
    struct config *one = parse(yaml);
    b = buf_over(yaml, sizeof yaml);
    write_yaml(&b, HEAD "clusters: [" CLUSTER("zuid") ", " CLUSTER("oost") ", " CLUSTER("noord") "]\n",
               addresses);
    struct config *other = parse(yaml);
    policy_cluster_numbers(one, there);
    policy_cluster_numbers(other, back);
    assert_int_equal(there[0], back[2]);
    assert_int_equal(there[1], back[0]);
    assert_int_equal(there[2], 0); /* no address of its own */
    assert_int_not_equal(there[0], 0);
    assert_int_not_equal(there[0], there[1]);
    struct policy p = make(one, NULL, 0);
    assert_int_equal(p.p.address_count, 3); /* and the listener's */
    assert_int_equal(p.addresses[0].cluster, there[0]);
    assert_int_equal(p.addresses[2].cluster, 0);
    policy_done(&p);
    config_free(one);
    config_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_ports),
        cmocka_unit_test(isolation_comes_first_and_ends_by_the_clock_of_the_kernel),
        cmocka_unit_test(numbers_of_clusters_do_not_depend_on_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
