/* filter/compile.c - a policy becomes the tables that the programs read. Pure.
 *
 * Prefixes are sorted so that what covers another comes before it; a stack holds those that cover the one at
 * hand. Longest match in the kernel finds one entry only, so each entry carries what it inherits: the class
 * of the nearest prefix that has one, and its own rules before those of the wider prefixes.
 *
 * Invariants
 * 1. A prefix that is not longer than /24, has no rule and lies in none that has, is only a range of bytes.
 * 2. Whatever stands in nets4 or nets6 is announced by FILTER_CELL_NET in every byte that leads to it (or by
 *    always_nets6), and everything inside it that differs stands there too. */
#include "filter/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int filter_problem_set(struct filter_problem *problem, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (problem) {
        (void)vsnprintf(problem->text, sizeof problem->text, format, arguments);
    }
    va_end(arguments);
    return error;
}

/* One thing said about a prefix. */
struct saying {
    struct addr_prefix prefix;
    const struct filter_list *list; /* one of these two */
    const struct filter_order *order;
};

/* A prefix on the way down to the one at hand. */
struct cover {
    struct addr_prefix prefix;
    uint8_t class;
    bool in_nets;
    uint8_t rule_count;
    struct filter_rule rules[FILTER_RULES_A_SET];
};

struct compiler {
    struct filter_tables *tables;
    struct filter_problem *problem;
    struct saying *sayings;
    size_t saying_count;
    struct cover covers[130];
    unsigned depth;
    size_t net_cap, set_cap;
};

static struct str prefix_text(const struct addr_prefix *p, char *memory, size_t cap)
{
    struct buf out = buf_over(memory, cap);
    struct addr a = {.is_v4 = filter_prefix_is_v4(p)};
    memcpy(a.ip, p->ip, 16);
    addr_write_ip(&out, &a);
    buf_printf(&out, "/%u", a.is_v4 ? p->bits - 96u : p->bits);
    return buf_text(&out);
}

static bool covers(const struct addr_prefix *wide, const struct addr_prefix *narrow)
{
    struct addr a = {0};
    memcpy(a.ip, narrow->ip, 16);
    return filter_prefix_is_v4(wide) == filter_prefix_is_v4(narrow) && wide->bits <= narrow->bits &&
           addr_in_prefix(&a, wide);
}

