#include "config/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1024, QUOTE_MAX = 60 };

static void add(struct problems *ps, struct place at, bool is_warning, struct str hint, const char *text)
{
    if (!is_warning)
        ps->error_count++;
    if (ps->count == PROBLEMS_MAX)
        ps->unlisted_count++;
    else
        ps->list[ps->count++] = (struct config_problem){at.line, at.column, is_warning,
                                                        arena_copy(ps->arena, str_of(text)), hint};
}

void problem_error(struct problems *ps, struct place at, struct str hint, const char *format, ...)
{
    char text[TEXT_MAX] = ""; /* what is longer is cut */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(ps, at, false, hint, text);
}

void problem_warn(struct problems *ps, struct place at, struct str hint, const char *format, ...)
{
    char text[TEXT_MAX] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(ps, at, true, hint, text);
}

const char *problem_quote(struct problems *ps, struct str text)
{
    char quoted[QUOTE_MAX + 8];
    struct buf b = buf_over(quoted, sizeof quoted);
    if (ps->count == PROBLEMS_MAX)
        return "";
    buf_char(&b, '\'');
    for (size_t i = 0; i < text.n && i < QUOTE_MAX; i++)
        buf_char(&b, (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i]);
    if (text.n > QUOTE_MAX)
        BUF_LIT(&b, "...");
    buf_char(&b, '\'');
    const char *z = arena_copy_z(ps->arena, buf_text(&b));
    return z ? z : "";
}

static int by_place(const void *a, const void *b)
{
    const struct config_problem *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return str_compare(x->text, y->text);
}

void problems_finish(struct problems *ps, struct config_problem **ret_list, unsigned *ret_count)
{
    *ret_list = NULL;
    *ret_count = 0;
    if (ps->count)
        qsort(ps->list, ps->count, sizeof *ps->list, by_place);
    if (ps->unlisted_count)
        ps->list[ps->count++] = (struct config_problem){
            .text = arena_printf(ps->arena, "%u more problems are not shown", ps->unlisted_count),
            .hint = STR("correct these first")};
    struct config_problem *list = arena_alloc(ps->arena, (ps->count ? ps->count : 1) * sizeof *list);
    if (!list)
        return;
    for (unsigned i = 0; i < ps->count; i++)
        list[i] = ps->list[i];
    *ret_list = list;
    *ret_count = ps->count;
}

struct str nearest_hint(const struct nearest *near, struct problems *ps)
{
    if (near->best.n == 0)
        return STR_NONE;
    return arena_printf(ps->arena, "did you mean %s?", problem_quote(ps, near->best));
}
