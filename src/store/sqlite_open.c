/* Opening, making and closing a store. */
#include "store/sqlite_store.h"

#include "fhir/fold_data.h"

#include <stdlib.h>

enum { CLUSTER_BYTES_MAX = 128, ARENA_BYTES = 32 << 20, SCRATCH_BYTES = 512 << 20 };

/* ---- what stands in info */

static enum store_result get_info(struct store *s, const char *name, struct arena *arena, struct str *ret)
{
    struct query *statement = query_get(s, STATEMENT_INFO);
    query_bind_text(statement, 1, str_of(name));
    int code = query_step(s, statement);
    enum store_result result = STORE_FINE;
    if (code == QUERY_ROW)
        *ret = arena_copy(arena, query_bytes(statement, 0));
    else
        result = code == QUERY_DONE ? STORE_NOT_FOUND : query_failed(s, code);
    query_reset(statement);
    return result;
}

static enum store_result set_info(struct store *s, const char *name, struct str value)
{
    struct query *statement = query_get(s, STATEMENT_SET_INFO);
    query_bind_text(statement, 1, str_of(name));
    query_bind_bytes(statement, 2, value);
    return query_run(s, statement);
}

enum { COUNTERS_BYTES = 40 };

enum store_result sqlite_read_counters(struct store *s)
{
    struct query *statement = query_get(s, STATEMENT_COUNTERS);
    int code = query_step(s, statement);
    enum store_result result = code == QUERY_ROW ? STORE_FINE
                               : code == QUERY_DONE
                                   ? engine_fail(s, STORE_CORRUPT, "the counters are missing")
                                   : query_failed(s, code);
    struct str v = result == STORE_FINE ? query_bytes(statement, 0) : STR_NONE;
    if (v.n == COUNTERS_BYTES)
        s->counters = (struct counters){key_read(v.p, 8),
                                        key_read(v.p + 8, 8),
                                        key_read(v.p + 16, 8),
                                        (int64_t)key_read(v.p + 24, 8),
                                        (uint32_t)key_read(v.p + 32, 4),
                                        (uint32_t)key_read(v.p + 36, 4)};
    else if (result == STORE_FINE)
        result = engine_fail(s, STORE_CORRUPT, "the counters are damaged");
    query_reset(statement);
    return result;
}

