/* rest/transaction_names.c - texts that stand for addresses: full URLs of entries, and references by
 * condition. */
#include "rest/transaction.h"

#include "rest/outcome.h"

struct bundle_named *bundle_name(struct bundle_run *run, struct str text)
{
    size_t at = hash_bytes(&run->call->site->engine->key, text.p, text.n) & (run->name_room - 1);
    while (run->names[at].text.n && !str_eq(run->names[at].text, text))
        at = (at + 1) & (run->name_room - 1);
    return &run->names[at];
}

bool bundle_names_make(struct bundle_run *run, size_t room)
{
    struct bundle_named *old = run->names;
    size_t old_room = run->name_room;
    run->names = arena_alloc(run->call->arena, room * sizeof *run->names);
    run->name_room = room;
    for (size_t i = 0; run->names && i < old_room; i++)
        if (old[i].text.n)
            *bundle_name(run, old[i].text) = old[i];
    return run->names != NULL;
}

bool bundle_name_add(struct bundle_run *run, struct str text, struct str address)
{
    if (2 * (run->name_count + 1) > run->name_room && !bundle_names_make(run, 2 * run->name_room))
        return false;
    *bundle_name(run, text) = (struct bundle_named){text, address};
    run->name_count++;
    return true;
}

/* ---- references */

/* "Patient?identifier=x" -> "Patient/1" */
static bool look_up(struct bundle_run *run, struct bundle_entry *e, struct str text, struct str *ret)
{
    struct store_record found;
    struct str query = text;
    const struct fhir_type *type = fhir_type_find(str_cut(&query, '?'));
    if (!type || !fhir_type_is_resource(type) || !query.n)
        return rest_refuse(run->call, &e->answer, 400, "value", STR("resource"), "\"%.*s\" is no reference",
                           STR_ARG(str_take(text, 200)));
    enum rest_condition c = rest_condition_find(run->call, type, query, &found, &e->answer);
    if (c == REST_CONDITION_NONE)
        return rest_refuse(run->call, &e->answer, 412, "not-found", STR("resource"),
                           "the reference \"%.*s\" fits no resource", STR_ARG(str_take(text, 200)));
    if (c == REST_CONDITION_FAILED)
        return false;
    *ret = arena_printf(run->call->arena, "%.*s/%.*s", STR_ARG(fhir_type_name(type)), STR_ARG(found.id));
    return bundle_name_add(run, arena_copy(run->call->arena, text), *ret) ||
           rest_refuse_store(run->call, &e->answer, STORE_NO_MEMORY);
}

static bool is_conditional(struct str text)
{
    return text.n > 2 && text.p[0] >= 'A' && text.p[0] <= 'Z' && str_find_char(text, '?') > 0;
}

/* A string that stands for an address is replaced by it; one behind a '#' stays behind it. */
static bool rewrite(struct bundle_run *run, struct bundle_entry *e, uint32_t node, bool is_reference,
                    struct rest_edits *edits)
{
    struct str text = json_text(&run->tape, node), address = STR_NONE;
    bool may_be = str_starts(text, STR("urn:")) || str_starts(text, STR("http"));
    if (run->tape.nodes[node].has_escapes || !(may_be || (is_reference && is_conditional(text))))
        return true;
    address = bundle_name(run, text)->address;
    if (!address.n && is_reference && is_conditional(text) && !look_up(run, e, text, &address))
        return false;
    if (!address.n && is_reference && str_starts(text, STR("urn:uuid:")))
        return rest_refuse(run->call, &e->answer, 400, "not-found", STR("resource"),
                           "\"%.*s\" is the fullUrl of no entry in this transaction",
                           STR_ARG(str_take(text, 100)));
    if (address.n)
        rest_edit_add(edits, run->call->arena, run->tape.nodes[node].at, text.n, address);
    return true;
}

/* All strings of a resource, in one pass over its nodes: a string is a key when an object is entered or goes
 * on with it. */
bool bundle_rewrite(struct bundle_run *run, struct bundle_entry *e, uint32_t object, struct rest_edits *edits)
{
    const struct json_tape *t = &run->tape;
    uint32_t n = json_count(t, object);
    bool is_object = json_type(t, object) == JSON_OBJECT;
    for (uint32_t at = json_first(t, object); n > 0; n--, at = json_next(t, at)) {
        struct str key = is_object ? json_text(t, at) : STR_NONE;
        bool is_reference = str_eq(key, STR("reference"));
        at += is_object;
        if (str_eq(key, STR("value")) || str_eq(key, STR("system"))) /* of an identifier: it stays */
            continue;
        enum json_type type = json_type(t, at);
        if (type == JSON_STRING && !rewrite(run, e, at, is_reference, edits))
            return false;
        if ((type == JSON_OBJECT || type == JSON_ARRAY) && !bundle_rewrite(run, e, at, edits))
            return false; /* as deep as FHIR_VALIDATE_DEPTH_MAX */
    }
    return true;
}
