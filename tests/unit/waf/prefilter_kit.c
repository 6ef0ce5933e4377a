#include "prefilter_kit.h"

#include <stdio.h>

void filter_init(struct filter *f)
{
    *f = (struct filter){.arena = arena_new(512 << 20), .rx_room = rx_room_new(100'000), .lanes = 1};
    assert_true(f->arena && f->rx_room);
}

static bool is_words(enum operator_kind op)
{
    return op == OP_PM || op == OP_PM_FROM_FILE;
}

static struct pm *make_words(struct arena *arena, const struct prefilter_pattern *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->word_count; i++)
        bytes += p->words[i].n;
    struct pm *pm = pm_new(arena, p->word_count, bytes);
    assert_non_null(pm);
    for (size_t i = 0; i < p->word_count; i++)
        pm_add(pm, p->words[i]);
    assert_true(pm_build(pm, arena));
    return pm;
}

void filter_add(struct filter *f, struct prefilter_pattern pattern)
{
    struct operator_compiled compiled = {0};
    struct rx_problem problem;
    assert_true(f->count < FILTER_PATTERNS_MAX);
    if (pattern.op == OP_RX && !(compiled.rx = rx_new(pattern.argument, RX_OPERATOR, &problem)))
        return;
    if (is_words(pattern.op))
        compiled.pm = make_words(f->arena, &pattern);
    f->patterns[f->count] = pattern;
    f->compiled[f->count++] = compiled;
}

void filter_compile(struct filter *f)
{
    prefilter_key(f->patterns, f->count, f->key);
    assert_true(prefilter_compile(f->patterns, f->count, f->lanes, f->arena, NULL, NULL, &f->bytes));
    f->prefilter = prefilter_open(f->bytes, f->key);
    assert_non_null(f->prefilter);
    f->room = prefilter_room_new(f->prefilter);
    assert_non_null(f->room);
}

void filter_done(struct filter *f)
{
    for (size_t i = 0; i < f->count; i++)
        rx_free(f->compiled[i].rx);
    prefilter_room_free(f->room);
    prefilter_close(f->prefilter);
    rx_room_free(f->rx_room);
    arena_free(f->arena);
}

/* As the operator sees it: after t:lowercase where case does not count. */
bool filter_holds(struct filter *f, size_t i, struct str value)
{
    struct operator_outcome outcome;
    char *lower = NULL;
    if (f->patterns[i].is_caseless) {
        lower = malloc(value.n + 1);
        assert_non_null(lower);
        for (size_t at = 0; at < value.n; at++)
            lower[at] = ascii_lower(value.p[at]);
        value.p = lower;
    }
    bool holds = operator_run(f->patterns[i].op, &f->compiled[i], f->rx_room, f->patterns[i].argument, value,
                              f->arena, &outcome);
    free(lower);
    return holds;
}

void filter_scan(struct filter *f, struct str text)
{
    memset(f->bits, 0, sizeof f->bits);
    for (unsigned lane = 0; lane < f->lanes; lane++)
        assert_true(prefilter_scan(f->prefilter, f->room, lane, text, f->bits));
}

bool filter_may(const struct filter *f, size_t pattern)
{
    return !prefilter_selects(f->prefilter, (uint32_t)pattern) ||
           (f->bits[pattern / 64] >> (pattern % 64) & 1);
}

static struct str join(const struct str *values, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_char(out, '\n');
        buf_str(out, values[i]);
    }
    assert_false(buf_overflowed(out));
    return buf_text(out);
}

static void print_bytes(const char *name, struct str s)
{
    fprintf(stderr, "%s: \"", name);
    for (size_t i = 0; i < s.n; i++) {
        bool is_plain = s.p[i] >= ' ' && s.p[i] <= '~';
        fprintf(stderr, is_plain ? "%c" : "\\x%02x", is_plain ? s.p[i] : (unsigned char)s.p[i]);
    }
    fprintf(stderr, "\"\n");
}

size_t filter_check(struct filter *f, const struct str *values, size_t count)
{
    size_t holding = 0;
    char *memory = malloc(FILTER_TEXT_MAX);
    assert_non_null(memory);
    struct buf out = buf_over(memory, FILTER_TEXT_MAX);
    struct str text = join(values, count, &out);
    filter_scan(f, text);
    for (size_t i = 0; i < f->count; i++) {
        for (size_t v = 0; v < count; v++) {
            if (!prefilter_selects(f->prefilter, (uint32_t)i) || !filter_holds(f, i, values[v]))
                continue;
            holding++;
            if (filter_may(f, i))
                continue;
            print_bytes("pattern", f->patterns[i].argument);
            print_bytes("value", values[v]);
            print_bytes("text", text);
            fail_msg("the operator holds and the pattern was not selected");
        }
    }
    free(memory);
    return holding;
}
