/* Groups of transactions, each all or nothing.
 *
 * A transaction is first looked at whole (what is there, which versions, its keys) and written only when all
 * of it can be; so one that is refused has changed nothing but numbers given for names. Keys are gathered and
 * written in order at the end of the group. */
#include "store/sqlite_store.h"

#include "base/must.h"

#include <stdlib.h>

enum { PENDING_MAX = 200'000, HEAD_ROOM = HEAD_BYTES_MAX, CHECKPOINT_BYTES = 256 << 20 };

/* ---- groups */

static void forget_pending(struct store *s)
{
    s->pending_count = 0;
    arena_reset(s->group);
}

enum store_result store_begin(struct store *s, int64_t now_us, int64_t *ret_time_us)
{
    must(s->role == STORE_WRITER && !s->is_in_group && !s->read_depth);
    if (s->is_stopped)
        return engine_fail(s, STORE_STOPPED, "the disk failed before");
    enum store_result result = query_do(s, STATEMENT_BEGIN_WRITE);
    if (result == STORE_FINE)
        result = sqlite_read_counters(s);
    if (result != STORE_FINE) {
        s->driver->undo(s);
        return result;
    }
    s->is_in_group = true;
    s->group_time_us = now_us > s->counters.time_us ? now_us : s->counters.time_us;
    *ret_time_us = s->group_time_us;
    return STORE_FINE;
}

enum store_result sqlite_undo_group(struct store *s, enum store_result why)
{
    char problem[sizeof s->problem];
    memcpy(problem, s->problem, sizeof problem);
    for (unsigned i = 0; i < STATEMENTS; i++) {
        if (s->statements[i].own)
            query_reset(&s->statements[i]);
    }
    s->driver->undo(s);
    s->is_in_group = false;
    forget_pending(s);
    sqlite_cache_clear(s);
    memcpy(s->problem, problem, sizeof problem);
    return why;
}

void store_abort(struct store *s)
{
    if (s->is_in_group)
        (void)sqlite_undo_group(s, STORE_FINE);
}

enum store_result store_commit(struct store *s)
{
    must(s->is_in_group);
    s->counters.time_us = s->group_time_us;
    enum store_result result = sqlite_flush_pending(s);
    if (result == STORE_FINE)
        result = sqlite_write_counters(s);
    if (result == STORE_FINE)
        result = query_do(s, STATEMENT_COMMIT);
    if (result != STORE_FINE)
        return sqlite_undo_group(s, result);
    s->is_in_group = false;
    forget_pending(s);
    if (store_log_bytes(s) > CHECKPOINT_BYTES)
        (void)store_checkpoint(s);
    return STORE_FINE;
}

/* ---- keys */

enum store_result sqlite_add_pending(struct store *s, struct str key, bool is_added)
{
    if (s->pending_count == s->pending_room) {
        size_t room = s->pending_room ? s->pending_room * 2 : 1'024;
        struct pending *pending = realloc(s->pending, room * sizeof *pending);
        if (!pending)
            return STORE_NO_MEMORY;
        s->pending = pending;
        s->pending_room = room;
    }
    struct str copy = arena_copy(s->group, key);
    if (!copy.p)
        return STORE_NO_MEMORY;
    s->pending[s->pending_count] = (struct pending){copy, (uint32_t)s->pending_count, is_added};
    s->pending_count++;
    return s->pending_count < PENDING_MAX ? STORE_FINE : sqlite_flush_pending(s);
}

static int compare_pending(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    int order = str_compare(x->key, y->key);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* Of what was said of a key the last counts. */
enum store_result sqlite_flush_pending(struct store *s)
{
    if (!s->pending_count)
        return STORE_FINE;
    qsort(s->pending, s->pending_count, sizeof *s->pending, compare_pending);
    size_t n = 0;
    for (size_t i = 0; i < s->pending_count; i++) {
        if (i + 1 == s->pending_count || !str_eq(s->pending[i].key, s->pending[i + 1].key))
            s->pending[n++] = s->pending[i];
    }
    enum store_result result = s->driver->change_keys(s, s->pending, n);
    if (result == STORE_FINE)
        forget_pending(s);
    return result;
}

/* Both lists are in order: what stands in both stays. */
static enum store_result change_keys(struct store *s, const struct keys *old, const struct keys *new)
{
    enum store_result result = STORE_FINE;
    size_t o = 0, n = 0;
    while (result == STORE_FINE && (o < old->n || n < new->n)) {
        int order = o == old->n ? 1 : n == new->n ? -1 : str_compare(old->at[o], new->at[n]);
        if (order == 0)
            o++, n++;
        else if (order < 0)
            result = sqlite_add_pending(s, old->at[o++], false);
        else
            result = sqlite_add_pending(s, new->at[n++], true);
    }
    return result;
}

/* ---- looking at a transaction */

struct looked {
    uint32_t resource;
    bool is_there;     /* there is a version */
    bool is_nothing;   /* deletion of what is not there */
    struct head head;  /* of the current version */
    struct str packed; /* its body as it is stored */
    struct keys keys;  /* of the new one */
};

static enum store_result find_current(struct store *s, const struct store_write *w, struct looked *l)
{
    struct key_source source = sqlite_giving_source(s);
    uint32_t last = s->counters.last_resource;
    enum store_result result = w->verb == STORE_DELETE ? engine_ident(s, w->type, w->id, &l->resource)
                                                       : source.resource(s, w->type, w->id, &l->resource);
    if (result == STORE_NOT_FOUND)
        return STORE_FINE;
    if (result != STORE_FINE || l->resource > last) /* it was named just now: it has no version */
        return result;
    struct query *statement = query_get(s, STATEMENT_RESOURCE);
    query_bind_number(statement, 1, l->resource);
    int code = query_step(s, statement);
    if (code == QUERY_ROW) {
        result = sqlite_head(s, query_bytes(statement, 0), &l->head);
        l->head.id = w->id;
        l->packed = arena_copy(s->scratch, query_bytes(statement, 1));
        l->is_there = true;
    } else if (code != QUERY_DONE) {
        result = query_failed(s, code);
    }
    query_reset(statement);
    return result == STORE_FINE && arena_overflowed(s->scratch) ? STORE_NO_MEMORY : result;
}

static enum store_result may_be_written(struct store *s, const struct store_write *w, struct looked *l)
{
    bool exists = l->is_there && l->head.verb != STORE_DELETE;
    if (w->verb == STORE_CREATE && exists)
        return engine_fail(s, STORE_EXISTS, "it exists already");
    if (w->expected == STORE_NO_VERSION
            ? exists
            : w->expected > 0 && (!exists || (uint64_t)w->expected != l->head.version))
        return engine_fail(s, STORE_CONFLICT, "another version is current");
    if (w->verb == STORE_DELETE)
        l->is_nothing = !exists;
    else if (w->body.n > STORE_BODY_MAX)
        return engine_fail(s, STORE_TOO_LARGE, "the body is too large");
    if (l->head.version >= (1ULL << OLD_VERSION_BITS) - 2)
        return engine_fail(s, STORE_TOO_LARGE, "it has too many versions");
    return STORE_FINE;
}

static enum store_result look_at(struct store *s, const struct store_write *w, struct looked *l)
{
    struct key_source source = sqlite_giving_source(s);
    enum store_result result = find_current(s, w, l);
    if (result == STORE_FINE)
        result = may_be_written(s, w, l);
    if (result == STORE_FINE && w->verb != STORE_DELETE)
        result = keys_make(&source, w->type, l->resource, &w->rows, s->scratch, &l->keys);
    return result == STORE_TOO_LARGE ? engine_fail(s, result, "the resource has too many values") : result;
}

/* ---- writing */

/* What the current version was found by is taken away or changed into what the new one is found by. */
static enum store_result replace_keys(struct store *s, const struct store_write *w, const struct looked *l)
{
    struct key_source source = sqlite_giving_source(s);
    struct keys old = {0};
    struct indexed indexed;
    struct str body;
    enum store_result result = STORE_FINE;
    s->opened.is_open = false;
    arena_reset(s->resource);
    if (l->is_there && l->head.verb != STORE_DELETE) {
        result = sqlite_unpack(s, l->resource, &l->head, l->packed, s->resource, &body);
        if (result == STORE_FINE)
            result = engine_index(s, body, s->resource, &indexed);
        if (result == STORE_FINE)
            result = keys_make(&source, w->type, l->resource, &indexed.rows, s->resource, &old);
        if (result == STORE_FINE)
            result = sqlite_drop_words(s, l->resource, &indexed.value);
    }
    if (result == STORE_FINE && w->verb != STORE_DELETE)
        result = sqlite_add_words(s, l->resource, w->resource);
    return result == STORE_FINE ? change_keys(s, &old, &l->keys) : result;
}

void sqlite_set_places(struct head *h, const struct keys *keys)
{
    h->date = keys->date;
    h->subjects = keys->subjects;
    h->patient_count = keys->patient_count;
    memcpy(h->patients, keys->patients, keys->patient_count * sizeof *keys->patients);
}

enum store_result sqlite_write_head(struct store *s, enum statement which, int64_t at, const struct head *h,
                                    struct str packed)
{
    char memory[HEAD_ROOM];
    struct buf out = buf_over(memory, sizeof memory);
    struct query *statement = query_get(s, which);
    head_write(h, &out);
    must(!buf_overflowed(&out));
    query_bind_number(statement, 1, at);
    query_bind_bytes(statement, 2, buf_text(&out));
    query_bind_bytes(statement, 3, packed);
    return query_run(s, statement);
}

static enum store_result write_version(struct store *s, const struct store_write *w, const struct looked *l)
{
    struct str packed = STR_NONE;
    struct head h = l->head; /* of a deletion: whose it was */
    h.type = number_of_type(s->numbers, w->type);
    h.verb = (uint8_t)(w->verb == STORE_DELETE                       ? STORE_DELETE
                       : l->is_there && l->head.verb != STORE_DELETE ? STORE_UPDATE
                                                                     : STORE_CREATE);
    h.version = w->ret_version;
    h.sequence = w->ret_sequence;
    h.time_us = s->group_time_us;
    h.id = w->id;
    h.check = h.body_bytes = h.dictionary = 0;
    if (w->verb != STORE_DELETE) {
        sqlite_set_places(&h, &l->keys);
        h.body_bytes = (uint32_t)w->body.n;
        h.check = body_check(l->resource, h.version, w->body);
        packed = packer_pack(s->packer, h.type, w->body, s->resource, &h.dictionary);
        if (!packed.p)
            return engine_fail(s, STORE_NO_MEMORY, "a body cannot be packed");
        s->without_dictionary[h.type] += h.dictionary == 0;
    }
    return sqlite_write_head(s, l->is_there ? STATEMENT_SET_RESOURCE : STATEMENT_ADD_RESOURCE, l->resource,
                             &h, packed);
}

static enum store_result write_change(struct store *s, const struct store_write *w, const struct looked *l)
{
    char memory[16];
    struct buf out = buf_over(memory, sizeof memory);
    struct query *statement = query_get(s, STATEMENT_ADD_CHANGE);
    buf_char(&out, (char)number_of_type(s->numbers, w->type));
    key_write(&out, l->resource, 4);
    unsigned bytes = 1;
    while (bytes < 8 && w->ret_version >> bytes * 8)
        bytes++;
    key_write(&out, w->ret_version, bytes);
    query_bind_number(statement, 1, (int64_t)w->ret_sequence);
    query_bind_bytes(statement, 2, buf_text(&out));
    return query_run(s, statement);
}

static enum store_result write_one(struct store *s, struct store_write *w, const struct looked *l)
{
    w->ret_version = 0;
    w->ret_sequence = 0;
    if (l->is_nothing)
        return STORE_FINE;
    bool existed = l->is_there && l->head.verb != STORE_DELETE;
    w->ret_version = l->head.version + 1;
    w->ret_sequence = ++s->counters.sequence;
    s->counters.versions++;
    s->counters.resources += w->verb != STORE_DELETE && !existed;
    s->counters.resources -= w->verb == STORE_DELETE && existed;
    enum store_result result = replace_keys(s, w, l);
    if (result == STORE_FINE && l->is_there)
        result = sqlite_write_head(s, STATEMENT_ADD_OLD,
                                   (int64_t)((uint64_t)l->resource << OLD_VERSION_BITS | l->head.version),
                                   &l->head, l->packed);
    if (result == STORE_FINE)
        result = write_version(s, w, l);
    return result == STORE_FINE ? write_change(s, w, l) : result;
}

static bool is_refusal(enum store_result result)
{
    return result == STORE_CONFLICT || result == STORE_EXISTS || result == STORE_TOO_LARGE;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* One resource twice in a transaction: which of the two would count, nobody has said. */
static enum store_result find_twice(struct store *s, const struct looked *looked, size_t n,
                                    size_t *ret_failed)
{
    uint64_t *numbers = arena_alloc(s->scratch, (n + 1) * sizeof *numbers);
    if (!numbers)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        numbers[i] = (uint64_t)looked[i].resource << 32 | i;
    qsort(numbers, n, sizeof *numbers, compare_numbers);
    for (size_t i = 1; i < n; i++) {
        if (numbers[i] >> 32 && numbers[i] >> 32 == numbers[i - 1] >> 32) {
            *ret_failed = (uint32_t)numbers[i];
            return engine_fail(s, STORE_CONFLICT, "a resource stands twice in the transaction");
        }
    }
    return STORE_FINE;
}

enum store_result store_apply(struct store *s, struct store_write *writes, size_t n, size_t *ret_failed)
{
    must(s->is_in_group && !s->read_depth);
    arena_reset(s->scratch);
    struct looked *looked = arena_alloc(s->scratch, (n + 1) * sizeof *looked);
    enum store_result result = looked ? STORE_FINE : STORE_NO_MEMORY;
    size_t i = 0;
    for (; i < n && result == STORE_FINE; i++) {
        result = look_at(s, &writes[i], &looked[i]);
        if (is_refusal(result)) {
            *ret_failed = i;
            return result;
        }
    }
    if (result == STORE_FINE && n > 1)
        result = find_twice(s, looked, n, ret_failed);
    if (result == STORE_CONFLICT)
        return result;
    for (i = 0; i < n && result == STORE_FINE; i++)
        result = write_one(s, &writes[i], &looked[i]);
    return result == STORE_FINE ? STORE_FINE : sqlite_undo_group(s, result);
}

enum store_result store_next(struct store *s, const struct fhir_type *type, struct str id,
                             uint64_t *ret_version, bool *ret_exists)
{
    must(s->is_in_group);
    uint32_t resource;
    struct head head = {0};
    arena_reset(s->scratch);
    enum store_result result = engine_ident(s, type, id, &resource);
    if (result == STORE_FINE)
        result = engine_head(s, resource, &head);
    if (result != STORE_FINE && result != STORE_NOT_FOUND)
        return sqlite_undo_group(s, result);
    *ret_version = result == STORE_FINE ? head.version + 1 : 1;
    *ret_exists = result == STORE_FINE && head.verb != STORE_DELETE;
    return STORE_FINE;
}

/* ---- the log */

uint64_t store_log_bytes(struct store *s)
{
    return s->driver->log_bytes(s);
}

enum store_result store_checkpoint(struct store *s)
{
    must(s->role == STORE_WRITER && !s->is_in_group && !s->read_depth);
    if (s->is_stopped)
        return engine_fail(s, STORE_STOPPED, "the disk failed before");
    return s->driver->checkpoint(s);
}
