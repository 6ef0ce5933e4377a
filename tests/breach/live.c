/* tests/breach/live.c - the attacker inside a role of a running gate. Part of breach builds only.
 *
 * A test passes the master one end of a SOCK_SEQPACKET pair for each role it wants to command
 * (--breach=ROLE:SLOT:FD); the role's process finds it where "breach=FD" says. One packet is one command or
 * one answer:
 *
 *   (start)                     up PID ADDRESS         the address of the secret that others look for
 *   attack NAME KEY=VALUE...    attack NAME OUTCOME    0: it succeeded, else the errno of its refusal
 *   holds listener=PORT app=PORT
 *                               holds LISTENER CLIENT UPSTREAM     descriptors, -1: none
 *   scan HEX                    scan FOUND BYTES       in all that is writable; HEX as DISGUISE says
 *   perimeter                   perimeter SEEN SEIZED  mappings of its memory, and those made writable
 *   say ROLE HEX [fd]           (nothing)              a message to that role, and a descriptor
 *   (a role answers a worker)   heard ROLE HEX         from the first "say" on
 *
 * A role that an attack turned into another program has this socket as standard output, and shouts into it;
 * one that was killed is replaced, and its successor says "up". What is opened beforehand is a present to the
 * attacker. */
#include "attacks.h"

#include "base/buf.h"
#include "gate/breach.h"
#include "sys/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKET_MAX = 8192, FDS_LOOKED_AT = 256, NEEDLE_MAX = 1024, MAPS_MAX = 1 << 18 };

/* What is looked for comes with these bits turned: a scan must not find the question. */
enum { DISGUISE = 0xa5 };

/* The one exception from "no global state" here: the attacker knows nothing of the role's own structures. */
static struct attacker {
    struct io io;
    enum role role;
    struct channel *channels[ROLE_COUNT];
    bool is_listening; /* it has said something to another role */
    int program, net_namespace, maps, read_only;
} attacker;

static char victim_secret[sizeof ATTACK_SECRET];
static char maps_text[MAPS_MAX]; /* of /proc/self/maps */

static void answer(const struct buf *packet)
{
    /* Blocks when the test is slow to read, which is what a test wants. */
    if (write(attacker.io.fd, packet->p, packet->n) != (ssize_t)packet->n)
        abort();
}

/* ---- reading a command */

/* The value of "key=value" among the words; empty: it is not there. */
static struct str value_of(struct str words, struct str key)
{
    while (words.n) {
        struct str value = str_cut(&words, ' ');
        struct str name = str_cut(&value, '=');
        if (str_eq(name, key))
            return value;
    }
    return STR_NONE;
}

static uint64_t number_of(struct str words, struct str key)
{
    uint64_t number = 0;
    bool is_there = str_parse_u64(value_of(words, key), &number);
    return is_there ? number : 0;
}

