/* All of a store into another one, of whatever database: table by table, in one transaction of the other.
 * Bytes stay what they are; only words are made anew, for each database keeps them in its own way. */
#include "store/transfer.h"

enum { KEYS_AT_ONCE = 10'000, PROGRESS_ROWS = 512 };

struct transfer {
    struct store *from, *to;
    transfer_progress *progress;
    void *context;
    uint64_t done, all;
};

static const char *const info_names[] = {"format", "cluster", "index", "counters"};

static enum store_result step_done(struct transfer *t)
{
    if (t->done++ % PROGRESS_ROWS || !t->progress ||
        t->progress(t->context, t->done < t->all ? t->done : t->all, t->all))
        return STORE_FINE;
    return engine_fail(t->from, STORE_BUSY, "the copy was broken off");
}

/* An error of the other store is said by the one that was asked. */
static enum store_result into(struct transfer *t, enum store_result result)
{
    return result == STORE_FINE ? result : engine_fail(t->from, result, t->to->problem);
}

static enum store_result copy_info(struct transfer *t)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < sizeof info_names / sizeof *info_names && result == STORE_FINE; i++) {
        struct query *q = query_get(t->from, STATEMENT_INFO), *add = query_get(t->to, STATEMENT_SET_INFO);
        query_bind_text(q, 1, str_of(info_names[i]));
        int code = query_step(t->from, q);
        if (code == QUERY_ROW) {
            query_bind_text(add, 1, str_of(info_names[i]));
            query_bind_bytes(add, 2, query_bytes(q, 0));
            result = into(t, query_run(t->to, add));
        } else {
            result = code == QUERY_DONE ? STORE_CORRUPT : query_failed(t->from, code);
        }
        query_reset(q);
    }
    return result;
}

/* A row is a number and a text. */
static enum store_result copy_numbers(struct transfer *t)
{
    struct query *q = query_get(t->from, STATEMENT_NUMBERS), *add = query_get(t->to, STATEMENT_ADD_NUMBER);
    enum store_result result = into(t, query_do(t->to, STATEMENT_DROP_NUMBERS));
    int code = QUERY_DONE;
    while (result == STORE_FINE && (code = query_step(t->from, q)) == QUERY_ROW) {
        query_bind_number(add, 1, query_number(q, 0));
        query_bind_text(add, 2, query_bytes(q, 1));
        result = into(t, query_run(t->to, add));
    }
    if (result == STORE_FINE && code != QUERY_DONE)
        result = query_failed(t->from, code);
    query_reset(q);
    return result;
}

static enum store_result copy_dictionaries(struct transfer *t)
{
    struct query *q = query_get(t->from, STATEMENT_DICTIONARIES),
                 *add = query_get(t->to, STATEMENT_ADD_DICTIONARY);
    enum store_result result = STORE_FINE;
    int code = QUERY_DONE;
    while (result == STORE_FINE && (code = query_step(t->from, q)) == QUERY_ROW) {
        query_bind_number(add, 1, query_number(q, 0));
        query_bind_number(add, 2, query_number(q, 1));
        query_bind_bytes(add, 3, query_bytes(q, 2));
        result = into(t, query_run(t->to, add));
    }
    if (result == STORE_FINE && code != QUERY_DONE)
        result = query_failed(t->from, code);
    query_reset(q);
    return result;
}

/* Texts and ids: a list of byte strings. */
static enum store_result copy_list(struct transfer *t, enum statement list, enum statement give)
{
    struct query *q = query_get(t->from, list), *add = query_get(t->to, give);
    enum store_result result = STORE_FINE;
    int code = QUERY_DONE;
    query_bind_bytes(q, 1, STR_NONE);
    query_bind_bytes(q, 2, STR("\xff\xff\xff\xff"));
    while (result == STORE_FINE && (code = query_step(t->from, q)) == QUERY_ROW) {
        query_bind_bytes(add, 1, query_bytes(q, 0));
        result = into(t, query_run(t->to, add));
        if (result == STORE_FINE)
            result = step_done(t);
    }
    if (result == STORE_FINE && code != QUERY_DONE)
        result = query_failed(t->from, code);
    query_reset(q);
    return result;
}

static enum store_result copy_changes(struct transfer *t)
{
    struct query *q = query_get(t->from, STATEMENT_CHANGES_DOWN),
                 *add = query_get(t->to, STATEMENT_ADD_CHANGE);
    enum store_result result = STORE_FINE;
    int code = QUERY_DONE;
    query_bind_number(q, 1, INT64_MAX);
    while (result == STORE_FINE && (code = query_step(t->from, q)) == QUERY_ROW) {
        query_bind_number(add, 1, query_number(q, 0));
        query_bind_bytes(add, 2, query_bytes(q, 1));
        result = into(t, query_run(t->to, add));
    }
    if (result == STORE_FINE && code != QUERY_DONE)
        result = query_failed(t->from, code);
    query_reset(q);
    return result;
}

