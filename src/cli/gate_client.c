/* cli/gate_client.c - asking the gate over its control socket, and reading the answer. */
#include "base/unconst.h"
#include "cli/cli.h"
#include "config/config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { QUESTION_MAX = 8192, ANSWER_MAX = 32 << 20, ANSWER_STEP = 1 << 16, DEPTH = 16 };

#define DEFAULT_SOCKET "/run/polder/control.sock"
#define SOCKET_NAME    "/control.sock"

/* ---- where the socket is */

/* The socket in the run_directory that a configuration names. False: it cannot be read, or has mistakes. */
static bool socket_of_config(const char *path, struct buf *ret)
{
    struct arena *arena = arena_new(16 << 20);
    struct config_disk *disk = config_disk_new(str_of(path));
    struct config_problem *problems;
    unsigned count;
    struct str yaml, error;
    struct config *config = NULL;
    if (arena && disk && config_disk_open(disk, &yaml, &error)) {
        struct config_files files = config_disk_files(disk);
        config = config_parse(str_of(path), yaml, &files, arena, &problems, &count);
    }
    if (config) {
        buf_str(ret, config->gate.run_directory);
        BUF_LIT(ret, SOCKET_NAME);
    }
    bool is_found = config != NULL;
    config_free(config);
    config_disk_free(disk);
    arena_free(arena);
    return is_found;
}

static enum exit_status find_socket(const struct cli *cli, struct sockaddr_un *ret)
{
    struct buf path = buf_over(ret->sun_path, sizeof ret->sun_path - 1);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (cli->socket) {
        buf_str(&path, str_of(cli->socket));
    } else if (!cli->config) {
        BUF_LIT(&path, DEFAULT_SOCKET);
    } else if (!socket_of_config(cli->config, &path)) {
        cli_complain("the configuration %s cannot be used; `polder check %s` says why, --socket names the "
                     "socket itself",
                     cli->config, cli->config);
        return EXIT_PROBLEMS;
    }
    if (buf_overflowed(&path)) {
        cli_complain("the path of the control socket is too long (at most %zu bytes)",
                     sizeof ret->sun_path - 1);
        return EXIT_USAGE;
    }
    return EXIT_FINE;
}

/* ---- asking */

static void complain_of_connect(const struct cli *cli, const char *path, int error)
{
    bool is_default = !cli->socket && !cli->config;
    const char *hint =
        is_default
            ? "; if it runs elsewhere, name its configuration with --config or its socket with --socket"
            : "";
    if (error == ENOENT)
        cli_complain("the gate is not running: there is no socket at %s%s", path, hint);
    else if (error == ECONNREFUSED)
        cli_complain(
            "the gate is not running: nobody listens at %s; start it with systemctl start polder-gate", path);
    else if (error == EACCES || error == EPERM)
        cli_complain("this user may not ask the gate at %s: run polder as root, or join the gate's group",
                     path);
    else
        cli_complain("the gate cannot be reached at %s: %s", path, strerror(error));
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1'000'000;
}

/* Reads until the gate closes. Returns 0 or a positive errno; ETIMEDOUT when it takes too long. */
static int read_answer(int fd, unsigned timeout_s, struct str *ret)
{
    uint64_t end_ms = now_ms() + timeout_s * UINT64_C(1000);
    char *memory = NULL;
    size_t n = 0, cap = 0;
    int error = 0;
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int is_ready = now < end_ms ? poll(&wait, 1, (int)(end_ms - now)) : 0;
        if (is_ready < 0 && errno == EINTR)
            continue;
        if (is_ready <= 0) {
            error = is_ready < 0 ? errno : ETIMEDOUT;
            break;
        }
        if (cap - n < ANSWER_STEP) {
            char *more = cap < ANSWER_MAX ? realloc(memory, cap + (cap ? cap : 2 * ANSWER_STEP)) : NULL;
            if (!more) {
                error = ENOMEM;
                break;
            }
            memory = more;
            cap += cap ? cap : 2 * ANSWER_STEP;
        }
        ssize_t got = recv(fd, memory + n, cap - n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            error = got < 0 ? errno : 0;
            break;
        }
        n += (size_t)got;
    }
    if (error) {
        free(memory);
        return error;
    }
    *ret = (struct str){memory, n};
    return 0;
}

