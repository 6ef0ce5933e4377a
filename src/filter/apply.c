/* filter/apply.c - compiled tables into those of the kernel, while packets flow.
 *
 * Order: rules of a new policy go into the half of `rules` that is not in force; then networks (each entry is
 * replaced as a whole), then the bytes that lead to them, then the entries that nobody is led to any more go.
 * So every address has its old class and rules, or its new ones, at every moment. After a crash in the middle
 * the next filter_apply makes it whole: everything is compared with what is there. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int failed(struct filter_problem *problem, const char *table)
{
    int error = -errno;
    return filter_problem_set(problem, error, "the filter's table of %s cannot be written: %s", table,
                              strerror(-error));
}

/* The half that is written next: its number is recorded once the entries that use it are in. */
static uint32_t other_half(const struct filter *f)
{
    return f->control->rules_half ? 0 : 1;
}

static int rules_write(struct filter *f, const struct filter_tables *t, uint32_t half,
                       struct filter_problem *problem)
{
    for (uint32_t i = 1; i < t->set_count; i++) {
        uint32_t number = half * FILTER_SETS_HALF + i;
        if (bpf_map_update_elem(f->fd.rules, &number, &t->sets[i], BPF_ANY) < 0)
            return failed(problem, "rules");
    }
    return 0;
}

union net_key {
    struct filter_net_key4 v4;
    struct filter_net_key6 v6;
};

static bool net_key(const struct addr_prefix *p, union net_key *ret)
{
    bool is_v4 = filter_prefix_is_v4(p);
    memset(ret, 0, sizeof *ret);
    if (is_v4) {
        ret->v4.bits = p->bits - 96u;
        memcpy(&ret->v4.ip, p->ip + 12, 4);
    } else {
        ret->v6.bits = p->bits;
        memcpy(ret->v6.ip, p->ip, 16);
    }
    return is_v4;
}

static int nets_write(struct filter *f, const struct filter_tables *t, uint32_t half,
                      struct filter_problem *problem)
{
    for (size_t i = 0; i < t->net_count; i++) {
        union net_key key;
        struct filter_net net = t->nets[i].net;
        int fd = net_key(&t->nets[i].prefix, &key) ? f->fd.nets4 : f->fd.nets6;
        if (net.rules)
            net.rules = (uint16_t)(net.rules + half * FILTER_SETS_HALF);
        if (bpf_map_update_elem(fd, &key, &net, BPF_ANY) < 0)
            return failed(problem, "networks");
    }
    return 0;
}

/* The flag that an address has a class of its own is not the policy's. */
static void cells_write(uint8_t *live, const uint8_t *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t cell = (uint8_t)(wanted[i] | (live[i] & FILTER_CELL_HOST));
        if (live[i] != cell)
            __atomic_store_n(&live[i], cell, __ATOMIC_RELAXED);
    }
}

/* What can be said of a /16 as a whole. */
static uint8_t summary_of(const uint8_t cells[256])
{
    for (unsigned i = 0; i < 256; i++)
        if (cells[i] != cells[0] || cells[i] & ~FILTER_CELL_CLASS)
            return FILTER_CELL_FINER;
    return cells[0];
}

/* class24 always tells the truth; class16 sends readers there while it changes. */
static void cells4_write(struct filter *f, const uint8_t *wanted)
{
    for (size_t row = 0; row < FILTER_CELLS16; row++) {
        uint8_t *live = f->class24 + row * 256;
        if (memcmp(live, wanted + row * 256, 256) != 0) {
            __atomic_store_n(&f->class16[row], FILTER_CELL_FINER, __ATOMIC_SEQ_CST);
            cells_write(live, wanted + row * 256, 256);
        }
        __atomic_store_n(&f->class16[row], summary_of(live), __ATOMIC_SEQ_CST);
    }
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct addr_prefix));
}

static bool is_wanted(const struct addr_prefix *prefixes, size_t n, const struct addr_prefix *one)
{
    return bsearch(one, prefixes, n, sizeof *prefixes, by_key) != NULL;
}

static struct addr_prefix prefix_of(const void *key, bool is_v4)
{
    struct addr_prefix p = {0};
    union net_key k;
    memcpy(&k, key, is_v4 ? sizeof k.v4 : sizeof k.v6);
    if (is_v4) {
        p.ip[10] = p.ip[11] = 0xff;
        memcpy(p.ip + 12, &k.v4.ip, 4);
        p.bits = (uint8_t)(k.v4.bits + 96);
    } else {
        memcpy(p.ip, k.v6.ip, 16);
        p.bits = (uint8_t)k.v6.bits;
    }
    return p;
}

