/* JSON Patch (RFC 6902), paths by JSON Pointer (RFC 6901). */
#include "fhir/decimal.h"
#include "fhir/patch_doc.h"

enum { QUOTE_MAX = 100, POINTER_MAX = 4'096 };

/* One operation as it was read; nodes of the patch's tape, JSON_NONE: not there. */
struct operation {
    struct str op, path, from;
    uint32_t value;
};

struct patching {
    struct patch_doc doc;
    const struct json_tape *patch;
};

/* Where a pointer leads: to a child of a container, which may not be there yet, or to the whole document. */
struct target {
    uint32_t container; /* JSON_NONE: the whole document */
    uint32_t child;     /* of an array its element, of an object its key; JSON_NONE: none */
    uint32_t index;     /* of an array: where to insert */
    struct str name;    /* of an object, without escapes */
};

static struct str quote(struct str text)
{
    return str_take(text, QUOTE_MAX);
}

/* ---- pointers */

/* "~1" is '/', "~0" is '~'. */
static bool unescape(struct patch_doc *d, struct str token, struct str *ret)
{
    char *text = arena_bytes(d->arena, token.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < token.n && text; i++) {
        bool is_escape = token.p[i] == '~';
        if (is_escape && (i + 1 == token.n || (token.p[i + 1] != '0' && token.p[i + 1] != '1')))
            return false;
        i += is_escape;
        text[n++] = !is_escape ? token.p[i] : token.p[i] == '1' ? '/' : '~';
    }
    *ret = (struct str){text, n};
    return text;
}

/* An index without leading zeros, or "-" for the place behind the last. */
static bool read_index(struct str token, uint32_t count, uint32_t *ret)
{
    uint64_t index;
    if (str_eq(token, STR("-"))) {
        *ret = count;
        return true;
    }
    if (!str_parse_u64(token, &index) || (token.n > 1 && token.p[0] == '0') || index > count)
        return false;
    *ret = (uint32_t)index;
    return true;
}

static bool find_child(struct patch_doc *d, struct str token, struct target *t)
{
    const struct json_tape *tape = &d->tape;
    uint32_t count = json_count(tape, t->container), node = json_first(tape, t->container);
    t->child = JSON_NONE;
    if (!patch_work(d, count))
        return false;
    if (json_type(tape, t->container) == JSON_OBJECT) {
        uint32_t value = json_get(tape, t->container, token);
        t->child = value == JSON_NONE ? JSON_NONE : value - 1;
        t->name = token;
        return true;
    }
    if (json_type(tape, t->container) != JSON_ARRAY || !read_index(token, count, &t->index))
        return false;
    for (uint32_t i = 0; i < t->index; i++)
        node = json_next(tape, node);
    t->child = t->index < count ? node : JSON_NONE;
    return true;
}

static uint32_t value_of(const struct patch_doc *d, const struct target *t)
{
    if (t->container == JSON_NONE)
        return 0;
    if (t->child == JSON_NONE)
        return JSON_NONE;
    return t->child + (json_type(&d->tape, t->container) == JSON_OBJECT);
}

/* Follows a pointer; all but its last step must be there. */
static enum fhir_patch_result resolve(struct patch_doc *d, struct str pointer, struct target *ret)
{
    *ret = (struct target){.container = JSON_NONE, .child = JSON_NONE};
    if (!pointer.n)
        return FHIR_PATCH_FINE;
    struct str rest = str_skip(pointer, 1), name;
    if (pointer.p[0] != '/' || pointer.n > POINTER_MAX)
        return patch_fail(d, FHIR_PATCH_BAD, "\"%.*s\" is no JSON pointer", STR_ARG(quote(pointer)));
    rest.p = pointer.p + 1;
    while (rest.p) {
        struct str token = str_cut(&rest, '/');
        uint32_t container = value_of(d, ret);
        if (!unescape(d, token, &name))
            return patch_fail(d, FHIR_PATCH_BAD, "\"%.*s\" is no JSON pointer: '~' stands only before 0 or 1",
                              STR_ARG(quote(pointer)));
        *ret = (struct target){.container = container, .child = JSON_NONE};
        if (container == JSON_NONE || json_type(&d->tape, container) < JSON_ARRAY ||
            !find_child(d, name, ret))
            return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE,
                              "there is no place \"%.*s\": it ends before \"%.*s\"", STR_ARG(quote(pointer)),
                              STR_ARG(quote(name)));
    }
    return FHIR_PATCH_FINE;
}

static enum fhir_patch_result resolve_existing(struct patch_doc *d, struct str pointer, struct target *ret)
{
    enum fhir_patch_result result = resolve(d, pointer, ret);
    if (result != FHIR_PATCH_FINE || value_of(d, ret) != JSON_NONE)
        return result;
    return patch_fail(d, FHIR_PATCH_NOT_POSSIBLE, "there is nothing at \"%.*s\"", STR_ARG(quote(pointer)));
}

/* ---- equality (RFC 6902 4.6) */

static bool is_equal(struct patch_doc *, uint32_t node, const struct json_tape *, uint32_t other);

