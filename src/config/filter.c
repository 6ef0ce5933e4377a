/* config/filter.c - the packet filter's keys: their kinds, and what one key alone cannot tell.
 *
 * Invariant: nobody whom the house needs can be blocked: no network in `block` touches an upstream, and none
 * lies in the networks of a partner, of management or of the inside. A wider one may lie around those, for
 * who is listed more narrowly keeps his class; but not with ports, which would hold for him too. */
#include "config/reader.h"
#include "config/value.h"

/* ---- kinds */

static bool interface_is_good(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && !memchr("._-@:", c, 5))
            return false;
    }
    return name.n > 0 && name.n < 16;
}

static void read_interface(struct reader *r, const struct config_key *key, const struct node *node,
                           struct str *ret)
{
    if (!reader_word(r, key, node, ret))
        return;
    if (!interface_is_good(*ret) || str_eq(*ret, STR("lo")))
        problem_error(r->problems, node->at, STR("`ip link` shows the names; lo is never outside"),
                      "%s is not the name of an outside interface", problem_quote(r->problems, *ret));
    reader_claim(r, CLAIM_NAME, SECTION_FILTER, *ret, node->at);
    *ret = arena_copy(r->arena, *ret);
}

void read_interfaces(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str *to;
    struct reader_many m;
    if (!reader_many_begin(r, key, node, base, sizeof *to, &m))
        return;
    to = m.entries;
    for (unsigned i = 0; i < m.count; i++, m.at = m.at->next)
        read_interface(r, key, m.at, &to[i]);
}

void read_network(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (reader_word(r, key, node, &word) && !addr_parse_prefix(word, field_at(base, key->where.offset)))
        problem_error(r->problems, node->at, STR("for example 10.0.0.0/8 or 2001:db8::/32"),
                      "%s is not an IP address or network", problem_quote(r->problems, word));
}

void read_ip(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (reader_word(r, key, node, &word) && !addr_parse_ip(word, field_at(base, key->where.offset)))
        problem_error(r->problems, node->at, STR("for example 192.0.2.10"), "%s is not an IP address",
                      problem_quote(r->problems, word));
}

void read_ports(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t from = 0, to = 0;
    if (!reader_word(r, key, node, &word))
        return;
    struct str rest = word, first = str_cut(&rest, '-');
    bool is_good = str_parse_u64(first, &from) && (rest.p ? str_parse_u64(rest, &to) : (to = from) == from);
    if (!is_good || from == 0 || from > to || to > UINT16_MAX) {
        reader_complain(r, key, node);
        return;
    }
    *(uint16_t *)field_at(base, key->where.offset) = (uint16_t)from;
    *(uint16_t *)field_at(base, key->where.second) = (uint16_t)to;
}

static const struct str reasons[] = {
#define REASON(name, kind, text) STR(#name),
#include "base/filter_reasons.def"
#undef REASON
};
static const bool may_be_dry[] = {
#define PASS                     false
#define MALFORMED                true
#define POLICY                   true
#define REASON(name, kind, text) kind,
#include "base/filter_reasons.def"
#undef REASON
#undef PASS
#undef MALFORMED
#undef POLICY
};

/* The number of a reason, or -1; it is written in small letters. */
static int reason_of(struct reader *r, struct str word, struct nearest *near)
{
    for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        char *small = may_be_dry[i] ? arena_bytes(r->scratch, reasons[i].n) : NULL;
        for (size_t k = 0; small && k < reasons[i].n; k++)
            small[k] = ascii_lower(reasons[i].p[k]);
        struct str name = {small, small ? reasons[i].n : 0};
        if (name.n && str_eq(name, word))
            return (int)i;
        if (name.n && r->problems->count < PROBLEMS_MAX)
            nearest_try(near, name);
    }
    return -1;
}

void read_reasons(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    const struct node *at = node->type == NODE_SEQUENCE ? node->first : node;
    unsigned count = node->type == NODE_SEQUENCE ? node->child_count : 1;
    uint64_t *bits = field_at(base, key->where.offset);
    struct str word;
    for (unsigned i = 0; i < count; i++, at = at->next) {
        if (!reader_word(r, key, at, &word))
            return;
        struct nearest near = nearest_to(word);
        int reason = reason_of(r, word, &near);
        if (reason >= 0) {
            *bits |= UINT64_C(1) << reason;
            continue;
        }
        struct str hint = nearest_hint(&near, r->problems);
        problem_error(r->problems, at->at, hint.n ? hint : STR("`polder filter show` lists them"),
                      "%s is not a reason for which the packet filter drops",
                      problem_quote(r->problems, word));
    }
}

/* ---- sections */

void filter_rule_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_filter_rule *rule = base;
    if (rule->port_from && rule->protocol == FILTER_PROTOCOL_ICMP)
        problem_error(r->problems, node_place(node, "ports"), STR("leave out one of the two"),
                      "icmp has no ports");
}

void filter_address_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_filter_address *a = base;
    const struct config *c = &r->root->config;
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    addr_write_ip(&b, &a->address);
    reader_claim(r, CLAIM_ADDRESS, SECTION_FILTER, arena_copy(r->scratch, buf_text(&b)), node->at);
    struct nearest near = nearest_to(a->cluster);
    for (unsigned i = 0; i < c->cluster_count; i++) {
        if (!a->cluster.n || str_eq(c->clusters[i].name, a->cluster))
            return;
        if (r->problems->count < PROBLEMS_MAX)
            nearest_try(&near, c->clusters[i].name);
    }
    if (!a->cluster.n)
        return;
    struct str hint = nearest_hint(&near, r->problems);
    problem_error(r->problems, node_place(node, "cluster"), hint.n ? hint : STR("add it under `clusters`"),
                  "there is no cluster called %s", problem_quote(r->problems, a->cluster));
}

