/* The keys of the packet filter: what they become, and what is refused before anything is filtered by it. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define REST                                                                                                 \
    "listeners: [{name: http, address: 192.0.2.1:8080}]\n"                                                   \
    "upstreams: [{name: app, endpoints: ['10.3.0.7:8101', '172.16.0.9:8101']}]\n"                            \
    "clusters: [{name: noord, hosts: n.example, routes: [{path: /, upstream: app}]}]\n"                      \
    "partners: [{name: mcl, networks: [198.51.100.0/24, '2001:db8:4::/48']}]\n"                              \
    "networks: {management: [10.9.0.0/24], inside: [10.3.0.0/16]}\n"

struct parsed {
    struct config *config;
    struct config_problem *problems;
    unsigned count;
    struct arena *arena;
};

static struct parsed parse(const char *yaml)
{
    struct parsed p = {.arena = arena_new(1 << 20)};
    p.config = config_parse(STR("p.yaml"), str_of(yaml), NULL, p.arena, &p.problems, &p.count);
    return p;
}

static void done(struct parsed *p)
{
    config_free(p->config);
    arena_free(p->arena);
}

static void refuses(const char *yaml, const char *text, const char *hint)
{
    struct parsed p = parse(yaml);
    assert_null(p.config);
    for (unsigned i = 0; i < p.count; i++)
        if (str_find(p.problems[i].text, str_of(text)) >= 0 &&
            str_find(p.problems[i].hint, str_of(hint)) >= 0) {
            done(&p);
            return;
        }
    fail_msg("nothing says '%s' with '%s'; the first of %u: %.*s (%.*s)", text, hint, p.count,
             STR_ARG(p.count ? p.problems[0].text : STR_NONE),
             STR_ARG(p.count ? p.problems[0].hint : STR_NONE));
}

static void takes(const char *yaml)
{
    struct parsed p = parse(yaml);
    if (!p.config)
        fail_msg("refused: %.*s", STR_ARG(p.problems[0].text));
    done(&p);
}

static void without_the_section_nothing_is_filtered(void **)
{
    struct parsed p = parse(REST);
    assert_non_null(p.config);
    assert_false(p.config->filter.is_set);
    assert_int_equal(p.config->filter.interface_count, 0);
    done(&p);
}

static void every_key_arrives(void **)
{
    struct parsed p = parse(REST "filter:\n"
                                 "  interfaces: [eth0, 'eth1.5']\n"
                                 "  block: [203.0.113.0/24, {network: 203.0.113.128/25, protocol: icmp}]\n"
                                 "  allow: [{network: 203.0.113.7, ports: 8000-8100, protocol: tcp}]\n"
                                 "  addresses: [192.0.2.10, {address: '2001:db8::7', cluster: noord}]\n"
                                 "  ports: [{port: 500, protocol: udp, serves: link}]\n"
                                 "  rates: {open: {unknown_source: 7}, guarded: {known_total: 9}}\n"
                                 "  dry_run: [rate_source, fragment_overlap]\n"
                                 "  accept_queues: off\n");
    if (!p.config)
        fail_msg("refused: %.*s", STR_ARG(p.problems[0].text));
    const struct config_filter *f = &p.config->filter;
    assert_int_equal(f->interface_count, 2);
    assert_true(str_eq(f->interfaces[1], STR("eth1.5")));
    assert_int_equal(f->block_count, 2);
    assert_int_equal(f->block[0].port_from, 0);
    assert_int_equal(f->block[1].protocol, FILTER_PROTOCOL_ICMP);
    assert_int_equal(f->allow[0].port_from, 8000);
    assert_int_equal(f->allow[0].port_to, 8100);
    assert_int_equal(f->allow[0].network.bits, 128);
    assert_int_equal(f->address_count, 2);
    assert_true(str_eq(f->addresses[1].cluster, STR("noord")));
    assert_int_equal(f->ports[0].serves, FILTER_SERVES_LINK);
    assert_int_equal(f->rates[0].unknown.source, 7);
    assert_int_equal(f->rates[0].suspect.source, 2000);
    assert_int_equal(f->rates[1].known.total, 9);
    assert_int_equal(__builtin_popcountll(f->dry_run), 2);
    assert_int_equal(f->accept_queues, ACCEPT_QUEUES_OFF);
    assert_true(str_eq(f->pins, STR("/sys/fs/bpf/polder")));
    done(&p);
}

#define BLOCK(what) REST "filter: {interfaces: eth0, block: [" what "]}\n"

static void nobody_is_blocked_whom_the_house_needs(void **)
{
    refuses(BLOCK("198.51.100.7"), "would block the partner mcl (198.51.100.0/24)", "");
    refuses(BLOCK("'2001:db8:4:1::/64'"), "would block the partner mcl", "");
    refuses(BLOCK("10.9.0.0/24"), "would block management", "");
    refuses(BLOCK("10.3.4.0/24"), "would block the inside", "");
    refuses(BLOCK("172.16.0.0/12"), "would block the upstream app", "never blocked");
    refuses(BLOCK("0.0.0.0/0"), "would block the upstream app", "");
    refuses(BLOCK("{network: 198.51.0.0/16, ports: 443}"), "would block the partner mcl", "");
    takes(BLOCK("198.51.0.0/16")); /* who is listed more narrowly keeps his class */
    takes(BLOCK("'::/0'"));        /* IPv6 alone */
}

static void what_makes_no_sense_is_refused(void **)
{
    refuses(REST "filter: {interfaces: [lo]}\n", "not the name of an outside interface", "ip link");
    refuses(REST "filter: {interfaces: [eth0, eth0]}\n", "already taken", "");
    refuses(REST "filter: {interfaces: ['a/b']}\n", "not the name of an outside interface", "");
    refuses(REST "filter: {interfaces: [eth0], dry_run: [rate_sorce]}\n", "not a reason", "rate_source");
    refuses(REST "filter: {interfaces: [eth0], dry_run: [passed]}\n", "not a reason", "");
    refuses(REST "filter: {interfaces: [eth0], blok: []}\n", "unknown key", "block");
    refuses(BLOCK("nonsense"), "not an IP address or network", "");
    refuses(BLOCK("{network: 203.0.113.1, ports: 9-3}"), "'ports' must be", "");
    refuses(BLOCK("{network: 203.0.113.1, ports: 70000}"), "'ports' must be", "");
    refuses(BLOCK("{network: 203.0.113.1, ports: 7, protocol: icmp}"), "icmp has no ports", "");
    refuses(REST "filter: {interfaces: [eth0], addresses: [{address: 192.0.2.9, cluster: nord}]}\n",
            "no cluster called 'nord'", "noord");
    refuses(REST "filter: {interfaces: [eth0], addresses: [192.0.2.9, 192.0.2.9]}\n", "already taken", "");
    refuses("listeners: [{name: http, address: '[::]:8080'}]\nupstreams: [{name: app, endpoints: "
            "['10.3.0.7:8101']}]\nclusters: [{name: noord, hosts: n.example, routes: [{path: /, upstream: "
            "app}]}]\nfilter: {interfaces: [eth0], addresses: [192.0.2.9]}\n",
            "no listener can be at all addresses", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_section_nothing_is_filtered),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(nobody_is_blocked_whom_the_house_needs),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
