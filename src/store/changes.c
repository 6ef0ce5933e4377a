/* What was written after a moment, oldest first: the list of all writes, read forwards one number at a time.
 */
#include "store/search.h"

enum { LOOKED_AT_MAX = 10'000 };

struct following {
    struct store *store;
    struct seer *seer;
    const struct store_changes *asked;
    struct arena *arena;
    struct store_change_page *page;
};

static bool is_wanted(const struct store_changes *asked, const struct fhir_type *type)
{
    for (size_t i = 0; i < asked->type_count; i++)
        if (asked->types[i] == type)
            return true;
    return asked->type_count == 0;
}

/* A version is seen by what it was, and by what the resource is now, as in a history. */
static enum store_result follow(struct following *f, uint64_t sequence)
{
    struct engine_change change;
    bool is_seen = true;
    enum store_result result = engine_change(f->store, sequence, &change);
    if (result != STORE_FINE)
        return result == STORE_NOT_FOUND ? STORE_FINE : result;
    const struct fhir_type *type = type_of_number(engine_numbers(f->store), change.type);
    if (!type || !is_wanted(f->asked, type))
        return STORE_FINE;
    result = sees_current(f->store, f->seer, type, change.resource, &is_seen);
    if (result != STORE_FINE || !is_seen)
        return result;
    result = version_read(f->store, f->seer, type, change.resource, change.version, f->arena,
                          &f->page->records[f->page->n]);
    f->page->n += result == STORE_FINE;
    return result == STORE_NOT_FOUND ? STORE_FINE : result;
}

static enum store_result follow_all(struct following *f, const struct store_view *view)
{
    uint64_t last = store_last_sequence(f->store), at = f->asked->after;
    enum store_result result = seer_new(f->store, view, engine_scratch(f->store), &f->seer);
    for (unsigned i = 0;
         i < LOOKED_AT_MAX && at < last && f->page->n < f->asked->count && result == STORE_FINE; i++)
        result = follow(f, ++at);
    f->page->upto = at;
    f->page->has_more = at < last;
    return result;
}

enum store_result store_changes(struct store *s, const struct store_view *view,
                                const struct store_changes *asked, struct arena *arena,
                                struct store_change_page *ret)
{
    struct store_change_page page = {.records =
                                         arena_alloc(arena, (asked->count + 1) * sizeof *page.records)};
    struct following f = {.store = s, .asked = asked, .arena = arena, .page = &page};
    if (!page.records)
        return STORE_NO_MEMORY;
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = follow_all(&f, view);
    engine_read_end(s);
    if (result == STORE_FINE)
        *ret = page;
    return result;
}