enum store_result sqlite_write_counters(struct store *s)
{
    char memory[COUNTERS_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    const struct counters *c = &s->counters;
    key_write(&out, c->sequence, 8);
    key_write(&out, c->resources, 8);
    key_write(&out, c->versions, 8);
    key_write(&out, (uint64_t)c->time_us, 8);
    key_write(&out, c->last_resource, 4);
    key_write(&out, c->last_term, 4);
    return set_info(s, "counters", buf_text(&out));
}

/* The tables that keys are made by. */
static struct str index_version(struct arena *arena)
{
    return arena_printf(arena, "%d %s", INDEX_FORMAT, fhir_fold_unicode);
}

enum store_result sqlite_write_index_version(struct store *s)
{
    return set_info(s, "index", index_version(s->scratch));
}

/* ---- numbers and dictionaries */

static enum store_result load_numbers(struct store *s)
{
    struct query *statement = query_get(s, STATEMENT_NUMBERS);
    enum store_result result = STORE_FINE;
    int code;
    while (result == STORE_FINE && (code = query_step(s, statement)) != QUERY_DONE) {
        if (code != QUERY_ROW)
            result = query_failed(s, code);
        else if (!numbers_load(s->numbers, (uint32_t)query_number(statement, 0), query_bytes(statement, 1)))
            result = engine_fail(s, STORE_CORRUPT, "the numbers of types and parameters are damaged");
    }
    query_reset(statement);
    return result;
}

static bool add_number(void *context, uint32_t number, struct str name)
{
    struct store *s = context;
    struct query *statement = query_get(s, STATEMENT_ADD_NUMBER);
    if (!statement)
        return false;
    query_bind_number(statement, 1, number);
    query_bind_text(statement, 2, name);
    return query_run(s, statement) == STORE_FINE;
}

bool sqlite_load_dictionary(struct store *s, uint32_t number)
{
    struct query *statement = query_get(s, STATEMENT_DICTIONARY);
    if (!statement)
        return false;
    query_bind_number(statement, 1, number);
    bool is_there = query_step(s, statement) == QUERY_ROW &&
                    packer_add(s->packer, number, (uint8_t)query_number(statement, 0),
                               query_bytes(statement, 1), s->role == STORE_WRITER);
    query_reset(statement);
    return is_there;
}

static enum store_result load_dictionaries(struct store *s)
{
    struct query *statement = query_get(s, STATEMENT_DICTIONARIES);
    enum store_result result = STORE_FINE;
    int code;
    while (result == STORE_FINE && (code = query_step(s, statement)) != QUERY_DONE) {
        if (code != QUERY_ROW)
            result = query_failed(s, code);
        else if (!packer_add(s->packer, (uint32_t)query_number(statement, 0),
                             (uint8_t)query_number(statement, 1), query_bytes(statement, 2),
                             s->role == STORE_WRITER))
            result = engine_fail(s, STORE_CORRUPT, "a dictionary of the compression is damaged");
    }
    query_reset(statement);
    return result;
}

/* ---- making and checking */

static enum store_result make_tables(struct store *s, const struct store_options *o)
{
    enum store_result result = s->driver->make_tables(s, o->has_content);
    if (result == STORE_FINE)
        result = set_info(s, "format", arena_printf(s->scratch, "%d", STORE_FORMAT));
    if (result == STORE_FINE)
        result = set_info(s, "cluster", o->cluster);
    if (result == STORE_FINE)
        result = set_info(s, "index", index_version(s->scratch));
    if (result == STORE_FINE)
        result = sqlite_write_counters(s);
    if (result == STORE_FINE && !numbers_complete(s->numbers, add_number, s))
        result = engine_fail(s, STORE_BROKEN, "the numbers of types and parameters cannot be written");
    return result;
}

static enum store_result make_if_empty(struct store *s, const struct store_options *o)
{
    bool empty = false;
    enum store_result result = s->driver->is_empty(s, &empty);
    if (result != STORE_FINE || !empty)
        return result;
    if (!o->may_create)
        return engine_fail(s, STORE_OTHER, "there is no store here");
    result = query_do(s, STATEMENT_BEGIN_WRITE);
    if (result == STORE_FINE)
        result = make_tables(s, o);
    if (result == STORE_FINE)
        return query_do(s, STATEMENT_COMMIT);
    s->driver->undo(s);
    return result;
}

static enum store_result check_info(struct store *s, bool any_index)
{
    struct str format = STR_NONE, cluster = STR_NONE, index = STR_NONE;
    enum store_result result = get_info(s, "format", s->scratch, &format);
    if (result == STORE_FINE)
        result = get_info(s, "cluster", s->scratch, &cluster);
    if (result == STORE_FINE)
        result = get_info(s, "index", s->scratch, &index);
    if (result == STORE_NOT_FOUND || (result == STORE_FINE && !str_eq(format, STR("1"))))
        return engine_fail(s, STORE_OTHER, "this is not a store, or one of another version");
    if (result == STORE_FINE && !str_eq(cluster, s->cluster))
        return engine_fail(s, STORE_OTHER, "this is the store of another cluster");
    if (result == STORE_FINE && !any_index && !str_eq(index, index_version(s->scratch)))
        return engine_fail(s, STORE_OLD_INDEX, "the keys of this store are of another version");
    return result;
}

static enum store_result load(struct store *s, bool any_index)
{
    enum store_result result = check_info(s, any_index);
    s->has_content = result == STORE_FINE && s->driver->has_content(s);
    if (result == STORE_FINE)
        result = sqlite_read_counters(s);
    if (result == STORE_FINE)
        result = load_dictionaries(s);
    return result;
}

/* Parameters this build knows and the store does not: it was made by an older one, and has no keys for them.
 */
static enum store_result complete_numbers(struct store *s, bool any_index)
{
    if (numbers_are_complete(s->numbers))
        return STORE_FINE;
    if (!any_index)
        return engine_fail(s, STORE_OLD_INDEX, "the store does not know all search parameters yet");
    enum store_result result = query_do(s, STATEMENT_BEGIN_WRITE);
    if (result != STORE_FINE)
        return result;
    if (numbers_complete(s->numbers, add_number, s))
        return query_do(s, STATEMENT_COMMIT);
    s->driver->undo(s);
    return engine_fail(s, STORE_BROKEN, "the numbers of types and parameters cannot be written");
}

static enum store_result open_all(struct store *s, const struct store_options *o, bool any_index)
{
    enum store_result result = s->driver->connect(s, o);
    if (result == STORE_FINE && s->role == STORE_WRITER)
        result = make_if_empty(s, o);
    if (result != STORE_FINE)
        return result;
    s->numbers = numbers_new(s->arena);
    if (!s->numbers)
        return STORE_NO_MEMORY;
    result = load_numbers(s);
    if (result == STORE_FINE)
        result = load(s, any_index);
    return result == STORE_FINE ? complete_numbers(s, any_index) : result;
}

const struct driver *sqlite_driver_of(struct str location)
{
    bool is_uri = str_starts(location, STR("postgresql://")) || str_starts(location, STR("postgres://"));
    return is_uri ? &postgres_driver : &sqlite_driver;
}

static struct store *new_store(struct str location, const struct store_options *o)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->lock_fd = -1;
    s->driver = sqlite_driver_of(location);
    s->role = o->role;
    s->indexer = o->indexer;
    s->candidates_max = o->candidates_max ? o->candidates_max : 200'000;
    s->arena = arena_new(ARENA_BYTES);
    s->scratch = arena_new(SCRATCH_BYTES);
    s->resource = arena_new(SCRATCH_BYTES);
    s->group = arena_new(SCRATCH_BYTES);
    s->cache = calloc(CACHE_SLOTS, sizeof *s->cache);
    s->packer = packer_new();
    if (s->arena && s->scratch && s->resource && s->group && s->cache && s->packer) {
        s->location = arena_copy(s->arena, location);
        s->cluster = arena_copy(s->arena, o->cluster);
        s->numbers = numbers_new(s->arena);
        if (s->numbers)
            return s;
    }
    store_close(s);
    return NULL;
}

