/* Reading: one state for each call, versions with their bodies, keys in order. */
#include "store/sqlite_store.h"

#include "base/must.h"

/* ---- states */

enum store_result engine_read_alone(struct store *s)
{
    arena_reset(s->scratch);
    s->opened.is_open = false;
    return s->is_stopped ? engine_fail(s, STORE_STOPPED, "the disk failed before") : STORE_FINE;
}

enum store_result engine_read_begin(struct store *s)
{
    if (s->read_depth++ > 0)
        return STORE_FINE;
    if (engine_read_alone(s) != STORE_FINE) {
        s->read_depth--;
        return STORE_STOPPED;
    }
    if (s->is_in_group || s->is_in_snapshot) {
        enum store_result flushed = s->is_in_group ? sqlite_flush_pending(s) : STORE_FINE;
        s->read_depth -= flushed != STORE_FINE;
        return flushed;
    }
    enum store_result result = query_do(s, STATEMENT_BEGIN_READ);
    s->read_depth -= result != STORE_FINE;
    return result;
}

void engine_read_end(struct store *s)
{
    must(s->read_depth > 0);
    if (--s->read_depth == 0 && !s->is_in_group && !s->is_in_snapshot)
        (void)query_do(s, STATEMENT_COMMIT);
}

enum store_result store_snapshot_begin(struct store *s)
{
    must(!s->is_in_snapshot && !s->is_in_group && !s->read_depth);
    uint64_t sequence = 0;
    enum store_result result = query_do(s, STATEMENT_BEGIN_READ);
    s->is_in_snapshot = result == STORE_FINE;
    if (result == STORE_FINE) /* the state is the one of the first read */
        sequence = store_last_sequence(s);
    (void)sequence;
    return result;
}

void store_snapshot_end(struct store *s)
{
    if (s->is_in_snapshot)
        (void)query_do(s, STATEMENT_COMMIT);
    s->is_in_snapshot = false;
}

uint64_t store_last_sequence(struct store *s)
{
    if (s->is_in_group)
        return s->counters.sequence;
    return sqlite_read_counters(s) == STORE_FINE ? s->counters.sequence : 0;
}

uint32_t engine_last_resource(struct store *s)
{
    if (!s->is_in_group && sqlite_read_counters(s) != STORE_FINE)
        return 0;
    return s->counters.last_resource;
}

/* ---- versions */

enum store_result sqlite_head(struct store *s, struct str bytes, struct head *ret)
{
    return head_read(bytes, ret) ? STORE_FINE
                                 : engine_fail(s, STORE_CORRUPT, "the head of a version is damaged");
}

enum store_result sqlite_unpack(struct store *s, uint32_t resource, const struct head *h, struct str packed,
                                struct arena *arena, struct str *ret)
{
    *ret = STR_NONE;
    if (h->verb == STORE_DELETE)
        return STORE_FINE;
    char *body = arena_bytes(arena, h->body_bytes ? h->body_bytes : 1);
    if (!body)
        return engine_fail(s, STORE_NO_MEMORY, "a body does not fit into memory");
    if (!packer_has(s->packer, h->dictionary) && !sqlite_load_dictionary(s, h->dictionary))
        return engine_fail(s, STORE_CORRUPT, "the dictionary of a body is missing");
    if (!packer_unpack(s->packer, h->dictionary, packed, body, h->body_bytes))
        return engine_fail(s, STORE_CORRUPT, "a body cannot be unpacked");
    *ret = (struct str){body, h->body_bytes};
    if (body_check(resource, h->version, *ret) != h->check)
        return engine_fail(s, STORE_CORRUPT, "the checksum of a body is wrong");
    return STORE_FINE;
}

/* Steps a statement that gives a head and perhaps a body. */
static enum store_result read_row(struct store *s, struct query *statement, uint32_t resource, bool with_body,
                                  struct arena *arena, struct head *ret, struct str *ret_body)
{
    int code = query_step(s, statement);
    enum store_result result = code == QUERY_ROW    ? STORE_FINE
                               : code == QUERY_DONE ? STORE_NOT_FOUND
                                                    : query_failed(s, code);
    if (result == STORE_FINE)
        result = sqlite_head(s, query_bytes(statement, 0), ret);
    if (result == STORE_FINE && with_body) {
        struct str packed = query_bytes(statement, 1);
        result = sqlite_unpack(s, resource, ret, packed, arena, ret_body);
    }
    if (result == STORE_FINE && ret->id.p != ret->memory) {
        ret->id = arena_copy(arena, ret->id);
        result = ret->id.p ? STORE_FINE : STORE_NO_MEMORY;
    }
    query_reset(statement);
    return result;
}

