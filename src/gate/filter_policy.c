/* gate/filter_policy.c - what the packet filter shall do: lists, ports and rates of the configuration, and
 * the rules of isolation, which come first. */
#include "gate/filter_packets.h"

#include <stdlib.h>
#include <string.h>

enum { BACKLOG_MTU = 1500 };

static void add_list(struct policy *p, const struct addr_prefix *prefix, enum filter_class class)
{
    p->lists[p->p.list_count++] = (struct filter_list){*prefix, class};
}

static void add_networks(struct policy *p, const struct addr_prefix *networks, unsigned count,
                         enum filter_class class)
{
    for (unsigned i = 0; i < count; i++)
        add_list(p, &networks[i], class);
}

static bool is_whole(const struct config_filter_rule *r)
{
    return !r->port_from && r->protocol == FILTER_PROTOCOL_ANY;
}

static uint8_t protocol_of(enum config_filter_protocol protocol, const struct addr_prefix *prefix)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_v4 = prefix->bits >= 96 && memcmp(prefix->ip, mapped, 12) == 0;
    switch (protocol) {
    case FILTER_PROTOCOL_TCP:
        return IPPROTO_TCP;
    case FILTER_PROTOCOL_UDP:
        return IPPROTO_UDP;
    case FILTER_PROTOCOL_ICMP:
        return is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    default:
        return 0;
    }
}

static void add_rule(struct policy *p, const struct config_filter_rule *r, bool is_allow)
{
    if (is_whole(r)) {
        add_list(p, &r->network, is_allow ? FILTER_CLASS_UNKNOWN : FILTER_CLASS_BLOCKED);
        return;
    }
    p->orders[p->p.order_count++] =
        (struct filter_order){r->network,
                              {.port_from = r->port_from,
                               .port_to = r->port_to ? r->port_to : UINT16_MAX,
                               .action = is_allow ? FILTER_RULE_ALLOW : FILTER_RULE_BLOCK,
                               .direction = FILTER_IN,
                               .protocol = protocol_of(r->protocol, &r->network),
                               .last_level = is_allow ? FILTER_LEVEL_GUARDED : FILTER_LEVEL_SEALED}};
}

/* An exception from a wider block leaves who is listed what he is. */
static bool is_listed(const struct policy *p, const struct addr_prefix *prefix)
{
    struct addr first = {0};
    memcpy(first.ip, prefix->ip, 16);
    for (size_t i = 0; i < p->p.list_count; i++)
        if (filter_class_is_listed(p->lists[i].class) && p->lists[i].prefix.bits <= prefix->bits &&
            addr_in_prefix(&first, &p->lists[i].prefix))
            return true;
    return false;
}

static void add_lists(struct policy *p, const struct config *c)
{
    for (unsigned i = 0; i < c->partner_count; i++)
        add_networks(p, c->partners[i].networks, c->partners[i].network_count, FILTER_CLASS_PARTNER);
    add_networks(p, c->networks.inside, c->networks.inside_count, FILTER_CLASS_INSIDE);
    add_networks(p, c->networks.management, c->networks.management_count, FILTER_CLASS_MANAGEMENT);
    for (unsigned i = 0; i < c->filter.allow_count; i++)
        if (!is_whole(&c->filter.allow[i]) || !is_listed(p, &c->filter.allow[i].network))
            add_rule(p, &c->filter.allow[i], true);
    for (unsigned i = 0; i < c->filter.block_count; i++)
        add_rule(p, &c->filter.block[i], false);
}

/* Ends are moments of the wall clock there, and of the time since boot here. */
static void add_isolation(struct policy *p, const struct isolation_rule *rules, size_t count)
{
    int64_t now_us = packets_wall_us();
    uint64_t boot_ns = packets_boot_ns();
    for (size_t i = 0; i < count; i++) {
        const struct isolation_rule *r = &rules[i];
        int64_t left_us = r->until_us ? r->until_us - now_us : 0;
        if (r->until_us && left_us <= 0)
            continue;
        p->orders[p->p.order_count++] =
            (struct filter_order){r->prefix,
                                  {.until_ns = r->until_us ? boot_ns + (uint64_t)left_us * 1000 : 0,
                                   .port_from = r->port_from,
                                   .port_to = r->port_to,
                                   .action = r->is_allow ? FILTER_RULE_ALLOW : FILTER_RULE_BLOCK,
                                   .direction = r->direction == ISOLATION_IN ? FILTER_IN : FILTER_OUT,
                                   .last_level = r->last_level}};
    }
}

