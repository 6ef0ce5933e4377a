/* The comparison of values (https://hl7.org/fhir/R4/search.html; the readings stand in fhir/search_query.h).
 */
#include "store/match.h"

/* ---- ordered values. ne is not eq, ge is gt or eq, le is lt or eq. */

bool match_stretch(enum fhir_query_prefix prefix, int64_t low, int64_t high, const struct fhir_query_value *v)
{
    int64_t wanted_low = v->is.date.low_us, wanted_high = v->is.date.high_us;
    bool is_equal = wanted_low <= low && high <= wanted_high;
    switch (prefix) {
    case FHIR_QUERY_EQ:
        return is_equal;
    case FHIR_QUERY_NE:
        return !is_equal;
    case FHIR_QUERY_GT:
        return high > wanted_high;
    case FHIR_QUERY_LT:
        return low < wanted_low;
    case FHIR_QUERY_GE:
        return high > wanted_high || is_equal;
    case FHIR_QUERY_LE:
        return low < wanted_low || is_equal;
    case FHIR_QUERY_SA:
        return low >= wanted_high;
    case FHIR_QUERY_EB:
        return high <= wanted_low;
    case FHIR_QUERY_AP:
        return low < wanted_high && wanted_low < high;
    }
    return false;
}

struct guess {
    bool may, must;
};

static struct guess either(struct guess a, struct guess b, bool is_surely)
{
    return (struct guess){a.may || b.may || is_surely, a.must || b.must || is_surely};
}

enum match_guess match_guess_stretch(enum fhir_query_prefix prefix, int64_t low, int64_t low_last,
                                     int64_t high_most, const struct fhir_query_value *v)
{
    int64_t from = v->is.date.low_us, to = v->is.date.high_us;
    struct guess eq = {low_last >= from && low < to, low >= from && high_most <= to};
    struct guess gt = {high_most > to, low >= to};
    struct guess lt = {low < from, low_last < from};
    struct guess g = {true, false};
    switch (prefix) {
    case FHIR_QUERY_EQ:
        g = eq;
        break;
    case FHIR_QUERY_NE:
        g = (struct guess){!eq.must, !eq.may};
        break;
    case FHIR_QUERY_GT:
        g = gt;
        break;
    case FHIR_QUERY_LT:
        g = lt;
        break;
    case FHIR_QUERY_GE: /* begins inside or after: then it is equal, or ends later */
        g = either(gt, eq, low >= from);
        break;
    case FHIR_QUERY_LE:
        g = either(lt, eq, high_most <= to);
        break;
    case FHIR_QUERY_SA:
        g = (struct guess){low_last >= to, low >= to};
        break;
    case FHIR_QUERY_EB:
        g = (struct guess){low < from, high_most <= from};
        break;
    case FHIR_QUERY_AP:
        g = (struct guess){low < to && high_most > from, low_last < to && low >= from};
        break;
    }
    return g.must ? MATCH_YES : g.may ? MATCH_UNKNOWN : MATCH_NO;
}

/* Ends of a stretch of numbers; one that is missing is open. */
struct ends {
    struct fhir_decimal low, high;
    bool has_low, has_high;
};

/* A number as it is written is a stretch to eq, ne and ap, and a point to the others unless it is a range. */
static bool is_range(const struct fhir_index_number *n)
{
    struct fhir_decimal low, high;
    fhir_decimal_range(n->value, &low, &high);
    return !n->has_low || !n->has_high || fhir_decimal_compare(low, n->low) != 0 ||
           fhir_decimal_compare(high, n->high) != 0;
}

static int compare(struct fhir_decimal a, struct fhir_decimal b)
{
    return fhir_decimal_compare(a, b);
}

static bool match_ends(enum fhir_query_prefix prefix, const struct ends *row, bool is_point,
                       const struct ends *wanted)
{
    bool is_equal = row->has_low && row->has_high && compare(wanted->low, row->low) <= 0 &&
                    compare(row->high, wanted->high) <= 0;
    bool is_more = !row->has_high || compare(row->high, wanted->high) > 0;
    bool is_less = !row->has_low || compare(row->low, wanted->low) < 0;
    switch (prefix) {
    case FHIR_QUERY_EQ:
        return is_equal;
    case FHIR_QUERY_NE:
        return !is_equal;
    case FHIR_QUERY_GT:
        return is_more;
    case FHIR_QUERY_LT:
        return is_less;
    case FHIR_QUERY_GE:
        return is_more || is_equal;
    case FHIR_QUERY_LE:
        return is_less || is_equal;
    case FHIR_QUERY_SA: /* a point begins where it stands: after a number means above it */
        return row->has_low && compare(row->low, wanted->high) >= (is_point ? 1 : 0);
    case FHIR_QUERY_EB:
        return row->has_high && compare(row->high, wanted->low) <= (is_point ? -1 : 0);
    case FHIR_QUERY_AP:
        return (!row->has_low || compare(row->low, wanted->high) < 0) &&
               (!row->has_high || compare(wanted->low, row->high) < 0);
    }
    return false;
}