static bool is_v4(const struct addr_prefix *p)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return p->bits >= 96 && memcmp(p->ip, mapped, 12) == 0;
}

/* b lies in a, or is the same. */
static bool holds(const struct addr_prefix *a, const struct addr_prefix *b)
{
    struct addr first = {0};
    memcpy(first.ip, b->ip, 16);
    return is_v4(a) == is_v4(b) && a->bits <= b->bits && addr_in_prefix(&first, a);
}

static bool touches(const struct config_filter_rule *rule, const struct addr_prefix *needed, bool is_listed)
{
    if (holds(needed, &rule->network))
        return true;
    bool may_surround = is_listed && !rule->port_from && rule->protocol == FILTER_PROTOCOL_ANY;
    return !may_surround && holds(&rule->network, needed);
}

struct needed { /* whom the house needs */
    const struct addr_prefix *networks;
    unsigned count;
    const char *noun;
    struct str name;
};

static void check_against(struct reader *r, const struct config_filter_rule *rule, struct place at,
                          const struct needed *n, bool is_listed)
{
    char text[ADDR_TEXT_MAX];
    for (unsigned i = 0; i < n->count; i++) {
        if (!touches(rule, &n->networks[i], is_listed))
            continue;
        struct buf b = buf_over(text, sizeof text);
        addr_write_prefix(&b, &n->networks[i]);
        problem_error(r->problems, at,
                      STR("write the block without them; whom the house needs is never blocked"),
                      "this would block %s%s%.*s (%.*s)", n->noun, n->name.n ? " " : "", STR_ARG(n->name),
                      STR_ARG(buf_text(&b)));
        return;
    }
}

static struct addr_prefix prefix_of(const struct addr *a)
{
    struct addr_prefix p = {.bits = 128};
    memcpy(p.ip, a->ip, 16);
    return p;
}

static bool is_listed(const struct config *c, const struct addr *a)
{
    bool found = false;
    for (unsigned i = 0; i < c->networks.management_count && !found; i++)
        found = addr_in_prefix(a, &c->networks.management[i]);
    for (unsigned i = 0; i < c->networks.inside_count && !found; i++)
        found = addr_in_prefix(a, &c->networks.inside[i]);
    for (unsigned i = 0; i < c->partner_count && !found; i++)
        for (unsigned k = 0; k < c->partners[i].network_count && !found; k++)
            found = addr_in_prefix(a, &c->partners[i].networks[k]);
    return found;
}

static void check_upstreams(struct reader *r, const struct config_filter_rule *rule, struct place at)
{
    const struct config *c = &r->root->config;
    for (unsigned u = 0; u < c->upstream_count; u++)
        for (unsigned e = 0; e < c->upstreams[u].endpoint_count; e++) {
            const struct config_endpoint *endpoint = &c->upstreams[u].endpoints[e];
            struct addr_prefix one = prefix_of(&endpoint->address);
            struct needed n = {&one, 1, "the upstream", c->upstreams[u].name};
            if (!endpoint->is_name)
                check_against(r, rule, at, &n, is_listed(c, &endpoint->address));
        }
}

static void check_block(struct reader *r, const struct config_filter_rule *rule, struct place at)
{
    const struct config *c = &r->root->config;
    struct needed management = {c->networks.management, c->networks.management_count, "management", STR_NONE};
    struct needed inside = {c->networks.inside, c->networks.inside_count, "the inside", STR_NONE};
    check_against(r, rule, at, &management, true);
    check_against(r, rule, at, &inside, true);
    for (unsigned i = 0; i < c->partner_count; i++) {
        struct needed partner = {c->partners[i].networks, c->partners[i].network_count, "the partner",
                                 c->partners[i].name};
        check_against(r, rule, at, &partner, true);
    }
    check_upstreams(r, rule, at);
}

/* Ports are services at the addresses that are named; a listener at all addresses would be at none. */
static void check_listeners(struct reader *r, const struct node *node)
{
    static const uint8_t any6[16] = {0}, any4[16] = {[10] = 0xff, [11] = 0xff};
    const struct config *c = &r->root->config;
    for (unsigned i = 0; i < c->listener_count; i++) {
        const uint8_t *ip = c->listeners[i].address.ip;
        if (memcmp(ip, any6, 16) == 0 || memcmp(ip, any4, 16) == 0)
            problem_error(r->problems, node_place(node, "addresses"),
                          STR("give that listener the address where clients arrive"),
                          "with 'addresses' no listener can be at all addresses, as %.*s is",
                          STR_ARG(c->listeners[i].name));
    }
}

void filter_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_filter *f = &r->root->config.filter;
    const struct node *list = node_child(node, "block"), *at = list ? list->first : NULL;
    for (unsigned i = 0; i < f->block_count && at; i++, at = at->next)
        check_block(r, &f->block[i], at->at);
    if (f->address_count)
        check_listeners(r, node);
    if (!f->interface_count && node->child_count)
        problem_warn(r->problems, node->at, STR("name the outside interfaces: `interfaces: [eth0]`"),
                     "without 'interfaces' nothing is filtered");
}
