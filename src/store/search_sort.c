/* The order of a result: a key for each resource that memcmp orders, its number last, so that a page can
 * begin behind any of them whatever is written meanwhile.
 *
 * Of several values the lowest counts upwards and the highest downwards; what has no value comes last both
 * ways. Without _sort: by type, then the newest first. */
#include "store/search.h"

#include <stdlib.h>

enum { VALUE_BYTES_MAX = 128, SORT_BYTES_MAX = FHIR_QUERY_SORTS_MAX * (VALUE_BYTES_MAX * 2 + 4) + 16 };

/* One value as bytes whose order is that of the values. */
static void write_value(const struct fhir_index_value *v, struct buf *out)
{
    switch (v->type) {
    case FHIR_SEARCH_TOKEN:
        buf_str(out, str_take(v->token.code, VALUE_BYTES_MAX));
        break;
    case FHIR_SEARCH_STRING:
        buf_str(out, str_take(v->string.folded, VALUE_BYTES_MAX));
        break;
    case FHIR_SEARCH_URI:
        buf_str(out, str_take(v->uri, VALUE_BYTES_MAX));
        break;
    case FHIR_SEARCH_REFERENCE:
        buf_str(out, str_take(v->reference.url, VALUE_BYTES_MAX));
        break;
    case FHIR_SEARCH_DATE:
        key_write_i64(out, v->date.low_us);
        break;
    default:
        fhir_decimal_write_key(v->number->base_unit.n ? v->number->base_low : v->number->value, out);
        break;
    }
}

/* The lowest or highest value of the parameter. False: there is none. */
static bool choose_value(const struct fhir_query_sort *sort, const struct fhir_index_rows *rows,
                         struct buf *out)
{
    bool has_one = false;
    for (size_t i = 0; i < rows->n; i++) {
        char memory[VALUE_BYTES_MAX];
        struct buf value = buf_over(memory, sizeof memory);
        if (rows->at[i].parameter != sort->parameter || rows->at[i].values[0].role != FHIR_INDEX_VALUE)
            continue;
        write_value(&rows->at[i].values[0], &value);
        int order = has_one ? str_compare(buf_text(&value), buf_text(out)) : 0;
        if (has_one && (sort->is_descending ? order <= 0 : order >= 0))
            continue;
        out->n = 0;
        buf_str(out, buf_text(&value));
        has_one = true;
    }
    return has_one;
}

/* A zero becomes 0 1, the end 0 0: what begins with another text comes behind it. Downwards all is inverted.
 */
static void add_escaped(struct str value, bool is_descending, struct buf *out)
{
    char turn = is_descending ? (char)0xff : 0;
    for (size_t i = 0; i < value.n; i++) {
        buf_char(out, (char)(value.p[i] ^ turn));
        if (!value.p[i])
            buf_char(out, (char)(1 ^ turn));
    }
    buf_char(out, turn);
    buf_char(out, turn);
}

static enum store_result add_sort(struct store *s, const struct fhir_query_sort *sort, struct candidate *c,
                                  struct buf *out)
{
    char memory[VALUE_BYTES_MAX];
    struct buf value = buf_over(memory, sizeof memory);
    const struct opened *opened = NULL;
    struct str code = fhir_search_code(sort->parameter);
    enum store_result result = engine_open_resource(s, c->place.resource, &opened);
    bool has_value = true;
    if (result != STORE_FINE)
        return result;
    if (str_eq(code, STR("_lastUpdated")))
        key_write(&value, opened->head.sequence, 8);
    else if (str_eq(code, STR("_id")))
        buf_str(&value, opened->head.id);
    else
        has_value = choose_value(sort, &opened->indexed.rows, &value);
    buf_char(out, has_value ? 1 : 2);
    if (has_value)
        add_escaped(buf_text(&value), sort->is_descending, out);
    return STORE_FINE;
}

static enum store_result write_key(struct store *s, const struct fhir_search_query *q, struct candidate *c,
                                   struct buf *out)
{
    enum store_result result = STORE_FINE;
    for (uint32_t i = 0; i < q->sort_count && result == STORE_FINE; i++)
        result = add_sort(s, &q->sorts[i], c, out);
    if (!q->sort_count) {
        buf_char(out, (char)c->type);
        key_write(out, ~(c->place.date >> PLACE_DATE_SHIFT) & 0xffff'ffff'ffffULL, 6);
    }
    key_write(out, c->place.resource, 4);
    return result;
}

static int compare_ranked(const void *a, const void *b)
{
    return str_compare(((const struct ranked *)a)->key, ((const struct ranked *)b)->key);
}

enum store_result search_rank(struct store *s, const struct fhir_search_query *q,
                              const struct candidates *found, struct arena *arena, struct ranked **ret)
{
    char memory[SORT_BYTES_MAX];
    struct ranked *ranked = arena_alloc(arena, (found->n + 1) * sizeof *ranked);
    enum store_result result = ranked ? STORE_FINE : STORE_NO_MEMORY;
    for (size_t i = 0; i < found->n && result == STORE_FINE; i++) {
        struct buf key = buf_over(memory, sizeof memory);
        ranked[i].candidate = found->at[i];
        result = write_key(s, q, &ranked[i].candidate, &key);
        ranked[i].key = arena_copy(arena, buf_text(&key));
        if (!ranked[i].key.p)
            return STORE_NO_MEMORY;
    }
    if (result == STORE_FINE && found->n)
        qsort(ranked, found->n, sizeof *ranked, compare_ranked);
    *ret = ranked;
    return result;
}
