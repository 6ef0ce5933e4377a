/* rest/meta.c - $meta-add and $meta-delete: profiles, tags and security labels of one resource
 * (https://hl7.org/fhir/R4/resource-operation-meta-add.html). Done by the owner, on the version that is
 * current. It makes a new version like any other change, so that the history says who labelled what; whoever
 * may not change the resource may not change its labels. */
#include "rest/operations.h"
#include "rest/outcome.h"
#include "rest/write.h"
#include "json/writer.h"

enum { LABELS_MAX = 1'000 };

/* One profile, or one coding. */
struct label {
    struct str system, code; /* of a profile only the code: its URL */
    struct str source;
};
struct labels {
    struct label *at;
    unsigned n;
};

static const struct str lists[] = {STR("profile"), STR("security"), STR("tag")};
enum { LISTS = sizeof lists / sizeof *lists };

struct labelling {
    const struct rest_call *call;
    const struct rest_request *request;
    struct rest_answer *answer;
    struct store_record current;
    struct json_tape document, parameters;
    uint32_t meta, asked; /* of the document, of the parameters; JSON_NONE: none */
    struct str replaced;  /* what has this system goes first; empty: nothing */
};

static bool is_same(const struct label *a, const struct label *b)
{
    return str_eq(a->system, b->system) && str_eq(a->code, b->code);
}

static bool has(const struct labels *l, const struct label *one)
{
    for (unsigned i = 0; i < l->n; i++)
        if (is_same(&l->at[i], one))
            return true;
    return false;
}

static bool read_labels(const struct rest_call *call, const struct json_tape *t, uint32_t meta,
                        struct str name, struct labels *ret)
{
    uint32_t list = fhir_member(t, meta, name);
    uint32_t n = list != JSON_NONE && json_type(t, list) == JSON_ARRAY ? json_count(t, list) : 0;
    *ret = (struct labels){arena_alloc(call->arena, (LABELS_MAX + 1) * sizeof *ret->at), 0};
    if (!ret->at || n > LABELS_MAX)
        return false;
    for (uint32_t at = n ? json_first(t, list) : 0; n > 0; n--, at = json_next(t, at)) {
        struct label *l = &ret->at[ret->n++];
        l->source = json_source(t, at);
        if (json_type(t, at) == JSON_STRING) {
            l->code = json_string(t, at, call->arena);
            continue;
        }
        l->system = fhir_member_text(t, at, STR("system"), call->arena);
        l->code = fhir_member_text(t, at, STR("code"), call->arena);
    }
    return true;
}

/* One list as it is to be; empty ones are left out. False: too much. */
static bool put_list(struct labelling *l, struct json_writer *w, struct str name)
{
    struct labels old, asked, result = {0};
    bool adds = str_eq(l->request->operation, STR("meta-add"));
    if (!read_labels(l->call, &l->document, l->meta, name, &old) ||
        !read_labels(l->call, &l->parameters, l->asked, name, &asked) || old.n + asked.n > LABELS_MAX)
        return false;
    result.at = arena_alloc(l->call->arena, (LABELS_MAX + 1) * sizeof *result.at);
    for (unsigned i = 0; result.at && i < old.n; i++)
        if (adds ? !l->replaced.n || !str_eq(old.at[i].system, l->replaced) : !has(&asked, &old.at[i]))
            result.at[result.n++] = old.at[i];
    for (unsigned i = 0; result.at && adds && i < asked.n; i++)
        if (!has(&result, &asked.at[i]))
            result.at[result.n++] = asked.at[i];
    if (!result.n)
        return result.at != NULL;
    json_put_array(w, name);
    for (unsigned i = 0; i < result.n; i++)
        json_raw(w, result.at[i].source);
    json_array_end(w);
    return true;
}

static bool is_list(struct str key)
{
    for (unsigned i = 0; i < LISTS; i++)
        if (str_eq(key, lists[i]))
            return true;
    return false;
}

/* The meta with its lists anew; everything else in it stays. Empty: too much. */
static struct str write_meta(struct labelling *l)
{
    size_t cap = l->current.body.n + l->parameters.text.n + 256;
    char *memory = arena_bytes(l->call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    const struct json_tape *t = &l->document;
    bool fine = true;
    json_object_begin(&w);
    if (l->meta != JSON_NONE && json_type(t, l->meta) == JSON_OBJECT)
        for (uint32_t n = json_count(t, l->meta), key = json_first(t, l->meta); n > 0;
             n--, key = json_next_member(t, key)) {
            struct str name = json_string(t, key, l->call->arena);
            if (is_list(name))
                continue;
            json_key(&w, name);
            json_raw(&w, json_source(t, key + 1));
        }
    for (unsigned i = 0; i < LISTS && fine; i++)
        fine = put_list(l, &w, lists[i]);
    json_object_end(&w);
    return fine && !buf_overflowed(&b) ? buf_text(&b) : STR_NONE;
}

/* ---- the resource with it */

static struct str with_meta(struct labelling *l, struct str meta)
{
    struct rest_edits edits = {0};
    const struct json_tape *t = &l->document;
    uint32_t type = fhir_member(t, 0, STR("resourceType"));
    struct str old = json_source(t, l->meta != JSON_NONE ? l->meta : type);
    size_t at = (size_t)(old.p - t->text.p);
    if (l->meta != JSON_NONE)
        rest_edit_add(&edits, l->call->arena, at, old.n, meta);
    else
        rest_edit_add(&edits, l->call->arena, at + old.n, 0,
                      arena_printf(l->call->arena, ",\"meta\":%.*s", STR_ARG(meta)));
    return rest_edits_apply(&edits, t->text, 0, l->call->arena);
}

struct str rest_meta_tagged(const struct rest_call *call, const struct json_tape *resource, struct str system,
                            const struct str *codes, unsigned n)
{
    struct rest_request add = {.operation = STR("meta-add")};
    struct labelling l = {.call = call, .request = &add, .document = *resource, .replaced = system};
    size_t cap = 64;
    for (unsigned i = 0; i < n; i++)
        cap += 64 + 6 * (system.n + codes[i].n);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_array(&w, STR("tag"));
    for (unsigned i = 0; i < n; i++) {
        json_object_begin(&w);
        json_put_str(&w, STR("system"), system);
        json_put_str(&w, STR("code"), codes[i]);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    if (buf_overflowed(&b) || rest_json_parse(buf_text(&b), call->arena, &l.parameters, NULL) != JSON_FINE)
        return STR_NONE;
    l.current.body = resource->text;
    l.meta = fhir_member(resource, 0, STR("meta"));
    struct str meta = write_meta(&l);
    return meta.n ? with_meta(&l, meta) : STR_NONE;
}

static bool find_asked(struct labelling *l)
{
    const struct json_tape *t = &l->parameters;
    struct fhir_value value;
    if (!rest_resource_parse(l->call, l->request->body, &l->parameters, &value, l->answer))
        return false;
    uint32_t list = fhir_member(t, 0, STR("parameter"));
    uint32_t n = list != JSON_NONE && json_type(t, list) == JSON_ARRAY ? json_count(t, list) : 0;
    l->asked = JSON_NONE;
    for (uint32_t at = n ? json_first(t, list) : 0; n > 0 && l->asked == JSON_NONE;
         n--, at = json_next(t, at))
        if (str_eq(fhir_member_text(t, at, STR("name"), l->call->arena), STR("meta")))
            l->asked = fhir_member(t, at, STR("valueMeta"));
    if (str_eq(fhir_type_name(value.type), STR("Parameters")) && l->asked != JSON_NONE &&
        json_type(t, l->asked) == JSON_OBJECT)
        return rest_validate_body(l->call, t, 0, l->answer);
    return rest_refuse(l->call, l->answer, 400, "required", STR("Parameters.parameter"),
                       "$%.*s needs a resource Parameters with a parameter \"meta\" (valueMeta)",
                       STR_ARG(l->request->operation));
}

static bool read_current(struct labelling *l)
{
    const struct rest_call *call = l->call;
    const struct rest_request *r = l->request;
    enum store_result result =
        store_read(call->site->store, call->view, r->type, r->id, call->arena, &l->current);
    if (result != STORE_FINE)
        return rest_refuse_store(call, l->answer, result);
    if (r->has_if_match && r->if_match != l->current.version)
        return rest_refuse(call, l->answer, 412, "conflict", STR("http.if-match"),
                           "%.*s/%.*s is at version %llu now", STR_ARG(fhir_type_name(r->type)),
                           STR_ARG(r->id), (unsigned long long)l->current.version);
    if (rest_json_parse(l->current.body, call->arena, &l->document, NULL) != JSON_FINE)
        return rest_refuse_store(call, l->answer, STORE_NO_MEMORY);
    l->meta = fhir_member(&l->document, 0, STR("meta"));
    return true;
}

static enum rest_written apply(struct labelling *l, struct json_tape *tape)
{
    const struct rest_call *call = l->call;
    struct rest_pending pending = {0};
    struct rest_edits edits = {0};
    struct rest_source source = {tape, 0, &edits};
    size_t failed = 0;
    if (!rest_pend(call, &pending, STORE_UPDATE, l->request->type, l->current.id, STORE_ANY_VERSION, &source,
                   l->answer))
        return REST_ANSWERED;
    enum store_result result = store_apply(call->site->store, &pending.write, 1, &failed);
    if (result != STORE_FINE)
        return rest_refuse_write(call, l->answer, &pending.write, result);
    rest_answer_pending(call, l->request, &pending, l->answer);
    l->answer->body = rest_meta_parameters(call, pending.body);
    l->answer->location = STR_NONE;
    return REST_ANSWERED;
}

enum rest_written rest_operation_label(const struct rest_call *call, const struct rest_request *r,
                                       struct rest_answer *answer)
{
    struct labelling l = {.call = call, .request = r, .answer = answer};
    struct json_tape tape;
    if (!find_asked(&l) || !read_current(&l))
        return REST_ANSWERED;
    struct str meta = write_meta(&l);
    struct str text = meta.n ? with_meta(&l, meta) : STR_NONE;
    if (!text.n)
        rest_refuse(call, answer, 413, "too-costly", STR("Resource.meta"), "more than %u labels", LABELS_MAX);
    else if (rest_json_parse(text, call->arena, &tape, NULL) != JSON_FINE)
        rest_refuse_store(call, answer, STORE_NO_MEMORY);
    else if (rest_validate_body(call, &tape, 0, answer))
        return apply(&l, &tape);
    return REST_ANSWERED;
}
