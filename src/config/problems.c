#include "config/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1024, QUOTE_MAX = 60, NEAREST_MAX = 48 };

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

struct nearest nearest_to(struct str wanted)
{
    /* A third of the letters may be wrong; beyond that a suggestion is a guess. */
    return (struct nearest){wanted, STR_NONE, (unsigned)(wanted.n < 3 ? 1 : wanted.n / 3) + 1};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b: optimal string alignment. */
static unsigned edit_distance(struct str a, struct str b)
{
    unsigned rows[3][NEAREST_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            bool same = ascii_lower(a.p[i - 1]) == ascii_lower(b.p[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1, UINT32_MAX);
        }
    }
    return rows[a.n % 3][b.n];
}

void nearest_try(struct nearest *near, struct str candidate)
{
    size_t longer = near->wanted.n > candidate.n ? near->wanted.n : candidate.n;
    size_t shorter = near->wanted.n + candidate.n - longer;
    if (shorter == 0 || longer > NEAREST_MAX || longer - shorter >= near->best_distance)
        return;
    unsigned distance = edit_distance(near->wanted, candidate);
    if (distance < near->best_distance) {
        near->best = candidate;
        near->best_distance = distance;
    }
}

struct str nearest_hint(const struct nearest *near, struct problems *ps)
{
    if (near->best.n == 0)
        return STR_NONE;
    return arena_printf(ps->arena, "did you mean %s?", problem_quote(ps, near->best));
}
