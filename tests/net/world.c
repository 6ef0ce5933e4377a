#include "world.h"

#include "base/must.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGUMENTS = 32 };

void ip(const char *format, ...)
{
    char line[256], *argv[ARGUMENTS] = {line}, *rest = line;
    size_t n = 0;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *word; (word = strsep(&rest, " ")) && n + 1 < ARGUMENTS;)
        argv[n++] = word;
    argv[n] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        execv("/sbin/ip", argv);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (status != 0)
        fail_msg("ip %s ... ended with %d", argv[1], status);
}

/* A program at the far end: without one, a veth drops what is sent back by XDP_TX. */
static int answer_program(unsigned interface)
{
    const struct bpf_insn pass[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, 2, NULL);
    return program < 0 ? -1 : bpf_link_create(program, (int)interface, BPF_XDP, NULL);
}

static void hold(int ready, int go)
{
    char byte = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(unshare(CLONE_NEWNET) == 0);
    must(write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1);
    must(answer_program(if_nametoindex("o0")) >= 0);
    must(write(ready, &byte, 1) == 1);
    for (;;)
        pause();
}

static int outside_addresses(void *context [[maybe_unused]])
{
    static const char *const four[] = {"203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.1"};
    ip("ip link set lo up");
    for (size_t i = 0; i < 4; i++)
        ip("ip addr add %s/32 dev o0", four[i]);
    ip("ip -6 addr add 2001:db8:1::1/128 dev o0 nodad");
    ip("ip -6 addr add 2001:db8:4::1/128 dev o0 nodad");
    ip("ip link set o0 up");
    ip("ip route add 192.0.2.0/24 dev o0 src 203.0.113.1");
    ip("ip -6 route add 2001:db8::/64 dev o0 src 2001:db8:1::1");
    return 0;
}

static void gate_addresses(void)
{
    ip("ip link set lo up");
    ip("ip addr add 192.0.2.1/24 dev g0");
    ip("ip -6 addr add 2001:db8::1/64 dev g0 nodad");
    ip("ip link set g0 up");
    ip("ip route add 203.0.113.0/24 dev g0");
    ip("ip route add 198.51.100.0/24 dev g0");
    ip("ip -6 route add 2001:db8:1::/64 dev g0");
    ip("ip -6 route add 2001:db8:4::/64 dev g0");
}

void world_make(struct world *w)
{
    int ready[2], go[2];
    char byte, path[64];
    enter_own_world(w->pins, sizeof w->pins);
    must(pipe(ready) == 0 && pipe(go) == 0);
    w->holder = fork();
    if (w->holder == 0)
        hold(ready[1], go[0]);
    must(read(ready[0], &byte, 1) == 1);
    ip("ip link add g0 type veth peer name o0 netns %d", (int)w->holder);
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)w->holder);
    w->outside = open(path, O_RDONLY | O_CLOEXEC);
    must(w->outside >= 0 && write(go[1], &byte, 1) == 1 && read(ready[0], &byte, 1) == 1);
    must(outside_run(w, outside_addresses, NULL) == 0);
    gate_addresses();
    w->interface = if_nametoindex("g0");
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
}

void world_end(struct world *w)
{
    outside_kill(w->holder);
    close(w->outside);
}

pid_t outside_start(const struct world *w, int (*act)(void *), void *context)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setns(w->outside, CLONE_NEWNET) < 0)
        _exit(99);
    _exit(act(context));
}

int outside_run(const struct world *w, int (*act)(void *), void *context)
{
    int status = 0;
    waitpid(outside_start(w, act, context), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

void outside_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
