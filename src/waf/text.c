#include "waf/text.h"

struct str text_trim(struct str s)
{
    while (s.n && is_space(s.p[0]))
        s = str_skip(s, 1);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool text_starts_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_nocase(str_take(s, prefix.n), prefix);
}

bool text_contains_any(struct str s, const char *const *what)
{
    for (; *what; what++) {
        struct str sought = str_of(*what);
        for (size_t i = 0; i + sought.n <= s.n; i++) {
            if (text_starts_nocase(str_skip(s, i), sought))
                return true;
        }
    }
    return false;
}

int64_t text_number(struct str s)
{
    const int64_t max = INT32_MAX; /* ModSecurity counts in int */
    size_t i = 0;
    while (i < s.n && is_space(s.p[i]))
        i++;
    bool is_negative = i < s.n && s.p[i] == '-';
    i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
    int64_t value = 0;
    for (; i < s.n && is_digit(s.p[i]); i++) {
        value = value * 10 + (s.p[i] - '0');
        if (value > max)
            value = max;
    }
    return is_negative ? -value : value;
}

struct str text_of_number(struct arena *arena, int64_t value)
{
    enum { DIGITS_MAX = 24 };
    char *memory = arena_bytes(arena, DIGITS_MAX);
    struct buf out = buf_over(memory, memory ? DIGITS_MAX : 0);
    if (value < 0)
        buf_char(&out, '-');
    buf_u64(&out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    return buf_text(&out);
}

struct str text_url_decode(struct str s, struct arena *arena, unsigned *invalid)
{
    char *out = arena_bytes(arena, s.n);
    size_t n = 0;
    if (!out)
        return STR_NONE;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '+') {
            out[n++] = ' ';
        } else if (s.p[i] != '%') {
            out[n++] = s.p[i];
        } else if (s.n - i > 2 && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2])) {
            out[n++] = hex_byte(s.p + i + 1);
            i += 2;
        } else {
            out[n++] = '%';
            ++*invalid;
        }
    }
    return (struct str){out, n};
}

ptrdiff_t text_find(struct str s, struct str what)
{
    const char *at = what.n > s.n ? NULL : what.n ? memmem(s.p, s.n, what.p, what.n) : s.p;
    return at || !what.n ? at - s.p : -1;
}

bool pairs_add(struct pairs *list, struct arena *arena, struct str name, struct str value)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 8;
        struct pair *items = arena_alloc(arena, cap * sizeof *items);
        if (!items)
            return false;
        if (list->n)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = (struct pair){name, value};
    return true;
}

struct pair *pairs_find(const struct pairs *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (str_eq_nocase(list->items[i].name, name))
            return &list->items[i];
    }
    return NULL;
}
