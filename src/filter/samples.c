/* filter/samples.c - packets that the programs kept as evidence, out of the ring. */
#include "filter/internal.h"

#include <bpf/libbpf.h>
#include <errno.h>

struct taker {
    filter_sample_seen *seen;
    void *context;
};

/* The ring is made once; who takes differs from call to call. */
static _Thread_local struct taker taker;

static int take(void *context, void *data, size_t n)
{
    const struct filter_sample *sample = data;
    if (n >= sizeof *sample && sample->kept <= FILTER_SAMPLE_BYTES && taker.seen)
        taker.seen(sample, taker.context);
    return 0;
}

static int ring_open(struct filter *f)
{
    if (!f->ring)
        f->ring = ring_buffer__new(f->fd.samples, take, NULL, NULL);
    return f->ring ? 0 : -errno;
}

int filter_samples_fd(struct filter *f)
{
    int error = ring_open(f);
    return error ? error : ring_buffer__epoll_fd(f->ring);
}

int filter_samples_take(struct filter *f, filter_sample_seen *seen, void *context)
{
    int error = ring_open(f);
    if (error)
        return error;
    taker = (struct taker){seen, context};
    int n = ring_buffer__consume(f->ring);
    taker = (struct taker){0};
    return n;
}
