/* rest/rest.c - what is made once, ids, and what was touched. */
#include "rest/rest.h"

#include "fhir/primitive.h"

enum { ENGINE_BYTES = 64 << 20 };

bool rest_engine_init(struct rest_engine *e, struct hash_key key)
{
    *e = (struct rest_engine){.arena = arena_new(ENGINE_BYTES), .key = key};
    if (!e->arena)
        return false;
    e->indexer = fhir_indexer_new(FHIR_INDEX_BY_TREE, e->arena);
    e->validator = fhir_validator_new(e->arena);
    return e->indexer && e->validator;
}

void rest_engine_done(struct rest_engine *e)
{
    arena_free(e->arena);
    *e = (struct rest_engine){0};
}

/* ---- ids */

struct str rest_id_new(struct rest_ids *ids, int64_t now_us, struct arena *arena)
{
    char memory[32];
    struct buf hex = buf_over(memory, sizeof memory);
    uint64_t counters[2] = {ids->next, ~ids->next}, bits[2];
    ids->next++;
    for (unsigned i = 0; i < 2; i++)
        bits[i] = hash_bytes(&ids->key, &counters[i], sizeof counters[i]);
    uint8_t bytes[16];
    memcpy(bytes, bits, sizeof bytes);
    uint64_t ms = now_us > 0 ? (uint64_t)now_us / 1'000 : 0;
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> 8 * (5 - i));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x70);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    buf_hex(&hex, bytes, sizeof bytes);
    return arena_printf(arena, "%.8s-%.4s-%.4s-%.4s-%.12s", memory, memory + 8, memory + 12, memory + 16,
                        memory + 20);
}

bool rest_type_is_kept(const struct fhir_type *type)
{
    return fhir_type_is_resource(type) && !str_eq(fhir_type_name(type), STR("SubscriptionStatus"));
}

/* ---- touched */

void rest_touch(const struct rest_call *call, struct rest_answer *answer, const struct fhir_type *type,
                struct str id, uint64_t version, struct str patient)
{
    struct rest_touched *t = arena_alloc(call->arena, sizeof *t);
    if (!t)
        return;
    *t = (struct rest_touched){answer->touched, type, id, patient, version};
    answer->touched = t;
    answer->touched_count++;
}

/* The id behind the first "Patient/ that a string begins with. A '/' may be written as "\/". */
static struct str first_patient(struct str body)
{
    static const struct str plain = STR("\"Patient/"), escaped = STR("\"Patient\\/");
    if (!body.n) /* of a deletion */
        return STR_NONE;
    const char *at = memmem(body.p, body.n, plain.p, plain.n);
    size_t skip = plain.n;
    if (!at) {
        at = memmem(body.p, body.n, escaped.p, escaped.n);
        skip = escaped.n;
    }
    if (!at)
        return STR_NONE;
    struct str id = str_skip(body, (size_t)(at - body.p) + skip);
    size_t n = 0;
    while (n < id.n && n <= FHIR_ID_MAX && id.p[n] != '"' && id.p[n] != '/' && id.p[n] != '\\')
        n++;
    id = str_take(id, n);
    return fhir_primitive_is_valid(FHIR_ID, id) ? id : STR_NONE;
}

void rest_touch_record(const struct rest_call *call, struct rest_answer *answer, const struct store_record *r)
{
    bool is_patient = str_eq(fhir_type_name(r->type), STR("Patient"));
    rest_touch(call, answer, r->type, r->id, r->version, is_patient ? r->id : first_patient(r->body));
}
