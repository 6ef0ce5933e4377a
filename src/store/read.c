/* Reading by id: the current version, any version. */
#include "store/search.h"

static enum store_result set_record(const struct store *s, const struct head *h, struct str body,
                                    struct arena *arena, struct store_record *ret)
{
    const struct fhir_type *type = type_of_number(engine_numbers(s), h->type);
    *ret = (struct store_record){.type = type,
                                 .id = arena_copy(arena, h->id),
                                 .version = h->version,
                                 .sequence = h->sequence,
                                 .time_us = h->time_us,
                                 .verb = (enum store_verb)h->verb,
                                 .body = body};
    return ret->id.p ? STORE_FINE : STORE_NO_MEMORY;
}

enum store_result record_read(struct store *s, uint32_t resource, bool with_body, struct arena *arena,
                              struct store_record *ret)
{
    struct head head;
    struct str body = STR_NONE;
    enum store_result result =
        with_body ? engine_body(s, resource, arena, &head, &body) : engine_head(s, resource, &head);
    if (result == STORE_FINE && !type_of_number(engine_numbers(s), head.type))
        result = engine_fail(s, STORE_CORRUPT, "a resource has a type that is not known");
    return result == STORE_FINE ? set_record(s, &head, body, arena, ret) : result;
}

enum store_result type_is_used(struct store *s, const struct fhir_type *type, bool *ret)
{
    uint8_t number = number_of_type(engine_numbers(s), type);
    char low[2] = {KEY_ALL, (char)number}, high[3] = {KEY_ALL, (char)number, (char)0xff}, memory[64];
    struct buf out = buf_over(memory, sizeof memory);
    enum store_result result = engine_first(s, (struct str){low, 2}, (struct str){high, 3}, &out);
    *ret = result == STORE_FINE;
    return result == STORE_NOT_FOUND ? STORE_FINE : result;
}

/* What was deleted is seen by whose it was; where rules would have to look at what is no more, not at all. */
static enum store_result sees_deleted(struct seer *seer, const struct fhir_type *type,
                                      const struct head *head, bool *ret)
{
    enum store_result result = seer_sees_head(seer, type, head, ret);
    *ret = *ret && !seer_has_rules(seer, type);
    return result;
}

enum store_result sees_current(struct store *s, struct seer *seer, const struct fhir_type *type,
                               uint32_t resource, bool *ret)
{
    struct head head;
    *ret = true;
    if (!seer)
        return STORE_FINE;
    enum store_result result = engine_head(s, resource, &head);
    if (result != STORE_FINE)
        return result;
    if (head.verb == STORE_DELETE)
        return sees_deleted(seer, type, &head, ret);
    return seer_sees(seer, type, resource, engine_scratch(s), ret);
}

static enum store_result find(struct store *s, const struct store_view *view, const struct fhir_type *type,
                              struct str id, uint32_t *ret, struct seer **ret_seer)
{
    bool is_seen = true;
    enum store_result result = engine_ident(s, type, id, ret);
    if (result == STORE_FINE)
        result = seer_new(s, view, engine_scratch(s), ret_seer);
    if (result == STORE_FINE)
        result = sees_current(s, *ret_seer, type, *ret, &is_seen);
    return result == STORE_FINE && !is_seen ? STORE_NOT_FOUND : result;
}

enum store_result store_read(struct store *s, const struct store_view *view, const struct fhir_type *type,
                             struct str id, struct arena *arena, struct store_record *ret)
{
    uint32_t resource;
    struct seer *seer;
    /* A number never changes: without a view the resource is all that is read, in a state of its own. */
    enum store_result result = view ? engine_read_begin(s) : engine_read_alone(s);
    if (result != STORE_FINE)
        return result;
    result = find(s, view, type, id, &resource, &seer);
    if (result == STORE_FINE)
        result = record_read(s, resource, true, arena, ret);
    if (view)
        engine_read_end(s);
    return result == STORE_FINE && ret->verb == STORE_DELETE ? STORE_DELETED : result;
}

/* A version as it stood then; the view has been asked about what the resource is now. */
enum store_result version_read(struct store *s, struct seer *seer, const struct fhir_type *type,
                               uint32_t resource, uint64_t version, struct arena *arena,
                               struct store_record *ret)
{
    struct head head;
    struct str body;
    struct indexed indexed;
    bool is_seen = true;
    enum store_result result = engine_body_of(s, resource, version, arena, &head, &body);
    if (result == STORE_FINE && seer)
        result = seer_sees_head(seer, type, &head, &is_seen);
    if (result == STORE_FINE && is_seen && head.verb != STORE_DELETE && seer_has_rules(seer, type)) {
        result = engine_index(s, body, engine_scratch(s), &indexed);
        is_seen = result == STORE_FINE && seer_sees_rows(seer, type, &indexed.rows);
    }
    if (result == STORE_FINE && !is_seen)
        return STORE_NOT_FOUND;
    return result == STORE_FINE ? set_record(s, &head, body, arena, ret) : result;
}

enum store_result store_read_version(struct store *s, const struct store_view *view,
                                     const struct fhir_type *type, struct str id, uint64_t version,
                                     struct arena *arena, struct store_record *ret)
{
    uint32_t resource;
    struct seer *seer;
    enum store_result result = engine_read_begin(s);
    if (result != STORE_FINE)
        return result;
    result = find(s, view, type, id, &resource, &seer);
    if (result == STORE_FINE)
        result = version_read(s, seer, type, resource, version, arena, ret);
    engine_read_end(s);
    return result == STORE_FINE && ret->verb == STORE_DELETE ? STORE_DELETED : result;
}