static struct query *of_resource(struct store *s, uint32_t resource)
{
    struct query *statement = query_get(s, STATEMENT_RESOURCE);
    query_bind_number(statement, 1, resource);
    return statement;
}

void engine_expect(struct store *s, const uint32_t *resources, size_t n)
{
    if (s->driver->expect && n > 1 && !s->is_in_group)
        s->driver->expect(s, resources, n < ENGINE_EXPECTED_MAX ? n : ENGINE_EXPECTED_MAX);
}

enum store_result engine_head(struct store *s, uint32_t resource, struct head *ret)
{
    return read_row(s, of_resource(s, resource), resource, false, s->scratch, ret, NULL);
}

enum store_result engine_body(struct store *s, uint32_t resource, struct arena *arena, struct head *ret,
                              struct str *ret_body)
{
    return read_row(s, of_resource(s, resource), resource, true, arena, ret, ret_body);
}

enum store_result engine_body_of(struct store *s, uint32_t resource, uint64_t version, struct arena *arena,
                                 struct head *ret, struct str *ret_body)
{
    enum store_result result = engine_body(s, resource, arena, ret, ret_body);
    if (result != STORE_FINE || ret->version == version)
        return result;
    struct query *statement = query_get(s, STATEMENT_OLD);
    if (version >> OLD_VERSION_BITS)
        return STORE_NOT_FOUND;
    query_bind_number(statement, 1, (int64_t)((uint64_t)resource << OLD_VERSION_BITS | version));
    return read_row(s, statement, resource, true, arena, ret, ret_body);
}

enum store_result engine_index(struct store *s, struct str body, struct arena *arena, struct indexed *ret)
{
    /* Nearly every body has a value for each eight bytes at most; the others are parsed twice. */
    size_t rooms[] = {body.n / 8 + 64, json_nodes_max(body.n)};
    enum json_error error = JSON_TOO_LARGE;
    for (unsigned i = 0; i < 2 && error == JSON_TOO_LARGE; i++) {
        struct json_node *nodes = arena_alloc(arena, rooms[i] * sizeof *nodes);
        if (!nodes)
            return engine_fail(s, STORE_NO_MEMORY, "a body does not fit into memory");
        error = json_parse(body, JSON_DEPTH_MAX, nodes, rooms[i], &ret->tape, NULL);
    }
    struct fhir_path_env env = {.steps_max = 1'000'000, .hash_key = {0x706f6c646572, 0x73746f7265}};
    if (error != JSON_FINE || !fhir_value_of_resource(&ret->tape, 0, &ret->value))
        return engine_fail(s, STORE_CORRUPT, "a body that was stored cannot be read");
    if (fhir_index_resource(s->indexer, &ret->value, &env, arena, &ret->rows) != FHIR_INDEX_FINE)
        return engine_fail(s, STORE_CORRUPT, "a body that was stored cannot be indexed");
    return STORE_FINE;
}

enum store_result engine_open_resource(struct store *s, uint32_t resource, const struct opened **ret)
{
    struct opened *o = &s->opened;
    *ret = o;
    if (o->is_open && o->resource == resource)
        return STORE_FINE;
    o->is_open = false;
    arena_reset(s->resource);
    enum store_result result = engine_body(s, resource, s->resource, &o->head, &o->body);
    if (result == STORE_FINE && o->head.verb == STORE_DELETE)
        return STORE_NOT_FOUND;
    if (result == STORE_FINE)
        result = engine_index(s, o->body, s->resource, &o->indexed);
    o->is_open = result == STORE_FINE;
    o->resource = resource;
    return result;
}

/* ---- walks */

static struct query *walk_statement(struct store *s, enum engine_list list, bool backwards)
{
    enum statement which = list == ENGINE_TEXTS ? STATEMENT_TEXTS_UP
                           : backwards          ? STATEMENT_KEYS_DOWN
                                                : STATEMENT_KEYS_UP;
    return query_get(s, which);
}