static enum store_result open_store(struct str location, const struct store_options *o, bool any_index,
                                    struct store **ret)
{
    if (!location.n || memchr(location.p, 0, location.n) || !o->cluster.n || o->cluster.n > CLUSTER_BYTES_MAX)
        return STORE_OTHER;
    struct store *s = new_store(location, o);
    if (!s)
        return STORE_NO_MEMORY;
    enum store_result result = open_all(s, o, any_index);
    if (result == STORE_FINE)
        *ret = s;
    else
        store_close(s);
    return result;
}

enum store_result store_open(struct str location, const struct store_options *o, struct store **ret)
{
    return open_store(location, o, false, ret);
}

enum store_result sqlite_open_any(struct str location, const struct store_options *o, struct store **ret)
{
    return open_store(location, o, true, ret);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->is_in_group)
        store_abort(s);
    s->driver->close(s);
    packer_free(s->packer);
    free(s->cache);
    free(s->pending);
    arena_free(s->group);
    arena_free(s->resource);
    arena_free(s->scratch);
    arena_free(s->arena);
    free(s);
}

const struct numbers *engine_numbers(const struct store *s)
{
    return s->numbers;
}

uint32_t engine_candidates_max(const struct store *s)
{
    return s->candidates_max;
}

struct arena *engine_scratch(struct store *s)
{
    return s->scratch;
}
