/* The walk: every member of every object is looked up in its type; each element is then looked at once, in
 * the order of the type. An object takes slots for its elements from a stack of fixed size, so that memory
 * does not follow what a stranger sends. */
#include "fhir/validate_run.h"

#include <stdarg.h>
#include <stdio.h>

enum { SLOTS_MAX = 8'192, LOCATION_MAX = 1'024, TEXT_MAX = 512 };

/* ---- issues */

static void write_place(struct buf *out, const struct place *place)
{
    if (place->up)
        write_place(out, place->up);
    if (place->up)
        buf_char(out, '.');
    buf_str(out, place->name);
    if (place->index >= 0)
        buf_printf(out, "[%lld]", (long long)place->index);
}

/* Room is left for the one that says that there are more. */
static bool has_room(struct validate_run *run)
{
    if (run->is_full || run->n + 1 >= FHIR_VALIDATE_ISSUES_MAX) {
        if (!run->is_full)
            run->issues[run->n++] =
                (struct fhir_issue){FHIR_ISSUE_INCOMPLETE,
                                    true,
                                    run->issues[0].location,
                                    STR("issues"),
                                    STR("There are more issues than are told: correct these first."),
                                    run->issues[0].at};
        run->is_full = true;
    }
    return !run->is_full;
}

void validate_add(struct validate_run *run, enum fhir_issue_code code, bool is_error,
                  const struct place *place, uint32_t node, const char *rule, const char *format, ...)
{
    char location[LOCATION_MAX], text[TEXT_MAX];
    struct buf at = buf_over(location, sizeof location);
    va_list arguments;
    if ((!is_error && !run->wants_warnings) || !has_room(run))
        return;
    write_place(&at, place);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    run->issues[run->n++] = (struct fhir_issue){code,
                                                is_error,
                                                arena_copy(run->arena, buf_text(&at)),
                                                arena_copy(run->arena, str_of(rule)),
                                                arena_copy(run->arena, str_of(text)),
                                                run->tape->nodes[node].at};
}

struct str fhir_issue_code_text(enum fhir_issue_code code)
{
    static const struct str texts[] = {
        [FHIR_ISSUE_STRUCTURE] = STR("structure"),
        [FHIR_ISSUE_REQUIRED] = STR("required"),
        [FHIR_ISSUE_VALUE] = STR("value"),
        [FHIR_ISSUE_INVARIANT] = STR("invariant"),
        [FHIR_ISSUE_CODE_INVALID] = STR("code-invalid"),
        [FHIR_ISSUE_TOO_COSTLY] = STR("too-costly"),
        [FHIR_ISSUE_INCOMPLETE] = STR("incomplete"),
    };
    return texts[code];
}

/* ---- members */

struct object {
    const struct fhir_type *type;
    uint32_t node;
    const struct place *place;
    struct slot *slots; /* by the number of the element in its type */
};

static void unknown_name(struct validate_run *run, const struct object *o, uint32_t key, struct str name)
{
    const struct fhir_element *choice = fhir_element_find_choice(o->type, name);
    struct str type = fhir_type_name(o->type);
    if (choice)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, o->place, key, "name",
                     "'%.*s' needs its type in the name, as in '%.*s'.", STR_ARG(name),
                     STR_ARG(fhir_element_name(choice)));
    else
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, o->place, key, "name",
                     "%.*s has no element '%.*s': remove it, or use an extension.", STR_ARG(type),
                     STR_ARG(str_take(name, 64)));
}

/* DSTU2 kept comments of XML in lists of strings; examples still have them. They say nothing. */
static bool is_comments(struct validate_run *run, uint32_t key)
{
    uint32_t list = key + 1;
    if (!json_string_is(run->tape, key, STR("fhir_comments")) || json_type(run->tape, list) != JSON_ARRAY)
        return false;
    uint32_t node = json_first(run->tape, list);
    for (uint32_t left = json_count(run->tape, list); left > 0; left--, node = json_next(run->tape, node)) {
        if (json_type(run->tape, node) != JSON_STRING)
            return false;
    }
    return true;
}

