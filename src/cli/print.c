/* cli/print.c - tables and numbers for people. */
#include "cli/cli.h"
#include "json/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { CELLS_FIRST = 64, GAP = 2 };

void print_safe(struct buf *out, struct str text)
{
    while (text.n) {
        unsigned bad;
        unsigned length = utf8_sequence(text.p, text.n, &bad);
        uint8_t first = (uint8_t)text.p[0];
        bool is_control = length == 1 && (first < 0x20 || first == 0x7f);
        bool is_c1 = length == 2 && first == 0xc2 && (uint8_t)text.p[1] < 0xa0;
        if (length == 0 || is_control || is_c1)
            buf_char(out, '?');
        else
            buf_add(out, text.p, length);
        text = str_skip(text, length ? length : bad);
    }
}

size_t display_width(struct str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.n; i++)
        width += !utf8_continues((uint8_t)text.p[i]);
    return width;
}

/* ---- tables */

static bool grow(struct table *t)
{
    unsigned room = t->room ? t->room * 2 : CELLS_FIRST;
    struct str *cells = arena_alloc(t->arena, room * sizeof *cells);
    if (!cells)
        return false;
    if (t->count)
        memcpy(cells, t->cells, t->count * sizeof *cells);
    t->cells = cells;
    t->room = room;
    return true;
}

void table_text(struct table *t, struct str text)
{
    char memory[512];
    struct buf safe = buf_over(memory, sizeof memory);
    if (t->count == t->room && !grow(t)) {
        t->overflowed = true;
        return;
    }
    print_safe(&safe, str_take(text, sizeof memory));
    t->cells[t->count++] = arena_copy(t->arena, buf_text(&safe));
}

void table_printf(struct table *t, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* cut where it is too long */
    va_end(args);
    table_text(t, str_of(text));
}

void table_begin(struct table *t, struct arena *arena, const char *const heads[])
{
    *t = (struct table){.arena = arena};
    while (heads[t->columns])
        t->columns++;
    for (unsigned i = 0; i < t->columns && i < TABLE_COLUMNS_MAX; i++) {
        t->is_number[i] = heads[i][0] == '>';
        table_text(t, str_of(heads[i] + t->is_number[i]));
    }
}

void table_role(struct table *t, struct str role, uint64_t slot)
{
    if (str_eq(role, STR("worker")) || str_eq(role, STR("dialer")))
        table_printf(t, "%.*s %llu", STR_ARG(role), (unsigned long long)slot);
    else
        table_text(t, role);
}

static void print_cell(struct buf *out, struct str text, size_t width, bool is_number, bool is_last)
{
    size_t pad = width - display_width(text);
    for (size_t i = 0; is_number && i < pad; i++)
        buf_char(out, ' ');
    buf_str(out, text);
    for (size_t i = 0; !is_number && !is_last && i < pad; i++)
        buf_char(out, ' ');
    for (unsigned i = 0; !is_last && i < GAP; i++)
        buf_char(out, ' ');
}

void table_print(const struct table *t, struct buf *out, bool color)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (unsigned i = 0; i < t->count; i++) {
        size_t width = display_width(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (unsigned row = 0; row + t->columns <= t->count; row += t->columns) {
        if (color && row == 0)
            BUF_LIT(out, "\x1b[1m");
        for (unsigned c = 0; c < t->columns; c++)
            print_cell(out, t->cells[row + c], widths[c], t->is_number[c], c + 1 == t->columns);
        if (color && row == 0)
            BUF_LIT(out, "\x1b[0m");
        buf_char(out, '\n');
    }
}

/* ---- numbers */

/* value / unit with three digits that count: "1.23", "12.3", "123". */
static void print_scaled(struct buf *out, uint64_t value, uint64_t unit, const char *name)
{
    double scaled = (double)value / (double)unit;
    buf_printf(out, "%.*f%s", scaled < 10 ? 2 : scaled < 100 ? 1 : 0, scaled, name);
}

void print_duration_us(struct buf *out, uint64_t us)
{
    if (us < 1000)
        buf_printf(out, "%lluus", (unsigned long long)us);
    else if (us < 1'000'000)
        print_scaled(out, us, 1000, "ms");
    else
        print_scaled(out, us, 1'000'000, "s");
}

void print_duration_s(struct buf *out, uint64_t s)
{
    unsigned long long minutes = s / 60, hours = minutes / 60, days = hours / 24;
    if (days)
        buf_printf(out, "%llud %lluh", days, hours % 24);
    else if (hours)
        buf_printf(out, "%lluh %llum", hours, minutes % 60);
    else if (minutes)
        buf_printf(out, "%llum %llus", minutes, (unsigned long long)s % 60);
    else
        buf_printf(out, "%llus", (unsigned long long)s);
}

void print_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const names[] = {" B", " kB", " MB", " GB", " TB", " PB"};
    uint64_t unit = 1;
    unsigned i = 0;
    while (bytes / unit >= 1000 && i + 1 < sizeof names / sizeof *names) {
        unit *= 1000;
        i++;
    }
    if (i == 0)
        buf_printf(out, "%llu B", (unsigned long long)bytes);
    else
        print_scaled(out, bytes, unit, names[i]);
}

void print_count(struct buf *out, uint64_t n)
{
    char digits[20];
    struct buf text = buf_over(digits, sizeof digits);
    buf_u64(&text, n);
    for (size_t i = 0; i < text.n; i++) {
        if (i > 0 && (text.n - i) % 3 == 0)
            buf_char(out, ',');
        buf_char(out, digits[i]);
    }
}
