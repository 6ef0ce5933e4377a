#include "fhir/value.h"

/* ---- members of an object. A name that is written with escapes is none of FHIR's: it is not looked into. */

static bool key_is(const struct json_tape *t, uint32_t key, struct str name)
{
    return !t->nodes[key].has_escapes && str_eq(json_text(t, key), name);
}

static bool key_is_companion(const struct json_tape *t, uint32_t key, struct str name)
{
    struct str text = json_text(t, key);
    return text.n == name.n + 1 && text.p[0] == '_' && !t->nodes[key].has_escapes &&
           str_eq(str_skip(text, 1), name);
}

static bool is_object(const struct json_tape *t, uint32_t node)
{
    return node != JSON_NONE && json_type(t, node) == JSON_OBJECT;
}

static uint32_t member(const struct json_tape *t, uint32_t object, struct str name, bool is_companion)
{
    uint32_t key = json_first(t, object);
    for (uint32_t left = json_count(t, object); left > 0; left--, key = json_next_member(t, key)) {
        if (is_companion ? key_is_companion(t, key, name) : key_is(t, key, name))
            return key + 1;
    }
    return JSON_NONE;
}

uint32_t fhir_member(const struct json_tape *t, uint32_t object, struct str name)
{
    return is_object(t, object) ? member(t, object, name, false) : JSON_NONE;
}

struct str fhir_member_text(const struct json_tape *t, uint32_t object, struct str name, struct arena *arena)
{
    uint32_t node = fhir_member(t, object, name);
    if (node == JSON_NONE || json_type(t, node) >= JSON_ARRAY || json_type(t, node) == JSON_NULL)
        return STR("");
    return json_string(t, node, arena);
}

/* ---- one value */

bool fhir_value_of_resource(const struct json_tape *t, uint32_t object, struct fhir_value *ret)
{
    if (!is_object(t, object))
        return false;
    uint32_t name = member(t, object, STR("resourceType"), false);
    if (name == JSON_NONE || json_type(t, name) != JSON_STRING)
        return false;
    const struct fhir_type *type = fhir_type_find(json_text(t, name));
    if (!type || !fhir_type_is_resource(type))
        return false;
    *ret = (struct fhir_value){t, type, NULL, object, JSON_NONE};
    return true;
}

enum fhir_primitive fhir_value_primitive(const struct fhir_value *v)
{
    return v->type ? fhir_type_primitive(v->type) : FHIR_NO_PRIMITIVE;
}

struct str fhir_value_text(const struct fhir_value *v, struct arena *arena)
{
    if (v->node == JSON_NONE || json_type(v->tape, v->node) >= JSON_ARRAY ||
        json_type(v->tape, v->node) == JSON_NULL)
        return STR("");
    return json_string(v->tape, v->node, arena);
}

/* ---- children */

/* Where the children stand: of a primitive in its companion, which has the elements of Element. */
static const struct fhir_type *open_parent(struct fhir_children *c)
{
    bool is_primitive = fhir_value_primitive(&c->parent) != FHIR_NO_PRIMITIVE;
    uint32_t object = is_primitive ? c->parent.companion : c->parent.node;
    c->left = 0;
    if (!is_object(c->parent.tape, object))
        return NULL;
    c->object = object;
    c->key = json_first(c->parent.tape, object);
    c->left = json_count(c->parent.tape, object);
    return is_primitive ? fhir_type_find(STR("Element")) : c->parent.type;
}

struct fhir_children fhir_children_named(const struct fhir_value *parent, struct str name)
{
    struct fhir_children c = {.parent = *parent, .name = name, .is_once = true};
    const struct fhir_type *type = open_parent(&c);
    c.parent.type = type;
    if (!type)
        return c;
    c.single = fhir_element_find(type, name);
    c.choice = c.single ? NULL : fhir_element_find_choice(type, name);
    if (!c.single && !c.choice)
        c.left = 0;
    return c;
}

struct fhir_children fhir_children_all(const struct fhir_value *parent)
{
    struct fhir_children c = {.parent = *parent};
    c.parent.type = open_parent(&c);
    if (!c.parent.type)
        c.left = 0;
    return c;
}