static void place_member(struct validate_run *run, const struct object *o, uint32_t key)
{
    struct str name = json_text(run->tape, key);
    bool is_companion = name.n > 1 && name.p[0] == '_';
    const struct fhir_element *element =
        run->tape->nodes[key].has_escapes ? NULL : fhir_element_find(o->type, str_skip(name, is_companion));
    bool is_primitive = element && fhir_type_primitive(fhir_element_type(element)) != FHIR_NO_PRIMITIVE;
    if (!element && is_comments(run, key)) {
        validate_add(run, FHIR_ISSUE_STRUCTURE, false, o->place, key, "name",
                     "'fhir_comments' is not part of R4: nobody reads it, leave it out.");
        return;
    }
    if (!element || (is_companion && !is_primitive)) {
        unknown_name(run, o, key, name);
        return;
    }
    unsigned first = fhir_element_index(fhir_element_at(o->type, 0));
    struct slot *slot = &o->slots[fhir_element_index(element) - first];
    uint32_t *place = is_companion ? &slot->companion : &slot->value;
    if (*place != JSON_NONE)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, o->place, key, "name",
                     "'%.*s' stands there twice: write it once, as a list if it has several values.",
                     STR_ARG(name));
    *place = key + 1;
}

static void place_members(struct validate_run *run, const struct object *o)
{
    uint32_t key = json_first(run->tape, o->node);
    bool is_resource = fhir_type_kind(o->type) == FHIR_RESOURCE, has_type = false;
    for (uint32_t left = json_count(run->tape, o->node); left > 0 && !run->is_full;
         left--, key = json_next_member(run->tape, key)) {
        bool is_type = is_resource && !has_type && !run->tape->nodes[key].has_escapes &&
                       str_eq(json_text(run->tape, key), STR("resourceType"));
        has_type |= is_type;
        if (!is_type)
            place_member(run, o, key);
    }
}

/* ---- elements */

static void check_object(struct validate_run *, const struct fhir_value *, const struct place *);

static void check_complex(struct validate_run *run, struct fhir_value *v, const struct place *place)
{
    if (json_type(run->tape, v->node) != JSON_OBJECT) {
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, v->node, "type",
                     "This must be an object (%.*s).", STR_ARG(fhir_type_name(v->type)));
        return;
    }
    struct fhir_value resource;
    if (fhir_type_kind(v->type) == FHIR_RESOURCE) {
        if (!fhir_value_of_resource(run->tape, v->node, &resource)) {
            validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, v->node, "type",
                         "This must be a resource: 'resourceType' has to name a type of FHIR R4.");
            return;
        }
        v->type = resource.type;
    }
    check_object(run, v, place);
    validate_binding(run, v, place);
    validate_reference(run, v, place);
}

static void check_companion(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    struct fhir_value companion = *v;
    companion.type = fhir_type_find(STR("Element"));
    companion.node = v->companion;
    companion.companion = JSON_NONE;
    check_complex(run, &companion, place);
}

/* ele-1: an element has a value or children beside its id. */
static bool has_only_id(const struct json_tape *t, uint32_t node)
{
    return node != JSON_NONE && json_type(t, node) == JSON_OBJECT && json_count(t, node) == 1 &&
           json_string_is(t, json_first(t, node), STR("id"));
}

static void check_value(struct validate_run *run, struct fhir_value *v, const struct place *place)
{
    bool is_primitive = fhir_type_primitive(v->type) != FHIR_NO_PRIMITIVE;
    uint32_t content = is_primitive && v->node == JSON_NONE ? v->companion : v->node;
    if (has_only_id(run->tape, content))
        validate_add(run, FHIR_ISSUE_INVARIANT, true, place, content, "ele-1",
                     "This has an id and nothing else: leave it out, or give it a value.");
    if (is_primitive && v->companion != JSON_NONE)
        check_companion(run, v, place);
    if (is_primitive && v->node != JSON_NONE)
        validate_primitive(run, v, place);
    if (!is_primitive)
        check_complex(run, v, place);
    if (is_primitive && !run->is_full)
        validate_rules(run, v, place);
}

static uint32_t item_of(const struct json_tape *t, uint32_t *at, uint32_t *left)
{
    if (!*left)
        return JSON_NONE;
    uint32_t node = *at;
    if (--*left)
        *at = json_next(t, node);
    return json_type(t, node) == JSON_NULL ? JSON_NONE : node;
}

