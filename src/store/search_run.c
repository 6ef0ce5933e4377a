/* A search from its query to a page.
 *
 * Two ways. A search of one type that is answered from one range of keys, unsorted or in the range's own
 * order, is streamed: it stops as soon as the page is full, and the next page goes on behind the last place.
 * Any other is collected, ordered and cut. A position says which way it came from, so that all pages of a
 * search go the same way, and the highest number of a resource at the first page, beyond which everything is
 * new. */
#include "store/search.h"

#include "base/must.h"

enum {
    COUNT_MAX = 10'000,
    INCLUDES_MAX = 1'000,
    POSITION_STREAM = 'S',
    POSITION_COLLECT = 'C',
    POSITION_BYTES_MAX = 4'096,
};

struct position {
    char way; /* 0: the first page */
    uint8_t driver;
    uint32_t bound;
    struct place place;
    struct str key;
};

struct run {
    struct store *store;
    struct seer *seer;
    const struct store_search *search;
    const struct fhir_search_query *query;
    struct arena *scratch, *arena;
    struct position position;
    uint32_t count;
    bool is_count_only, wants_total;
    struct plan *plans;
    size_t plan_count;
    struct store_found *out;
};

/* ---- positions */

static bool parse_position(struct run *r)
{
    struct str text = r->search->position;
    if (!text.n)
        return true;
    char *memory = arena_bytes(r->scratch, POSITION_BYTES_MAX);
    struct buf out = buf_over(memory, memory ? POSITION_BYTES_MAX : 0);
    if (!position_read(text, &out) || out.n < 6)
        return false;
    r->position.way = out.p[0];
    r->position.bound = (uint32_t)key_read(out.p + 1, 4);
    if (out.p[0] == POSITION_COLLECT) {
        r->position.key = str_skip(buf_text(&out), 5);
        return true;
    }
    r->position.driver = (uint8_t)out.p[5];
    if (out.p[0] != POSITION_STREAM || out.n != 6 + KEY_PLACE_BYTES)
        return false;
    r->position.place = key_place(out.p + 6);
    return true;
}

/* The first page says what is new to all others. */
static void set_bound(struct run *r)
{
    if (!r->position.way)
        r->position.bound = engine_last_resource(r->store);
}

static struct str write_stream_position(struct run *r, uint8_t driver, const struct place *place)
{
    char memory[6 + KEY_PLACE_BYTES];
    struct buf out = buf_over(memory, sizeof memory);
    set_bound(r);
    buf_char(&out, POSITION_STREAM);
    key_write(&out, r->position.bound, 4);
    buf_char(&out, (char)driver);
    key_write_place(&out, place);
    return position_write(buf_text(&out), r->arena);
}

static struct str write_collect_position(struct run *r, struct str key)
{
    char *memory = arena_bytes(r->scratch, key.n + 5);
    struct buf out = buf_over(memory, memory ? key.n + 5 : 0);
    set_bound(r);
    buf_char(&out, POSITION_COLLECT);
    key_write(&out, r->position.bound, 4);
    buf_str(&out, key);
    return memory ? position_write(buf_text(&out), r->arena) : STR_NONE;
}

/* ---- plans */

static enum store_result make_plan(struct run *r, const struct fhir_type *type)
{
    struct plan *p = &r->plans[r->plan_count];
    enum store_result result = plan_init(p, r->store, r->seer, type, r->scratch);
    p->bound = r->position.bound;
    if (result == STORE_FINE && r->query->compartment)
        result = plan_add_compartment(p, r->query->compartment, r->query->compartment_id);
    for (uint32_t i = 0; i < r->query->criterion_count && result == STORE_FINE; i++)
        result = plan_add(p, &r->query->criteria[i]);
    r->plan_count += result == STORE_FINE;
    return result;
}

static enum store_result make_plans(struct run *r)
{
    enum store_result result = STORE_FINE;
    unsigned n = r->query->type_count ? r->query->type_count : fhir_type_count();
    r->plans = arena_alloc(r->scratch, n * sizeof *r->plans);
    if (!r->plans)
        return STORE_NO_MEMORY;
    for (unsigned i = 0; i < n && result == STORE_FINE; i++) {
        const struct fhir_type *type = r->query->type_count ? r->query->types[i] : fhir_type_at(i);
        bool is_used = r->query->type_count == 1;
        if (!is_used && fhir_type_is_resource(type) && seer_sees_type(r->seer, type))
            result = type_is_used(r->store, type, &is_used);
        if (result == STORE_FINE && is_used)
            result = make_plan(r, type);
    }
    return result;
}

