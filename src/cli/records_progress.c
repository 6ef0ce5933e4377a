/* cli/records_progress.c - how far something is, for who waits for it. */
#include "cli/records.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, TERMINAL_EVERY_MS = 100, LINE_EVERY_MS = 5'000, GUESS_AFTER_MS = 1'000 };

uint64_t records_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1'000'000;
}

void records_progress_begin(struct records_progress *p, const char *what)
{
    uint64_t now = records_now_ms();
    *p = (struct records_progress){what, now, now, isatty(STDERR_FILENO), false};
}

static void write_bar(struct buf *out, uint64_t done, uint64_t all)
{
    unsigned full = all ? (unsigned)(BAR * (double)done / (double)all) : 0;
    buf_char(out, '[');
    for (unsigned i = 0; i < BAR; i++)
        buf_char(out, i < full ? '#' : '.');
    BUF_LIT(out, "] ");
}

void records_progress_show(struct records_progress *p, uint64_t done, uint64_t all, struct str extra)
{
    char memory[400];
    struct buf out = buf_over(memory, sizeof memory);
    uint64_t now = records_now_ms(), spent = now - p->began_ms;
    if (now - p->said_ms < (p->is_terminal ? TERMINAL_EVERY_MS : LINE_EVERY_MS))
        return;
    p->said_ms = now;
    p->has_said = true;
    if (p->is_terminal)
        BUF_LIT(&out, "\r\x1b[K");
    buf_printf(&out, "%.100s ", p->what);
    if (p->is_terminal)
        write_bar(&out, done, all);
    buf_printf(&out, "%u %%", all ? (unsigned)(100 * (double)done / (double)all) : 0);
    if (extra.n)
        buf_printf(&out, ", %.*s", STR_ARG(extra));
    if (spent >= GUESS_AFTER_MS && done && done < all) {
        BUF_LIT(&out, ", ");
        print_duration_s(&out, (uint64_t)((double)spent / (double)done * (double)(all - done) / 1000) + 1);
        BUF_LIT(&out, " left");
    }
    if (!p->is_terminal)
        buf_char(&out, '\n');
    fprintf(stderr, "%.*s", STR_ARG(buf_text(&out)));
}

void records_progress_end(struct records_progress *p)
{
    if (p->is_terminal && p->has_said)
        fputs("\r\x1b[K", stderr);
    p->has_said = false;
}

double records_progress_seconds(const struct records_progress *p)
{
    return (double)(records_now_ms() - p->began_ms) / 1000;
}