/* Makes a member the one under way. */
static void begin_member(struct fhir_children *c, const struct fhir_element *element, uint32_t value,
                         uint32_t companion)
{
    const struct json_tape *t = c->parent.tape;
    bool is_list = value != JSON_NONE && json_type(t, value) == JSON_ARRAY;
    bool is_companion_list = companion != JSON_NONE && json_type(t, companion) == JSON_ARRAY;
    c->item = (struct fhir_value){t, fhir_element_type(element), element, JSON_NONE, JSON_NONE};
    c->value_at = is_list ? json_first(t, value) : value;
    c->value_left = is_list ? json_count(t, value) : value != JSON_NONE;
    c->companion_at = is_companion_list ? json_first(t, companion) : companion;
    c->companion_left = is_companion_list ? json_count(t, companion) : companion != JSON_NONE;
}

static void begin_element(struct fhir_children *c, const struct fhir_element *element, struct str name,
                          uint32_t value)
{
    const struct json_tape *t = c->parent.tape;
    bool is_primitive = fhir_type_primitive(fhir_element_type(element)) != FHIR_NO_PRIMITIVE;
    uint32_t companion = is_primitive ? member(t, c->object, name, true) : JSON_NONE;
    begin_member(c, element, value, companion);
}

/* The first member that is one of a choice's types. */
static void find_choice(struct fhir_children *c)
{
    const struct json_tape *t = c->parent.tape;
    for (; c->left > 0; c->left--, c->key = json_next_member(t, c->key)) {
        struct str name = json_text(t, c->key);
        bool is_companion = name.n && name.p[0] == '_';
        name = str_skip(name, is_companion);
        if (name.n <= c->name.n || !str_starts(name, c->name))
            continue;
        const struct fhir_element *element = fhir_element_find(c->parent.type, name);
        if (!element || !fhir_element_same_choice(element, c->choice))
            continue;
        begin_element(c, element, name, is_companion ? member(t, c->object, name, false) : c->key + 1);
        return;
    }
}

static bool advance_named(struct fhir_children *c)
{
    if (!c->is_once || !c->left)
        return false;
    c->is_once = false;
    if (c->single)
        begin_element(c, c->single, c->name, member(c->parent.tape, c->object, c->name, false));
    else
        find_choice(c);
    return true;
}

/* The next member; a companion without its value counts, one beside its value does not. */
static bool advance_all(struct fhir_children *c)
{
    const struct json_tape *t = c->parent.tape;
    if (!c->left)
        return false;
    uint32_t key = c->key;
    struct str name = json_text(t, key);
    bool is_companion = name.n && name.p[0] == '_';
    c->left--;
    c->key = json_next_member(t, key);
    const struct fhir_element *element = fhir_element_find(c->parent.type, str_skip(name, is_companion));
    if (!element || t->nodes[key].has_escapes)
        return true;
    if (!is_companion)
        begin_element(c, element, name, key + 1);
    else if (member(t, c->object, str_skip(name, 1), false) == JSON_NONE)
        begin_member(c, element, JSON_NONE, key + 1);
    return true;
}

static uint32_t take_item(const struct json_tape *t, uint32_t *at, uint32_t *left)
{
    if (!*left)
        return JSON_NONE;
    uint32_t node = *at;
    (*left)--;
    if (*left)
        *at = json_next(t, node);
    return json_type(t, node) == JSON_NULL ? JSON_NONE : node;
}

bool fhir_children_next(struct fhir_children *c, struct fhir_value *ret)
{
    const struct json_tape *t = c->parent.tape;
    for (;;) {
        while (c->value_left || c->companion_left) {
            struct fhir_value v = c->item;
            v.node = take_item(t, &c->value_at, &c->value_left);
            v.companion = take_item(t, &c->companion_at, &c->companion_left);
            if (v.node == JSON_NONE && v.companion == JSON_NONE)
                continue;
            struct fhir_value resource;
            if (fhir_type_kind(v.type) == FHIR_RESOURCE && fhir_value_of_resource(t, v.node, &resource))
                v.type = resource.type;
            *ret = v;
            return true;
        }
        if (!(c->name.n ? advance_named(c) : advance_all(c)))
            return false;
    }
}

bool fhir_child(const struct fhir_value *parent, struct str name, struct fhir_value *ret)
{
    struct fhir_children children = fhir_children_named(parent, name);
    return fhir_children_next(&children, ret);
}

struct str fhir_child_text(const struct fhir_value *parent, struct str name, struct arena *arena)
{
    struct fhir_value child;
    if (!fhir_child(parent, name, &child) || fhir_value_primitive(&child) == FHIR_NO_PRIMITIVE)
        return STR("");
    return fhir_value_text(&child, arena);
}