static bool match_number(const struct fhir_query_value *v, const struct fhir_index_number *n, bool in_base)
{
    const struct fhir_index_number *w = v->is.number;
    bool is_fuzzy = v->prefix == FHIR_QUERY_EQ || v->prefix == FHIR_QUERY_NE || v->prefix == FHIR_QUERY_AP;
    bool is_point = !is_fuzzy && !is_range(n);
    struct ends row = {n->low, n->high, n->has_low, n->has_high};
    struct ends wanted = {w->low, w->high, true, true};
    if (in_base) {
        row.low = n->base_low;
        row.high = n->base_high;
        wanted.low = w->base_low;
        wanted.high = w->base_high;
    }
    if (is_point && !in_base)
        row.low = row.high = n->value;
    if (is_point && in_base && !fhir_decimal_add(n->base_low, n->base_high, &row.low))
        return false;
    if (is_point && in_base) { /* the middle of both ends is the value */
        if (!fhir_decimal_multiply(row.low, (struct fhir_decimal){5, -1}, &row.low))
            return false;
        row.high = row.low;
    }
    return match_ends((enum fhir_query_prefix)v->prefix, &row, is_point, &wanted);
}

static bool match_quantity(const struct fhir_query_value *v, const struct fhir_index_number *n)
{
    const struct fhir_index_number *w = v->is.number;
    if (v->any_code)
        return match_number(v, n, false);
    if (v->any_system)
        return (str_eq(n->code, w->code) || str_eq(n->unit, w->code)) && match_number(v, n, false);
    if (str_eq(n->system, w->system) && str_eq(n->code, w->code))
        return match_number(v, n, false);
    return w->base_unit.n && str_eq(n->base_unit, w->base_unit) && match_number(v, n, true);
}

/* ---- texts */

static bool ends_at_slash(struct str whole, struct str part)
{
    return str_starts(whole, part) &&
           (whole.n == part.n || whole.p[part.n] == '/' || (part.n && part.p[part.n - 1] == '/'));
}

static bool match_uri(enum fhir_query_modifier modifier, struct str row, struct str wanted)
{
    if (modifier == FHIR_QUERY_BELOW)
        return ends_at_slash(row, wanted);
    if (modifier == FHIR_QUERY_ABOVE)
        return ends_at_slash(wanted, row);
    return str_eq(row, wanted);
}

static bool match_string(enum fhir_query_modifier modifier, const struct fhir_index_value *row,
                         const struct fhir_index_value *wanted)
{
    if (modifier == FHIR_QUERY_EXACT)
        return str_eq(row->string.exact, wanted->string.exact);
    if (modifier == FHIR_QUERY_CONTAINS)
        return str_find(row->string.folded, wanted->string.folded) >= 0;
    return str_starts(row->string.folded, wanted->string.folded);
}

static bool match_token(const struct fhir_query_value *v, const struct fhir_index_value *row)
{
    return (v->any_system || str_eq(v->is.token.system, row->token.system)) &&
           (v->any_code || str_eq(v->is.token.code, row->token.code));
}

static bool match_reference(const struct fhir_index_value *wanted, const struct fhir_index_value *row)
{
    if (wanted->reference.version.n && !str_eq(wanted->reference.version, row->reference.version))
        return false;
    if (!wanted->reference.id.n)
        return str_eq(wanted->reference.url, row->reference.url);
    return str_eq(wanted->reference.id, row->reference.id) &&
           str_eq(wanted->reference.base, row->reference.base) &&
           (!wanted->reference.type || wanted->reference.type == row->reference.type);
}

/* ---- rows */

static bool match_value(enum fhir_query_modifier modifier, const struct fhir_query_value *v,
                        const struct fhir_index_value *row)
{
    if (row->type != v->is.type || row->role != v->is.role)
        return false;
    switch (row->type) {
    case FHIR_SEARCH_NUMBER:
        return match_number(v, row->number, false);
    case FHIR_SEARCH_QUANTITY:
        return match_quantity(v, row->number);
    case FHIR_SEARCH_DATE:
        return match_stretch((enum fhir_query_prefix)v->prefix, row->date.low_us, row->date.high_us, v);
    case FHIR_SEARCH_STRING:
        return match_string(modifier, row, &v->is);
    case FHIR_SEARCH_TOKEN:
        return match_token(v, row);
    case FHIR_SEARCH_REFERENCE:
        return match_reference(&v->is, row);
    case FHIR_SEARCH_URI:
        return match_uri(modifier, row->uri, v->is.uri);
    default:
        return false;
    }
}

static bool match_row(const struct fhir_query_criterion *c, const struct fhir_query_value *v,
                      const struct fhir_index_row *row)
{
    if (v->is.type != FHIR_SEARCH_COMPOSITE)
        return row->count == 1 && match_value((enum fhir_query_modifier)c->modifier, v, &row->values[0]);
    if (row->count != v->part_count)
        return false;
    for (uint32_t i = 0; i < row->count; i++) {
        if (!match_value(FHIR_QUERY_PLAIN, &v->parts[i], &row->values[i]))
            return false;
    }
    return true;
}

bool match_rows(const struct fhir_query_criterion *c, const struct fhir_index_rows *rows)
{
    bool has_value = false, fits = false;
    for (size_t i = 0; i < rows->n && !fits; i++) {
        if (rows->at[i].parameter != c->parameter)
            continue;
        has_value = true;
        for (uint32_t v = 0; v < c->value_count && !fits; v++)
            fits = match_row(c, &c->values[v], &rows->at[i]);
    }
    if (c->modifier == FHIR_QUERY_MISSING)
        return has_value != c->is_missing;
    return c->modifier == FHIR_QUERY_NOT ? !fits : fits;
}

bool match_is_possible(const struct fhir_query_criterion *c)
{
    if (c->modifier == FHIR_QUERY_IN || c->modifier == FHIR_QUERY_NOT_IN)
        return false;
    bool is_hierarchy = c->modifier == FHIR_QUERY_ABOVE || c->modifier == FHIR_QUERY_BELOW;
    return !is_hierarchy || !c->parameter || fhir_search_type(c->parameter) == FHIR_SEARCH_URI;
}
