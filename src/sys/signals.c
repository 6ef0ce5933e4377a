/* sys/signals.c - signalfd(2): a signal is read like any other event, no handler ever runs. */
#include "sys/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signals {
    struct io io;
    struct loop *loop;
    void (*caught)(void *self, int number);
    void *self;
};

static void signals_ready(struct io *io, uint32_t)
{
    struct signals *s = container_of(io, struct signals, io);
    struct signalfd_siginfo info;
    for (;;) {
        ssize_t n = read(s->io.fd, &info, sizeof info);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != sizeof info)
            return;
        s->caught(s->self, (int)info.ssi_signo);
    }
}

static int signalfd_of(const int *numbers)
{
    sigset_t set;
    sigemptyset(&set);
    for (; *numbers; numbers++)
        sigaddset(&set, *numbers);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct signals *signals_new(struct loop *l, const int *numbers, void (*caught)(void *self, int number),
                            void *self)
{
    struct signals *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct signals){{.ready = signals_ready, .fd = signalfd_of(numbers)}, l, caught, self};
    int e = s->io.fd < 0 ? -errno : loop_add(l, &s->io, EPOLLIN);
    if (!e)
        return s;
    if (s->io.fd >= 0)
        close(s->io.fd);
    free(s);
    errno = -e;
    return NULL;
}

void signals_free(struct signals *s)
{
    if (!s)
        return;
    loop_close(s->loop, &s->io);
    free(s);
}
