/* Words of narratives and of whole resources. What a driver keeps of them needs no text: to take a resource
 * out, its words are given once more, which is why they are always made from the body alone. */
#include "store/sqlite_store.h"

enum { WORDS_BYTES_MAX = 1 << 20 }; /* of one resource; what follows is not found */

/* ---- the words of a resource */

static struct buf new_text(struct arena *arena, size_t most)
{
    size_t room = most < WORDS_BYTES_MAX ? most : WORDS_BYTES_MAX;
    char *p = arena_bytes(arena, room + 1);
    return buf_over(p, p ? room : 0);
}

static void add_text(struct buf *out, struct str text)
{
    buf_str(out, str_take(text, out->cap - out->n));
    if (out->n < out->cap)
        buf_char(out, ' ');
}

/* Of XHTML what stands between tags; an entity is a gap. */
static struct str without_tags(struct str html, struct arena *arena)
{
    char *p = arena_bytes(arena, html.n + 1);
    char end = 0;
    for (size_t i = 0; p && i < html.n; i++) {
        char c = html.p[i];
        if (!end && (c == '<' || c == '&'))
            end = c == '<' ? '>' : ';';
        p[i] = end ? ' ' : c;
        if (c == end)
            end = 0;
    }
    return (struct str){p, p ? html.n : 0};
}

static struct str narrative_of(const struct fhir_value *v, struct arena *arena)
{
    uint32_t text = json_get(v->tape, v->node, STR("text"));
    uint32_t div = json_get(v->tape, text, STR("div"));
    if (div == JSON_NONE || json_type(v->tape, div) != JSON_STRING)
        return STR_NONE;
    return str_take(without_tags(json_string(v->tape, div, arena), arena), WORDS_BYTES_MAX);
}

/* Every string of the document but its names; of the narrative its text. */
static struct str content_of(const struct fhir_value *v, struct arena *arena)
{
    const struct json_tape *t = v->tape;
    struct buf out = new_text(arena, t->text.n + 16);
    uint32_t text = json_get(t, v->node, STR("text")), div = json_get(t, text, STR("div"));
    add_text(&out, narrative_of(v, arena));
    for (uint32_t i = v->node; i < t->nodes[v->node].next; i++) {
        if (json_type(t, i) == JSON_STRING && i != div)
            add_text(&out, json_string(t, i, arena));
    }
    return buf_text(&out);
}

/* ---- in and out */

enum store_result sqlite_add_words(struct store *s, uint32_t resource, const struct fhir_value *v)
{
    struct str words = narrative_of(v, s->resource);
    enum store_result result = words.n ? s->driver->add_words(s, false, resource, words) : STORE_FINE;
    words = result == STORE_FINE && s->has_content ? content_of(v, s->resource) : STR_NONE;
    return words.n ? s->driver->add_words(s, true, resource, words) : result;
}

enum store_result sqlite_drop_words(struct store *s, uint32_t resource, const struct fhir_value *v)
{
    struct str words = narrative_of(v, s->resource);
    enum store_result result = words.n ? s->driver->drop_words(s, false, resource, words) : STORE_FINE;
    words = result == STORE_FINE && s->has_content ? content_of(v, s->resource) : STR_NONE;
    return words.n ? s->driver->drop_words(s, true, resource, words) : result;
}

enum store_result engine_words(struct store *s, enum engine_words where, struct str words,
                               bool (*each)(void *context, uint32_t resource), void *context)
{
    if (where == ENGINE_CONTENT && !s->has_content)
        return engine_fail(s, STORE_NOT_INDEXED, "this store keeps no index of whole resources (_content)");
    return s->driver->find_words(s, where == ENGINE_CONTENT, words, each, context);
}
