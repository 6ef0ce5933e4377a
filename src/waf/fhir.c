/* Where the leaves of a FHIR body go, and the places they have.
 *
 *  1. A place is made once for each known element of each known parent, so a bundle of a thousand entries has
 *     as many places as one entry. What is not known gets a place of its own each time, and is never looked
 *     for again: a sender cannot make a list long by thinking up names.
 *  2. Whatever counts as an argument counts against SecArgumentsLimit; what is typed does not, since no rule
 *     is run over it.
 *  3. What does not fit a type that was only guessed is no error but text. */
#include "waf/fhir.h"

#include "waf/tx.h"

enum { NAME_ABOVE_MAX = 256 }; /* of the path kept before a name nobody knows */

static void note_full(struct fhir_reading *r)
{
    r->is_full = true;
    r->body->limit = WAF_LIMIT_MEMORY;
    body_fail(r->body, r->in, "FHIR: no memory for more elements");
}

static void add(struct fhir_reading *r, struct pairs *to, struct str name, struct str value)
{
    if (!r->is_full && !pairs_add(to, r->in->arena, name, value))
        note_full(r);
}

/* As body_add_arg, over all lists that rules look at as arguments. */
static void add_counted(struct fhir_reading *r, struct pairs *to, struct str name, struct str value)
{
    const struct body *body = r->body;
    size_t n =
        r->in->args_before + body->args.n + body->fhir.text.n + body->fhir.names.n + body->fhir.errors.n;
    if (r->is_full)
        return;
    if (r->in->tx)
        tx_work(r->in->tx, name.n + value.n + 60);
    if (n < r->in->limits->arguments) {
        add(r, to, name, value);
        return;
    }
    r->is_full = true;
    r->body->limit = WAF_LIMIT_ARGUMENTS;
    body_fail(r->body, r->in, "more arguments than SecArgumentsLimit");
}

/* ---- places */

static struct fhir_place *place_new(struct fhir_reading *r, struct str element, struct str name,
                                    struct waf_type type)
{
    struct fhir_place *place = arena_alloc(r->in->arena, sizeof *place);
    if (place)
        *place = (struct fhir_place){.element = element, .name = name, .type = type};
    else
        note_full(r);
    return place;
}

static void remember(struct fhir_place *parent, struct fhir_place *child)
{
    child->is_known = true;
    child->next = parent->children;
    parent->children = child;
}

struct fhir_place *fhir_place_root(struct fhir_reading *r, struct str resource_type)
{
    struct waf_type type = r->types->resource(r->types->context, resource_type);
    struct fhir_place *root = place_new(r, STR_NONE, STR(""), type);
    if (root)
        root->is_known = true;
    return root;
}

/* A name nobody knows is an argument's name; how it came there is told as far as it is short. */
static struct fhir_place *unknown_child(struct fhir_reading *r, struct fhir_place *parent, struct str element)
{
    struct str above = parent->name.n <= NAME_ABOVE_MAX ? parent->name : STR("...");
    struct str name = arena_printf(r->in->arena, "%.*s%s", STR_ARG(above), above.n ? "." : "");
    char *whole = arena_bytes(r->in->arena, name.n + element.n);
    if (!whole) {
        note_full(r);
        return NULL;
    }
    struct buf out = buf_over(whole, name.n + element.n);
    buf_str(&out, name);
    buf_str(&out, element);
    add_counted(r, &r->body->fhir.names, element, STR(""));
    return place_new(r, element, buf_text(&out), (struct waf_type){.kind = WAF_KIND_UNKNOWN});
}

static struct str child_name(struct fhir_reading *r, const struct fhir_place *parent, struct str element)
{
    if (!parent->name.n)
        return arena_copy(r->in->arena, element);
    return arena_printf(r->in->arena, "%.*s.%.*s", STR_ARG(parent->name), STR_ARG(element));
}

struct fhir_place *fhir_place_child(struct fhir_reading *r, struct fhir_place *parent, struct str element,
                                    bool is_scalar)
{
    for (struct fhir_place *child = parent->children; child; child = child->next) {
        bool was_scalar = child->type.kind > WAF_KIND_RESOURCE;
        if (child->element.n && str_eq(child->element, element) &&
            (was_scalar == is_scalar || !child->type.is_guessed))
            return child;
    }
    struct waf_type type = r->types->child(r->types->context, parent->type, element, is_scalar);
    if (type.kind == WAF_KIND_UNKNOWN)
        return unknown_child(r, parent, element);
    struct str name = child_name(r, parent, element);
    struct fhir_place *child = place_new(r, arena_copy(r->in->arena, element), name, type);
    if (child && parent->is_known)
        remember(parent, child);
    return child;
}

struct fhir_place *fhir_place_resource(struct fhir_reading *r, struct fhir_place *place,
                                       struct str resource_type)
{
    struct waf_type type = r->types->resource(r->types->context, resource_type);
    for (struct fhir_place *child = place->children; child; child = child->next) {
        if (!child->element.n && child->type.which == type.which)
            return child;
    }
    struct fhir_place *child = place_new(r, STR_NONE, place->name, type);
    if (child && place->is_known)
        remember(place, child);
    return child;
}

/* ---- leaves */

void fhir_add_argument(struct fhir_reading *r, struct str name, struct str value)
{
    add_counted(r, &r->body->args, name, value);
}

void fhir_add_error(struct fhir_reading *r, struct str name, const char *what)
{
    add_counted(r, &r->body->fhir.errors, name, str_of(what));
}

void fhir_add_xhtml(struct fhir_reading *r, struct str name, struct str div, const struct xhtml_result *found)
{
    if (found->problem)
        fhir_add_error(r, name, found->problem);
    if (found->is_refused)
        fhir_add_argument(r, name, div);
    else if (found->text.n)
        add_counted(r, &r->body->fhir.text, name, found->text);
}

static void add_misfit(struct fhir_reading *r, const struct fhir_place *place, struct str value,
                       bool is_loose)
{
    if (!place->type.is_guessed) {
        const char *kind = fhir_kind_name((enum waf_kind)place->type.kind);
        struct str what = arena_printf(r->in->arena, "%s %s", is_loose ? "loosely a" : "not a", kind);
        add_counted(r, &r->body->fhir.errors, place->name, what);
    }
    if (place->type.is_guessed)
        add_counted(r, &r->body->fhir.text, place->name, value);
    else
        fhir_add_argument(r, place->name, value);
}

void fhir_add_leaf(struct fhir_reading *r, const struct fhir_place *place, struct str value,
                   struct str content_type)
{
    enum waf_kind kind = (enum waf_kind)place->type.kind;
    enum fhir_finding finding = fhir_check(kind, value);
    if (kind == WAF_KIND_BASE64 && finding != FHIR_INVALID)
        fhir_add_base64(r, place->name, value, content_type);
    if (finding == FHIR_INVALID || finding == FHIR_LOOSE)
        add_misfit(r, place, value, finding == FHIR_LOOSE);
    else if (finding == FHIR_HARMLESS)
        add(r, &r->body->fhir.typed, place->name, value);
    else if (kind == WAF_KIND_STRING || kind == WAF_KIND_UNKNOWN || place->type.is_guessed)
        add_counted(r, &r->body->fhir.text, place->name, value);
    else
        fhir_add_argument(r, place->name, value);
}
