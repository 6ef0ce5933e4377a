/* Whatever patterns and values come together: a pattern whose operator holds for one of the values is
 * selected in their joined text; and bytes that are opened are those that were compiled.
 *
 * Input: one line a pattern, an empty line, then the values, NUL between them. A pattern's first byte is its
 * operator (r, c, s, b, e, w for @rx, @contains, @streq, @beginsWith, @endsWith, @pm); in upper case it comes
 * after t:lowercase. */
#include "base/must.h"
#include "waf/prefilter.h"
#include "waf/prefilter_tree.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1024, PATTERNS_MAX = 6, ARGUMENT_MAX = 60, TREE_SIZE_MAX = 300, VALUES_MAX = 8 };

struct state {
    struct arena *arena;
    struct prefilter_pattern patterns[PATTERNS_MAX];
    struct operator_compiled compiled[PATTERNS_MAX];
    struct str words[PATTERNS_MAX];
    size_t count;
};

static bool operator_of(char c, enum operator_kind *ret)
{
    static const struct {
        char letter;
        enum operator_kind op;
    } letters[] = {{'r', OP_RX},          {'c', OP_CONTAINS},  {'s', OP_STREQ},
                   {'b', OP_BEGINS_WITH}, {'e', OP_ENDS_WITH}, {'w', OP_PM}};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        if (letters[i].letter == ascii_lower(c)) {
            *ret = letters[i].op;
            return true;
        }
    }
    return false;
}

/* False: not worth the time it would take to compile. */
static bool compile_operator(struct state *s, struct prefilter_pattern *p, struct operator_compiled *ret)
{
    struct rx_problem problem;
    if (p->op == OP_PM) {
        s->words[s->count] = p->argument;
        p->words = &s->words[s->count];
        p->word_count = 1;
        ret->pm = pm_new(s->arena, 1, p->argument.n);
        must(ret->pm);
        pm_add(ret->pm, p->argument);
        must(pm_build(ret->pm, s->arena));
    }
    if (p->op != OP_RX)
        return true;
    struct tree *tree = tree_parse(s->arena, p->argument);
    if (tree && tree_size(tree) > TREE_SIZE_MAX)
        return false;
    ret->rx = rx_new(p->argument, RX_OPERATOR, &problem);
    return ret->rx;
}

static void add_pattern(struct state *s, struct str line)
{
    struct operator_compiled compiled = {0};
    struct prefilter_pattern pattern = {.argument = str_skip(line, 1)};
    if (s->count == PATTERNS_MAX || line.n > ARGUMENT_MAX || !operator_of(line.p[0], &pattern.op))
        return;
    pattern.is_caseless = line.p[0] != ascii_lower(line.p[0]);
    if (!compile_operator(s, &pattern, &compiled))
        return;
    s->patterns[s->count] = pattern;
    s->compiled[s->count++] = compiled;
}

static bool holds(const struct state *s, size_t i, struct rx_room *room, struct str value)
{
    struct operator_outcome outcome;
    char *copy = arena_bytes(s->arena, value.n + 1);
    for (size_t at = 0; at < value.n; at++)
        copy[at] = s->patterns[i].is_caseless ? ascii_lower(value.p[at]) : value.p[at];
    return operator_run(s->patterns[i].op, &s->compiled[i], room, s->patterns[i].argument,
                        (struct str){copy, value.n}, s->arena, &outcome);
}

static void check_values(const struct state *s, const struct prefilter *prefilter, struct str values)
{
    struct rx_room *rx_room = rx_room_new(10'000);
    struct prefilter_room *room = prefilter_room_new(prefilter);
    char *text = arena_bytes(s->arena, values.n + 1);
    uint64_t bits = 0;
    must(rx_room && room && text);
    for (size_t i = 0; i < values.n; i++)
        text[i] = values.p[i] ? values.p[i] : '\n';
    must(prefilter_scan(prefilter, room, 0, (struct str){text, values.n}, &bits));
    for (unsigned v = 0; v < VALUES_MAX && values.p; v++) {
        struct str value = str_cut(&values, 0);
        for (uint32_t i = 0; i < s->count; i++) {
            if (prefilter_selects(prefilter, i) && !(bits >> i & 1))
                must(!holds(s, i, rx_room, value));
        }
    }
    prefilter_room_free(room);
    rx_room_free(rx_room);
}

static void check(struct state *s, struct str values)
{
    char key[64];
    struct str bytes;
    prefilter_key(s->patterns, s->count, key);
    must(prefilter_compile(s->patterns, s->count, 1, s->arena, NULL, NULL, &bytes));
    struct prefilter *prefilter = prefilter_open(bytes, key);
    must(prefilter);
    check_values(s, prefilter, values);
    prefilter_close(prefilter);
    key[0] ^= 1;
    must(!prefilter_open(bytes, key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state s = {.arena = arena_new(256 << 20)};
    struct str rest = {(const char *)data, size};
    must(s.arena);
    for (struct str line; size <= INPUT_MAX && rest.p && (line = str_cut(&rest, '\n')).n;)
        add_pattern(&s, line);
    if (s.count && rest.p)
        check(&s, rest);
    for (size_t i = 0; i < s.count; i++)
        rx_free(s.compiled[i].rx);
    arena_free(s.arena);
    return 0;
}
