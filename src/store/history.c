/* History: of one resource by its versions, of a type or the system by the list of all writes. */
#include "store/search.h"

enum { COUNT_MAX = 10'000 };

struct telling {
    struct store *store;
    struct seer *seer;
    const struct store_history *asked;
    struct arena *arena;
    struct store_record *records;
    size_t n, room;
    uint64_t last; /* the sequence or version of the last one that was given */
    bool has_more;
    enum store_result result;
};

static bool parse_number(struct str text, uint64_t *ret)
{
    char memory[16];
    struct buf out = buf_over(memory, sizeof memory);
    if (!position_read(text, &out) || out.n != 8)
        return false;
    *ret = key_read(out.p, 8);
    return true;
}

static struct str write_number(uint64_t value, struct arena *arena)
{
    char memory[8];
    struct buf out = buf_over(memory, sizeof memory);
    key_write(&out, value, 8);
    return position_write(buf_text(&out), arena);
}

/* Was it current at some moment that is asked for? */
static bool is_in_time(const struct telling *t, const struct store_record *r, int64_t until_us)
{
    return r->time_us >= t->asked->since_us && r->time_us < t->asked->at_high_us &&
           until_us > t->asked->at_low_us;
}

/* False: the page is full. */
static bool tell(struct telling *t, const struct store_record *record, uint64_t number)
{
    if (t->n == t->asked->count || t->n == COUNT_MAX) {
        t->has_more = true;
        return false;
    }
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 16;
        struct store_record *records = arena_alloc(t->arena, room * sizeof *records);
        if (!records) {
            t->result = STORE_NO_MEMORY;
            return false;
        }
        if (t->n)
            memcpy(records, t->records, t->n * sizeof *records);
        t->records = records;
        t->room = room;
    }
    t->records[t->n++] = *record;
    t->last = number;
    return true;
}

/* ---- one resource */

static enum store_result tell_instance(struct telling *t, uint32_t resource, uint64_t below,
                                       uint64_t *ret_total)
{
    struct head head;
    struct store_record record;
    int64_t until_us = INT64_MAX;
    enum store_result result = engine_head(t->store, resource, &head);
    uint64_t last = result == STORE_FINE ? head.version : 0;
    *ret_total = 0;
    for (uint64_t version = last; version > 0 && result == STORE_FINE; version--) {
        result = version_read(t->store, t->seer, t->asked->type, resource, version, t->arena, &record);
        if (result == STORE_NOT_FOUND) {
            result = STORE_FINE;
            continue;
        }
        if (result != STORE_FINE)
            break;
        bool is_asked = is_in_time(t, &record, until_us);
        until_us = record.time_us;
        *ret_total += is_asked;
        if (is_asked && version < below && !t->has_more)
            (void)tell(t, &record, version);
        result = t->result;
    }
    return result;
}

static enum store_result instance(struct telling *t, uint64_t below, struct store_page *ret)
{
    uint32_t resource;
    bool is_seen = true;
    enum store_result result = engine_ident(t->store, t->asked->type, t->asked->id, &resource);
    if (result == STORE_FINE)
        result = sees_current(t->store, t->seer, t->asked->type, resource, &is_seen);
    if (result == STORE_FINE && !is_seen)
        return STORE_NOT_FOUND;
    struct head head;
    if (result == STORE_FINE)
        result = engine_head(t->store, resource, &head);
    if (result == STORE_FINE)
        result = tell_instance(t, resource, below, &ret->total);
    ret->has_total = result == STORE_FINE;
    return result;
}

/* ---- all resources */

/* When the version was replaced; INT64_MAX: it is current. Asked only where _at needs it. */
static enum store_result replaced_at(struct telling *t, const struct engine_change *change, int64_t *ret)
{
    struct store_record next;
    *ret = INT64_MAX;
    if (t->asked->at_low_us == INT64_MIN)
        return STORE_FINE;
    enum store_result result =
        version_read(t->store, NULL, t->asked->type, change->resource, change->version + 1, t->arena, &next);
    if (result == STORE_FINE)
        *ret = next.time_us;
    return result == STORE_NOT_FOUND ? STORE_FINE : result;
}

static enum store_result tell_change(struct telling *t, const struct engine_change *change,
                                     enum engine_step *ret_step)
{
    const struct fhir_type *type = type_of_number(engine_numbers(t->store), change->type);
    struct store_record record;
    bool is_seen = true;
    int64_t until_us;
    if (!type || (t->asked->type && type != t->asked->type))
        return STORE_FINE;
    enum store_result result = sees_current(t->store, t->seer, type, change->resource, &is_seen);
    if (result != STORE_FINE || !is_seen)
        return result;
    result = version_read(t->store, t->seer, type, change->resource, change->version, t->arena, &record);
    if (result != STORE_FINE)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    if (record.time_us < t->asked->since_us) { /* times only go down from here */
        *ret_step = ENGINE_ENOUGH;
        return STORE_FINE;
    }
    result = replaced_at(t, change, &until_us);
    if (result == STORE_FINE && is_in_time(t, &record, until_us) && !tell(t, &record, change->sequence))
        *ret_step = ENGINE_ENOUGH;
    return result;
}

static enum engine_step each_change(void *context, const struct engine_change *change)
{
    struct telling *t = context;
    enum engine_step step = ENGINE_GO_ON;
    enum store_result result = tell_change(t, change, &step);
    if (result != STORE_FINE)
        t->result = result;
    return t->result == STORE_FINE ? step : ENGINE_ENOUGH;
}

/* ---- the page */

static enum store_result run_history(struct telling *t, const struct store_view *view, struct store_page *ret)
{
    uint64_t below = UINT64_MAX;
    if (t->asked->position.n && !parse_number(t->asked->position, &below))
        return engine_fail(t->store, STORE_BAD_POSITION, "this page was not given out here");
    enum store_result result = seer_new(t->store, view, engine_scratch(t->store), &t->seer);
    if (result == STORE_FINE && t->asked->id.n)
        result = instance(t, below, ret);
    else if (result == STORE_FINE)
        result = engine_changes_before(t->store, below, each_change, t);
    if (result == STORE_FINE)
        result = t->result;
    ret->records = t->records;
    ret->n = t->n;
    if (result == STORE_FINE && t->has_more)
        ret->next = write_number(t->last, t->arena);
    return result;
}

enum store_result store_history(struct store *s, const struct store_view *view,
                                const struct store_history *asked, struct arena *arena,
                                struct store_page *ret)
{
    struct store_page page = {0};
    struct telling t = {.store = s, .asked = asked, .arena = arena};
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = run_history(&t, view, &page);
    engine_read_end(s);
    if (result == STORE_FINE)
        *ret = page;
    return result;
}