static uint32_t list_count(const struct json_tape *t, uint32_t list)
{
    return list == JSON_NONE ? 0 : json_count(t, list);
}

static void check_lengths(struct validate_run *run, const struct fhir_element *element, struct slot slot,
                          const struct place *place)
{
    uint32_t values = list_count(run->tape, slot.value), companions = list_count(run->tape, slot.companion);
    uint32_t any = slot.value != JSON_NONE ? slot.value : slot.companion,
             n = values > companions ? values : companions;
    unsigned most = fhir_element_most(element);
    struct str name = fhir_element_name(element);
    if ((slot.value != JSON_NONE && !values) || (slot.companion != JSON_NONE && !companions))
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, any, "list",
                     "'%.*s' is an empty list: leave it out.", STR_ARG(name));
    else if (values && companions && values != companions)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, any, "list",
                     "'%.*s' and '_%.*s' must have the same length: fill the gaps with null.", STR_ARG(name),
                     STR_ARG(name));
    if (most && n > most)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, any, "cardinality",
                     "'%.*s' has %u values, at most %u are allowed.", STR_ARG(name), n, most);
}

/* A list of values, and beside it (or alone) a list of companions. */
static void check_list(struct validate_run *run, struct fhir_value *v, struct slot slot, struct place *place)
{
    const struct json_tape *t = run->tape;
    uint32_t values = list_count(t, slot.value), companions = list_count(t, slot.companion);
    uint32_t n = values > companions ? values : companions,
             any = slot.value != JSON_NONE ? slot.value : slot.companion;
    uint32_t value_at = slot.value + 1, companion_at = slot.companion + 1;
    check_lengths(run, v->element, slot, place);
    for (place->index = 0; place->index < n && !run->is_full; place->index++) {
        struct fhir_value item = *v;
        item.node = item_of(t, &value_at, &values);
        item.companion = item_of(t, &companion_at, &companions);
        if (item.node == JSON_NONE && item.companion == JSON_NONE)
            validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, any, "list",
                         "A list cannot hold null here.");
        else
            check_value(run, &item, place);
    }
}

static bool is_list(const struct json_tape *t, uint32_t node)
{
    return node != JSON_NONE && json_type(t, node) == JSON_ARRAY;
}

static void check_element(struct validate_run *run, const struct object *o,
                          const struct fhir_element *element, struct slot slot)
{
    struct place place = {o->place, fhir_element_stem(element), -1};
    struct fhir_value v = {run->tape, fhir_element_type(element), element, slot.value, slot.companion};
    struct str name = fhir_element_name(element);
    bool wants_list = fhir_element_most(element) != 1;
    bool is_right = (slot.value == JSON_NONE || is_list(run->tape, slot.value) == wants_list) &&
                    (slot.companion == JSON_NONE || is_list(run->tape, slot.companion) == wants_list);
    uint32_t any = slot.value != JSON_NONE ? slot.value : slot.companion;
    if (!is_right)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, &place, any, "cardinality",
                     wants_list ? "'%.*s' must be a list: put the value between [ and ]."
                                : "'%.*s' takes one value, not a list.",
                     STR_ARG(name));
    else if (wants_list)
        check_list(run, &v, slot, &place);
    else if (json_type(run->tape, any) == JSON_NULL)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, &place, any, "type", "'%.*s' is null: leave it out.",
                     STR_ARG(name));
    else
        check_value(run, &v, &place);
}

static bool is_there(struct slot slot)
{
    return slot.value != JSON_NONE || slot.companion != JSON_NONE;
}

/* One element, or all types of a choice; returns how many elements of the type that are. */
static unsigned check_choice(struct validate_run *run, const struct object *o, unsigned first)
{
    const struct fhir_element *element = fhir_element_at(o->type, first);
    unsigned count = 0, there = 0, all = fhir_element_count(o->type);
    do {
        there += is_there(o->slots[first + count]);
        count++;
    } while (first + count < all &&
             fhir_element_same_choice(fhir_element_at(o->type, first + count), element));
    struct str stem = fhir_element_stem(element);
    if (!there && fhir_element_least(element))
        validate_add(run, FHIR_ISSUE_REQUIRED, true, o->place, o->node, "cardinality",
                     "'%.*s' is missing: %.*s needs it.", STR_ARG(fhir_element_name(element)),
                     STR_ARG(fhir_type_name(o->type)));
    if (there > 1)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, o->place, o->node, "choice",
                     "'%.*s' has values of %u types: only one is allowed.", STR_ARG(stem), there);
    for (unsigned i = first; i < first + count && !run->is_full; i++) {
        if (is_there(o->slots[i]))
            check_element(run, o, fhir_element_at(o->type, i), o->slots[i]);
    }
    return count;
}

