/* tests/breach/attacks_kernel.c - parts of the kernel that a role has no business with. */
#include "attack_list.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

int attack_mount(const struct attack_world *w)
{
    bool mounted = mount("none", w->directory, "tmpfs", 0, NULL) == 0;
    if (mounted)
        umount(w->directory);
    return attack_outcome(mounted);
}

int attack_user_namespace(const struct attack_world *w)
{
    return attack_outcome(unshare(CLONE_NEWUSER) == 0);
}

int attack_join_namespace(const struct attack_world *w)
{
    return attack_outcome(setns(w->net_namespace, CLONE_NEWNET) == 0);
}

int attack_change_root(const struct attack_world *w)
{
    return attack_outcome(chroot(w->directory) == 0);
}

int attack_bpf(const struct attack_world *w)
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return attack_outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0);
}

/* Returns 0, which is all a filter of a socket needs: to drop every packet. */
int attack_load_program(const struct attack_world *w)
{
    static const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    static const char license[] = "GPL";
    union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                              .insn_cnt = sizeof code / sizeof *code,
                              .insns = (uintptr_t)code,
                              .license = (uintptr_t)license};
    return attack_outcome(syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program) >= 0);
}

int attack_take_foreign_table(const struct attack_world *w)
{
    union bpf_attr which = {.map_id = UINT32_MAX}; /* the permission is looked at first */
    if (syscall(SYS_bpf, BPF_MAP_GET_FD_BY_ID, &which, sizeof which) >= 0)
        return 0;
    return attack_outcome_past_check(ENOENT);
}

int attack_open_pinned(const struct attack_world *w)
{
    union bpf_attr which = {.pathname = (uintptr_t)w->pinned};
    return attack_outcome(syscall(SYS_bpf, BPF_OBJ_GET, &which, sizeof which) >= 0);
}

int attack_io_uring(const struct attack_world *w)
{
    struct io_uring_params how = {0};
    return attack_outcome(syscall(SYS_io_uring_setup, 1, &how) >= 0);
}

int attack_perf_event(const struct attack_world *w)
{
    struct perf_event_attr what = {.type = PERF_TYPE_SOFTWARE,
                                   .size = sizeof what,
                                   .config = PERF_COUNT_SW_TASK_CLOCK,
                                   .exclude_kernel = 1};
    return attack_outcome(syscall(SYS_perf_event_open, &what, 0, -1, -1, 0) >= 0);
}

int attack_userfaultfd(const struct attack_world *w)
{
    return attack_outcome(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) >= 0);
}

int attack_add_key(const struct attack_world *w)
{
    const int process_keyring = -2; /* include/uapi/linux/keyctl.h */
    return attack_outcome(syscall(SYS_add_key, "user", "breach", "x", 1, process_keyring) >= 0);
}

int attack_system_v_memory(const struct attack_world *w)
{
    /* By number: in this tree <sys/shm.h> is src/sys/shm.h. */
    int id = (int)syscall(SYS_shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (id >= 0)
        syscall(SYS_shmctl, id, IPC_RMID, NULL);
    return attack_outcome(id >= 0);
}

int attack_set_clock(const struct attack_world *w)
{
    struct timex clock = {.modes = 0}; /* reads what is set now, which anyone may */
    if (adjtimex(&clock) < 0)
        return attack_outcome(false);
    clock.modes = ADJ_FREQUENCY;
    return attack_outcome(adjtimex(&clock) >= 0);
}

int attack_load_module(const struct attack_world *w)
{
    if (syscall(SYS_init_module, NULL, 0, "") == 0)
        return 0;
    return attack_outcome_past_check(ENOEXEC);
}

int attack_reboot(const struct attack_world *w)
{
    const int no_magic = 0; /* the permission is looked at first */
    if (syscall(SYS_reboot, no_magic, no_magic, 0, NULL) == 0)
        return 0;
    return attack_outcome_past_check(EINVAL);
}

int attack_swap_on(const struct attack_world *w)
{
    if (swapon(w->new_path, 0) == 0)
        return 0;
    return attack_outcome_past_check(ENOENT);
}

int attack_set_host_name(const struct attack_world *w)
{
    char name[256];
    if (gethostname(name, sizeof name) < 0)
        return attack_outcome(false);
    return attack_outcome(sethostname(name, strlen(name)) == 0);
}

int attack_read_kernel_ring(const struct attack_world *w)
{
    const int size_unread = 9; /* syslog(2) */
    return attack_outcome(klogctl(size_unread, NULL, 0) >= 0);
}

int attack_type_into_terminal(const struct attack_world *w)
{
    return attack_outcome(ioctl(w->terminal, TIOCSTI, "x") == 0);
}

#if defined(__x86_64__)
/* mkdir by the gate of 32-bit programs, which takes a pointer of 32 bits. */
int attack_foreign_calls(const struct attack_world *w)
{
    const long mkdir_32 = 39;
    size_t n = strlen(w->new_path) + 1;
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long result;
    if (low == MAP_FAILED || n > 4096)
        return attack_outcome(false);
    memcpy(low, w->new_path, n);
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(mkdir_32), "b"(low), "c"(0700L) : "memory", "cc");
    errno = (int)-result;
    return attack_outcome(result == 0);
}
#else
int attack_foreign_calls(const struct attack_world *w)
{
    errno = ENOSYS;
    return attack_outcome(false);
}
#endif