static int connect_and_ask(const struct sockaddr_un *address, const char *command, int *ret_fd)
{
    char line[QUESTION_MAX];
    struct buf question = buf_over(line, sizeof line);
    buf_str(&question, str_of(command));
    buf_char(&question, '\n');
    if (buf_overflowed(&question))
        return E2BIG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        send(fd, question.p, question.n, MSG_NOSIGNAL) != (ssize_t)question.n) {
        int error = errno;
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

enum exit_status gate_ask(const struct cli *cli, const char *command, unsigned timeout_s, bool is_quiet,
                          struct str *ret_answer)
{
    struct sockaddr_un address;
    int fd = -1;
    enum exit_status found = find_socket(cli, &address);
    if (found != EXIT_FINE)
        return found;
    int error = connect_and_ask(&address, command, &fd);
    if (error && !is_quiet)
        complain_of_connect(cli, address.sun_path, error == EPIPE || error == ECONNRESET ? EACCES : error);
    if (error)
        return EXIT_NOT_RUNNING;
    error = read_answer(fd, timeout_s, ret_answer);
    close(fd);
    if (error == 0 && ret_answer->n > 0)
        return EXIT_FINE;
    if (error == 0)
        free(unconst(ret_answer->p));
    if (!is_quiet && error == ETIMEDOUT)
        cli_complain("the gate did not answer in %u seconds; see its event log", timeout_s);
    else if (!is_quiet) /* it accepts and closes: the credentials were not enough, or too many ask at once */
        complain_of_connect(cli, address.sun_path, error && error != ECONNRESET ? error : EACCES);
    return EXIT_NOT_RUNNING;
}

/* ---- the answer */

bool document_open(struct document *d, struct str text)
{
    *d = (struct document){.text = unconst(text.p), .arena = arena_new(ANSWER_MAX)};
    d->nodes = calloc(json_nodes_max(text.n), sizeof *d->nodes);
    if (d->nodes && d->arena &&
        json_parse(text, DEPTH, d->nodes, json_nodes_max(text.n), &d->tape, NULL) == JSON_FINE &&
        json_type(&d->tape, 0) == JSON_OBJECT)
        return true;
    document_close(d);
    return false;
}

void document_close(struct document *d)
{
    free(d->text);
    free(d->nodes);
    arena_free(d->arena);
    *d = (struct document){0};
}

enum exit_status gate_ask_document(const struct cli *cli, const char *command, unsigned timeout_s,
                                   bool is_quiet, struct document *ret)
{
    struct str answer;
    enum exit_status status = gate_ask(cli, command, timeout_s, is_quiet, &answer);
    if (status != EXIT_FINE)
        return status;
    if (!document_open(ret, answer)) {
        if (!is_quiet)
            cli_complain("the gate's answer is no JSON document; are polder and polder-gate of one version?");
        return EXIT_BROKEN;
    }
    struct str error = document_text(ret, 0, "error");
    if (error.n == 0)
        return EXIT_FINE;
    while (error.n && error.p[error.n - 1] == '\n')
        error.n--;
    if (!is_quiet)
        cli_complain("%.*s", STR_ARG(error));
    document_close(ret);
    return EXIT_PROBLEMS;
}

struct str document_text(const struct document *d, uint32_t object, const char *name)
{
    uint32_t node = json_get(&d->tape, object, str_of(name));
    if (node == JSON_NONE || json_type(&d->tape, node) != JSON_STRING)
        return STR("");
    return json_string(&d->tape, node, d->arena);
}

uint64_t document_number(const struct document *d, uint32_t object, const char *name)
{
    uint64_t value = 0;
    json_get_u64(&d->tape, json_get(&d->tape, object, str_of(name)), &value);
    return value;
}

int64_t document_integer(const struct document *d, uint32_t object, const char *name)
{
    int64_t value = 0;
    json_get_i64(&d->tape, json_get(&d->tape, object, str_of(name)), &value);
    return value;
}

bool document_flag(const struct document *d, uint32_t object, const char *name)
{
    uint32_t node = json_get(&d->tape, object, str_of(name));
    return node != JSON_NONE && json_type(&d->tape, node) == JSON_TRUE;
}

uint32_t document_list(const struct document *d, uint32_t object, const char *name, uint32_t *ret_count)
{
    uint32_t node = json_get(&d->tape, object, str_of(name));
    *ret_count = 0;
    if (node == JSON_NONE || json_type(&d->tape, node) != JSON_ARRAY)
        return JSON_NONE;
    *ret_count = json_count(&d->tape, node);
    return json_first(&d->tape, node);
}
