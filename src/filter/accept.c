/* filter/accept.c - listening sockets under the program that chooses among them (accept.bpf.c).
 *
 * Tables and program stay when this process ends: the tables are pinned, and a group of sockets holds its
 * program. A socket that is closed leaves the tables by itself, so nothing is held here: who hands one over
 * may close it at once.
 *
 * Invariant: a socket stands at one place only (the kernel sees to it), and one that stands there already is
 * not put there again. */
#include "filter/internal.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* the generated code */
#include "filter/accept.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct filter_accept {
    int program, groups, sockets;
};

const void *filter_accept_object(size_t *ret_n)
{
    return polder_accept__elf_bytes(ret_n);
}

static int tables_share(struct filter *f, struct polder_accept *programs)
{
    int error = 0;
#define TABLE(name) error = error ? error : bpf_map__reuse_fd(programs->maps.name, f->fd.name);
    FILTER_TABLES(TABLE)
#undef TABLE
    return error;
}

static void own_pin_path(const struct filter *f, const char *name, char *path, size_t cap)
{
    char folder[512];
    filter_pin_path(f, "layout", FILTER_LAYOUT, folder, sizeof folder);
    (void)snprintf(path, cap, "%s/%s", folder, name);
}

static int own_pins_set(struct filter *f, struct polder_accept *programs)
{
    char path[600];
    if (!f->pins)
        return 0;
    own_pin_path(f, "accept_groups", path, sizeof path);
    int error = bpf_map__set_pin_path(programs->maps.accept_groups, path);
    own_pin_path(f, "accept_sockets", path, sizeof path);
    return error ? error : bpf_map__set_pin_path(programs->maps.accept_sockets, path);
}

static int programs_load(struct filter *f, struct filter_accept *a)
{
    struct polder_accept *programs = polder_accept__open();
    int error = programs ? tables_share(f, programs) : -ENOMEM;
    if (!error)
        error = own_pins_set(f, programs);
    if (!error)
        error = polder_accept__load(programs);
    if (!error) {
        a->program = fcntl(bpf_program__fd(programs->progs.polder_accept), F_DUPFD_CLOEXEC, 3);
        a->groups = fcntl(bpf_map__fd(programs->maps.accept_groups), F_DUPFD_CLOEXEC, 3);
        a->sockets = fcntl(bpf_map__fd(programs->maps.accept_sockets), F_DUPFD_CLOEXEC, 3);
        filter_keep_store(f, FILTER_KEPT_ACCEPT, a->program);
        error = a->program < 0 || a->groups < 0 || a->sockets < 0 ? -errno : 0;
    }
    polder_accept__destroy(programs);
    return error;
}

static bool programs_adopt(struct filter *f, struct filter_accept *a)
{
    char path[600];
    if (!f->pins)
        return false;
    own_pin_path(f, "accept_groups", path, sizeof path);
    a->groups = bpf_obj_get(path);
    own_pin_path(f, "accept_sockets", path, sizeof path);
    a->sockets = bpf_obj_get(path);
    return a->groups >= 0 && a->sockets >= 0 &&
           filter_keep_find(f, FILTER_KEPT_ACCEPT, FILTER_KEPT_ACCEPT, &a->program);
}