static bool are_numbers_equal(struct str a, struct str b)
{
    struct fhir_decimal x, y;
    if (str_eq(a, b))
        return true;
    return fhir_decimal_parse(a, &x) && fhir_decimal_parse(b, &y) && fhir_decimal_compare(x, y) == 0;
}

static bool are_arrays_equal(struct patch_doc *d, uint32_t node, const struct json_tape *t, uint32_t other)
{
    uint32_t a = json_first(&d->tape, node), b = json_first(t, other);
    for (uint32_t left = json_count(t, other); left > 0; left--) {
        if (!is_equal(d, a, t, b))
            return false;
        a = json_next(&d->tape, a);
        b = json_next(t, b);
    }
    return true;
}

static bool are_objects_equal(struct patch_doc *d, uint32_t node, const struct json_tape *t, uint32_t other)
{
    uint32_t key = json_first(t, other);
    for (uint32_t left = json_count(t, other); left > 0; left--, key = json_next_member(t, key)) {
        if (!patch_work(d, (uint64_t)json_count(t, other) * 8))
            return false;
        uint32_t value = json_get(&d->tape, node, json_string(t, key, d->arena));
        if (value == JSON_NONE || !is_equal(d, value, t, key + 1))
            return false;
    }
    return true;
}

static bool is_equal(struct patch_doc *d, uint32_t node, const struct json_tape *t, uint32_t other)
{
    enum json_type type = json_type(&d->tape, node);
    if (type != json_type(t, other) || !patch_work(d, 1))
        return false;
    switch (type) {
    case JSON_NUMBER:
        return are_numbers_equal(json_text(&d->tape, node), json_text(t, other));
    case JSON_STRING:
        return str_eq(json_string(&d->tape, node, d->arena), json_string(t, other, d->arena));
    case JSON_ARRAY:
        return json_count(&d->tape, node) == json_count(t, other) && are_arrays_equal(d, node, t, other);
    case JSON_OBJECT:
        return json_count(&d->tape, node) == json_count(t, other) && are_objects_equal(d, node, t, other);
    default:
        return true;
    }
}

/* ---- operations */

static enum fhir_patch_result add(struct patch_doc *d, struct str path, struct str json)
{
    struct target t;
    enum fhir_patch_result result = resolve(d, path, &t);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (t.container == JSON_NONE)
        return patch_replace(d, 0, json);
    if (json_type(&d->tape, t.container) == JSON_ARRAY)
        return patch_insert(d, t.container, t.index, json);
    return t.child != JSON_NONE ? patch_replace(d, t.child + 1, json)
                                : patch_add_member(d, t.container, t.name, json);
}

static enum fhir_patch_result run_add(struct patching *p, const struct operation *o)
{
    return add(&p->doc, o->path, json_source(p->patch, o->value));
}

static enum fhir_patch_result run_remove(struct patching *p, const struct operation *o)
{
    struct target t;
    enum fhir_patch_result result = resolve_existing(&p->doc, o->path, &t);
    if (result != FHIR_PATCH_FINE)
        return result;
    if (t.container == JSON_NONE)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "the whole document cannot be removed");
    return patch_remove(&p->doc, t.container, t.child);
}

static enum fhir_patch_result run_replace(struct patching *p, const struct operation *o)
{
    struct target t;
    enum fhir_patch_result result = resolve_existing(&p->doc, o->path, &t);
    if (result != FHIR_PATCH_FINE)
        return result;
    return patch_replace(&p->doc, value_of(&p->doc, &t), json_source(p->patch, o->value));
}

/* The text at "from", in the arena: the document it stands in will be written over. */
static enum fhir_patch_result take_from(struct patching *p, const struct operation *o, struct str *ret)
{
    struct target t;
    enum fhir_patch_result result = resolve_existing(&p->doc, o->from, &t);
    if (result != FHIR_PATCH_FINE)
        return result;
    *ret = arena_copy(p->doc.arena, json_source(&p->doc.tape, value_of(&p->doc, &t)));
    return ret->p ? FHIR_PATCH_FINE : patch_too_much(&p->doc);
}

static enum fhir_patch_result run_copy(struct patching *p, const struct operation *o)
{
    struct str json;
    enum fhir_patch_result result = take_from(p, o, &json);
    return result == FHIR_PATCH_FINE ? add(&p->doc, o->path, json) : result;
}

static enum fhir_patch_result run_move(struct patching *p, const struct operation *o)
{
    struct str json;
    struct operation removal = {.path = o->from};
    bool is_below = str_starts(o->path, o->from) && o->path.n > o->from.n && o->path.p[o->from.n] == '/';
    if (is_below)
        return patch_fail(&p->doc, FHIR_PATCH_NOT_POSSIBLE, "\"%.*s\" cannot be moved into itself",
                          STR_ARG(quote(o->from)));
    enum fhir_patch_result result = take_from(p, o, &json);
    if (result != FHIR_PATCH_FINE || str_eq(o->path, o->from))
        return result;
    result = run_remove(p, &removal);
    return result == FHIR_PATCH_FINE ? add(&p->doc, o->path, json) : result;
}

