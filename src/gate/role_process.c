#include "gate/role_process.h"

#include "gate/breach.h"
#include "sys/channel.h"
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MASTER_QUEUE = 256 };

static bool message_came(void *self, struct channel *channel [[maybe_unused]], struct str bytes, int fd)
{
    struct role_process *r = self;
    enum msg_number number = msg_welcome(bytes, fd, ROLE_MASTER, r->role);
    if (number == MSG_NONE) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    return r->message(r, number, bytes, fd);
}

/* Orphaned, not dead: see the head of role_process.h. */
static void master_gone(void *self, struct channel *channel)
{
    struct role_process *r = self;
    breach_channel(ROLE_MASTER, NULL);
    channel_free(channel);
    r->master = NULL;
}

static void signal_came(void *self, int number)
{
    struct role_process *r = self;
    if (number != SIGTERM)
        return;
    if (r->terminate)
        r->terminate(r);
    else
        loop_stop(r->loop);
}

static bool close_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0;
    if (fd > STDERR_FILENO)
        close(fd);
    return ok;
}

enum { USER_MAX = 80 };

static struct sandbox_options sandbox_of(const struct role_process *r, enum sandbox_profile profile,
                                         struct buf *user)
{
    buf_str(user, r->start.user);
    buf_char(user, '-');
    buf_str(user, role_name(r->role));
    return (struct sandbox_options){.profile = profile,
                                    .user = buf_text(user),
                                    .fallback_uid = ROLE_FALLBACK_UID + (unsigned)r->role,
                                    .without = r->start.without,
                                    .folders = r->folders};
}

bool role_process_identity(const struct role_process *r, unsigned *ret_uid, unsigned *ret_gid)
{
    char memory[USER_MAX];
    struct buf user = buf_over(memory, sizeof memory);
    struct sandbox_options options = sandbox_of(r, SANDBOX_FILTER, &user);
    return !buf_overflowed(&user) && sandbox_identity(&options, ret_uid, ret_gid) == 0;
}

bool role_process_add_folder(struct role_process *r, const char *path)
{
    unsigned n = 0;
    while (r->folders[n])
        n++;
    if (n == ROLE_FOLDERS_MAX)
        return false;
    r->folders[n] = path;
    return true;
}

static bool enter(struct role_process *r, enum sandbox_profile profile)
{
    char memory[USER_MAX];
    struct buf user = buf_over(memory, sizeof memory);
    struct str role = role_name(r->role);
    struct sandbox_options options = sandbox_of(r, profile, &user);
    int error = buf_overflowed(&user) ? -ENAMETOOLONG : sandbox_enter(&options, &r->walls);
    if (error < 0)
        fprintf(stderr,
                "polder-gate: the %.*s could not raise its sandbox (%s) and does not run without it\n",
                STR_ARG(role), strerror(-error));
    return error == 0;
}

bool role_process_begin(struct role_process *r, int argc, char **argv, enum sandbox_profile profile,
                        bool (*prepare)(struct role_process *))
{
    /* What a terminal sends to everybody in the foreground is the master's business. */
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, 0};
    if (!role_start_parse(argc, argv, &r->start) || !close_standard_streams() || !(r->loop = loop_new()) ||
        !(r->signals = signals_new(r->loop, caught, signal_came, r)) || (prepare && !prepare(r))) {
        fprintf(stderr,
                "polder-gate: the %.*s could not start: out of memory, or not started by the master\n",
                STR_ARG(role_name(r->role)));
        return false;
    }
    if (!breach_begin(r) || !enter(r, profile))
        return false;
    struct channel_events events = {message_came, master_gone, r};
    struct msg_hello hello = {.role = (uint8_t)r->role,
                              .slot = (uint8_t)r->start.slot,
                              .pid = (uint32_t)getpid(),
                              .walls = r->walls};
    r->master = channel_new(r->loop, FD_CHANNEL, MASTER_QUEUE, events);
    breach_channel(ROLE_MASTER, r->master);
    return r->master && msg_hello_send(r->master, &hello, -1) == 0;
}

void role_process_end(struct role_process *r)
{
    channel_free(r->master);
    signals_free(r->signals);
    loop_free(r->loop);
}

void role_process_accuse(struct role_process *r, unsigned worker_slot)
{
    struct msg_misbehaved m = {.slot = (uint8_t)worker_slot};
    if (r->master && msg_misbehaved_send(r->master, &m, -1) < 0)
        loop_stop(r->loop); /* without a master that listens this role is of no use either */
}

bool role_process_prepared(struct role_process *r, uint64_t generation, bool ok, struct str error)
{
    struct msg_prepared answer = {.generation = generation, .ok = ok};
    error = str_take(error, sizeof answer.error);
    answer.error_len = (uint16_t)error.n;
    if (error.n)
        memcpy(answer.error, error.p, error.n);
    return r->master && msg_prepared_send(r->master, &answer, -1) == 0;
}
