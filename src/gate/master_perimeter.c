/* gate/master_perimeter.c - what the master makes so that filter, workers and observer know of the perimeter
 * together: the memory in which the filter tells what holds, the memory of admission, and an eventfd to wake
 * each worker by.
 *
 * Only the filter gets a descriptor of the first that can be mapped for writing, only workers one of the
 * second. */
#include "gate/master.h"

#include "proxy/perimeter.h"
#include "sys/channel.h"
#include "sys/durable.h"
#include "sys/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same memory through another open file: what a descriptor may do belongs to that (memfd_create(2)). Who
 * holds it could open it once more by /proc, to write, which Landlock does not see: so it belongs to root and
 * nobody may. */
static int reopen_read_only(int fd)
{
    char path[32];
    if (fchmod(fd, 0400) < 0)
        return -1;
    struct buf b = buf_over(path, sizeof path);
    buf_printf(&b, "/proc/self/fd/%d%c", fd, 0);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The master keeps its mapping: it gives out the places, and clears those of workers that ended. */
static bool admission_make(struct master *m)
{
    struct hash_key key;
    m->admission_size = admit_memory_size(m->worker_count);
    m->admission_fd = shm_create("polder-admission", m->admission_size);
    m->admission_memory = m->admission_fd >= 0 ? shm_map(m->admission_fd, m->admission_size, true) : NULL;
    if (!m->admission_memory || getrandom(&key, sizeof key, 0) != sizeof key)
        return false;
    admit_memory_init(m->admission_memory, m->worker_count, key);
    m->admission_read_fd = reopen_read_only(m->admission_fd);
    return m->admission_read_fd >= 0 &&
           admit_memory_open(m->admission_memory, m->admission_size, &m->admission);
}

void perimeter_claim(struct master *m, const struct config *config, uint64_t generation, uint64_t oldest)
{
    for (unsigned i = 0; i < config->upstream_count; i++)
        admit_pool_claim(&m->admission, admit_pool_key(config->upstreams[i].name), generation, oldest);
    for (unsigned i = 0; i < config->cluster_count; i++) {
        const struct config_cluster *c = &config->clusters[i];
        for (unsigned k = 0; k < c->route_count; k++)
            admit_flow_claim(&m->admission, admit_flow_key(c->name, c->routes[k].upstream->name), generation,
                             oldest);
    }
}

void perimeter_worker_ended(struct master *m, unsigned slot)
{
    if (m->admission.area && slot < m->worker_count)
        admission_worker_reset(m->admission.area, m->admission.area_size, slot);
}

bool perimeter_make(struct master *m)
{
    m->perimeter_fd = shm_create("polder-perimeter", perimeter_size());
    void *memory = m->perimeter_fd >= 0 ? shm_map(m->perimeter_fd, perimeter_size(), true) : NULL;
    if (!memory)
        return false;
    perimeter_init(memory);
    shm_unmap(memory, perimeter_size());
    m->perimeter_read_fd = reopen_read_only(m->perimeter_fd);
    for (unsigned slot = 0; slot < m->worker_count; slot++)
        if ((m->wake_fds[slot] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            return false;
    return m->perimeter_read_fd >= 0 && admission_make(m) && pressure_begin(m);
}

/* Root's own, also where roles have users of their own: the filter opens its files before it becomes somebody
 * else, and then nobody but root can. What cannot be opened is passed on as /dev/null, which no file lies in.
 */
void perimeter_open_state(struct master *m, const struct config_gate *gate)
{
    char path[300];
    struct buf b = buf_over(path, sizeof path);
    buf_printf(&b, "%.*s/isolation%c", STR_ARG(gate->state_directory), 0);
    m->isolation_fd = buf_overflowed(&b) ? -ENAMETOOLONG : durable_folder(path);
    if (m->isolation_fd >= 0)
        return;
    master_say(
        "the folder %s cannot be used (%s): the level of isolation is not known, so it is closed, and orders "
        "cannot be recorded; make it a folder of this user's that nobody else may write to",
        path, strerror(-m->isolation_fd));
    m->isolation_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool perimeter_overdue_came(struct child *c, struct str bytes)
{
    struct msg_overdue o;
    if (!msg_overdue_decode(bytes, &o))
        return false;
    struct child *worker = master_child(c->master, ROLE_WORKER, o.slot);
    if (worker && worker->state == CHILD_UP)
        child_give_up(worker, "it did not act by the new level of isolation within a second");
    return true;
}

/* They act by a level they were told by a filter that is gone. */
bool perimeter_end_adopted_came(struct child *c, struct str bytes)
{
    struct msg_end_adopted e;
    if (!msg_end_adopted_decode(bytes, &e))
        return false;
    if (adopt_has_roles(c->master))
        master_say("order %llu about isolation closes: connections of the gate before the upgrade are ended",
                   (unsigned long long)e.order);
    adopt_kill(c->master);
    return true;
}

bool perimeter_send(struct child *c)
{
    const struct master *m = c->master;
    struct msg_perimeter area = {.size = (uint32_t)perimeter_size()};
    bool is_filter = c->role == ROLE_FILTER;
    if (!is_filter && c->role != ROLE_WORKER && c->role != ROLE_OBSERVER)
        return true;
    if (msg_perimeter_send(c->channel, &area, is_filter ? m->perimeter_fd : m->perimeter_read_fd) < 0)
        return false;
    struct msg_admission admission = {.size = (uint32_t)m->admission_size};
    if (!is_filter && msg_admission_send(c->channel, &admission,
                                         c->role == ROLE_WORKER ? m->admission_fd : m->admission_read_fd) < 0)
        return false;
    for (unsigned slot = 0; c->role != ROLE_OBSERVER && slot < m->worker_count; slot++)
        if (msg_wake_send(c->channel, &(struct msg_wake){(uint8_t)slot}, m->wake_fds[slot]) < 0)
            return false;
    return true;
}