static enum fhir_patch_result run_test(struct patching *p, const struct operation *o)
{
    struct target t;
    enum fhir_patch_result result = resolve_existing(&p->doc, o->path, &t);
    if (result == FHIR_PATCH_NOT_POSSIBLE)
        return FHIR_PATCH_TEST_FAILED;
    if (result != FHIR_PATCH_FINE)
        return result;
    if (is_equal(&p->doc, value_of(&p->doc, &t), p->patch, o->value))
        return FHIR_PATCH_FINE;
    return patch_work(&p->doc, 0)
               ? patch_fail(&p->doc, FHIR_PATCH_TEST_FAILED,
                            "what stands at \"%.*s\" is not what the test expects", STR_ARG(quote(o->path)))
               : patch_too_much(&p->doc);
}

/* ---- reading a patch */

static const struct {
    struct str op;
    bool has_value, has_from;
    enum fhir_patch_result (*run)(struct patching *, const struct operation *);
} operations[] = {
    {STR("add"), true, false, run_add},         {STR("remove"), false, false, run_remove},
    {STR("replace"), true, false, run_replace}, {STR("move"), false, true, run_move},
    {STR("copy"), false, true, run_copy},       {STR("test"), true, false, run_test},
};
enum { OPERATION_COUNT = sizeof operations / sizeof *operations };

/* A member that the operation needs. Members that nobody asks for are passed over (RFC 6902 4). */
static uint32_t member(struct patching *p, uint32_t node, const char *name, bool is_text,
                       enum fhir_patch_result *result)
{
    const struct json_tape *t = p->patch;
    uint32_t found = JSON_NONE, key = json_first(t, node);
    for (uint32_t left = json_count(t, node); left > 0; left--, key = json_next_member(t, key)) {
        if (!json_string_is(t, key, str_of(name)))
            continue;
        if (found != JSON_NONE)
            *result = patch_fail(&p->doc, FHIR_PATCH_BAD, "\"%s\" stands there twice", name);
        found = key + 1;
    }
    if (*result == FHIR_PATCH_FINE && (found == JSON_NONE || (is_text && json_type(t, found) != JSON_STRING)))
        *result = patch_fail(&p->doc, FHIR_PATCH_BAD, "an operation without %s\"%s\"",
                             is_text ? "the text " : "", name);
    return found;
}

static struct str text_member(struct patching *p, uint32_t node, const char *name,
                              enum fhir_patch_result *result)
{
    uint32_t found = member(p, node, name, true, result);
    return *result == FHIR_PATCH_FINE ? json_string(p->patch, found, p->doc.arena) : STR("");
}

static enum fhir_patch_result run_operation(struct patching *p, uint32_t node)
{
    enum fhir_patch_result result = FHIR_PATCH_FINE;
    if (json_type(p->patch, node) != JSON_OBJECT)
        return patch_fail(&p->doc, FHIR_PATCH_BAD, "an operation is an object");
    struct operation o = {.op = text_member(p, node, "op", &result), .value = JSON_NONE};
    unsigned row = 0;
    while (row < OPERATION_COUNT && !str_eq(o.op, operations[row].op))
        row++;
    if (result == FHIR_PATCH_FINE && row == OPERATION_COUNT)
        return patch_fail(&p->doc, FHIR_PATCH_BAD,
                          "\"%.*s\" is no operation: add, remove, replace, move, copy and test are",
                          STR_ARG(quote(o.op)));
    o.path = text_member(p, node, "path", &result);
    if (result == FHIR_PATCH_FINE && operations[row].has_value)
        o.value = member(p, node, "value", false, &result);
    if (result == FHIR_PATCH_FINE && operations[row].has_from)
        o.from = text_member(p, node, "from", &result);
    return result == FHIR_PATCH_FINE ? operations[row].run(p, &o) : result;
}

enum fhir_patch_result fhir_json_patch(const struct json_tape *document, const struct json_tape *patch,
                                       size_t bytes_max, struct arena *scratch, struct str *ret,
                                       struct fhir_patch_error *ret_error)
{
    struct patching p = {.patch = patch};
    if (!patch_doc_init(&p.doc, document, bytes_max, scratch, ret_error))
        return patch_too_much(&p.doc);
    if (json_type(patch, 0) != JSON_ARRAY)
        return patch_fail(&p.doc, FHIR_PATCH_BAD, "a JSON Patch is a list of operations");
    if (json_count(patch, 0) > FHIR_PATCH_OPERATIONS_MAX)
        return patch_fail(&p.doc, FHIR_PATCH_TOO_MUCH, "more than %d operations", FHIR_PATCH_OPERATIONS_MAX);
    uint32_t node = json_first(patch, 0);
    for (uint32_t left = json_count(patch, 0); left > 0; left--, node = json_next(patch, node)) {
        enum fhir_patch_result result = run_operation(&p, node);
        if (result != FHIR_PATCH_FINE)
            return result;
        if (arena_overflowed(scratch))
            return patch_too_much(&p.doc);
        ret_error->operation++;
    }
    *ret = p.doc.tape.text;
    return FHIR_PATCH_FINE;
}
