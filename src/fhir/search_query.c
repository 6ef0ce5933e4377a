/* From a query string to its pairs: form encoding, faults with their places, the order in which
 * pairs are read. _type comes first, since it says what the others are read for. */
#include "fhir/search_query_run.h"

#include "fhir/chars.h"
#include "json/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_MAX = 400, QUOTE_MAX = 60 };

/* ---- faults */

struct str query_quote(struct query_run *run, struct str text)
{
    size_t n = text.n;
    if (n > QUOTE_MAX) {
        for (n = QUOTE_MAX; n > 0 && utf8_continues((uint8_t)text.p[n]); n--)
            ;
    }
    return arena_printf(run->arena, "\"%.*s%s\"", (int)n, n ? text.p : "", n < text.n ? "..." : "");
}

struct str query_hint(struct query_run *run, const struct nearest *near)
{
    if (!near->best.n)
        return STR("");
    return arena_printf(run->arena, "did you mean %.*s?", STR_ARG(query_quote(run, near->best)));
}

static bool lies_in(struct str piece, struct str whole)
{
    uintptr_t at = (uintptr_t)piece.p, from = (uintptr_t)whole.p;
    return piece.p && whole.p && at >= from && at <= from + whole.n;
}

bool query_fault(struct query_run *run, enum fhir_query_fault fault, struct str at, struct str hint,
                 const char *format, ...)
{
    char text[MESSAGE_MAX] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool may_pass =
        run->context->is_lenient && (fault == FHIR_QUERY_UNKNOWN || fault == FHIR_QUERY_NOT_SUPPORTED);
    struct query_list *list = may_pass ? &run->ignored : &run->problems;
    if (list->n == FHIR_QUERY_PROBLEMS_MAX) /* what is not told may not be passed over either */
        list = &run->problems;
    if (list->n == FHIR_QUERY_PROBLEMS_MAX)
        return false;
    bool is_in_value = lies_in(at, run->value), is_in_name = !is_in_value && lies_in(at, run->name);
    struct str whole = is_in_value ? run->value : run->name;
    list->at[list->n++] = (struct fhir_query_problem){
        .fault = fault,
        .name = run->name,
        .is_in_name = is_in_name,
        .at = is_in_value || is_in_name ? (size_t)(at.p - whole.p) : 0,
        .what = arena_copy(run->arena, str_of(text)),
        .hint = hint,
    };
    return false;
}

/* ---- form encoding */

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : ascii_lower(c) - 'a' + 10;
}

/* The byte at *i, which moves on; -1: a '%' without two digits. */
static int decode_byte(struct str raw, size_t *i)
{
    char c = raw.p[(*i)++];
    if (c != '%')
        return c == '+' ? ' ' : (uint8_t)c;
    if (raw.n - *i < 2 || !is_hex(raw.p[*i]) || !is_hex(raw.p[*i + 1]))
        return -1;
    int byte = hex_value(raw.p[*i]) << 4 | hex_value(raw.p[*i + 1]);
    *i += 2;
    return byte;
}

