/* Lists that go to PostgreSQL as one value: keys of a group, words of a resource.
 *
 * Words are folded and cut here, not by the server's text search: what is found must not hang on the locale
 * and the dictionaries of whoever runs it. */
#include "store/postgres_store.h"

#include "fhir/fold.h"

#include <stdlib.h>

enum { BYTEA_OID = 17, LIST_HEAD = 20, WORD_BYTES_MAX = FHIR_FOLD_BYTES_MAX, KEYS_AT_ONCE = 10'000 };

/* A one-dimensional array as the server takes it in binary (array_recv). */
static struct str list_of(const struct str *at, size_t n, struct arena *arena)
{
    size_t room = LIST_HEAD;
    for (size_t i = 0; i < n; i++)
        room += 4 + at[i].n;
    char *p = arena_bytes(arena, room);
    struct buf out = buf_over(p, p ? room : 0);
    key_write(&out, n ? 1 : 0, 4);
    key_write(&out, 0, 4); /* none of them is NULL */
    key_write(&out, BYTEA_OID, 4);
    key_write(&out, n, 4);
    key_write(&out, 1, 4);
    for (size_t i = 0; i < n; i++) {
        key_write(&out, at[i].n, 4);
        buf_str(&out, at[i]);
    }
    if (!n)
        out.n = 12;
    return p ? buf_text(&out) : STR_NONE;
}

/* ---- keys */

static enum store_result send_keys(struct store *s, enum statement which, const struct str *keys, size_t n)
{
    struct str list = n ? list_of(keys, n, s->group) : STR_NONE;
    struct query *q = n ? query_get(s, which) : NULL;
    if (!n)
        return STORE_FINE;
    if (!list.p)
        return STORE_NO_MEMORY;
    query_bind_bytes(q, 1, list);
    return query_run(s, q);
}

/* Each key stands once: in which order they come and go is the same. */
enum store_result postgres_change_keys(struct store *s, const struct pending *pending, size_t n)
{
    enum store_result result = STORE_FINE;
    struct str *keys = arena_alloc(s->group, KEYS_AT_ONCE * sizeof *keys);
    if (!keys)
        return STORE_NO_MEMORY;
    for (unsigned is_added = 0; is_added < 2; is_added++) {
        enum statement which = is_added ? STATEMENT_ADD_KEY : STATEMENT_DROP_KEY;
        size_t count = 0;
        for (size_t i = 0; i < n && result == STORE_FINE; i++) {
            if (pending[i].is_added == is_added)
                keys[count++] = pending[i].key;
            if (count == KEYS_AT_ONCE) {
                result = send_keys(s, which, keys, count);
                count = 0;
            }
        }
        if (result == STORE_FINE)
            result = send_keys(s, which, keys, count);
    }
    return result;
}

/* ---- words */

static bool is_word_char(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c & 0x80);
}

static struct str next_word(struct str *text)
{
    size_t begin = 0, end;
    while (begin < text->n && !is_word_char(text->p[begin]))
        begin++;
    for (end = begin; end < text->n && is_word_char(text->p[end]);)
        end++;
    struct str word = {text->p + begin, end - begin};
    *text = str_skip(*text, end);
    return word;
}

static int compare_words(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* Folded, in order, none twice. */
static struct str words_of(struct str text, struct arena *arena)
{
    size_t n = 0, unique = 0, room = text.n / 2 + 1;
    struct str *words = arena_alloc(arena, room * sizeof *words), word;
    while (words && (word = next_word(&text)).n)
        words[n++] = fhir_fold(str_take(word, WORD_BYTES_MAX), arena);
    if (!words)
        return STR_NONE;
    qsort(words, n, sizeof *words, compare_words);
    for (size_t i = 0; i < n; i++) {
        if (words[i].n && (!unique || !str_eq(words[i], words[unique - 1])))
            words[unique++] = words[i];
    }
    return list_of(words, unique, arena);
}

enum store_result postgres_add_words(struct store *s, bool in_content, uint32_t resource, struct str words)
{
    struct str list = words_of(words, s->resource);
    struct query *q = query_get(s, in_content ? STATEMENT_ADD_CONTENT : STATEMENT_ADD_NARRATIVE);
    if (!list.p)
        return STORE_NO_MEMORY;
    query_bind_number(q, 1, resource);
    query_bind_bytes(q, 2, list);
    return query_run(s, q);
}

enum store_result postgres_drop_words(struct store *s, bool in_content, uint32_t resource, struct str)
{
    struct query *q = query_get(s, in_content ? STATEMENT_DROP_CONTENT : STATEMENT_DROP_NARRATIVE);
    query_bind_number(q, 1, resource);
    return query_run(s, q);
}

enum store_result postgres_find_words(struct store *s, bool in_content, struct str words,
                                      bool (*each)(void *context, uint32_t resource), void *context)
{
    struct str rest = words, list = words_of(words, s->scratch);
    struct query *q = query_get(s, in_content ? STATEMENT_CONTENT : STATEMENT_NARRATIVE);
    int code;
    if (!list.p)
        return STORE_NO_MEMORY;
    if (!next_word(&rest).n)
        return STORE_FINE;
    query_bind_bytes(q, 1, list);
    while ((code = query_step(s, q)) == QUERY_ROW) {
        if (!each(context, (uint32_t)query_number(q, 0)))
            break;
    }
    enum store_result result = code == QUERY_ROW || code == QUERY_DONE ? STORE_FINE : query_failed(s, code);
    query_reset(q);
    return result;
}