static void add_port(struct policy *p, uint16_t port, bool is_udp, unsigned services)
{
    p->ports[p->p.port_count++] = (struct filter_port){port, is_udp, (uint16_t)services};
}

static void add_ports(struct policy *p, const struct config *c)
{
    static const unsigned serves[] = {[FILTER_SERVES_CARE] = FILTER_SERVES(WEB),
                                      [FILTER_SERVES_LINK] = FILTER_SERVES(LINK),
                                      [FILTER_SERVES_MANAGE] = FILTER_SERVES(MANAGE)};
    for (unsigned i = 0; i < c->listener_count; i++)
        add_port(p, c->listeners[i].address.port, false, FILTER_SERVES(WEB) | FILTER_SERVES(NOTICE));
    if (c->gate.management.port)
        add_port(p, c->gate.management.port, false, FILTER_SERVES(MANAGE));
    for (unsigned i = 0; i < c->filter.port_count; i++)
        add_port(p, c->filter.ports[i].port, c->filter.ports[i].protocol == FILTER_PROTOCOL_UDP,
                 serves[c->filter.ports[i].serves]);
}

/* ---- own addresses */

static uint32_t name_hash(struct str name) /* FNV-1a */
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (uint8_t)name.p[i]) * 16777619u;
    return hash;
}

static bool has_address(const struct config *c, struct str cluster)
{
    for (unsigned i = 0; i < c->filter.address_count; i++)
        if (str_eq(c->filter.addresses[i].cluster, cluster))
            return true;
    return false;
}

/* In the order of names, whatever their order in the file. */
static int next_by_name(const struct config *c, int before)
{
    int best = -1;
    for (unsigned i = 0; i < c->cluster_count; i++)
        if ((before < 0 || str_compare(c->clusters[i].name, c->clusters[before].name) > 0) &&
            (best < 0 || str_compare(c->clusters[i].name, c->clusters[best].name) < 0))
            best = (int)i;
    return best;
}

void policy_cluster_numbers(const struct config *c, uint8_t *ret_numbers)
{
    bool taken[FILTER_CLUSTERS] = {true};
    memset(ret_numbers, 0, c->cluster_count);
    unsigned left = c->filter.address_count ? FILTER_CLUSTERS - 1 : 0;
    for (int i = next_by_name(c, -1); i >= 0 && left; i = next_by_name(c, i)) {
        if (!has_address(c, c->clusters[i].name))
            continue;
        unsigned number = 1 + name_hash(c->clusters[i].name) % (FILTER_CLUSTERS - 1);
        while (taken[number])
            number = number % (FILTER_CLUSTERS - 1) + 1;
        taken[number] = true;
        ret_numbers[i] = (uint8_t)number;
        left--;
    }
}

static uint8_t number_of(const struct config *c, const uint8_t *numbers, struct str cluster)
{
    for (unsigned i = 0; cluster.n && i < c->cluster_count; i++)
        if (str_eq(c->clusters[i].name, cluster))
            return numbers[i];
    return 0;
}

static bool add_addresses(struct policy *p, const struct config *c, struct buf *problem)
{
    uint8_t *numbers = calloc(c->cluster_count + 1, 1);
    if (!numbers)
        return false;
    policy_cluster_numbers(c, numbers);
    for (unsigned i = 0; i < c->filter.address_count; i++) {
        const struct config_filter_address *a = &c->filter.addresses[i];
        uint8_t number = number_of(c, numbers, a->cluster);
        if (a->cluster.n && !number) {
            free(numbers);
            BUF_LIT(problem, "filter.addresses name more than 255 clusters");
            return false;
        }
        p->addresses[p->p.address_count++] =
            (struct filter_address){.address = a->address, .cluster = number, .slot = (uint16_t)(i + 1)};
    }
    /* With any of them, our own must be named too: ports mean something only there. */
    for (unsigned i = 0; c->filter.address_count && i < c->listener_count; i++) {
        uint16_t slot = (uint16_t)(c->filter.address_count + 1 + i);
        p->addresses[p->p.address_count++] =
            (struct filter_address){.address = c->listeners[i].address, .slot = slot};
    }
    free(numbers);
    return true;
}

