/* cli/terminal.c - termios(3) and the few sequences of ECMA-48 and xterm that every terminal knows. */
#include "cli/terminal.h"
#include "base/buf.h"
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ENTER                                                                                                \
    "\x1b[?1049h\x1b[?25l\x1b[?7l" /* other screen, no cursor, no wrapping of lines that are too long */
#define LEAVE "\x1b[?7h\x1b[?25h\x1b[?1049l"

static struct termios before;
static bool is_entered;
static volatile sig_atomic_t should_end, should_stop;

static void note_end(int number)
{
    (void)number;
    should_end = 1;
}

static void note_stop(int number)
{
    (void)number;
    should_stop = 1;
}

static bool set_raw(void)
{
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0 && cli_print(STR(ENTER));
}

bool terminal_enter(void)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    struct sigaction act = {.sa_handler = note_end};
    for (unsigned i = 0; i < sizeof ending / sizeof *ending; i++)
        sigaction(ending[i], &act, NULL);
    act.sa_handler = note_stop;
    sigaction(SIGTSTP, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    is_entered = set_raw();
    if (!is_entered)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return is_entered;
}

void terminal_leave(void)
{
    if (!is_entered)
        return;
    is_entered = false;
    cli_print(STR(LEAVE));
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

/* Ctrl-Z: the shell gets its terminal as it was, and afterwards we get ours. */
static void stop_and_return(void)
{
    should_stop = 0;
    terminal_leave();
    raise(SIGSTOP);
    is_entered = set_raw();
    should_end = !is_entered;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1'000'000;
}

/* A key that was pressed; 0: none. Sets should_end when the terminal is gone. */
static char read_key(const struct pollfd *wait)
{
    char key = 0;
    if (wait->revents & (POLLHUP | POLLERR | POLLNVAL))
        should_end = 1;
    else if (wait->revents & POLLIN && read(STDIN_FILENO, &key, 1) != 1)
        key = 0;
    return key;
}

bool terminal_wait_key(unsigned ms, const char *keys)
{
    uint64_t end_ms = now_ms() + ms;
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
        if (should_stop)
            stop_and_return();
        if (should_end)
            return true;
        if (now >= end_ms)
            return false;
        int n = poll(&wait, 1, (int)(end_ms - now));
        if (n < 0 && errno != EINTR)
            return true;
        char key = n > 0 ? read_key(&wait) : '\0';
        if (key && strchr(keys, key))
            return true;
    }
}

void terminal_draw(struct str picture)
{
    static char memory[1 << 20];
    struct buf out = buf_over(memory, sizeof memory);
    struct winsize size = {.ws_row = 24};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    BUF_LIT(&out, "\x1b[H"); /* drawn over what is there, so that nothing flickers */
    for (unsigned row = 0; picture.p && row + 1 < size.ws_row; row++) {
        buf_str(&out, str_cut(&picture, '\n'));
        BUF_LIT(&out, "\x1b[0m\x1b[K\r\n");
    }
    BUF_LIT(&out, "\x1b[J\x1b[2mq quits\x1b[0m");
    if (!buf_overflowed(&out) && !cli_print(buf_text(&out)))
        should_end = 1;
}
