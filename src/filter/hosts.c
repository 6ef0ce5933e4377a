/* filter/hosts.c - classes of single addresses, as the loader sees them: looked up, and forgotten when their
 * time is over. The programs ignore an entry at its end by themselves; what is swept here is its memory. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

static bool net_of(const struct filter *f, const struct addr *a, struct filter_net *ret)
{
    union {
        struct filter_net_key4 v4;
        struct filter_net_key6 v6;
    } key = {0};
    if (a->is_v4) {
        key.v4.bits = 32;
        memcpy(&key.v4.ip, a->ip + 12, 4);
        return bpf_map_lookup_elem(f->fd.nets4, &key.v4, ret) == 0;
    }
    key.v6.bits = 128;
    memcpy(key.v6.ip, a->ip, 16);
    return bpf_map_lookup_elem(f->fd.nets6, &key.v6, ret) == 0;
}

/* As class.bpf.h finds it, without the single addresses. */
static enum filter_class listed_class(const struct filter *f, const struct addr *a, bool *ret_has_rules)
{
    struct filter_net net = {0};
    size_t cell = (size_t)a->ip[12] << 16 | (size_t)a->ip[13] << 8 | a->ip[14];
    *ret_has_rules = false;
    if (net_of(f, a, &net)) {
        *ret_has_rules = net.rules != 0;
        return (enum filter_class)net.class;
    }
    return a->is_v4 ? (enum filter_class)(f->class24[cell] & FILTER_CELL_CLASS) : FILTER_CLASS_UNKNOWN;
}

bool filter_class_is_listed(enum filter_class class)
{
    return class == FILTER_CLASS_PARTNER || class == FILTER_CLASS_INSIDE || class == FILTER_CLASS_MANAGEMENT;
}

void filter_standing_of(struct filter *f, const struct addr *a, struct filter_standing *ret)
{
    struct filter_host host;
    struct timespec now;
    uint64_t key;
    int fd = filter_host_key(f, a, &key);
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1'000'000'000u + (uint64_t)now.tv_nsec;
    *ret = (struct filter_standing){0};
    ret->listed = ret->class = listed_class(f, a, &ret->has_rules);
    if (bpf_map_lookup_elem(fd, &key, &host) != 0 || host.until_ns <= now_ns ||
        filter_class_is_listed(ret->listed) || ret->listed == FILTER_CLASS_BLOCKED)
        return;
    ret->class = (enum filter_class)host.class;
    ret->left_ns = host.until_ns - now_ns;
    ret->is_ordered = host.is_ordered;
}

/* Gathered first, deleted then: a key that is deleted is no place to go on from. */
static unsigned sweep(int fd, size_t key_bytes, uint64_t *cursor, bool *has_cursor, uint64_t now_ns)
{
    uint64_t key = *cursor, next = 0, stale[FILTER_SWEEP_KEYS];
    unsigned count = 0;
    for (unsigned i = 0; i < FILTER_SWEEP_KEYS; i++) {
        struct filter_host host;
        if (bpf_map_get_next_key(fd, *has_cursor ? &key : NULL, &next) < 0) {
            *has_cursor = false;
            break;
        }
        key = next;
        *has_cursor = true;
        if (bpf_map_lookup_elem(fd, &key, &host) == 0 && host.until_ns <= now_ns)
            memcpy(&stale[count++], &key, key_bytes);
    }
    *cursor = key;
    for (unsigned i = 0; i < count; i++)
        bpf_map_delete_elem(fd, &stale[i]);
    return count;
}

unsigned filter_hosts_sweep(struct filter *f)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1'000'000'000u + (uint64_t)now.tv_nsec;
    return sweep(f->fd.hosts4, 4, &f->swept[0], &f->is_sweeping[0], now_ns) +
           sweep(f->fd.hosts6, 8, &f->swept[1], &f->is_sweeping[1], now_ns);
}