/* A key that is deleted is no place to go on from: gathered first, deleted then. */
static int nets_clean(int fd, bool is_v4, const struct addr_prefix *wanted, size_t n)
{
    size_t size = is_v4 ? sizeof(struct filter_net_key4) : sizeof(struct filter_net_key6), count = 0;
    union net_key key, *stale = calloc(FILTER_NETS_MAX, sizeof *stale);
    void *before = NULL;
    if (!stale)
        return -ENOMEM;
    while (count < FILTER_NETS_MAX && bpf_map_get_next_key(fd, before, &key) == 0) {
        struct addr_prefix prefix = prefix_of(&key, is_v4);
        if (!is_wanted(wanted, n, &prefix))
            memcpy(&stale[count++], &key, size);
        static _Thread_local union net_key last;
        last = key;
        before = &last;
    }
    for (size_t i = 0; i < count; i++)
        bpf_map_delete_elem(fd, &stale[i]);
    free(stale);
    return 0;
}

static int nets_clean_both(struct filter *f, const struct filter_tables *t)
{
    struct addr_prefix *wanted = calloc(t->net_count + 1, sizeof *wanted);
    if (!wanted)
        return -ENOMEM;
    for (size_t i = 0; i < t->net_count; i++)
        wanted[i] = t->nets[i].prefix;
    qsort(wanted, t->net_count, sizeof *wanted, by_key);
    int error = nets_clean(f->fd.nets4, true, wanted, t->net_count);
    if (!error)
        error = nets_clean(f->fd.nets6, false, wanted, t->net_count);
    free(wanted);
    return error;
}

static int own_write(struct filter *f, const struct filter_policy *p, struct filter_problem *problem)
{
    union filter_ip key, stale[FILTER_OWN_MAX];
    size_t count = 0;
    for (size_t i = 0; i < p->address_count; i++) {
        struct filter_own own = {.slot = p->addresses[i].slot, .cluster = p->addresses[i].cluster};
        if (bpf_map_update_elem(f->fd.own, p->addresses[i].address.ip, &own, BPF_ANY) < 0)
            return failed(problem, "own addresses");
    }
    for (void *before = NULL; count < FILTER_OWN_MAX && bpf_map_get_next_key(f->fd.own, before, &key) == 0;
         before = &stale[count - 1])
        stale[count++] = key;
    for (size_t i = 0; i < count; i++) {
        bool wanted = false;
        for (size_t k = 0; k < p->address_count && !wanted; k++)
            wanted = memcmp(p->addresses[k].address.ip, &stale[i], 16) == 0;
        if (!wanted)
            bpf_map_delete_elem(f->fd.own, &stale[i]);
    }
    return 0;
}