static void fds_close(struct filter_accept *a)
{
    int *const all[] = {&a->program, &a->groups, &a->sockets};
    for (unsigned i = 0; i < 3; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

int filter_accept_open(struct filter *f, struct filter_problem *problem)
{
    struct filter_accept *a = malloc(sizeof *a);
    int error = 0;
    if (!a)
        return filter_problem_set(problem, -ENOMEM, "no memory for accept queues by class");
    *a = (struct filter_accept){-1, -1, -1};
    if (!programs_adopt(f, a)) {
        fds_close(a);
        error = programs_load(f, a);
    }
    if (error) {
        fds_close(a);
        free(a);
        return filter_problem_set(problem, error,
                                  "no accept queues by class, the kernel refuses their program: %s",
                                  strerror(-error));
    }
    f->accept = a;
    return 0;
}

void filter_accept_close(struct filter *f)
{
    if (f->accept)
        fds_close(f->accept);
    free(f->accept);
    f->accept = NULL;
}

bool filter_accepts(const struct filter *f)
{
    return f->accept != NULL;
}

static int key_of(int fd, struct filter_group_key *ret)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct addr address;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    if (!addr_from_sockaddr(&sa, len, &address))
        return -EINVAL;
    *ret = (struct filter_group_key){.port = address.port};
    memcpy(&ret->ip, address.ip, 16);
    return 0;
}

/* The cookie of the socket that stands there; 0: nobody. */
static uint64_t socket_at(const struct filter_accept *a, uint32_t place)
{
    uint64_t cookie = 0;
    return bpf_map_lookup_elem(a->sockets, &place, &cookie) == 0 ? cookie : 0;
}

static bool group_is_empty(const struct filter_accept *a, uint32_t number)
{
    for (uint32_t i = 0; i < FILTER_GROUP_SOCKETS; i++)
        if (socket_at(a, number * FILTER_GROUP_SOCKETS + i))
            return false;
    return true;
}

/* A number that no address has; addresses whose sockets are all closed give theirs up. */
static int number_find(struct filter_accept *a)
{
    bool taken[FILTER_GROUPS] = {false};
    struct filter_group_key keys[FILTER_GROUPS], *before = NULL;
    unsigned count = 0;
    while (count < FILTER_GROUPS && bpf_map_get_next_key(a->groups, before, &keys[count]) == 0)
        before = &keys[count++];
    for (unsigned i = 0; i < count; i++) {
        struct filter_group group;
        if (bpf_map_lookup_elem(a->groups, &keys[i], &group) != 0 || group.number >= FILTER_GROUPS)
            continue;
        if (group_is_empty(a, group.number))
            bpf_map_delete_elem(a->groups, &keys[i]);
        else
            taken[group.number] = true;
    }
    for (int number = 0; number < FILTER_GROUPS; number++)
        if (!taken[number])
            return number;
    return -ENOSPC;
}

static int group_find(struct filter_accept *a, const struct filter_group_key *key, unsigned workers,
                      struct filter_group *ret)
{
    bool is_there = bpf_map_lookup_elem(a->groups, key, ret) == 0 && ret->number < FILTER_GROUPS;
    int number = is_there ? (int)ret->number : number_find(a);
    if (number < 0)
        return number;
    if (is_there && ret->workers == workers)
        return 0;
    *ret = (struct filter_group){.number = (uint32_t)number, .workers = workers};
    return bpf_map_update_elem(a->groups, key, ret, BPF_ANY) < 0 ? -errno : 0;
}

static int socket_place(struct filter_accept *a, uint32_t place, int fd)
{
    uint64_t cookie = 0, value = (uint64_t)fd;
    socklen_t size = sizeof cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 && cookie && socket_at(a, place) == cookie)
        return 0;
    return bpf_map_update_elem(a->sockets, &place, &value, BPF_ANY) < 0 ? -errno : 0;
}

int filter_accept_add(struct filter *f, int fd, unsigned slot, bool is_first, unsigned workers,
                      struct filter_problem *problem)
{
    struct filter_accept *a = f->accept;
    struct filter_group_key key;
    struct filter_group group;
    if (!a || slot >= workers || workers > FILTER_GROUP_SOCKETS / 2)
        return filter_problem_set(problem, -EINVAL, "no accept queue for worker %u of %u", slot, workers);
    int error = key_of(fd, &key);
    if (!error)
        error = group_find(a, &key, workers, &group);
    if (!error)
        error = socket_place(a, filter_group_socket(group.number, slot, is_first), fd);
    if (!error && setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &a->program, sizeof a->program) < 0)
        error = -errno;
    return error ? filter_problem_set(problem, error, "a listening socket has no accept queue by class: %s",
                                      strerror(-error))
                 : 0;
}
