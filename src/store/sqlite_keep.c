/* Measuring, compacting, making keys anew, copies. */
#include "store/sqlite_store.h"

#include "base/must.h"

/* ---- measuring */

enum store_result store_measure(struct store *s, struct store_size *ret)
{
    uint64_t bytes = 0, free_bytes = 0;
    enum store_result result = s->is_in_group ? STORE_FINE : sqlite_read_counters(s);
    if (result == STORE_FINE)
        result = s->driver->measure(s, &bytes, &free_bytes);
    if (result == STORE_FINE)
        *ret = (struct store_size){s->counters.resources, s->counters.versions, bytes, store_log_bytes(s),
                                   free_bytes};
    return result;
}

/* ---- all versions, one after another: the place, and copies in the resource arena */

enum store_result sqlite_next_version(struct store *s, enum statement list, int64_t *at, struct head *ret,
                                      struct str *ret_packed)
{
    struct query *statement = query_get(s, list);
    query_bind_number(statement, 1, *at);
    int code = query_step(s, statement);
    enum store_result result = code == QUERY_ROW    ? STORE_FINE
                               : code == QUERY_DONE ? STORE_NOT_FOUND
                                                    : query_failed(s, code);
    if (result == STORE_FINE) {
        *at = query_number(statement, 0);
        struct str bytes = arena_copy(s->resource, query_bytes(statement, 1));
        *ret_packed = arena_copy(s->resource, query_bytes(statement, 2));
        result = sqlite_head(s, bytes, ret);
    }
    query_reset(statement);
    return result;
}

/* Undone or done; the error stays. */
static enum store_result end_changes(struct store *s, enum store_result result)
{
    if (result == STORE_FINE)
        result = query_do(s, STATEMENT_COMMIT);
    return result == STORE_FINE ? STORE_FINE : sqlite_undo_group(s, result);
}

/* ---- compacting */

static enum store_result repack(struct store *s, enum statement list, enum statement set)
{
    int64_t at = 0;
    enum store_result result;
    for (;;) {
        struct head h;
        struct str packed, body;
        arena_reset(s->resource);
        result = sqlite_next_version(s, list, &at, &h, &packed);
        if (result != STORE_FINE)
            break;
        uint32_t resource = (uint32_t)(list == STATEMENT_OLDS ? at >> OLD_VERSION_BITS : at);
        if (h.verb == STORE_DELETE || h.dictionary == packer_dictionary(s->packer, h.type))
            continue;
        result = sqlite_unpack(s, resource, &h, packed, s->resource, &body);
        if (result != STORE_FINE)
            break;
        struct str anew = packer_pack(s->packer, h.type, body, s->resource, &h.dictionary);
        result = anew.p ? sqlite_write_head(s, set, at, &h, anew) : STORE_NO_MEMORY;
        if (result != STORE_FINE)
            break;
    }
    return result == STORE_NOT_FOUND ? STORE_FINE : result;
}

enum store_result store_compact(struct store *s)
{
    must(s->role == STORE_WRITER && !s->is_in_group && !s->read_depth);
    if (s->is_stopped)
        return engine_fail(s, STORE_STOPPED, "the disk failed before");
    s->opened.is_open = false;
    enum store_result result = query_do(s, STATEMENT_BEGIN_WRITE);
    if (result == STORE_FINE)
        result = repack(s, STATEMENT_RESOURCES, STATEMENT_SET_RESOURCE);
    if (result == STORE_FINE)
        result = repack(s, STATEMENT_OLDS, STATEMENT_SET_OLD);
    result = end_changes(s, result);
    if (result == STORE_FINE)
        result = s->driver->shrink(s);
    return result == STORE_FINE ? store_checkpoint(s) : result;
}

/* ---- keys anew */

static enum store_result make_anew(struct store *s, uint32_t resource, struct head *h, struct str packed)
{
    struct key_source source = sqlite_giving_source(s);
    struct indexed indexed;
    struct keys keys;
    struct str body;
    const struct fhir_type *type = type_of_number(s->numbers, h->type);
    if (!type)
        return engine_fail(s, STORE_CORRUPT, "a resource has a type that is not known");
    enum store_result result = sqlite_unpack(s, resource, h, packed, s->resource, &body);
    if (result == STORE_FINE)
        result = engine_index(s, body, s->resource, &indexed);
    if (result == STORE_FINE)
        result = keys_make(&source, type, resource, &indexed.rows, s->resource, &keys);
    for (size_t i = 0; result == STORE_FINE && i < keys.n; i++)
        result = sqlite_add_pending(s, keys.at[i], true);
    if (result == STORE_FINE)
        result = sqlite_add_words(s, resource, &indexed.value);
    if (result != STORE_FINE)
        return result;
    sqlite_set_places(h, &keys);
    return sqlite_write_head(s, STATEMENT_SET_RESOURCE, resource, h, packed);
}

static enum store_result reindex_all(struct store *s)
{
    enum store_result result;
    int64_t at = 0;
    for (;;) {
        struct head h;
        struct str packed;
        arena_reset(s->resource);
        result = sqlite_next_version(s, STATEMENT_RESOURCES, &at, &h, &packed);
        if (result == STORE_FINE && h.verb != STORE_DELETE)
            result = make_anew(s, (uint32_t)at, &h, packed);
        if (result != STORE_FINE)
            break;
    }
    return result == STORE_NOT_FOUND ? sqlite_flush_pending(s) : result;
}

static enum store_result reindex(struct store *s)
{
    enum store_result result = query_do(s, STATEMENT_BEGIN_WRITE);
    if (result != STORE_FINE)
        return result;
    result = query_do(s, STATEMENT_DROP_KEYS);
    if (result == STORE_FINE)
        result = query_do(s, STATEMENT_CLEAR_NARRATIVE);
    if (result == STORE_FINE && s->has_content)
        result = query_do(s, STATEMENT_CLEAR_CONTENT);
    if (result == STORE_FINE)
        result = reindex_all(s);
    if (result == STORE_FINE)
        result = sqlite_write_index_version(s);
    if (result == STORE_FINE)
        result = sqlite_write_counters(s);
    return end_changes(s, result);
}

enum store_result store_reindex(struct str location, const struct store_options *o)
{
    struct store *s;
    struct store_options own = *o;
    own.role = STORE_WRITER;
    own.may_create = false;
    enum store_result result = sqlite_open_any(location, &own, &s);
    if (result != STORE_FINE)
        return result;
    result = reindex(s);
    if (result == STORE_FINE)
        result = store_checkpoint(s);
    store_close(s);
    return result;
}

/* ---- copies */

enum store_result store_backup(struct store *s, struct str target,
                               bool (*progress)(void *context, uint64_t done, uint64_t all), void *context)
{
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = s->driver->backup(s, target, progress, context);
    engine_read_end(s);
    return result;
}

enum store_result store_restore(struct str backup, struct str location, const struct store_options *o)
{
    return sqlite_driver_of(location)->restore(backup, location, o);
}