/* ---- objects */

/* %resource, and of what is not contained %rootResource too. */
static void enter_resource(struct validate_run *run, const struct fhir_value *v)
{
    bool is_contained = v->element && str_eq(fhir_element_name(v->element), STR("contained"));
    run->env.resource = *v;
    if (is_contained)
        return;
    run->env.root_resource = *v;
    validate_gather_locals(run, v);
}

static void check_elements(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    unsigned count = fhir_element_count(v->type);
    struct object o = {v->type, v->node, place, run->slots + run->slots_used};
    if (run->slots_used + count > SLOTS_MAX || run->depth >= FHIR_VALIDATE_DEPTH_MAX) {
        validate_add(run, FHIR_ISSUE_TOO_COSTLY, true, place, v->node, "depth",
                     "Elements are nested too deeply.");
        return;
    }
    run->slots_used += count;
    run->depth++;
    memset(o.slots, 0xff, count * sizeof *o.slots); /* JSON_NONE */
    place_members(run, &o);
    for (unsigned i = 0; i < count && !run->is_full;)
        i += check_choice(run, &o, i);
    run->depth--;
    run->slots_used -= count;
}

static void check_object(struct validate_run *run, const struct fhir_value *v, const struct place *place)
{
    struct validate_run before = *run;
    bool is_resource = fhir_type_kind(v->type) == FHIR_RESOURCE;
    if (json_count(run->tape, v->node) == 0)
        validate_add(run, FHIR_ISSUE_STRUCTURE, true, place, v->node, "empty",
                     "This is empty: leave it out.");
    if (is_resource)
        enter_resource(run, v);
    check_elements(run, v, place);
    if (!run->is_full)
        validate_rules(run, v, place);
    if (!is_resource)
        return;
    run->env.resource = before.env.resource;
    run->env.root_resource = before.env.root_resource;
    run->contained = before.contained;
    run->contained_count = before.contained_count;
    run->locals = before.locals;
    run->local_count = before.local_count;
}

/* Not zeroed: 64 KiB would cost more than a small resource. */
static struct slot *new_slots(struct arena *arena)
{
    char *memory = arena_bytes(arena, (SLOTS_MAX + 1) * sizeof(struct slot));
    size_t past = (size_t)((uintptr_t)memory % alignof(struct slot));
    return memory ? (struct slot *)(void *)(memory + (past ? alignof(struct slot) - past : 0)) : NULL;
}

void fhir_validate(const struct fhir_validator *validator, const struct fhir_validate_input *in,
                   struct arena *arena, struct arena *scratch, struct fhir_validation *ret)
{
    struct validate_run run = {.validator = validator,
                               .tape = in->tape,
                               .env = *in->env,
                               .steps_left = in->env->steps_max,
                               .wants_warnings = in->wants_warnings,
                               .arena = arena,
                               .scratch = scratch};
    struct fhir_value resource;
    run.issues = arena_alloc(arena, FHIR_VALIDATE_ISSUES_MAX * sizeof *run.issues);
    run.slots = new_slots(arena);
    *ret = (struct fhir_validation){0};
    if (!run.issues || !run.slots)
        return;
    struct place root = {NULL, STR("Resource"), -1};
    if (!fhir_value_of_resource(in->tape, in->object, &resource)) {
        validate_add(&run, FHIR_ISSUE_STRUCTURE, true, &root, in->object, "type",
                     "This must be a resource: 'resourceType' has to name a type of FHIR R4.");
    } else {
        root.name = fhir_type_name(resource.type);
        check_object(&run, &resource, &root);
    }
    ret->issues = run.issues;
    ret->n = run.n;
    ret->is_valid = !arena_overflowed(arena);
    for (size_t i = 0; i < run.n; i++)
        ret->is_valid &= !run.issues[i].is_error;
}