static bool is_clean_text(struct str text)
{
    for (size_t i = 0; i < text.n;) {
        unsigned bad, n = utf8_sequence(text.p + i, text.n - i, &bad);
        if (!n || (uint8_t)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

/* In the arena, never NULL; false: it is no text. */
static bool decode(struct query_run *run, struct str raw, struct str *ret)
{
    char *text = arena_bytes(run->arena, raw.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.n && text;) {
        int byte = decode_byte(raw, &i);
        if (byte < 0)
            return false;
        text[n++] = (char)byte;
    }
    *ret = (struct str){text, n};
    return text && is_clean_text(*ret);
}

/* ---- pairs */

struct pair {
    struct str name, value;
};

struct pairs {
    struct pair *at;
    unsigned n, room; /* at most FHIR_QUERY_PAIRS_MAX */
};

/* Room for what two texts may hold. */
static unsigned count_pairs(struct str a, struct str b)
{
    unsigned count = 2;
    for (size_t i = 0; i < a.n && count < FHIR_QUERY_PAIRS_MAX; i++)
        count += a.p[i] == '&';
    for (size_t i = 0; i < b.n && count < FHIR_QUERY_PAIRS_MAX; i++)
        count += b.p[i] == '&';
    return count;
}

static bool is_other(const struct query_run *run, struct str name)
{
    for (size_t i = 0; i < run->context->other_count; i++) {
        if (str_eq(name, run->context->others[i]))
            return true;
    }
    return false;
}

static void add_pair(struct query_run *run, struct pairs *pairs, struct str raw)
{
    struct str value = raw, name = str_cut(&value, '=');
    run->name = run->value = STR_NONE;
    if (!decode(run, name, &run->name)) {
        run->name = STR("");
        (void)query_fault(run, FHIR_QUERY_BAD_TEXT, STR_NONE, STR(""),
                          "the name of a parameter is not text: percent-encoded UTF-8 without controls");
        return;
    }
    if (is_other(run, run->name))
        return;
    if (!decode(run, value, &run->value))
        (void)query_fault(run, FHIR_QUERY_BAD_TEXT, STR_NONE, STR(""),
                          "the value is not text: percent-encoded UTF-8 without controls");
    else if (!run->name.n || !run->value.n)
        (void)query_fault(run, FHIR_QUERY_BAD_TEXT, run->name,
                          STR("leave the parameter out, or search with :missing"),
                          run->name.n ? "a parameter without a value" : "a value without a parameter");
    else if (pairs->n == pairs->room)
        (void)query_fault(run, FHIR_QUERY_TOO_MUCH, run->name, STR(""), "more than %d parameters",
                          FHIR_QUERY_PAIRS_MAX);
    else
        pairs->at[pairs->n++] = (struct pair){run->name, run->value};
}

static bool may_stop(const struct query_run *run)
{
    return run->problems.n == FHIR_QUERY_PROBLEMS_MAX || arena_overflowed(run->arena);
}

static void split(struct query_run *run, struct pairs *pairs, struct str text)
{
    if (text.n > FHIR_QUERY_BYTES_MAX) {
        (void)query_fault(run, FHIR_QUERY_TOO_MUCH, STR_NONE, STR(""), "a query of more than %d bytes",
                          FHIR_QUERY_BYTES_MAX);
        return;
    }
    for (struct str rest = text; rest.n && !may_stop(run);) {
        struct str raw = str_cut(&rest, '&');
        if (raw.n)
            add_pair(run, pairs, raw);
    }
}

/* ---- reading */

static void read_pair(struct query_run *run, const struct pair *pair)
{
    run->name = pair->name;
    run->value = pair->value;
    if (query_read_result(run) == QUERY_NO_RESULT &&
        query_read_criterion(run, &run->criteria[run->query.criterion_count]))
        run->query.criterion_count++;
}

static void read_pairs(struct query_run *run, const struct pairs *pairs)
{
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < pairs->n && !may_stop(run); i++) {
            if (str_eq(pairs->at[i].name, STR("_type")) == (pass == 0))
                read_pair(run, &pairs->at[i]);
        }
    }
}

/* Of a type that is never in it nothing would be found: most likely a mistake. */
static void check_compartment(struct query_run *run)
{
    run->name = run->value = STR("");
    for (uint32_t i = 0; run->context->compartment && i < run->query.type_count; i++) {
        const struct fhir_type *type = run->query.types[i];
        if (type != run->context->compartment &&
            !fhir_compartment_parameters(run->context->compartment, type).n)
            (void)query_fault(run, FHIR_QUERY_BAD_VALUE, STR_NONE, STR(""),
                              "no %.*s belongs to the compartment of a %.*s", STR_ARG(fhir_type_name(type)),
                              STR_ARG(fhir_type_name(run->context->compartment)));
    }
}

static struct query_run *new_run(const struct fhir_query_context *context, unsigned pairs,
                                 struct arena *arena)
{
    size_t includes = pairs < FHIR_QUERY_INCLUDES_MAX ? pairs : FHIR_QUERY_INCLUDES_MAX;
    struct query_run *run = arena_alloc(arena, sizeof *run);
    if (!run)
        return NULL;
    run->context = context;
    run->arena = arena;
    run->criteria = arena_alloc(arena, pairs * sizeof *run->criteria);
    run->sorts = arena_alloc(arena, FHIR_QUERY_SORTS_MAX * sizeof *run->sorts);
    run->includes = arena_alloc(arena, includes * sizeof *run->includes);
    run->revincludes = arena_alloc(arena, includes * sizeof *run->revincludes);
    run->types = arena_alloc(arena, fhir_type_count() * sizeof(void *));
    if (arena_overflowed(arena))
        return NULL;
    struct fhir_search_query *q = &run->query;
    *q = (struct fhir_search_query){.compartment = context->compartment,
                                    .compartment_id = context->compartment_id,
                                    .types = run->types,
                                    .type_count = context->type != NULL,
                                    .criteria = run->criteria,
                                    .sorts = run->sorts,
                                    .includes = run->includes,
                                    .revincludes = run->revincludes,
                                    .format = STR("")};
    run->types[0] = context->type;
    return run;
}

static bool no_memory(struct fhir_query_problems *ret)
{
    static const struct fhir_query_problem problem = {
        .fault = FHIR_QUERY_TOO_MUCH,
        .name = {"", 0},
        .what = {"the search asks for more memory than one may take", 49},
        .hint = {"ask for fewer values, or name the types in chains", 49},
    };
    *ret = (struct fhir_query_problems){&problem, 1};
    return false;
}

bool fhir_search_query_parse(struct str query, struct str form, const struct fhir_query_context *context,
                             struct arena *arena, struct fhir_search_query *ret,
                             struct fhir_query_problems *ret_problems)
{
    struct pairs pairs = {.room = count_pairs(query, form)};
    struct query_run *run = new_run(context, pairs.room, arena);
    pairs.at = arena_alloc(arena, pairs.room * sizeof *pairs.at);
    if (!run || !pairs.at)
        return no_memory(ret_problems);
    split(run, &pairs, query);
    split(run, &pairs, form);
    read_pairs(run, &pairs);
    check_compartment(run);
    if (arena_overflowed(arena))
        return no_memory(ret_problems);
    if (run->problems.n) {
        *ret_problems = (struct fhir_query_problems){run->problems.at, run->problems.n};
        return false;
    }
    run->query.ignored = (struct fhir_query_problems){run->ignored.at, run->ignored.n};
    *ret = run->query;
    return true;
}