static enum store_result copy_words(struct transfer *t, uint32_t resource, const struct head *h,
                                    struct str packed)
{
    struct indexed indexed;
    struct str body;
    if (h->verb == STORE_DELETE)
        return STORE_FINE;
    arena_reset(t->to->resource);
    enum store_result result = sqlite_unpack(t->from, resource, h, packed, t->from->resource, &body);
    if (result == STORE_FINE)
        result = engine_index(t->from, body, t->from->resource, &indexed);
    return result == STORE_FINE ? into(t, sqlite_add_words(t->to, resource, &indexed.value)) : result;
}

static enum store_result copy_versions(struct transfer *t, enum statement list, enum statement give)
{
    int64_t at = 0;
    enum store_result result;
    for (;;) {
        struct head h;
        struct str packed;
        arena_reset(t->from->resource);
        result = sqlite_next_version(t->from, list, &at, &h, &packed);
        if (result == STORE_FINE)
            result = into(t, sqlite_write_head(t->to, give, at, &h, packed));
        if (result == STORE_FINE && list == STATEMENT_RESOURCES)
            result = copy_words(t, (uint32_t)at, &h, packed);
        if (result == STORE_FINE)
            result = step_done(t);
        if (result != STORE_FINE)
            return result == STORE_NOT_FOUND ? STORE_FINE : result;
    }
}

static enum store_result flush_keys(struct transfer *t, struct pending *keys, size_t n)
{
    enum store_result result = n ? into(t, t->to->driver->change_keys(t->to, keys, n)) : STORE_FINE;
    arena_reset(t->to->group);
    return result;
}

static enum store_result copy_keys(struct transfer *t)
{
    struct pending *keys = arena_alloc(t->from->scratch, KEYS_AT_ONCE * sizeof *keys);
    struct str key;
    size_t n = 0;
    if (!keys)
        return STORE_NO_MEMORY;
    enum store_result result = engine_walk(t->from, ENGINE_KEYS, STR_NONE, STR("\xff"), false);
    while (result == STORE_FINE && engine_next(t->from, ENGINE_KEYS, &key)) {
        keys[n++] = (struct pending){arena_copy(t->to->group, key), 0, true};
        if (!keys[n - 1].key.p)
            result = STORE_NO_MEMORY;
        if (n < KEYS_AT_ONCE || result != STORE_FINE)
            continue;
        result = flush_keys(t, keys, n);
        n = 0;
        if (result == STORE_FINE)
            result = step_done(t);
    }
    enum store_result ended = engine_walk_end(t->from, ENGINE_KEYS);
    result = result == STORE_FINE ? ended : result;
    return result == STORE_FINE ? flush_keys(t, keys, n) : result;
}

static enum store_result copy_all(struct transfer *t)
{
    enum store_result result = copy_numbers(t);
    if (result == STORE_FINE)
        result = copy_dictionaries(t);
    if (result == STORE_FINE)
        result = copy_versions(t, STATEMENT_RESOURCES, STATEMENT_ADD_RESOURCE);
    if (result == STORE_FINE)
        result = copy_versions(t, STATEMENT_OLDS, STATEMENT_ADD_OLD);
    if (result == STORE_FINE)
        result = copy_list(t, STATEMENT_IDENTS_UP, STATEMENT_ADD_IDENT);
    if (result == STORE_FINE)
        result = copy_list(t, STATEMENT_TEXTS_UP, STATEMENT_ADD_TERM);
    if (result == STORE_FINE)
        result = copy_changes(t);
    if (result == STORE_FINE)
        result = copy_keys(t);
    return result == STORE_FINE ? copy_info(t) : result;
}

enum store_result store_transfer(struct store *from, struct store *to, transfer_progress *progress,
                                 void *context)
{
    struct transfer t = {.from = from, .to = to, .progress = progress, .context = context};
    enum store_result result = sqlite_read_counters(from);
    if (result != STORE_FINE)
        return result;
    from->opened.is_open = false;
    t.all = from->counters.versions + from->counters.last_resource + from->counters.last_term + 1;
    result = into(&t, query_do(to, STATEMENT_BEGIN_WRITE));
    if (result != STORE_FINE)
        return result;
    result = copy_all(&t);
    if (result == STORE_FINE)
        result = into(&t, query_do(to, STATEMENT_COMMIT));
    return result == STORE_FINE ? result : sqlite_undo_group(to, result);
}
