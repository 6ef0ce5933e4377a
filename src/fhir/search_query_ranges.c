/* Values that are stretches: dates, numbers and quantities, with their prefixes
 * (https://hl7.org/fhir/R4/search.html#prefix). */
#include "fhir/chars.h"
#include "fhir/search_plan.h"
#include "fhir/search_query_run.h"

/* ---- prefixes: dates, numbers, quantities */

static const struct str prefixes[] = {STR("eq"), STR("ne"), STR("gt"), STR("lt"), STR("ge"),
                                      STR("le"), STR("sa"), STR("eb"), STR("ap")};

struct str fhir_query_prefix_name(enum fhir_query_prefix prefix)
{
    return prefixes[prefix];
}

static bool take_prefix(struct query_run *run, struct str *rest, uint8_t *ret)
{
    *ret = FHIR_QUERY_EQ;
    if (!rest->n || !is_letter(rest->p[0]))
        return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (str_starts(*rest, prefixes[i])) {
            *rest = str_skip(*rest, 2);
            *ret = (uint8_t)i;
            return true;
        }
    }
    return query_fault(run, FHIR_QUERY_BAD_VALUE, str_take(*rest, 2),
                       STR("possible are eq, ne, gt, lt, ge, le, sa, eb and ap"), "%.*s is no prefix",
                       STR_ARG(query_quote(run, str_take(*rest, 2))));
}

static int64_t clamped_add(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b < 0 ? INT64_MIN : INT64_MAX;
}

/* A tenth of the time between then and now, to both sides. */
static void widen_date(struct fhir_index_value *v, int64_t now_us)
{
    int64_t middle = v->date.low_us / 2 + v->date.high_us / 2, distance;
    if (__builtin_sub_overflow(now_us, middle, &distance) || distance == INT64_MIN)
        distance = INT64_MAX;
    distance = (distance < 0 ? -distance : distance) / 10;
    v->date.low_us = clamped_add(v->date.low_us, -distance);
    v->date.high_us = clamped_add(v->date.high_us, distance);
}

bool query_read_date(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    struct fhir_moment m;
    struct str rest = raw;
    if (!take_prefix(run, &rest, &ret->prefix))
        return false;
    bool is_read = fhir_moment_parse(rest, &m) && m.kind != FHIR_MOMENT_TIME && m.precision != FHIR_TO_HOUR &&
                   (m.kind == FHIR_MOMENT_DATE || m.precision >= FHIR_TO_MINUTE);
    if (!is_read) {
        struct str hint = str_find_char(rest, ' ') >= 0 ? STR("a '+' is written %2B in a URL") : STR("");
        return query_fault(
            run, FHIR_QUERY_BAD_VALUE, rest, hint,
            "%.*s is not a date: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]] with "
            "an optional zone (Z, +hh:mm)",
            STR_ARG(query_quote(run, rest)));
    }
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_DATE, .date = {m.low_us, m.high_us}};
    if (ret->prefix == FHIR_QUERY_AP)
        widen_date(&ret->is, run->context->now_us);
    return true;
}

/* Numbers are points where they are compared, stretches where they are equal. */
static bool set_range(struct fhir_index_number *n, enum fhir_query_prefix prefix)
{
    struct fhir_decimal tenth, low, high;
    n->has_low = n->has_high = true;
    n->low = n->high = n->value;
    if (prefix == FHIR_QUERY_EQ || prefix == FHIR_QUERY_NE || prefix == FHIR_QUERY_AP)
        fhir_decimal_range(n->value, &n->low, &n->high);
    if (prefix != FHIR_QUERY_AP)
        return true;
    tenth = (struct fhir_decimal){n->value.digits < 0 ? -n->value.digits : n->value.digits,
                                  n->value.exponent - 1};
    if (!fhir_decimal_add(n->value, fhir_decimal_negate(tenth), &low) ||
        !fhir_decimal_add(n->value, tenth, &high))
        return false;
    n->low = fhir_decimal_compare(low, n->low) < 0 ? low : n->low;
    n->high = fhir_decimal_compare(high, n->high) > 0 ? high : n->high;
    return true;
}

static struct fhir_index_number *read_decimal(struct query_run *run, struct str raw,
                                              struct fhir_query_value *ret)
{
    struct str rest = raw;
    struct fhir_index_number *n = arena_alloc(run->arena, sizeof *n);
    if (!n || !take_prefix(run, &rest, &ret->prefix))
        return NULL;
    n->system = n->code = n->unit = n->base_unit = STR("");
    if (fhir_decimal_parse(rest, &n->value) && set_range(n, ret->prefix))
        return n;
    (void)query_bad_value(run, rest, STR("a number: 5, -5.40 or 5.4e-3"));
    return NULL;
}

bool query_read_number(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    struct fhir_index_number *n = read_decimal(run, raw, ret);
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_NUMBER, .number = n};
    return n;
}

bool query_read_quantity(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    static const char *const forms = "number, number||unit or number|system|code";
    struct str rest = raw, first = query_cut(&rest, '|'), system = STR(""), code = STR("");
    bool has_unit = rest.p;
    struct str second = has_unit ? query_cut(&rest, '|') : STR("");
    bool is_whole = !has_unit || rest.p;
    struct str third = rest.p ? query_cut(&rest, '|') : STR("");
    if (!query_ends_bars(run, has_unit ? rest : STR_NONE, forms))
        return false;
    struct fhir_index_number *n = read_decimal(run, first, ret);
    if (!n || !query_unescape(run, second, &system) || !query_unescape(run, third, &code))
        return false;
    if (!is_whole || (has_unit && !code.n))
        return query_bad_value(run, raw, str_of(forms));
    n->system = system;
    n->code = code;
    index_set_base(n, run->arena);
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_QUANTITY, .number = n};
    ret->any_system = !system.n;
    ret->any_code = !code.n;
    return true;
}
