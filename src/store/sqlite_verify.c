/* Looking at everything that is stored. */
#include "store/sqlite_store.h"

#include "base/hash.h"

#include <stdlib.h>

enum { FINDINGS_MAX = 1'000, KEY_BYTES_MAX = 512 };

struct verifying {
    struct store *store;
    void (*found)(void *context, const struct store_finding *);
    void *context;
    struct store_verified *out;
    uint64_t made, made_sum,
        stored_sum; /* keys that should be there, and sums over these and those that are */
};

static uint64_t sum_of(struct str key)
{
    static const struct hash_key secret = {0x7665726966, 0x79};
    return hash_bytes(&secret, key.p, key.n);
}

static void report(struct verifying *v, enum store_fault fault, const struct head *h, struct str what)
{
    if (v->out->faults++ >= FINDINGS_MAX)
        return;
    struct store_finding finding = {.fault = fault, .what = what};
    if (h) {
        finding.type = type_of_number(v->store->numbers, h->type);
        finding.id = h->id;
        finding.version = h->version;
    }
    v->found(v->context, &finding);
}

/* An error of one part is a finding; the others are looked at all the same. */
static enum store_result part_done(struct verifying *v, enum store_result result)
{
    if (result != STORE_CORRUPT)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    report(v, STORE_FAULT_PAGE, NULL, store_problem(v->store));
    return STORE_FINE;
}

/* ---- pages */

static enum store_result check_pages(struct verifying *v)
{
    struct query *statement = query_get(v->store, STATEMENT_CHECK);
    int code;
    while ((code = query_step(v->store, statement)) == QUERY_ROW) {
        struct str said = query_bytes(statement, 0);
        if (!str_eq(said, STR("ok")))
            report(v, STORE_FAULT_PAGE, NULL, said);
    }
    enum store_result result = code == QUERY_DONE ? STORE_FINE : query_failed(v->store, code);
    query_reset(statement);
    return part_done(v, result);
}

/* ---- versions */

static enum store_result check_keys(struct verifying *v, uint32_t resource, const struct head *h,
                                    struct str body)
{
    struct store *s = v->store;
    struct key_source source = engine_source(s);
    const struct fhir_type *type = type_of_number(s->numbers, h->type);
    struct indexed indexed;
    struct keys keys;
    enum store_result result = type ? engine_index(s, body, s->resource, &indexed)
                                    : engine_fail(s, STORE_CORRUPT, "its type is not known");
    if (result == STORE_FINE)
        result = keys_make(&source, type, resource, &indexed.rows, s->resource, &keys);
    if (result == STORE_NOT_FOUND || result == STORE_CORRUPT) {
        report(v, STORE_FAULT_KEY, h, STR("its keys cannot be made anew"));
        return STORE_FINE;
    }
    for (size_t i = 0; i < keys.n && result == STORE_FINE; i++) {
        char memory[KEY_BYTES_MAX], high[KEY_BYTES_MAX];
        struct buf out = buf_over(memory, sizeof memory), above = buf_over(high, sizeof high);
        buf_str(&above, keys.at[i]);
        buf_char(&above, 0);
        result = engine_first(s, keys.at[i], buf_text(&above), &out);
        if (result == STORE_NOT_FOUND)
            report(v, STORE_FAULT_KEY, h, STR("a key is missing"));
        result = result == STORE_NOT_FOUND ? STORE_FINE : result;
        v->made++;
        v->made_sum += sum_of(keys.at[i]);
    }
    return result;
}

static enum store_result count_old(struct verifying *v, uint32_t resource, const struct head *h)
{
    struct query *statement = query_get(v->store, STATEMENT_OLDEST);
    if (statement) {
        query_bind_number(statement, 1, (int64_t)((uint64_t)resource << OLD_VERSION_BITS));
        query_bind_number(statement, 2, (int64_t)(((uint64_t)resource + 1) << OLD_VERSION_BITS));
    }
    int code = query_step(v->store, statement);
    if (code == QUERY_ROW && (uint64_t)query_number(statement, 0) != h->version - 1)
        report(v, STORE_FAULT_VERSION, h, STR("versions before it are missing, or too many"));
    enum store_result result = code == QUERY_ROW ? STORE_FINE : query_failed(v->store, code);
    query_reset(statement);
    return result;
}

static enum store_result check_ident(struct verifying *v, uint32_t resource, const struct head *h)
{
    uint32_t number = 0;
    const struct fhir_type *type = type_of_number(v->store->numbers, h->type);
    enum store_result result = type ? engine_ident(v->store, type, h->id, &number) : STORE_NOT_FOUND;
    if (result == STORE_NOT_FOUND || (result == STORE_FINE && number != resource)) {
        report(v, STORE_FAULT_KEY, h, STR("its id does not lead to it"));
        return STORE_FINE;
    }
    return result;
}

static enum store_result check_change(struct verifying *v, uint32_t resource, const struct head *h)
{
    struct engine_change change = {0};
    enum store_result result = engine_change(v->store, h->sequence, &change);
    if (result != STORE_FINE && result != STORE_NOT_FOUND && result != STORE_CORRUPT)
        return result;
    if (result != STORE_FINE || change.resource != resource || change.version != h->version ||
        change.type != h->type)
        report(v, STORE_FAULT_VERSION, h, STR("the list of all writes does not have it"));
    return STORE_FINE;
}

/* False in *ret: its body cannot be had, which was reported. */
static enum store_result check_body(struct verifying *v, uint32_t resource, const struct head *h,
                                    struct str packed, struct str *ret_body, bool *ret)
{
    enum store_result result = sqlite_unpack(v->store, resource, h, packed, v->store->resource, ret_body);
    *ret = result == STORE_FINE;
    if (result == STORE_CORRUPT)
        report(v, STORE_FAULT_BODY, h, store_problem(v->store));
    v->out->versions++;
    return result == STORE_CORRUPT ? check_change(v, resource, h)
           : result == STORE_FINE  ? check_change(v, resource, h)
                                   : result;
}

static enum store_result check_current(struct verifying *v, int64_t at, const struct head *h,
                                       struct str packed)
{
    struct str body;
    bool has_body;
    uint32_t resource = (uint32_t)at;
    enum store_result result = check_body(v, resource, h, packed, &body, &has_body);
    if (result == STORE_FINE)
        result = check_ident(v, resource, h);
    if (result == STORE_FINE)
        result = count_old(v, resource, h);
    v->out->resources += h->verb != STORE_DELETE;
    if (result == STORE_FINE && has_body && h->verb != STORE_DELETE)
        result = check_keys(v, resource, h, body);
    return result;
}

static enum store_result check_versions(struct verifying *v, enum statement list)
{
    int64_t at = 0;
    enum store_result result;
    for (;;) {
        struct head h;
        struct str packed, body;
        bool has_body;
        int64_t before = at;
        arena_reset(v->store->resource);
        result = sqlite_next_version(v->store, list, &at, &h, &packed);
        if (result == STORE_CORRUPT && at != before) {
            report(v, STORE_FAULT_VERSION, NULL, STR("the head of a version is damaged"));
            continue;
        }
        if (result == STORE_FINE)
            result = list == STATEMENT_RESOURCES
                         ? check_current(v, at, &h, packed)
                         : check_body(v, (uint32_t)(at >> OLD_VERSION_BITS), &h, packed, &body, &has_body);
        if (result != STORE_FINE)
            break;
    }
    return part_done(v, result);
}

/* ---- keys that nothing asks for */

static enum store_result sum_keys(struct verifying *v)
{
    struct str key;
    enum store_result result = engine_walk(v->store, ENGINE_KEYS, STR("\1"), STR("\xff"), false);
    while (result == STORE_FINE && engine_next(v->store, ENGINE_KEYS, &key)) {
        v->out->keys++;
        v->stored_sum += sum_of(key);
    }
    enum store_result ended = engine_walk_end(v->store, ENGINE_KEYS);
    return part_done(v, result == STORE_FINE ? ended : result);
}

static int compare_to_key(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static enum store_result is_rightful(struct verifying *v, struct str key, bool *ret)
{
    struct store *s = v->store;
    struct key_source source = engine_source(s);
    const struct opened *opened;
    struct key_end end;
    struct keys keys = {0};
    *ret = false;
    if (!key_read_end(key, &end))
        return STORE_FINE;
    enum store_result result = engine_open_resource(s, end.place.resource, &opened);
    if (result == STORE_FINE)
        result = keys_make(&source, opened->indexed.value.type, end.place.resource, &opened->indexed.rows,
                           s->scratch, &keys);
    if (result == STORE_FINE)
        *ret = keys.n && bsearch(&key, keys.at, keys.n, sizeof *keys.at, compare_to_key);
    return result == STORE_NOT_FOUND || result == STORE_CORRUPT ? STORE_FINE : result;
}

static enum store_result find_extra(struct verifying *v)
{
    struct str key;
    uint64_t n = 0;
    enum store_result result = engine_walk(v->store, ENGINE_KEYS, STR("\1"), STR("\xff"), false);
    while (result == STORE_FINE && n < FINDINGS_MAX && engine_next(v->store, ENGINE_KEYS, &key)) {
        bool is_fine;
        struct key_end end;
        struct head h;
        arena_reset(v->store->scratch);
        result = is_rightful(v, key, &is_fine);
        if (result != STORE_FINE || is_fine)
            continue;
        n++;
        bool is_known =
            key_read_end(key, &end) && engine_head(v->store, end.place.resource, &h) == STORE_FINE;
        report(v, STORE_FAULT_KEY, is_known ? &h : NULL, STR("a key is too much"));
    }
    enum store_result ended = engine_walk_end(v->store, ENGINE_KEYS);
    return part_done(v, result == STORE_FINE ? ended : result);
}

static enum store_result check_counts(struct verifying *v)
{
    enum store_result result = sqlite_read_counters(v->store);
    const struct counters *c = &v->store->counters;
    if (result == STORE_FINE && (c->resources != v->out->resources || c->versions != v->out->versions))
        report(v, STORE_FAULT_VERSION, NULL,
               STR("the numbers of resources and versions are not those that are counted"));
    return part_done(v, result);
}

enum store_result store_verify(struct store *s, void (*found)(void *context, const struct store_finding *),
                               void *context, struct store_verified *ret)
{
    struct store_verified all = {0};
    struct verifying v = {.store = s, .found = found, .context = context, .out = &all};
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = check_pages(&v);
    if (result == STORE_FINE)
        result = check_versions(&v, STATEMENT_RESOURCES);
    if (result == STORE_FINE)
        result = check_versions(&v, STATEMENT_OLDS);
    if (result == STORE_FINE)
        result = sum_keys(&v);
    if (result == STORE_FINE && (v.made != all.keys || v.made_sum != v.stored_sum))
        result = find_extra(&v);
    if (result == STORE_FINE)
        result = check_counts(&v);
    engine_read_end(s);
    *ret = all;
    return result;
}