enum store_result engine_walk(struct store *s, enum engine_list list, struct str low, struct str high,
                              bool backwards)
{
    must(!s->walks[list]);
    s->walks[list] = walk_statement(s, list, backwards);
    s->walk_codes[list] = QUERY_ROW;
    if (!s->walks[list])
        return query_failed(s, 0);
    query_bind_bytes(s->walks[list], 1, low);
    query_bind_bytes(s->walks[list], 2, high);
    return STORE_FINE;
}

bool engine_next(struct store *s, enum engine_list list, struct str *ret)
{
    s->walk_codes[list] = query_step(s, s->walks[list]);
    if (s->walk_codes[list] != QUERY_ROW)
        return false;
    *ret = query_bytes(s->walks[list], 0);
    return true;
}

enum store_result engine_walk_end(struct store *s, enum engine_list list)
{
    int code = s->walk_codes[list];
    enum store_result result = code == QUERY_ROW || code == QUERY_DONE ? STORE_FINE : query_failed(s, code);
    if (s->walks[list])
        query_reset(s->walks[list]);
    s->walks[list] = NULL;
    return result;
}

enum store_result engine_first(struct store *s, struct str low, struct str high, struct buf *out)
{
    struct query *statement = query_get(s, STATEMENT_FIRST_KEY);
    query_bind_bytes(statement, 1, low);
    query_bind_bytes(statement, 2, high);
    int code = query_step(s, statement);
    enum store_result result = code == QUERY_ROW    ? STORE_FINE
                               : code == QUERY_DONE ? STORE_NOT_FOUND
                                                    : query_failed(s, code);
    if (result == STORE_FINE)
        buf_str(out, query_bytes(statement, 0));
    query_reset(statement);
    return result == STORE_FINE && buf_overflowed(out) ? engine_fail(s, STORE_CORRUPT, "a key is too long")
                                                       : result;
}

enum { CHANGE_BYTES_MIN = 6, CHANGE_BYTES_MAX = 13 };

static bool read_change(struct str what, struct engine_change *ret)
{
    if (what.n < CHANGE_BYTES_MIN || what.n > CHANGE_BYTES_MAX)
        return false;
    ret->type = (uint8_t)what.p[0];
    ret->resource = (uint32_t)key_read(what.p + 1, 4);
    ret->version = key_read(what.p + 5, (unsigned)what.n - 5);
    return true;
}

enum store_result engine_change(struct store *s, uint64_t sequence, struct engine_change *ret)
{
    struct query *statement = query_get(s, STATEMENT_CHANGE);
    query_bind_number(statement, 1, (int64_t)sequence);
    int code = query_step(s, statement);
    enum store_result result = code == QUERY_ROW    ? STORE_FINE
                               : code == QUERY_DONE ? STORE_NOT_FOUND
                                                    : query_failed(s, code);
    ret->sequence = sequence;
    if (result == STORE_FINE && !read_change(query_bytes(statement, 0), ret))
        result = engine_fail(s, STORE_CORRUPT, "the list of changes is damaged");
    query_reset(statement);
    return result;
}

enum store_result engine_changes_before(struct store *s, uint64_t sequence,
                                        enum engine_step (*each)(void *context, const struct engine_change *),
                                        void *context)
{
    struct query *statement = query_get(s, STATEMENT_CHANGES_DOWN);
    enum engine_step step = ENGINE_GO_ON;
    enum store_result result = STORE_FINE;
    int code = QUERY_DONE;
    query_bind_number(statement, 1, sequence > INT64_MAX ? INT64_MAX : (int64_t)sequence);
    while (result == STORE_FINE && step == ENGINE_GO_ON && (code = query_step(s, statement)) != QUERY_DONE) {
        struct engine_change change = {0};
        if (code != QUERY_ROW) {
            result = query_failed(s, code);
            break;
        }
        change.sequence = (uint64_t)query_number(statement, 0);
        if (read_change(query_bytes(statement, 1), &change))
            step = each(context, &change);
        else
            result = engine_fail(s, STORE_CORRUPT, "the list of changes is damaged");
    }
    query_reset(statement);
    return result;
}