/* A text that ends in a NUL, in `memory`. */
static const char *text_of(struct str words, struct str key, struct buf *memory)
{
    const char *text = memory->p + memory->n;
    buf_str(memory, value_of(words, key));
    buf_char(memory, '\0');
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_decode(struct str hex, struct buf *to)
{
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        int high = hex_digit(hex.p[i]), low = hex_digit(hex.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        buf_char(to, (char)(high << 4 | low));
    }
    return hex.n % 2 == 0 && !buf_overflowed(to);
}

/* ---- what the role holds */

struct holdings {
    int listener, client, upstream;
};

static uint16_t port_of(int fd, int (*name)(int, struct sockaddr *restrict, socklen_t *restrict))
{
    struct sockaddr_in address = {0};
    socklen_t n = sizeof address;
    return name(fd, (struct sockaddr *)&address, &n) == 0 && address.sin_family == AF_INET
               ? ntohs(address.sin_port)
               : 0;
}

/* Signer and filter may not even ask: they have no connections. */
static struct holdings look_around(uint64_t listener_port, uint64_t app_port)
{
    struct holdings h = {-1, -1, -1};
    bool may_ask = attacker.role != ROLE_SIGNER && attacker.role != ROLE_FILTER;
    for (int fd = FD_CHANNEL + 1; may_ask && fd < FDS_LOOKED_AT; fd++) {
        uint16_t here = port_of(fd, getsockname), there = here ? port_of(fd, getpeername) : 0;
        if (here && here == listener_port)
            *(there ? &h.client : &h.listener) = fd;
        if (there && there == app_port)
            h.upstream = fd;
    }
    return h;
}

static void tell_holdings(struct str words)
{
    char memory[100];
    struct buf b = buf_over(memory, sizeof memory);
    struct holdings h = look_around(number_of(words, STR("listener")), number_of(words, STR("app")));
    buf_printf(&b, "holds %d %d %d", h.listener, h.client, h.upstream);
    answer(&b);
}

/* ---- attacks */

static void attack(struct str words)
{
    static char memory[PACKET_MAX + 16];
    struct str name = str_cut(&words, ' ');
    struct buf texts = buf_over(memory, sizeof memory);
    struct holdings h = look_around(number_of(words, STR("listener")), number_of(words, STR("app")));
    const struct attack_world world = {.listener = h.listener,
                                       .connection = h.client,
                                       .terminal = -1,
                                       .program = attacker.program,
                                       .net_namespace = attacker.net_namespace,
                                       .tcp_port = (uint16_t)number_of(words, STR("tcp")),
                                       .udp_port = (uint16_t)number_of(words, STR("udp")),
                                       .unix_path = text_of(words, STR("unix"), &texts),
                                       .abstract_name = text_of(words, STR("abstract"), &texts),
                                       .key_file = text_of(words, STR("key"), &texts),
                                       .directory = text_of(words, STR("directory"), &texts),
                                       .file = text_of(words, STR("file"), &texts),
                                       .new_path = text_of(words, STR("new"), &texts),
                                       .setuid_program = text_of(words, STR("setuid"), &texts),
                                       .isolation_record = text_of(words, STR("record"), &texts),
                                       .read_only = attacker.read_only,
                                       .log_append = -1,
                                       .victim = (pid_t)number_of(words, STR("victim")),
                                       .victim_secret = (char *)(uintptr_t)number_of(words, STR("secret"))};
    int outcome = attack_run(name, &world);
    char said[200];
    struct buf b = buf_over(said, sizeof said);
    buf_printf(&b, "attack %.*s %d", STR_ARG(name), outcome);
    answer(&b);
}

/* ---- looking for a secret in the own memory */

static unsigned count_in(const unsigned char *at, const unsigned char *end, struct str needle)
{
    unsigned found = 0;
    for (unsigned char first = (unsigned char)needle.p[0] ^ DISGUISE; (size_t)(end - at) >= needle.n; at++) {
        size_t same = 0;
        at = memchr(at, first, (size_t)(end - at));
        if (!at || (size_t)(end - at) < needle.n)
            break;
        while (same < needle.n && (at[same] ^ DISGUISE) == (unsigned char)needle.p[same])
            same++;
        found += same == needle.n;
    }
    return found;
}

/* The file was opened before the sandbox stood; what it says is of now. */
static struct str read_maps(void)
{
    size_t n = 0;
    ssize_t more;
    while (n < sizeof maps_text &&
           (more = pread(attacker.maps, maps_text + n, sizeof maps_text - n, (off_t)n)) > 0)
        n += (size_t)more;
    return (struct str){maps_text, n};
}

static bool hex_number(struct str hex, uintptr_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < hex.n; i++) {
        if (hex_digit(hex.p[i]) < 0)
            return false;
        *ret = *ret << 4 | (uintptr_t)hex_digit(hex.p[i]);
    }
    return hex.n > 0;
}

static void scan(struct str hex)
{
    char memory[NEEDLE_MAX], said[100];
    struct buf needle = buf_over(memory, sizeof memory), b = buf_over(said, sizeof said);
    struct str maps = read_maps();
    unsigned found = 0;
    size_t looked_at = 0;
    if (!hex_decode(hex, &needle) || needle.n == 0)
        return;
    while (maps.n) { /* START-END PERMISSIONS ... */
        struct str line = str_cut(&maps, '\n'), range = str_cut(&line, ' ');
        uintptr_t start, end;
        if (!str_starts(line, STR("rw")) || !hex_number(str_cut(&range, '-'), &start) ||
            !hex_number(range, &end))
            continue;
        found += count_in((const unsigned char *)start, (const unsigned char *)end, buf_text(&needle));
        looked_at += end - start;
    }
    buf_printf(&b, "scan %u %zu", found, looked_at);
    answer(&b);
}

/* ---- messages to other roles */