static int by_prefix(const void *a, const void *b)
{
    const struct saying *x = a, *y = b;
    bool x_is_v4 = filter_prefix_is_v4(&x->prefix), y_is_v4 = filter_prefix_is_v4(&y->prefix);
    if (x_is_v4 != y_is_v4) /* ::/0 stands for IPv6 alone */
        return x_is_v4 ? -1 : 1;
    int order = memcmp(x->prefix.ip, y->prefix.ip, 16);
    if (order != 0)
        return order;
    if (x->prefix.bits != y->prefix.bits)
        return x->prefix.bits < y->prefix.bits ? -1 : 1;
    /* Of one prefix: its class, then its rules as the policy lists them. */
    if (!x->order || !y->order)
        return (x->order != NULL) - (y->order != NULL);
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Host bits must be 0: an operator who writes 192.0.2.7/24 means something else than we would do. */
static bool is_clean(const struct addr_prefix *p)
{
    if (p->bits > 128)
        return false;
    for (unsigned bit = p->bits; bit < 128; bit++)
        if (p->ip[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    return true;
}

static int check_prefix(struct filter_problem *problem, const struct addr_prefix *p)
{
    char memory[64];
    if (is_clean(p))
        return 0;
    struct str text = prefix_text(p, memory, sizeof memory);
    return filter_problem_set(problem, -EINVAL, "%.*s is not a network: bits stand behind its prefix length",
                              STR_ARG(text));
}

static int check_rule(struct filter_problem *problem, const struct filter_rule *rule)
{
    if (rule->action != FILTER_RULE_ALLOW && rule->action != FILTER_RULE_BLOCK)
        return filter_problem_set(problem, -EINVAL, "a rule neither allows nor blocks");
    if (rule->direction != FILTER_IN && rule->direction != FILTER_OUT)
        return filter_problem_set(problem, -EINVAL, "a rule has no direction");
    if (rule->port_from > rule->port_to)
        return filter_problem_set(problem, -EINVAL, "a rule's ports %u to %u are no range", rule->port_from,
                                  rule->port_to);
    bool any_port = rule->port_from == 0 && rule->port_to == 65'535;
    if (!any_port && rule->protocol != 0 && rule->protocol != IPPROTO_TCP && rule->protocol != IPPROTO_UDP)
        return filter_problem_set(problem, -EINVAL, "protocol %u has no ports", rule->protocol);
    if (rule->last_level >= FILTER_LEVEL_COUNT)
        return filter_problem_set(problem, -EINVAL, "a rule holds up to level %u, which there is not",
                                  rule->last_level);
    return 0;
}

static int check_lists(const struct filter_policy *p, struct filter_problem *problem)
{
    for (size_t i = 0; i < p->list_count; i++) {
        int error = check_prefix(problem, &p->lists[i].prefix);
        if (error)
            return error;
        if ((unsigned)p->lists[i].class >= FILTER_CLASS_COUNT)
            return filter_problem_set(problem, -EINVAL, "a list is of class %u, which there is not",
                                      (unsigned)p->lists[i].class);
    }
    for (size_t i = 0; i < p->order_count; i++) {
        int error = check_prefix(problem, &p->orders[i].prefix);
        if (!error)
            error = check_rule(problem, &p->orders[i].rule);
        if (error)
            return error;
    }
    return 0;
}

static int check_own(const struct filter_policy *p, struct filter_problem *problem)
{
    if (p->address_count >= FILTER_OWN_MAX)
        return filter_problem_set(problem, -EINVAL, "%zu own addresses; %d can be counted", p->address_count,
                                  FILTER_OWN_MAX - 1);
    for (size_t i = 0; i < p->address_count; i++)
        if (p->addresses[i].slot == 0 || p->addresses[i].slot >= FILTER_OWN_MAX)
            return filter_problem_set(problem, -EINVAL, "own address %zu has counter %u; 1 to %d there are",
                                      i, p->addresses[i].slot, FILTER_OWN_MAX - 1);
    for (size_t i = 0; i < p->port_count; i++)
        if (p->ports[i].port == 0 || p->ports[i].services & ~FILTER_SERVES_ALL)
            return filter_problem_set(problem, -EINVAL, "port %u with services %#x makes no sense",
                                      p->ports[i].port, p->ports[i].services);
    if (p->mtu && p->mtu < 576)
        return filter_problem_set(problem, -EINVAL, "an MTU of %u is less than IPv4 needs", p->mtu);
    return 0;
}

static void sayings_collect(struct compiler *c, const struct filter_policy *p)
{
    for (size_t i = 0; i < p->list_count; i++)
        c->sayings[c->saying_count++] = (struct saying){p->lists[i].prefix, &p->lists[i], NULL};
    for (size_t i = 0; i < p->order_count; i++)
        c->sayings[c->saying_count++] = (struct saying){p->orders[i].prefix, NULL, &p->orders[i]};
    qsort(c->sayings, c->saying_count, sizeof *c->sayings, by_prefix);
}

static void rule_inherit(struct cover *to, const struct cover *from, struct compiler *c, int *error)
{
    for (unsigned i = 0; i < from->rule_count; i++) {
        if (to->rule_count == FILTER_RULES_A_SET) {
            char memory[64];
            struct str text = prefix_text(&to->prefix, memory, sizeof memory);
            *error = filter_problem_set(c->problem, -EINVAL,
                                        "more than %d rules hold for %.*s, those of wider networks included",
                                        FILTER_RULES_A_SET, STR_ARG(text));
            return;
        }
        to->rules[to->rule_count++] = from->rules[i];
    }
}

/* The number of a set with these rules, from 1; 0: none; negative: full. */
static int set_number(struct compiler *c, const struct cover *cover)
{
    struct filter_tables *t = c->tables;
    struct filter_rule_set set = {0};
    if (cover->rule_count == 0)
        return 0;
    memcpy(set.rule, cover->rules, cover->rule_count * sizeof *cover->rules);
    for (size_t i = t->set_count; i-- > 1;)
        if (memcmp(&t->sets[i], &set, sizeof set) == 0)
            return (int)i;
    if (t->set_count == FILTER_SETS_HALF)
        return filter_problem_set(c->problem, -EINVAL, "more than %d different sets of rules",
                                  FILTER_SETS_HALF - 1);
    t->sets[t->set_count] = set;
    return (int)t->set_count++;
}

static void cells_set(uint8_t *cells, size_t from, size_t n, uint8_t class, uint8_t flag)
{
    memset(cells + from, class | flag, n);
}

static uint32_t v4_of(const struct addr_prefix *p)
{
    return (uint32_t)p->ip[12] << 24 | (uint32_t)p->ip[13] << 16 | (uint32_t)p->ip[14] << 8 | p->ip[15];
}

static void announce4(struct compiler *c, const struct cover *cover)
{
    unsigned bits = cover->prefix.bits - 96;
    size_t first = v4_of(&cover->prefix) >> 8;
    if (bits <= 24)
        cells_set(c->tables->class24, first, (size_t)1 << (24 - bits), cover->class,
                  cover->in_nets ? FILTER_CELL_NET : 0);
    else
        c->tables->class24[first] |= FILTER_CELL_NET;
}

uint32_t filter_gate6_of(const uint8_t ip[16], unsigned bits)
{
    uint64_t upper = 0;
    for (unsigned i = 0; i < bits / 8; i++)
        upper |= (uint64_t)ip[i] << (56 - 8 * i);
    return filter_gate6_hash(upper | bits);
}

static void announce6(struct compiler *c, const struct cover *cover)
{
    if (cover->prefix.bits < 32)
        c->tables->always_nets6 = true;
    else
        c->tables->gate6[filter_gate6_of(cover->prefix.ip, cover->prefix.bits < 48 ? 32 : 48)] |=
            FILTER_CELL_NET;
}

static int cover_write(struct compiler *c, struct cover *cover, const struct cover *parent)
{
    struct filter_tables *t = c->tables;
    bool is_v4 = filter_prefix_is_v4(&cover->prefix);
    int set = set_number(c, cover);
    if (set < 0)
        return set;
    cover->in_nets = !is_v4 || cover->prefix.bits > 96 + 24 || set > 0 || (parent && parent->in_nets);
    if (is_v4)
        announce4(c, cover);
    else
        announce6(c, cover);
    if (!cover->in_nets)
        return 0;
    if (t->net_count == FILTER_NETS_MAX)
        return filter_problem_set(c->problem, -EINVAL, "more than %d networks longer than /24 or with rules",
                                  FILTER_NETS_MAX);
    t->nets[t->net_count++] =
        (struct filter_net_row){cover->prefix, {.rules = (uint16_t)set, .class = cover->class}};
    return 0;
}

/* Takes all that is said about one prefix, n sayings from `at`. */
static int prefix_compile(struct compiler *c, const struct saying *at, size_t n)
{
    while (c->depth && !covers(&c->covers[c->depth - 1].prefix, &at->prefix))
        c->depth--;
    struct cover *parent = c->depth ? &c->covers[c->depth - 1] : NULL, *cover = &c->covers[c->depth];
    bool has_class = false;
    int error = 0;
    *cover = (struct cover){.prefix = at->prefix, .class = parent ? parent->class : FILTER_CLASS_UNKNOWN};
    for (size_t i = 0; i < n && !error; i++) {
        if (at[i].list && has_class && at[i].list->class != cover->class) {
            char memory[64];
            struct str text = prefix_text(&at->prefix, memory, sizeof memory);
            return filter_problem_set(c->problem, -EINVAL, "%.*s is listed as %s and as %s", STR_ARG(text),
                                      filter_class_word(cover->class), filter_class_word(at[i].list->class));
        }
        if (at[i].list) {
            cover->class = (uint8_t)at[i].list->class;
            has_class = true;
        } else {
            struct cover one = {.rule_count = 1, .rules = {at[i].order->rule}};
            rule_inherit(cover, &one, c, &error);
        }
    }
    if (parent && !error)
        rule_inherit(cover, parent, c, &error);
    if (!error)
        error = cover_write(c, cover, parent);
    c->depth++;
    return error;
}

static int sayings_compile(struct compiler *c)
{
    for (size_t i = 0, n; i < c->saying_count; i += n) {
        for (n = 1; i + n < c->saying_count; n++)
            if (memcmp(&c->sayings[i].prefix, &c->sayings[i + n].prefix, sizeof(struct addr_prefix)) != 0)
                break;
        int error = prefix_compile(c, &c->sayings[i], n);
        if (error)
            return error;
    }
    return 0;
}

static bool tables_init(struct filter_tables *t, size_t sayings)
{
    size_t nets = sayings < FILTER_NETS_MAX ? sayings : FILTER_NETS_MAX;
    *t = (struct filter_tables){.class24 = calloc(1, FILTER_CELLS24),
                                .gate6 = calloc(1, FILTER_CELLS6),
                                .nets = calloc(nets + 1, sizeof *t->nets),
                                .sets = calloc(FILTER_SETS_HALF, sizeof *t->sets),
                                .set_count = 1};
    return t->class24 && t->gate6 && t->nets && t->sets;
}

void filter_tables_done(struct filter_tables *t)
{
    free(t->class24);
    free(t->gate6);
    free(t->nets);
    free(t->sets);
    *t = (struct filter_tables){0};
}

static int check_all(const struct filter_policy *p, struct filter_problem *problem)
{
    int error = check_lists(p, problem);
    return error ? error : check_own(p, problem);
}

int filter_compile(const struct filter_policy *p, struct filter_tables *ret, struct filter_problem *problem)
{
    size_t n = p->list_count + p->order_count;
    int error = check_all(p, problem);
    if (error)
        return error;
    struct compiler *c = calloc(1, sizeof *c);
    struct filter_tables tables = {0};
    if (c)
        c->sayings = calloc(n + 1, sizeof *c->sayings);
    if (!c || !c->sayings || !tables_init(&tables, n)) {
        error = filter_problem_set(problem, -ENOMEM, "no memory for the tables of %zu networks", n);
    } else {
        c->tables = &tables;
        c->problem = problem;
        sayings_collect(c, p);
        error = sayings_compile(c);
    }
    if (c)
        free(c->sayings);
    free(c);
    if (error)
        filter_tables_done(&tables);
    else
        *ret = tables;
    return error;
}

int filter_policy_check(const struct filter_policy *p, struct filter_problem *problem)
{
    struct filter_tables tables;
    int error = filter_compile(p, &tables, problem);
    if (!error)
        filter_tables_done(&tables);
    return error;
}
