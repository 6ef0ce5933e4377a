#include "fhir/reference.h"

#include "fhir/primitive.h"

/* The last segment; *rest keeps what stands before its '/'. */
static struct str cut_last(struct str *rest)
{
    size_t at = rest->n;
    while (at > 0 && rest->p[at - 1] != '/')
        at--;
    struct str last = str_skip(*rest, at);
    *rest = str_take(*rest, at ? at - 1 : 0);
    return last;
}

/* What stands before the type is nothing, or an http URL. */
static bool is_base(struct str rest)
{
    return !rest.n || str_starts(rest, STR("http://")) || str_starts(rest, STR("https://"));
}

struct fhir_reference fhir_reference_parse(struct str text)
{
    struct fhir_reference none = {.id = STR("")}, found = none;
    struct str rest = text;
    if (text.n && text.p[0] == '#')
        return (struct fhir_reference){.id = str_skip(text, 1), .is_contained = true};
    found.id = cut_last(&rest);
    struct str word = cut_last(&rest);
    if (str_eq(word, STR("_history"))) {
        found.version = found.id;
        found.id = cut_last(&rest);
        word = cut_last(&rest);
    }
    found.type = fhir_type_find(word);
    if (!found.type || fhir_type_kind(found.type) != FHIR_RESOURCE || !is_base(rest) ||
        !fhir_primitive_is_valid(FHIR_ID, found.id))
        return none;
    if (rest.n)
        found.base = str_take(text, rest.n + 1);
    return found;
}
