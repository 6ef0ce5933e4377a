/* gate/observer_out.c - log files: few large writes, and never a wait for a reader that stalls. */
#include "gate/observer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 4096
}; /* what a pipe or terminal that is ready takes without blocking (pipe(7), PIPE_BUF) */

/* By its number (Documentation/admin-guide/devices.txt of the kernel): a sandboxed process may look up no
 * path. */
static bool is_device_null(const struct stat *file)
{
    return S_ISCHR(file->st_mode) && file->st_rdev == makedev(1, 3);
}

/* Sets fd and what is known about it; closes it when there is nothing to write to. */
static void set_file(struct log_out *log, int fd)
{
    struct stat file;
    log->fd = -1;
    if (fstat(fd, &file) != 0) {
        close(fd);
        return;
    }
    log->is_file = S_ISREG(file.st_mode);
    log->fd = fd;
}

bool log_out_init(struct log_out *log, int fd)
{
    struct stat file;
    *log = (struct log_out){.fd = -1};
    if (fstat(fd, &file) != 0 || is_device_null(&file)) {
        close(fd);
        return true;
    }
    set_file(log, fd);
    char *memory = malloc(LOG_BUFFER_BYTES);
    log->waiting = buf_over(memory, LOG_BUFFER_BYTES);
    return memory != NULL;
}

void log_out_done(struct log_out *log)
{
    if (log->fd >= 0) {
        log_out_flush(log);
        close(log->fd);
    }
    free(log->waiting.p);
    *log = (struct log_out){.fd = -1};
}

void log_out_reopen(struct log_out *log, int fd)
{
    if (!log->waiting.p) { /* it was off */
        if (!log_out_init(log, fd))
            log_out_done(log);
        return;
    }
    log_out_flush(log);
    if (log->fd >= 0)
        close(log->fd);
    set_file(log, fd);
}

static bool may_write(const struct log_out *log)
{
    struct pollfd wait = {.fd = log->fd, .events = POLLOUT};
    return log->is_file || (poll(&wait, 1, 0) == 1 && wait.revents & POLLOUT);
}

void log_out_flush(struct log_out *log)
{
    size_t done = 0;
    while (done < log->waiting.n && log->fd >= 0 && may_write(log)) {
        size_t piece = log->waiting.n - done;
        if (!log->is_file && piece > PIECE_BYTES)
            piece = PIECE_BYTES;
        ssize_t n = write(log->fd, log->waiting.p + done, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log->last_error = errno;
            log->failures++;
            break;
        }
        done += (size_t)n;
    }
    if (done) {
        memmove(log->waiting.p, log->waiting.p + done, log->waiting.n - done);
        log->waiting.n -= done;
    }
}

bool log_out_has_room(struct log_out *log)
{
    if (log->fd < 0)
        return true;
    if (log->waiting.cap - log->waiting.n < LOG_LINE_MAX)
        log_out_flush(log);
    return log->waiting.cap - log->waiting.n >= LOG_LINE_MAX;
}

void log_out_line(struct log_out *log, struct str line)
{
    if (log->fd < 0)
        return;
    if (!log_out_has_room(log) || line.n > LOG_LINE_MAX) {
        log->failures++;
        return;
    }
    buf_str(&log->waiting, line);
    log->lines++;
}
