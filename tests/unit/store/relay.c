#include "relay.h"

#include "base/must.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct relay {
    enum relay_event event;
    uint64_t at, asked, answered;
    pid_t server, backend;
    bool has_killed;
};

static int socket_at(const char *path, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (listens) {
        unlink(path);
        must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
    } else if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        _exit(1);
    }
    return fd;
}

/* The server names the process: "K", a length of 12, its number and a secret
 * (https://www.postgresql.org/docs/15/protocol-message-formats.html, BackendKeyData). */
static void look_for_backend(struct relay *r, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; !r->backend && i + 13 <= n; i++) {
        if (memcmp(bytes + i, "K\0\0\0\x0c", 5) == 0)
            r->backend = (pid_t)(bytes[i + 5] << 24 | bytes[i + 6] << 16 | bytes[i + 7] << 8 | bytes[i + 8]);
    }
}

/* Ends the process at the byte it is for. False: one of the two has ended. */
static bool pass(struct relay *r, int from, int to, bool is_answer)
{
    unsigned char bytes[4'096];
    ssize_t n = read(from, bytes, sizeof bytes);
    uint64_t *count = is_answer ? &r->answered : &r->asked;
    bool counts = is_answer == (r->event == RELAY_CUT_ANSWERS) && r->event != RELAY_COUNT;
    if (n <= 0)
        return false;
    if (is_answer)
        look_for_backend(r, bytes, (size_t)n);
    bool is_time = counts && *count + (uint64_t)n >= r->at;
    size_t fit = is_time ? (size_t)(r->at - *count) : (size_t)n;
    if (write(to, bytes, fit) != (ssize_t)fit)
        return false;
    *count += fit;
    if (!is_time)
        return true;
    if (r->event == RELAY_KILL_SERVER)
        kill(r->server, SIGQUIT);
    if (r->event == RELAY_KILL_BACKEND && r->backend)
        r->has_killed = kill(r->backend, SIGKILL) == 0;
    if (r->event == RELAY_CUT || r->event == RELAY_CUT_ANSWERS)
        _exit(0);
    r->event = RELAY_COUNT; /* what the end looks like is passed on as well */
    return true;
}

static void serve(struct relay *r, int client, int server, int report)
{
    struct pollfd polls[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    bool goes_on = true;
    while (goes_on) {
        if (poll(polls, 2, -1) < 0)
            continue;
        if (polls[0].revents)
            goes_on = pass(r, client, server, false);
        if (goes_on && polls[1].revents)
            goes_on = pass(r, server, client, true);
    }
    uint64_t counts[] = {r->asked, r->answered};
    if (report >= 0 && write(report, counts, sizeof counts) != sizeof counts)
        _exit(1);
}

pid_t relay_start(const char *listen_path, const char *server_path, enum relay_event event, uint64_t at,
                  pid_t server, int report)
{
    int listener = socket_at(listen_path, true);
    struct relay r = {.event = event, .at = at, .server = server};
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_IGN);
        int client = accept(listener, NULL, NULL);
        serve(&r, client, socket_at(server_path, false), report);
        _exit(r.has_killed ? RELAY_HAS_KILLED : 0);
    }
    close(listener);
    return child;
}
