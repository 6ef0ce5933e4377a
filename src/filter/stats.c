/* filter/stats.c - counters of all CPUs together. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Adds up what every CPU has under a key; words of 8 bytes. */
static int sum(int fd, uint32_t key, size_t value_bytes, uint64_t *ret, size_t words)
{
    int cpus = libbpf_num_possible_cpus();
    if (cpus <= 0)
        return -EIO;
    char *values = calloc((size_t)cpus, value_bytes);
    if (!values)
        return -ENOMEM;
    int error = bpf_map_lookup_elem(fd, &key, values) < 0 ? -errno : 0;
    for (int cpu = 0; cpu < cpus && !error; cpu++)
        for (size_t i = 0; i < words; i++) {
            uint64_t word;
            memcpy(&word, values + (size_t)cpu * value_bytes + i * 8, 8);
            ret[i] += word;
        }
    free(values);
    return error;
}

int filter_counts_read(const struct filter *f, struct filter_counts *ret)
{
    size_t words = offsetof(struct filter_counts, class_epoch) / 8;
    memset(ret, 0, sizeof *ret);
    return sum(f->fd.counts, 0, (sizeof *ret + 7) / 8 * 8, (uint64_t *)ret, words);
}

int filter_own_counts_read(const struct filter *f, uint16_t slot, struct filter_own_counts *ret)
{
    memset(ret, 0, sizeof *ret);
    return sum(f->fd.own_counts, slot, sizeof *ret, (uint64_t *)ret, sizeof *ret / 8);
}