/* ---- pages */

static enum store_result read_records(struct run *r, const uint32_t *resources, size_t n,
                                      struct store_record *ret)
{
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < n && result == STORE_FINE; i++) {
        if (i % ENGINE_EXPECTED_MAX == 0)
            engine_expect(r->store, resources + i, n - i);
        result = record_read(r->store, resources[i], !r->search->no_bodies, r->arena, &ret[i]);
    }
    return result;
}

static enum store_result read_matches(struct run *r, const uint32_t *resources, size_t n)
{
    struct store_record *records = arena_alloc(r->arena, (n + 1) * sizeof *records);
    enum store_result result = records ? read_records(r, resources, n, records) : STORE_NO_MEMORY;
    r->out->matches = records;
    r->out->match_count = n;
    return result == STORE_NOT_FOUND ? engine_fail(r->store, STORE_CORRUPT, "a key leads to nothing")
                                     : result;
}

static enum store_result read_included(struct run *r, const uint32_t *resources, size_t n)
{
    struct set included = {0};
    uint32_t most = r->search->include_max ? r->search->include_max : INCLUDES_MAX;
    struct found_resource *matches = arena_alloc(r->scratch, (n + 1) * sizeof *matches);
    if (!matches)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        matches[i] = (struct found_resource){resources[i], r->out->matches[i].type};
    enum store_result result =
        search_include(r->store, r->seer, r->query, matches, n, most, r->scratch, &included);
    struct store_record *records = arena_alloc(r->arena, (included.n + 1) * sizeof *records);
    if (!records)
        return STORE_NO_MEMORY;
    if (result == STORE_FINE)
        result = read_records(r, included.at, included.n, records);
    r->out->included = records;
    r->out->included_count = included.n;
    return result;
}

static enum store_result read_page(struct run *r, const uint32_t *resources, size_t n)
{
    enum store_result result = read_matches(r, resources, n);
    if (result == STORE_FINE && (r->query->include_count || r->query->revinclude_count))
        result = read_included(r, resources, n);
    return result;
}

/* ---- streaming */

/* Only the date the type is ordered by, downwards, and within one patient's file. */
static bool is_own_order(const struct run *r, const struct plan *p)
{
    const struct fhir_query_sort *sort = r->query->sorts;
    return r->query->sort_count == 0 ||
           (r->query->sort_count == 1 && sort->is_descending && p->has_scope &&
            sort->parameter == plan_of_type(engine_numbers(r->store), p->type)->date);
}

static enum store_result stream(struct run *r, uint8_t driver)
{
    struct candidates found = {0};
    struct plan *p = &r->plans[0];
    bool goes_on = r->position.way == POSITION_STREAM;
    struct walk w = {driver, goes_on ? &r->position.place : NULL, (uint64_t)r->count + 1, false};
    enum store_result result = plan_walk(p, &w, &found);
    bool has_more = found.n > r->count;
    size_t n = has_more ? r->count : found.n;
    uint32_t *resources = arena_alloc(r->scratch, (n + 1) * sizeof *resources);
    if (result != STORE_FINE || !resources)
        return result == STORE_FINE ? STORE_NO_MEMORY : result;
    for (size_t i = 0; i < n; i++)
        resources[i] = found.at[i].place.resource;
    if (has_more)
        r->out->next = write_stream_position(r, driver, &found.at[n - 1].place);
    r->out->has_total = !has_more && !goes_on;
    r->out->total = n;
    return read_page(r, resources, n);
}

/* ---- collecting */