static void say(struct str words)
{
    static char memory[PACKET_MAX];
    struct buf bytes = buf_over(memory, sizeof memory);
    struct str to = str_cut(&words, ' '), hex = str_cut(&words, ' ');
    int fd = str_eq(words, STR("fd")) ? attacker.program : -1;
    attacker.is_listening = true;
    for (unsigned r = ROLE_MASTER; r < ROLE_COUNT; r++)
        if (str_eq(to, role_name((enum role)r)) && attacker.channels[r] && hex_decode(hex, &bytes) &&
            channel_send(attacker.channels[r], buf_text(&bytes), fd) == 0)
            return;
    struct buf b = buf_over(memory, sizeof memory);
    buf_printf(&b, "heard nobody");
    answer(&b);
}

void breach_channel(enum role to, struct channel *channel)
{
    attacker.channels[to] = channel;
}

void breach_heard(enum role from, struct str bytes)
{
    static char memory[3 * PACKET_MAX];
    struct buf b = buf_over(memory, sizeof memory);
    if (!attacker.is_listening)
        return;
    buf_printf(&b, "heard %.*s ", STR_ARG(role_name(from)));
    buf_hex(&b, bytes.p, bytes.n);
    answer(&b);
}

/* ---- the memory in which the filter tells what holds: who can write to it? */

static void seize_perimeter(void)
{
    char said[100];
    struct buf b = buf_over(said, sizeof said);
    unsigned seen = 0, seized = 0;
    struct str maps = read_maps();
    while (maps.n) {
        struct str line = str_cut(&maps, '\n'), rest = line, range = str_cut(&rest, ' ');
        uintptr_t start, end;
        if (str_find(line, STR("/memfd:polder-perimeter")) < 0 || !hex_number(str_cut(&range, '-'), &start) ||
            !hex_number(range, &end))
            continue;
        seen++;
        seized += mprotect((void *)start, end - start, PROT_READ | PROT_WRITE) == 0;
    }
    buf_printf(&b, "perimeter %u %u", seen, seized);
    answer(&b);
}

/* ---- commands */

static void obey(struct str words)
{
    struct str order = str_cut(&words, ' ');
    if (str_eq(order, STR("attack")))
        attack(words);
    else if (str_eq(order, STR("holds")))
        tell_holdings(words);
    else if (str_eq(order, STR("scan")))
        scan(words);
    else if (str_eq(order, STR("say")))
        say(words);
    else if (str_eq(order, STR("perimeter")))
        seize_perimeter();
}

static void commands_came(struct io *io, uint32_t events [[maybe_unused]])
{
    static char packet[PACKET_MAX];
    ssize_t n;
    while ((n = recv(io->fd, packet, sizeof packet, MSG_DONTWAIT)) > 0) {
        obey((struct str){packet, (size_t)n});
        explicit_bzero(packet, sizeof packet);
    }
}

/* Memory of root's that a role may only read. */
static int read_only_memory(void)
{
    char memory[40];
    struct buf path = buf_over(memory, sizeof memory);
    int fd = memfd_create("breach", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 1) < 0 || fchmod(fd, 0400) < 0)
        return -1;
    buf_printf(&path, "/proc/self/fd/%d%c", fd, 0);
    int reading = open(memory, O_RDONLY | O_CLOEXEC);
    close(fd);
    return reading;
}

bool breach_begin(struct role_process *r)
{
    char said[100];
    struct buf b = buf_over(said, sizeof said);
    if (!r->start.breach_fd)
        return true;
    attacker = (struct attacker){.io = {.ready = commands_came, .fd = r->start.breach_fd},
                                 .role = r->role,
                                 .program = open("/bin/echo", O_RDONLY | O_CLOEXEC),
                                 .net_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
                                 .maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
                                 .read_only = read_only_memory()};
    memcpy(victim_secret, ATTACK_SECRET, sizeof ATTACK_SECRET);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* Yama, where it is, would do our walls' work */
    if (attacker.program < 0 || attacker.net_namespace < 0 || attacker.maps < 0 || attacker.read_only < 0 ||
        dup2(attacker.io.fd, STDOUT_FILENO) < 0 || loop_add(r->loop, &attacker.io, EPOLLIN) < 0)
        return false;
    buf_printf(&b, "up %d %ju", (int)getpid(), (uintmax_t)(uintptr_t)victim_secret);
    answer(&b);
    return true;
}
