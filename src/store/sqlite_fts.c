/* Words in SQLite: FTS5 tables that keep no text. To take a resource out its words are given once more. */
#include "store/sqlite_driver.h"

static enum store_result change_words(struct store *s, enum statement which, uint32_t resource,
                                      struct str words)
{
    struct query *q = query_get(s, which);
    query_bind_number(q, 1, resource);
    query_bind_text(q, 2, words);
    return query_run(s, q);
}

enum store_result sqlite_fts_add(struct store *s, bool in_content, uint32_t resource, struct str words)
{
    return change_words(s, in_content ? STATEMENT_ADD_CONTENT : STATEMENT_ADD_NARRATIVE, resource, words);
}

enum store_result sqlite_fts_drop(struct store *s, bool in_content, uint32_t resource, struct str words)
{
    return change_words(s, in_content ? STATEMENT_DROP_CONTENT : STATEMENT_DROP_NARRATIVE, resource, words);
}

static bool is_word_char(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c & 0x80);
}

/* "a b" as FTS5 asks for both: each word in quotes, so that none of them is an operator. */
static struct str all_words(struct str text, struct arena *arena)
{
    char *p = arena_bytes(arena, text.n * 3 + 4);
    struct buf out = buf_over(p, p ? text.n * 3 + 4 : 0);
    bool inside = false;
    for (size_t i = 0; i < text.n; i++) {
        bool is_word = is_word_char(text.p[i]);
        if (is_word != inside)
            buf_str(&out, inside ? STR("\" ") : STR("\""));
        if (is_word)
            buf_char(&out, text.p[i]);
        inside = is_word;
    }
    if (inside)
        buf_char(&out, '"');
    return buf_text(&out);
}

enum store_result sqlite_fts_find(struct store *s, bool in_content, struct str words,
                                  bool (*each)(void *context, uint32_t resource), void *context)
{
    struct str query = all_words(words, s->scratch);
    if (!query.n)
        return STORE_FINE;
    struct query *q = query_get(s, in_content ? STATEMENT_CONTENT : STATEMENT_NARRATIVE);
    query_bind_text(q, 1, query);
    int code;
    while ((code = query_step(s, q)) == QUERY_ROW) {
        if (!each(context, (uint32_t)query_number(q, 0)))
            break;
    }
    enum store_result result = code == QUERY_ROW || code == QUERY_DONE ? STORE_FINE : query_failed(s, code);
    query_reset(q);
    return result;
}
