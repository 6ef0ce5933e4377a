/* Compiling: patterns into expressions, a lane's expressions into a database, all of it into bytes.
 *
 * A database that Hyperscan has put at an aligned address is used where it lies: it holds no pointers, only
 * offsets from its own start. So it is written as it lies, and mapped read-only by every process. */
#include "waf/prefilter_compile.h"

#include "base/hash.h"

#include <hs/hs.h>
#include <stdlib.h>

/* ---- the key */

/* Each digit group is a chain of hashes: the last value keys the next. Names a cache file; nobody else's
 * input is in it. */
static void mix(uint64_t state[4], const void *bytes, size_t n)
{
    for (uint64_t i = 0; i < 4; i++) {
        struct hash_key key = {state[i], i};
        state[i] = hash_bytes(&key, bytes, n);
    }
}

static void mix_u64(uint64_t state[4], uint64_t value)
{
    mix(state, &value, sizeof value);
}

static void mix_str(uint64_t state[4], struct str s)
{
    mix_u64(state, s.n);
    mix(state, s.n ? s.p : "", s.n);
}

static void mix_pattern(uint64_t state[4], const struct prefilter_pattern *p)
{
    mix_str(state, operator_name(p->op));
    mix_str(state, p->argument);
    mix_u64(state, p->word_count);
    for (size_t i = 0; i < p->word_count; i++)
        mix_str(state, p->words[i]);
    mix_u64(state, p->lane);
    mix_u64(state, p->is_caseless);
}

void prefilter_key(const struct prefilter_pattern *patterns, size_t count, char ret_key[64])
{
    uint64_t state[4] = {0}, cpu_features = 0;
    uint32_t cpu_tune = 0;
    struct buf out = buf_over(ret_key, 64);
    (void)prefilter_platform(&cpu_features, &cpu_tune);
    mix_u64(state, PREFILTER_VERSION);
    mix_str(state, str_of(hs_version()));
    mix_u64(state, cpu_features);
    mix_u64(state, cpu_tune);
    mix_u64(state, count);
    for (size_t i = 0; i < count; i++)
        mix_pattern(state, &patterns[i]);
    buf_hex(&out, state, sizeof state);
}

/* ---- one lane */

struct builder {
    struct arena *arena;
    const struct prefilter_pattern *patterns;
    size_t count;
    uint64_t *selected;
};

static bool collect(struct builder *b, unsigned lane, struct expressions *ret)
{
    *ret = (struct expressions){.arena = b->arena};
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->patterns[i].lane == lane && expressions_add(ret, &b->patterns[i], i))
            b->selected[i / 64] |= 1ULL << (i % 64);
    }
    return !ret->failed;
}

/* The expressions as the library wants them. */
struct columns {
    const char **texts;
    unsigned *flags, *ids;
};

static bool columns_of(const struct expressions *e, struct arena *arena, struct columns *ret)
{
    ret->texts = arena_alloc(arena, e->count * sizeof *ret->texts);
    ret->flags = arena_alloc(arena, e->count * sizeof *ret->flags);
    ret->ids = arena_alloc(arena, e->count * sizeof *ret->ids);
    if (!ret->texts || !ret->flags || !ret->ids)
        return false;
    for (size_t i = 0; i < e->count; i++) {
        ret->texts[i] = e->items[i].text;
        ret->flags[i] = e->items[i].flags;
        ret->ids[i] = e->items[i].pattern;
    }
    return true;
}

/* Without the expressions of that pattern. */
static void drop(struct builder *b, struct expressions *e, uint32_t pattern)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (e->items[i].pattern != pattern)
            e->items[kept++] = e->items[i];
    }
    e->count = kept;
    b->selected[pattern / 64] &= ~(1ULL << (pattern % 64));
}

static hs_error_t compile(const struct columns *columns, size_t count, hs_database_t **ret, int *ret_refused)
{
    hs_compile_error_t *error = NULL;
    hs_error_t result = hs_compile_multi(columns->texts, columns->flags, columns->ids, (unsigned)count,
                                         HS_MODE_BLOCK, NULL, ret, &error);
    *ret_refused = error ? error->expression : -1;
    (void)hs_free_compile_error(error);
    return result;
}

/* What the library refuses is widened, and given up when it cannot be. */
static bool replace(struct builder *b, struct expressions *e, size_t at)
{
    uint32_t pattern = e->items[at].pattern;
    if (!expressions_widen(e, at))
        drop(b, e, pattern);
    return !e->failed;
}

static bool is_refused_alone(const struct expression *one)
{
    hs_database_t *database = NULL;
    int refused;
    const char *text = one->text;
    unsigned flags = one->flags, id = one->pattern;
    hs_error_t result = compile(&(struct columns){&text, &flags, &id}, 1, &database, &refused);
    (void)hs_free_database(database);
    return result == HS_COMPILER_ERROR;
}

