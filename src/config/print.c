/* config/print.c - problems as an operator reads them. */
#include "config/config.h"

enum { SHOWN_MAX = 100, SHOWN_BEFORE = 60 };

struct printer {
    struct buf *out;
    struct str path;
    struct str rest; /* the text from line `number` on */
    unsigned number;
    bool color;
};

static void paint(struct printer *p, const char *code)
{
    if (p->color)
        buf_printf(p->out, "\033[%sm", code);
}

static void print_head(struct printer *p, const struct config_problem *problem)
{
    paint(p, "1");
    buf_str(p->out, p->path);
    if (problem->line)
        buf_printf(p->out, ":%u", problem->line);
    if (problem->line && problem->column)
        buf_printf(p->out, ":%u", problem->column);
    BUF_LIT(p->out, ": ");
    paint(p, problem->is_warning ? "33" : "31");
    buf_str(p->out, problem->is_warning ? STR("warning: ") : STR("error: "));
    paint(p, "0");
    buf_str(p->out, problem->text);
    buf_char(p->out, '\n');
}

/* Problems come in order of line, so the text is walked once. */
static struct str line_at(struct printer *p, unsigned line)
{
    while (p->number < line && p->rest.n) {
        str_cut(&p->rest, '\n');
        p->number++;
    }
    struct str rest = p->rest;
    return p->number == line ? str_cut(&rest, '\n') : STR_NONE;
}

/* Bytes of the first `count` characters. */
static size_t char_bytes(struct str s, size_t count)
{
    size_t at = 0;
    while (at < s.n && count--)
        do
            at++;
        while (at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80);
    return at;
}

static void print_line(struct printer *p, const struct config_problem *problem)
{
    struct str line = line_at(p, problem->line);
    size_t column = problem->column ? problem->column - 1 : 0;
    size_t from = column > SHOWN_MAX ? column - SHOWN_BEFORE : 0;
    line = str_skip(line, char_bytes(line, from));
    line = str_take(line, char_bytes(line, SHOWN_MAX + 20));
    buf_printf(p->out, "%5u | ", problem->line);
    for (size_t i = 0; i < line.n; i++)
        buf_char(p->out, (unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f ? ' ' : line.p[i]);
    if (problem->column) {
        BUF_LIT(p->out, "\n      | ");
        for (size_t i = from; i < column; i++)
            buf_char(p->out, ' ');
        paint(p, "1;32");
        buf_char(p->out, '^');
        paint(p, "0");
    }
    buf_char(p->out, '\n');
}

void config_problems_print(struct buf *out, struct str path, struct str yaml,
                           const struct config_problem *problems, unsigned count, bool color)
{
    struct printer p = {out, path, yaml, 1, color};
    for (unsigned i = 0; i < count; i++) {
        print_head(&p, &problems[i]);
        if (problems[i].line)
            print_line(&p, &problems[i]);
        if (problems[i].hint.n) {
            BUF_LIT(out, "help: ");
            buf_str(out, problems[i].hint);
            buf_char(out, '\n');
        }
    }
}
