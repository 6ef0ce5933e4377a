#include "engines.h"

#include "base/must.h"
#include "waf/tx.h"

struct outcome {
    enum waf_action actions[4];
    struct waf_verdict verdict;
    struct pairs vars;
};

/* Where a regular expression reached its limit the reference cannot tell and says so in this variable; a
 * prefilter that rules the pattern out can. */
static bool is_about_limits(struct str name)
{
    return str_eq_nocase(name, STR("MSC_PCRE_LIMITS_EXCEEDED"));
}

static void drop_limits(struct pairs *vars)
{
    size_t kept = 0;
    for (size_t i = 0; i < vars->n; i++) {
        if (!is_about_limits(vars->items[i].name))
            vars->items[kept++] = vars->items[i];
    }
    vars->n = kept;
}

static struct waf_tx *run(const struct waf_overlay *overlay, const struct exchange *e, struct arena *arena,
                          struct outcome *ret)
{
    static const struct target all = {.variable = VAR_TX};
    struct waf_tx *tx = waf_tx_new(overlay, &e->request, NULL, arena);
    must(tx);
    ret->actions[0] = waf_tx_request_head(tx);
    if (!ret->actions[0])
        ret->actions[1] = waf_tx_request_body(tx, e->body);
    if (!ret->actions[0] && !ret->actions[1] && e->response) {
        ret->actions[2] = waf_tx_response_head(tx, e->response);
        if (!ret->actions[2])
            ret->actions[3] = waf_tx_response_body(tx, e->answer);
    }
    waf_tx_logging(tx, 1000);
    ret->verdict = waf_tx_verdict(tx);
    ret->vars = tx_list(tx, &all);
    drop_limits(&ret->vars);
    return tx;
}

static const char *match_differs(const struct waf_match *a, const struct waf_match *b)
{
    if (a->rule_id != b->rule_id || a->rule != b->rule || a->phase != b->phase)
        return "rule";
    if (!str_eq(a->target, b->target))
        return "target";
    if (!str_eq(a->value, b->value))
        return "value";
    if (!str_eq(a->message, b->message) || !str_eq(a->data, b->data))
        return "message";
    return a->severity != b->severity || a->is_logged != b->is_logged || a->is_audited != b->is_audited
               ? "flags"
               : NULL;
}

static const char *matches_differ(const struct waf_verdict *a, const struct waf_verdict *b,
                                  struct arena *arena)
{
    for (size_t i = 0; i < a->match_count && i < b->match_count; i++) {
        const struct waf_match *x = &a->matches[i], *y = &b->matches[i];
        const char *what = match_differs(x, y);
        if (what)
            return arena_printf(
                       arena, "%s of match %zu: rule %llu at %.*s = %.*s, and rule %llu at %.*s = %.*s", what,
                       i, (unsigned long long)x->rule_id, STR_ARG(x->target), STR_ARG(x->value),
                       (unsigned long long)y->rule_id, STR_ARG(y->target), STR_ARG(y->value))
                .p;
    }
    return a->match_count != b->match_count || a->matches_left_out != b->matches_left_out
               ? "number of matches"
               : NULL;
}

static const char *vars_differ(const struct pairs *a, const struct pairs *b, struct arena *arena)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (!str_eq(a->items[i].name, b->items[i].name) || !str_eq(a->items[i].value, b->items[i].value))
            return arena_printf(arena, "TX: %.*s = %.*s, and %.*s = %.*s", STR_ARG(a->items[i].name),
                                STR_ARG(a->items[i].value), STR_ARG(b->items[i].name),
                                STR_ARG(b->items[i].value))
                .p;
    }
    return a->n != b->n ? "number of variables" : NULL;
}

static const char *outcomes_differ(const struct outcome *a, const struct outcome *b, struct arena *arena)
{
    const struct waf_verdict *x = &a->verdict, *y = &b->verdict;
    if (memcmp(a->actions, b->actions, sizeof a->actions) != 0)
        return "what a phase said";
    if (x->action != y->action || x->status != y->status || x->rule_id != y->rule_id)
        return "the decision";
    if (x->limit != y->limit)
        return "the limit";
    const char *what = matches_differ(x, y, arena);
    return what ? what : vars_differ(&a->vars, &b->vars, arena);
}

const char *engines_differ(const struct waf_overlay *one, const struct waf_overlay *other,
                           const struct exchange *e, struct arena *arena)
{
    struct outcome a = {0}, b = {0};
    struct waf_tx *x = run(one, e, arena, &a), *y = run(other, e, arena, &b);
    const char *what = outcomes_differ(&a, &b, arena);
    waf_tx_free(x);
    waf_tx_free(y);
    return what;
}

/* ---- chance */

uint64_t chance_next(struct chance *c)
{
    c->state ^= c->state << 13;
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return c->state;
}

static size_t below(struct chance *c, size_t n)
{
    return n ? (size_t)(chance_next(c) % n) : 0;
}

static const char *const bits[] = {
    "'", "\"",       "<script>",    "--",      "/*",           "*/",          "%00", "%27",  "%u0027",
    "+", "&#x3c;",   "&lt;",        "\\x3c",   "\\u0027",      " or 1=1",     "../", "..\\", ";",
    "|", "`",        "$(",          "${",      "union select", "A",           "a",   "\n",   "\r\n",
    "=", "&",        "%",           "\\",      "\xc3\xa9",     "\xc0\xaf",    "(",   ")",    "[",
    "]", "sleep(5)", "/etc/passwd", "cmd.exe", "onerror=",     "javascript:", "  ",  "\t",   ",",
    "#", "@",        "<",           ">",       "0x41",         "EVIL"};

struct str chance_mutate(struct chance *c, struct str s, struct arena *arena)
{
    struct str bit = str_of(bits[below(c, sizeof bits / sizeof *bits)]);
    size_t from = below(c, s.n + 1), n = below(c, s.n - from + 1) % 16;
    struct str before = str_take(s, from), middle = str_take(str_skip(s, from), n),
               after = str_skip(s, from + n);
    char *memory = arena_bytes(arena, s.n + bit.n + n);
    must(memory);
    struct buf out = buf_over(memory, s.n + bit.n + n);
    unsigned how = (unsigned)below(c, 4);
    buf_str(&out, before);
    if (how != 0) /* else it is taken out */
        buf_str(&out, middle);
    if (how == 1)
        buf_str(&out, middle);
    if (how >= 2)
        buf_str(&out, bit);
    buf_str(&out, after);
    if (how == 3 && out.n)
        out.p[below(c, out.n)] = (char)chance_next(c);
    return buf_text(&out);
}

struct exchange chance_exchange(struct chance *c, const struct exchange *from, struct arena *arena)
{
    struct exchange e = *from;
    struct waf_field *fields = arena_alloc(arena, (e.request.field_count + 1) * sizeof *fields);
    must(fields);
    for (size_t i = 0; i < e.request.field_count; i++) {
        fields[i] = from->request.fields[i];
        if (below(c, 12) == 0)
            fields[i].value = chance_mutate(c, fields[i].value, arena);
    }
    e.request.fields = fields;
    for (size_t n = below(c, 3) + 1; n > 0; n--) {
        if (e.body.n && below(c, 2))
            e.body = chance_mutate(c, e.body, arena);
        else
            e.request.target = chance_mutate(c, e.request.target, arena);
    }
    e.request.line = arena_printf(arena, "%.*s %.*s %.*s", STR_ARG(e.request.method),
                                  STR_ARG(e.request.target), STR_ARG(e.request.protocol));
    return e;
}