static enum store_result walk_plan(struct run *r, struct plan *p, struct candidates *all)
{
    struct candidates found = {0};
    struct walk w = {0};
    enum store_result result = plan_choose_driver(p, &w.driver);
    if (result != STORE_FINE)
        return result;
    bool is_single = driver_is_one_range(p, w.driver);
    w.is_counted_only = r->is_count_only && is_single;
    result = plan_walk(p, &w, &found);
    if (result == STORE_FINE && !is_single)
        candidates_sort(&found);
    all->count += found.count;
    if (result != STORE_FINE || !found.n || r->is_count_only)
        return result;
    struct candidate *at = arena_alloc(r->scratch, (all->n + found.n) * sizeof *at);
    if (!at)
        return STORE_NO_MEMORY;
    if (all->n)
        memcpy(at, all->at, all->n * sizeof *at);
    memcpy(at + all->n, found.at, found.n * sizeof *at);
    all->at = at;
    all->n += found.n;
    return STORE_FINE;
}

static enum store_result cut_page(struct run *r, const struct ranked *ranked, size_t all)
{
    size_t first = 0;
    while (first < all && r->position.key.n && str_compare(ranked[first].key, r->position.key) <= 0)
        first++;
    size_t n = all - first > r->count ? r->count : all - first;
    uint32_t *resources = arena_alloc(r->scratch, (n + 1) * sizeof *resources);
    if (!resources)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        resources[i] = ranked[first + i].candidate.place.resource;
    if (first + n < all)
        r->out->next = write_collect_position(r, ranked[first + n - 1].key);
    return read_page(r, resources, n);
}

static enum store_result collect(struct run *r)
{
    struct candidates all = {0};
    struct ranked *ranked;
    enum store_result result = STORE_FINE;
    for (size_t i = 0; i < r->plan_count && result == STORE_FINE; i++)
        result = walk_plan(r, &r->plans[i], &all);
    r->out->has_total = true;
    r->out->total = all.count;
    if (result != STORE_FINE || r->is_count_only)
        return result;
    result = search_rank(r->store, r->query, &all, r->scratch, &ranked);
    return result == STORE_FINE ? cut_page(r, ranked, all.n) : result;
}

/* ---- the way */

static enum store_result choose_way(struct run *r)
{
    struct plan *p = r->plans;
    uint8_t driver = r->position.driver;
    bool may_stream = r->plan_count == 1 && r->query->type_count == 1 && !r->is_count_only &&
                      !r->wants_total && is_own_order(r, p) && r->position.way != POSITION_COLLECT;
    if (!may_stream)
        return r->position.way == POSITION_STREAM ? STORE_BAD_POSITION : collect(r);
    enum store_result result = plan_choose_driver(p, &driver);
    if (result != STORE_FINE)
        return result;
    if (r->position.way == POSITION_STREAM) {
        driver = r->position.driver;
        if (driver != DRIVER_ALL && driver >= p->filter_count)
            return STORE_BAD_POSITION;
        if (!driver_is_one_range(p, driver))
            return STORE_BAD_POSITION;
        return stream(r, driver);
    }
    return driver_is_one_range(p, driver) ? stream(r, driver) : collect(r);
}

static void set_limits(struct run *r)
{
    const struct fhir_search_query *q = r->query;
    r->count = q->has_count ? q->count : r->search->count;
    r->count = r->count > COUNT_MAX ? COUNT_MAX : r->count;
    r->is_count_only = (q->has_summary && q->summary == FHIR_SUMMARY_COUNT) || r->count == 0;
    r->wants_total = q->total == FHIR_TOTAL_ACCURATE || q->total == FHIR_TOTAL_ESTIMATE;
}

static enum store_result run_search(struct run *r, const struct store_view *view)
{
    set_limits(r);
    if (!parse_position(r))
        return engine_fail(r->store, STORE_BAD_POSITION, "this page was not given out here");
    enum store_result result = seer_new(r->store, view, r->scratch, &r->seer);
    if (result == STORE_FINE)
        result = make_plans(r);
    if (result == STORE_FINE)
        result = choose_way(r);
    if (result == STORE_FINE && (arena_overflowed(r->arena) || arena_overflowed(r->scratch)))
        return STORE_NO_MEMORY;
    return result;
}

enum store_result store_search(struct store *s, const struct store_view *view,
                               const struct store_search *search, struct arena *arena,
                               struct store_found *ret)
{
    struct store_found found = {0};
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    struct run r = {.store = s,
                    .search = search,
                    .query = search->query,
                    .scratch = engine_scratch(s),
                    .arena = arena,
                    .out = &found};
    result = run_search(&r, view);
    engine_read_end(s);
    if (result == STORE_FINE)
        *ret = found;
    return result;
}
