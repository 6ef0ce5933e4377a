/* Numbers of texts and resources, with a cache before them.
 *
 * Inside a group the cache knows as well what is not there, by the number 0: a new resource is looked for
 * more than once before it is written, and nobody but the group gives numbers. Whatever is given replaces it.
 */
#include "store/sqlite_store.h"

#include "base/hash.h"

/* A text ends in a zero, then comes its number: what only begins with the text lies elsewhere. */
enum { TERM_BYTES_MAX = 2 + KEY_TEXT_MAX + 17 + 5 + 8, NUMBER_BYTES = 4 };

static struct cached *slot_of(struct store *s, struct str text)
{
    static const struct hash_key key = {0x63616368, 0x65};
    return &s->cache[hash_bytes(&key, text.p, text.n) % CACHE_SLOTS];
}

static bool find_cached(struct store *s, struct str text, uint32_t *ret)
{
    if (text.n > CACHE_TEXT)
        return false;
    const struct cached *c = slot_of(s, text);
    if (c->n != text.n || memcmp(c->text, text.p, text.n) != 0)
        return false;
    *ret = c->number;
    return true;
}

static void keep(struct store *s, struct str text, uint32_t number)
{
    if (text.n > CACHE_TEXT)
        return;
    struct cached *c = slot_of(s, text);
    c->number = number;
    c->n = (uint8_t)text.n;
    memcpy(c->text, text.p, text.n);
}

void sqlite_cache_clear(struct store *s)
{
    memset(s->cache, 0, CACHE_SLOTS * sizeof *s->cache);
}

/* A text with a zero in it may lie in the same range: it is longer. */
static enum store_result look_up(struct store *s, enum statement which, struct str text, uint32_t *ret)
{
    char low[TERM_BYTES_MAX], high[TERM_BYTES_MAX];
    struct buf from = buf_over(low, sizeof low), to = buf_over(high, sizeof high);
    struct query *statement = query_get(s, which);
    enum store_result result = STORE_NOT_FOUND;
    int code = QUERY_DONE;
    buf_str(&from, text);
    buf_char(&from, 0);
    buf_str(&to, text);
    buf_char(&to, 0);
    key_write(&to, UINT32_MAX, 4);
    buf_char(&to, (char)0xff);
    if (buf_overflowed(&to))
        return engine_fail(s, STORE_TOO_LARGE, "a value is too long for a key");
    query_bind_bytes(statement, 1, buf_text(&from));
    query_bind_bytes(statement, 2, buf_text(&to));
    while (result == STORE_NOT_FOUND && (code = query_step(s, statement)) == QUERY_ROW) {
        struct str key = query_bytes(statement, 0);
        if (key.n != text.n + 1 + NUMBER_BYTES)
            continue;
        *ret = (uint32_t)key_read(key.p + text.n + 1, NUMBER_BYTES);
        result = STORE_FINE;
    }
    if (result == STORE_NOT_FOUND && code != QUERY_DONE)
        result = query_failed(s, code);
    query_reset(statement);
    return result;
}

static enum store_result add(struct store *s, enum statement which, struct str text, uint32_t number)
{
    char memory[TERM_BYTES_MAX];
    struct buf key = buf_over(memory, sizeof memory);
    struct query *statement = query_get(s, which);
    buf_str(&key, text);
    buf_char(&key, 0);
    key_write(&key, number, NUMBER_BYTES);
    query_bind_bytes(statement, 1, buf_text(&key));
    return query_run(s, statement);
}

/* name: of the text in the cache. */
static enum store_result find(struct store *s, enum statement which, struct str name, struct str text,
                              uint32_t *ret)
{
    if (find_cached(s, name, ret))
        return *ret ? STORE_FINE : STORE_NOT_FOUND;
    enum store_result result = look_up(s, which, text, ret);
    if (result == STORE_FINE)
        keep(s, name, *ret);
    else if (result == STORE_NOT_FOUND && s->is_in_group)
        keep(s, name, 0);
    return result;
}

static enum store_result find_or_give(struct store *s, enum statement look, enum statement give,
                                      struct str text, uint32_t *counter, uint32_t *ret)
{
    enum store_result result = find(s, look, text, text, ret);
    if (result != STORE_NOT_FOUND)
        return result;
    if (*counter == UINT32_MAX)
        return engine_fail(s, STORE_TOO_LARGE, "no number is left");
    result = add(s, give, text, *counter + 1);
    if (result != STORE_FINE)
        return result;
    *ret = ++*counter;
    keep(s, text, *ret);
    return STORE_FINE;
}

/* Texts begin with a letter, idents with the number of a type: 'I' keeps them apart in the cache. */
static struct str ident_text(struct store *s, const struct fhir_type *type, struct str id, struct buf *out)
{
    ident_write(number_of_type(s->numbers, type), id, out);
    return buf_overflowed(out) ? STR_NONE : buf_text(out);
}

enum store_result engine_term(struct store *s, struct str text, uint32_t *ret)
{
    return find(s, STATEMENT_TERM, text, text, ret);
}

static struct str ident_name(struct str ident, struct buf *out)
{
    buf_char(out, 'I');
    buf_str(out, ident);
    return buf_text(out);
}

static enum store_result find_ident(struct store *s, struct str ident, uint32_t *ret)
{
    char memory[IDENT_BYTES_MAX + 1];
    struct buf out = buf_over(memory, sizeof memory);
    return find(s, STATEMENT_IDENT, ident_name(ident, &out), ident, ret);
}

enum store_result engine_ident(struct store *s, const struct fhir_type *type, struct str id, uint32_t *ret)
{
    char memory[IDENT_BYTES_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    struct str ident = ident_text(s, type, id, &out);
    return ident.n ? find_ident(s, ident, ret) : STORE_NOT_FOUND; /* no id is as long as that */
}

static enum store_result term_or_look(void *context, struct str text, uint32_t *ret)
{
    return engine_term(context, text, ret);
}

static enum store_result ident_or_look(void *context, const struct fhir_type *type, struct str id,
                                       uint32_t *ret)
{
    return engine_ident(context, type, id, ret);
}

struct key_source engine_source(struct store *s)
{
    return (struct key_source){s, term_or_look, ident_or_look, s->numbers};
}

static enum store_result term_or_give(void *context, struct str text, uint32_t *ret)
{
    struct store *s = context;
    return find_or_give(s, STATEMENT_TERM, STATEMENT_ADD_TERM, text, &s->counters.last_term, ret);
}

static enum store_result ident_or_give(void *context, const struct fhir_type *type, struct str id,
                                       uint32_t *ret)
{
    char memory[IDENT_BYTES_MAX], named[IDENT_BYTES_MAX + 1];
    struct store *s = context;
    struct buf out = buf_over(memory, sizeof memory), name = buf_over(named, sizeof named);
    struct str ident = ident_text(s, type, id, &out);
    if (!ident.n)
        return engine_fail(s, STORE_TOO_LARGE, "an id is longer than 64 bytes");
    enum store_result result = find_ident(s, ident, ret);
    if (result != STORE_NOT_FOUND)
        return result;
    if (s->counters.last_resource == UINT32_MAX)
        return engine_fail(s, STORE_TOO_LARGE, "no number is left for a resource");
    *ret = s->counters.last_resource + 1;
    result = add(s, STATEMENT_ADD_IDENT, ident, *ret);
    if (result != STORE_FINE)
        return result;
    s->counters.last_resource++;
    keep(s, ident_name(ident, &name), *ret);
    return STORE_FINE;
}

struct key_source sqlite_giving_source(struct store *s)
{
    return (struct key_source){s, term_or_give, ident_or_give, s->numbers};
}