/* A refusal costs the whole attempt, so the large ones are tried alone before. */
static bool try_large(struct builder *b, struct expressions *e)
{
    enum { LARGE = 400 };
    for (size_t i = 0; i < e->count;) {
        if (!e->items[i].tree || tree_size(e->items[i].tree) < LARGE || !is_refused_alone(&e->items[i]))
            i++;
        else if (!replace(b, e, i))
            return false;
    }
    return true;
}

static bool compile_lane(struct builder *b, unsigned lane, hs_database_t **ret_database)
{
    struct expressions expressions;
    struct columns columns;
    int refused;
    *ret_database = NULL;
    if (!collect(b, lane, &expressions) || !try_large(b, &expressions))
        return false;
    while (expressions.count) {
        if (!columns_of(&expressions, b->arena, &columns))
            return false;
        if (compile(&columns, expressions.count, ret_database, &refused) == HS_SUCCESS)
            return true;
        if (refused < 0 || (size_t)refused >= expressions.count || !replace(b, &expressions, (size_t)refused))
            return false;
    }
    return true;
}

/* ---- the bytes */

static size_t align_up(size_t n)
{
    return (n + PREFILTER_ALIGN - 1) / PREFILTER_ALIGN * PREFILTER_ALIGN;
}

static bool lay_out(hs_database_t *const *databases, unsigned lanes, size_t begin, struct prefilter_lane *ret,
                    size_t *ret_size)
{
    size_t at = align_up(begin), size;
    for (unsigned lane = 0; lane < lanes; lane++) {
        if (!databases[lane])
            continue;
        if (hs_database_size(databases[lane], &size) != HS_SUCCESS)
            return false;
        ret[lane] = (struct prefilter_lane){at, size};
        at += align_up(size);
    }
    *ret_size = at;
    return true;
}

/* As it lies at an aligned address. */
static bool place(const hs_database_t *database, char *to)
{
    char *bytes = NULL;
    size_t n = 0;
    if (hs_serialize_database(database, &bytes, &n) != HS_SUCCESS)
        return false;
    hs_error_t error = hs_deserialize_database_at(bytes, n, (void *)to);
    free(bytes);
    return error == HS_SUCCESS;
}

static bool write_bytes(struct builder *b, hs_database_t *const *databases, unsigned lanes, struct str *ret)
{
    size_t bitmap = prefilter_bitmap_bytes(b->count), size;
    size_t begin = sizeof(struct prefilter_header) + bitmap + lanes * sizeof(struct prefilter_lane);
    struct prefilter_lane *table = arena_alloc(b->arena, (lanes + 1) * sizeof *table);
    if (!table || !lay_out(databases, lanes, begin, table, &size))
        return false;
    char *room = arena_alloc(b->arena, size + PREFILTER_ALIGN);
    if (!room)
        return false;
    char *bytes = room + (align_up((uintptr_t)room) - (uintptr_t)room);
    struct prefilter_header *header = (void *)bytes;
    for (unsigned lane = 0; lane < lanes; lane++) {
        if (databases[lane] && !place(databases[lane], bytes + table[lane].offset))
            return false;
    }
    *header = (struct prefilter_header){.magic = "PLDRPRE",
                                        .size_bytes = size,
                                        .version = PREFILTER_VERSION,
                                        .patterns = (uint32_t)b->count,
                                        .lanes = lanes};
    if (!prefilter_platform(&header->cpu_features, &header->cpu_tune))
        return false;
    prefilter_key(b->patterns, b->count, header->key);
    if (bitmap)
        memcpy(bytes + sizeof *header, b->selected, bitmap);
    memcpy(bytes + sizeof *header + bitmap, table, lanes * sizeof *table);
    *ret = (struct str){bytes, size};
    prefilter_checksum(*ret, header->checksum);
    return true;
}

static size_t patterns_up_to(const struct builder *b, unsigned lane)
{
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++)
        count += b->patterns[i].lane <= lane;
    return count;
}

bool prefilter_compile(const struct prefilter_pattern *patterns, size_t count, unsigned lanes,
                       struct arena *arena, prefilter_progress *progress, void *context,
                       struct str *ret_bytes)
{
    struct builder b = {arena, patterns, count, arena_alloc(arena, prefilter_bitmap_bytes(count) + 1)};
    hs_database_t **databases = arena_alloc(arena, (lanes + 1) * sizeof(hs_database_t *));
    bool fine = b.selected && databases && count <= UINT32_MAX;
    for (unsigned lane = 0; fine && lane < lanes; lane++) {
        fine = compile_lane(&b, lane, &databases[lane]);
        if (fine && progress)
            progress(context, patterns_up_to(&b, lane), count);
    }
    /* A pattern that memory was lacking for looks like one that cannot be selected. */
    fine = fine && !arena_overflowed(arena) && write_bytes(&b, databases, lanes, ret_bytes);
    for (unsigned lane = 0; databases && lane < lanes; lane++)
        (void)hs_free_database(databases[lane]);
    return fine;
}