/* ---- all of it */

static void set_rates(struct filter_policy *p, const struct config_filter *f)
{
    for (unsigned narrow = 0; narrow < 2; narrow++) {
        const struct config_filter_rate *of[FILTER_CLASS_MAX] = {
            [FILTER_CLASS_UNKNOWN] = &f->rates[narrow].unknown,
            [FILTER_CLASS_SUSPECT] = &f->rates[narrow].suspect,
            [FILTER_CLASS_KNOWN] = &f->rates[narrow].known};
        for (unsigned class = 0; class < FILTER_CLASS_MAX; class ++)
            if (of[class])
                p->rates[narrow][class] =
                    (struct filter_rate){of[class]->source, of[class]->network, of[class]->total};
    }
    p->dry_run = f->dry_run;
    p->syn_per_s = f->syn_per_s;
    p->samples_per_s = f->samples_per_s;
    p->cookies = true;
    p->mtu = BACKLOG_MTU;
}

static size_t list_room(const struct config *c)
{
    size_t n = c->networks.inside_count + c->networks.management_count + c->filter.allow_count +
               c->filter.block_count + 1;
    for (unsigned i = 0; i < c->partner_count; i++)
        n += c->partners[i].network_count;
    return n;
}

bool policy_make(const struct config *c, const struct isolation_rule *rules, size_t count, struct policy *ret,
                 struct buf *problem)
{
    const struct config_filter *f = &c->filter;
    *ret = (struct policy){
        .lists = calloc(list_room(c), sizeof *ret->lists),
        .orders = calloc(count + f->allow_count + f->block_count + 1, sizeof *ret->orders),
        .addresses = calloc((size_t)f->address_count + c->listener_count + 1, sizeof *ret->addresses),
        .ports = calloc((size_t)c->listener_count + f->port_count + 1, sizeof *ret->ports)};
    if (!ret->lists || !ret->orders || !ret->addresses || !ret->ports) {
        BUF_LIT(problem, "no memory for the packet filter's policy");
        policy_done(ret);
        return false;
    }
    add_isolation(ret, rules, count);
    add_lists(ret, c);
    add_ports(ret, c);
    set_rates(&ret->p, f);
    bool ok = add_addresses(ret, c, problem);
    ret->p.lists = ret->lists;
    ret->p.orders = ret->orders;
    ret->p.addresses = ret->addresses;
    ret->p.ports = ret->ports;
    if (!ok)
        policy_done(ret);
    return ok;
}

void policy_done(struct policy *p)
{
    free(p->lists);
    free(p->orders);
    free(p->addresses);
    free(p->ports);
    *p = (struct policy){0};
}

bool policy_rules(const struct config *c, const struct isolation_state *state, struct isolation_rule **ret,
                  size_t *ret_count, struct buf *problem)
{
    struct isolation_partner *partners = calloc(c->partner_count + 1, sizeof *partners);
    uint16_t *ports = calloc(c->listener_count + 1, sizeof *ports);
    struct isolation_rule *rules = calloc(PACKETS_RULES_MAX, sizeof *rules);
    struct isolation_inventory inventory = {.partners = partners, .partner_count = c->partner_count};
    bool has_memory = partners && ports && rules;
    size_t count = 0;
    for (unsigned i = 0; has_memory && i < c->partner_count; i++)
        partners[i] = (struct isolation_partner){c->partners[i].name, c->partners[i].networks,
                                                 c->partners[i].network_count};
    for (unsigned i = 0; has_memory && i < c->listener_count; i++)
        ports[i] = c->listeners[i].address.port;
    if (has_memory && state)
        count = isolation_rules(state, &inventory, ports, c->listener_count, packets_wall_us(), rules,
                                PACKETS_RULES_MAX);
    free(partners);
    free(ports);
    bool ok = has_memory && count <= PACKETS_RULES_MAX;
    if (!ok) {
        free(rules);
        buf_str(problem, has_memory ? STR("isolation needs more rules than the packet filter takes")
                                    : STR("no memory for the rules of isolation"));
        return false;
    }
    *ret = rules;
    *ret_count = count;
    return true;
}