static int ports_write(struct filter *f, const struct filter_policy *p, struct filter_problem *problem)
{
    uint16_t *wanted = calloc(1, FILTER_PORT_BYTES);
    if (!wanted)
        return filter_problem_set(problem, -ENOMEM, "no memory for the table of ports");
    for (size_t i = 0; i < p->port_count; i++)
        wanted[(p->ports[i].is_udp ? 65'536u : 0) + p->ports[i].port] |= p->ports[i].services;
    for (size_t i = 0; i < (size_t)2 * 65'536; i++)
        if (f->ports[i] != wanted[i])
            __atomic_store_n(&f->ports[i], wanted[i], __ATOMIC_RELAXED);
    free(wanted);
    return 0;
}

static uint32_t per_cpu(uint32_t per_s, int cpus)
{
    /* An epoch is 268 ms; at least one packet where there is a limit at all. */
    uint64_t n = (uint64_t)per_s * 268 / 1000 / (unsigned)cpus;
    return per_s == 0 ? 0 : n == 0 ? 1 : (uint32_t)n;
}

static void settings_write(struct filter *f, const struct filter_policy *p, const struct filter_tables *t)
{
    int cpus = libbpf_num_possible_cpus();
    uint16_t mtu = p->mtu ? p->mtu : 1500;
    struct filter_settings s = {.dry_run = p->dry_run,
                                .mss4 = (uint16_t)(mtu - 40),
                                .mss6 = (uint16_t)(mtu - 60),
                                .wscale = f->wscale,
                                .ttl = 64};
    cpus = cpus > 0 ? cpus : 1;
    s.syn_limit = per_cpu(p->syn_per_s, cpus);
    s.sample_drops = s.sample_passes = per_cpu(p->samples_per_s, cpus);
    s.flags = (f->pins ? FILTER_ASKED_FOR : 0) | (p->cookies ? FILTER_COOKIES : 0) |
              (f->stamps ? FILTER_TIMESTAMPS : 0) | (t->always_nets6 ? FILTER_ALWAYS_NETS6 : 0) |
              (p->address_count ? FILTER_OWN_ONLY : 0);
    for (unsigned narrow = 0; narrow < 2; narrow++)
        for (unsigned class = 0; class < FILTER_CLASS_MAX; class ++) {
            const struct filter_rate *rate = &p->rates[narrow][class];
            s.limits[narrow][class] = (struct filter_limits){.source = FILTER_RATE(rate->source),
                                                             .prefix = FILTER_RATE(rate->prefix),
                                                             .total = per_cpu(rate->total, cpus)};
        }
    memcpy(f->settings, &s, sizeof s);
}

static int tables_write(struct filter *f, const struct filter_policy *p, const struct filter_tables *t,
                        struct filter_problem *problem)
{
    uint32_t half = other_half(f);
    int error = rules_write(f, t, half, problem);
    if (t->always_nets6)
        f->settings->flags |= FILTER_ALWAYS_NETS6; /* before its networks */
    if (!error)
        error = own_write(f, p, problem);
    if (!error)
        error = ports_write(f, p, problem);
    if (!error)
        error = nets_write(f, t, half, problem);
    if (error)
        return error;
    cells4_write(f, t->class24);
    cells_write(f->gate6, t->gate6, FILTER_CELLS6);
    settings_write(f, p, t);
    error = nets_clean_both(f, t);
    if (error)
        return filter_problem_set(problem, error,
                                  "networks that are not listed any more cannot be forgotten: %s",
                                  strerror(-error));
    filter_wait_for_programs(f); /* nobody reads the old half any more */
    f->control->rules_half = half;
    return 0;
}

int filter_apply(struct filter *f, const struct filter_policy *p, struct filter_problem *problem)
{
    struct filter_tables tables;
    int error = filter_compile(p, &tables, problem);
    if (error)
        return error;
    error = tables_write(f, p, &tables, problem);
    filter_tables_done(&tables);
    return error;
}

static uint64_t boot_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1'000'000'000u + (uint64_t)now.tv_nsec;
}

int filter_host_key(const struct filter *f, const struct addr *a, uint64_t *ret)
{
    uint64_t upper = 0;
    *ret = 0;
    if (a->is_v4) {
        memcpy(ret, a->ip + 12, 4);
        return f->fd.hosts4;
    }
    for (unsigned i = 0; i < 8; i++)
        upper = upper << 8 | a->ip[i];
    *ret = upper;
    return f->fd.hosts6;
}

static int host_write(struct filter *f, const struct addr *a, enum filter_class class, uint64_t for_ns,
                      bool is_ordered)
{
    uint64_t key;
    struct filter_host host = {
        .until_ns = boot_now_ns() + for_ns, .class = (uint8_t) class, .is_ordered = is_ordered};
    int fd = filter_host_key(f, a, &key);
    if (class == FILTER_CLASS_PARTNER || class == FILTER_CLASS_INSIDE || class == FILTER_CLASS_MANAGEMENT ||
        (unsigned)class >= FILTER_CLASS_COUNT)
        return -EINVAL; /* those are listed, not earned */
    if (bpf_map_update_elem(fd, &key, &host, BPF_ANY) < 0)
        return -errno;
    uint8_t *cell = a->is_v4 ? &f->class24[(uint32_t)a->ip[12] << 16 | (uint32_t)a->ip[13] << 8 | a->ip[14]]
                             : &f->gate6[filter_gate6_of(a->ip, 48)];
    __atomic_or_fetch(cell, FILTER_CELL_HOST, __ATOMIC_SEQ_CST);
    if (a->is_v4)
        __atomic_store_n(&f->class16[a->ip[12] << 8 | a->ip[13]], FILTER_CELL_FINER, __ATOMIC_SEQ_CST);
    return 0;
}

int filter_host_set(struct filter *f, const struct addr *a, enum filter_class class, uint64_t for_ns)
{
    return host_write(f, a, class, for_ns, false);
}

int filter_host_order(struct filter *f, const struct addr *a, enum filter_class class, uint64_t for_ns)
{
    return host_write(f, a, class, for_ns, true);
}

int filter_host_clear(struct filter *f, const struct addr *a)
{
    uint64_t key;
    int fd = filter_host_key(f, a, &key);
    return bpf_map_delete_elem(fd, &key) < 0 && errno != ENOENT ? -errno : 0;
}
