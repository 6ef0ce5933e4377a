/* filter/attach.c - the programs onto an interface, and off it.
 *
 * Invariants
 * 1. A link that is not pinned is gone at the end of the process, and the door with it: a link that cannot be
 * pinned is taken back at once and told as a failure.
 * 2. Where a program of ours is attached, another one takes its place within its link: no packet goes by
 * between them, and on a real card the link does not flap.
 * 3. On kernels without tcx (before 6.6) the egress program stands at the clsact hook under a fixed handle
 * and priority; the kernel keeps it without us, and a new one replaces it. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ATTACH_TCX_EGRESS = 47, /* BPF_TCX_EGRESS of <linux/bpf.h>, which Debian 12's does not have yet */
    LINK_TYPE_TCX = 11,     /* BPF_LINK_TYPE_TCX */
    CLSACT_HANDLE = 0x504f,
    CLSACT_PRIORITY = 1,
    PATH_BYTES = 512,
};

/* Does the pinned link still hold an interface? When that interface went away, its number may be another's.
 */
static bool link_holds(int fd, unsigned interface)
{
    struct bpf_link_info info = {0};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return false;
    /* xdp.ifindex and tcx.ifindex lie at the same place */
    return (info.type == BPF_LINK_TYPE_XDP || info.type == LINK_TYPE_TCX) && info.xdp.ifindex == interface;
}

/* 1: the pinned link has the new program; 0: there is none; or a negative errno. */
static int link_renew(const char *path, unsigned interface, int program)
{
    int fd = bpf_obj_get(path);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int done = 0;
    if (!link_holds(fd, interface))
        unlink(path); /* what it held is gone */
    else
        done = bpf_link_update(fd, program, NULL) < 0 ? -errno : 1;
    close(fd);
    return done;
}

static int link_make(const char *path, unsigned interface, int program, enum bpf_attach_type type,
                     __u32 flags)
{
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
    int fd = bpf_link_create(program, (int)interface, type, &options);
    if (fd < 0)
        return -errno;
    int error = bpf_obj_pin(fd, path) < 0 ? -errno : 0;
    close(fd);
    return error;
}

static bool is_native(unsigned interface)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    return bpf_xdp_query((int)interface, 0, &query) == 0 && query.attach_mode != XDP_ATTACHED_SKB;
}

static int attach_in(struct filter *f, unsigned interface, struct filter_attachment *ret,
                     struct filter_problem *problem)
{
    char path[PATH_BYTES];
    int program = filter_program_fd(f, FILTER_IN);
    filter_pin_path(f, "in", interface, path, sizeof path);
    int done = link_renew(path, interface, program);
    if (done < 0)
        return filter_problem_set(problem, done,
                                  "the program of interface %u cannot be replaced; the old one filters "
                                  "on: %s",
                                  interface, strerror(-done));
    ret->was_there = done == 1;
    if (done == 0) {
        int native = link_make(path, interface, program, BPF_XDP, XDP_FLAGS_DRV_MODE);
        int error = native && native != -EBUSY && native != -EEXIST
                        ? link_make(path, interface, program, BPF_XDP, XDP_FLAGS_SKB_MODE)
                        : native;
        if (error)
            return filter_problem_set(problem, error, "no packet program can be attached to interface %u: %s",
                                      interface, strerror(-error));
        ret->native_refused = -native;
    }
    ret->ingress = is_native(interface) ? FILTER_INGRESS_NATIVE : FILTER_INGRESS_GENERIC;
    return 0;
}

/* tc keeps what is attached; the hook may be there already, with others at it. */
static int attach_clsact(unsigned interface, int program)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)interface, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = CLSACT_HANDLE,
                .priority = CLSACT_PRIORITY, .flags = BPF_TC_F_REPLACE);
    int error = bpf_tc_hook_create(&hook);
    return error && error != -EEXIST ? error : bpf_tc_attach(&hook, &options);
}

static int detach_clsact(unsigned interface)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)interface, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
    return bpf_tc_detach(&hook, &options);
}

static int attach_out(struct filter *f, unsigned interface, struct filter_attachment *ret,
                      struct filter_problem *problem)
{
    char path[PATH_BYTES];
    int program = filter_program_fd(f, FILTER_OUT);
    filter_pin_path(f, "out", interface, path, sizeof path);
    int done = link_renew(path, interface, program);
    if (done == 0)
        done = link_make(path, interface, program, (enum bpf_attach_type)ATTACH_TCX_EGRESS, 0);
    if (done >= 0) {
        ret->egress = FILTER_EGRESS_TCX;
        return 0;
    }
    int error = attach_clsact(interface, program);
    if (error)
        return filter_problem_set(problem, error,
                                  "what leaves interface %u cannot be filtered (tcx: %s; clsact: %s)",
                                  interface, strerror(-done), strerror(-error));
    ret->egress = FILTER_EGRESS_CLSACT;
    return 0;
}

/* Out first: a door that lets answers out while nothing comes in is worse than the other way round only where
 * both take long; here both or none are told as done. */
int filter_attach(struct filter *f, unsigned interface, struct filter_attachment *ret,
                  struct filter_problem *problem)
{
    struct filter_attachment made = {0};
    if (!f->pins)
        return filter_problem_set(problem, -EINVAL,
                                  "without a folder for pins nothing is attached: it would end with "
                                  "this process");
    int error = attach_in(f, interface, &made, problem);
    if (!error)
        error = attach_out(f, interface, &made, problem);
    if (!error)
        *ret = made;
    return error;
}

static int link_end(const char *path)
{
    int fd = bpf_obj_get(path);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int error = bpf_link_detach(fd) < 0 && errno != ENOLINK ? -errno : 0;
    close(fd);
    if (!error)
        unlink(path);
    return error;
}

int filter_detach(const char *pins, unsigned interface, struct filter_problem *problem)
{
    static const char *const ways[] = {"in", "out"};
    char path[PATH_BYTES];
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s-%u", pins, ways[i], interface);
        int error = link_end(path);
        if (error)
            return filter_problem_set(problem, error, "%s cannot be detached: %s", path, strerror(-error));
    }
    int error = detach_clsact(interface);
    if (error && error != -ENOENT && error != -EINVAL && error != -ENODEV)
        return filter_problem_set(problem, error, "the egress program of interface %u cannot be detached: %s",
                                  interface, strerror(-error));
    return 0;
}
