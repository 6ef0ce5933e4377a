/* FHIRPath functions about resources: children, extensions, references
 * (http://hl7.org/fhir/R4/fhirpath.html#functions). */
#include "fhir/path_internal.h"
#include "fhir/reference.h"

bool path_all_children(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    for (uint32_t i = 0; i < in.n; i++) {
        if (!path_children(run, &in.at[i], out))
            return false;
    }
    return true;
}

/* Children of children: what has been found is the list of what is still to be asked. */
bool path_descendants(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    if (!path_all_children(run, call, in, out))
        return false;
    for (uint32_t i = 0; i < out->n; i++) {
        struct fhir_item item = out->at[i];
        if (!path_children(run, &item, out))
            return false;
    }
    return true;
}

bool path_extension(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items all = {0}, argument = {0};
    struct str url;
    if (!path_eval_argument(run, call, 0, &argument) || !path_members(run, in, STR("extension"), &all))
        return false;
    enum path_taken taken = items_string(run, argument, &url);
    for (uint32_t i = 0; i < all.n && taken == PATH_TOOK_ONE; i++) {
        if (str_eq(fhir_child_text(&all.at[i].element, STR("url"), run->arena), url) &&
            !items_add(run, out, all.at[i]))
            return false;
    }
    return taken != PATH_TOOK_FAILED;
}

static bool has_value(const struct fhir_item *item)
{
    if (item->kind != FHIR_ITEM_ELEMENT)
        return true;
    return fhir_value_primitive(&item->element) != FHIR_NO_PRIMITIVE && item->element.node != JSON_NONE;
}

bool path_has_value(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return items_add_boolean(run, out, in.n == 1 && has_value(&in.at[0]));
}

bool path_get_value(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return in.n != 1 || !has_value(&in.at[0]) || items_add(run, out, fhir_item_value(in.at[0], run->arena));
}

bool path_html_checks(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    bool is_fine = true;
    for (uint32_t i = 0; i < in.n && run->env->html_is_fine; i++)
        is_fine &= run->env->html_is_fine(run->env->context, fhir_item_text(in.at[i], run->arena));
    return items_add_boolean(run, out, is_fine);
}

/* ---- references */

static const struct fhir_value *root_of(const struct path_run *run)
{
    if (run->env->root_resource.type)
        return &run->env->root_resource;
    return run->env->resource.type ? &run->env->resource : &run->context;
}

static bool add_contained(struct path_run *run, struct str id, struct items *out)
{
    struct fhir_value child;
    struct fhir_item root = {.kind = FHIR_ITEM_ELEMENT, .element = *root_of(run)};
    if (!id.n)
        return items_add(run, out, root);
    struct fhir_children children = fhir_children_named(&root.element, STR("contained"));
    while (fhir_children_next(&children, &child)) {
        if (!path_spend(run, 4))
            return false;
        if (str_eq(fhir_child_text(&child, STR("id"), run->arena), id))
            return items_add(run, out, (struct fhir_item){.kind = FHIR_ITEM_ELEMENT, .element = child});
    }
    return true;
}

/* What only the reference itself tells: the type. */
static bool add_known_type(struct path_run *run, const struct fhir_type *type, struct items *out)
{
    struct fhir_value v = {.type = type, .node = JSON_NONE, .companion = JSON_NONE};
    return !type || items_add(run, out, (struct fhir_item){.kind = FHIR_ITEM_ELEMENT, .element = v});
}

static bool resolve_item(struct path_run *run, const struct fhir_item *item, struct items *out)
{
    const struct fhir_type *named = NULL;
    struct fhir_item found = {.kind = FHIR_ITEM_ELEMENT};
    struct str text = fhir_item_text(*item, run->arena);
    if (item->kind == FHIR_ITEM_ELEMENT && fhir_value_primitive(&item->element) == FHIR_NO_PRIMITIVE) {
        text = fhir_child_text(&item->element, STR("reference"), run->arena);
        named = fhir_type_find(fhir_child_text(&item->element, STR("type"), run->arena));
    }
    if (text.n && text.p[0] == '#')
        return add_contained(run, str_skip(text, 1), out);
    if (text.n && run->env->resolve && run->env->resolve(run->env->context, text, &found.element))
        return items_add(run, out, found);
    struct fhir_reference reference = fhir_reference_parse(text);
    return add_known_type(run, reference.type ? reference.type : named, out);
}

bool path_resolve(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    for (uint32_t i = 0; i < in.n; i++) {
        if (!path_spend(run, 4) || !resolve_item(run, &in.at[i], out))
            return false;
    }
    return true;
}
