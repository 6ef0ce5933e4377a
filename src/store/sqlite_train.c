/* Dictionaries of the compression, made from what the store has. */
#include "store/sqlite_store.h"

#include "base/must.h"

enum {
    SAMPLES_MAX = 1'200,
    SAMPLES_MIN = 300,
    SAMPLE_BYTES_MAX = 16 << 10, /* of one resource: its beginning */
    SAMPLES_BYTES_MAX = 8 << 20,
    NUMBERS_MAX = 1 << 20,
};

const struct fhir_type *store_wants_dictionary(struct store *s, uint32_t bodies)
{
    for (unsigned i = 0; i < 256; i++) {
        const struct fhir_type *type = type_of_number(s->numbers, (uint8_t)i);
        if (s->without_dictionary[i] < bodies || !type)
            continue;
        s->without_dictionary[i] = 0; /* asked again after as many more */
        return type;
    }
    return NULL;
}

/* Resources of a type, by their own keys. */
static enum store_result list_resources(struct store *s, const struct fhir_type *type, uint32_t *numbers,
                                        size_t *ret_n)
{
    uint8_t number = number_of_type(s->numbers, type);
    char low[2] = {KEY_ALL, (char)number}, high[3] = {KEY_ALL, (char)number, (char)0xff};
    struct key_end end;
    struct str key;
    *ret_n = 0;
    enum store_result result =
        engine_walk(s, ENGINE_KEYS, (struct str){low, 2}, (struct str){high, 3}, false);
    while (result == STORE_FINE && *ret_n < NUMBERS_MAX && engine_next(s, ENGINE_KEYS, &key)) {
        if (key_read_end(key, &end) && !end.is_further)
            numbers[(*ret_n)++] = end.place.resource;
    }
    enum store_result ended = engine_walk_end(s, ENGINE_KEYS);
    return result == STORE_FINE ? ended : result;
}

struct samples {
    struct buf bytes;
    size_t sizes[SAMPLES_MAX];
    unsigned n;
};

static enum store_result take_sample(struct store *s, uint32_t resource, struct samples *samples)
{
    struct head head;
    struct str body;
    arena_reset(s->resource);
    enum store_result result = engine_body(s, resource, s->resource, &head, &body);
    if (result != STORE_FINE)
        return result;
    body = str_take(body, SAMPLE_BYTES_MAX);
    if (body.n > samples->bytes.cap - samples->bytes.n)
        return STORE_FINE;
    buf_str(&samples->bytes, body);
    samples->sizes[samples->n++] = body.n;
    return STORE_FINE;
}

static enum store_result train(struct store *s, const struct fhir_type *type, struct arena *arena,
                               struct str *ret)
{
    size_t n = 0;
    uint32_t *numbers = arena_alloc(s->scratch, NUMBERS_MAX * sizeof *numbers);
    struct samples *samples = arena_alloc(s->scratch, sizeof *samples);
    char *bytes = arena_bytes(s->scratch, SAMPLES_BYTES_MAX);
    if (!numbers || !samples || !bytes)
        return STORE_NO_MEMORY;
    samples->bytes = buf_over(bytes, SAMPLES_BYTES_MAX);
    enum store_result result = list_resources(s, type, numbers, &n);
    size_t step = n > SAMPLES_MAX ? n / SAMPLES_MAX : 1;
    s->opened.is_open = false;
    for (size_t i = 0; i < n && samples->n < SAMPLES_MAX && result == STORE_FINE; i += step)
        result = take_sample(s, numbers[i], samples);
    if (result == STORE_FINE && samples->n >= SAMPLES_MIN)
        *ret = packer_train(bytes, samples->sizes, samples->n, arena);
    return result;
}

enum store_result store_train(struct store *s, const struct fhir_type *type, struct arena *arena,
                              struct str *ret)
{
    struct str dictionary = STR_NONE;
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = train(s, type, arena, &dictionary);
    engine_read_end(s);
    if (result == STORE_FINE)
        *ret = dictionary;
    return result;
}

static enum store_result write_dictionary(struct store *s, uint32_t number, uint8_t type, struct str bytes)
{
    struct query *statement = query_get(s, STATEMENT_ADD_DICTIONARY);
    if (statement) {
        query_bind_number(statement, 1, number);
        query_bind_number(statement, 2, type);
    }
    query_bind_bytes(statement, 3, bytes);
    return query_run(s, statement);
}

enum store_result store_add_dictionary(struct store *s, const struct fhir_type *type, struct str dictionary)
{
    must(s->role == STORE_WRITER && !s->is_in_group);
    uint8_t own = number_of_type(s->numbers, type);
    uint32_t number = 1;
    if (s->is_stopped)
        return engine_fail(s, STORE_STOPPED, "the disk failed before");
    while (packer_has(s->packer, number))
        number++;
    enum store_result result = write_dictionary(s, number, own, dictionary);
    if (result == STORE_FINE && !packer_add(s->packer, number, own, dictionary, true))
        result = engine_fail(s, STORE_NO_MEMORY, "a dictionary cannot be used");
    return result;
}
