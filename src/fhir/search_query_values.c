/* The values of a search parameter, by its type (https://hl7.org/fhir/R4/search.html#token and the sections
 * around it). Pieces stay slices of the value under way until they are unescaped, so that a fault has a
 * place. */
#include "fhir/chars.h"
#include "fhir/fold.h"
#include "fhir/primitive.h"
#include "fhir/reference.h"
#include "fhir/search_query_run.h"

/* ---- pieces */

struct str query_cut(struct str *rest, char c)
{
    struct str whole = *rest;
    for (size_t i = 0; i < whole.n; i++) {
        if (whole.p[i] == '\\') {
            i++;
        } else if (whole.p[i] == c) {
            *rest = str_skip(whole, i + 1);
            rest->p = whole.p + i + 1;
            return str_take(whole, i);
        }
    }
    *rest = STR_NONE;
    return whole;
}

static bool is_special(char c)
{
    return c == ',' || c == '|' || c == '$' || c == '\\';
}

bool query_unescape(struct query_run *run, struct str raw, struct str *ret)
{
    if (str_find_char(raw, '\\') < 0) {
        *ret = raw;
        return true;
    }
    char *text = arena_bytes(run->arena, raw.n);
    size_t n = 0;
    for (size_t i = 0; i < raw.n && text; i++) {
        bool is_escape = raw.p[i] == '\\';
        if (is_escape && (i + 1 == raw.n || !is_special(raw.p[i + 1])))
            return query_fault(run, FHIR_QUERY_BAD_VALUE, str_take(str_skip(raw, i), 1),
                               STR("a backslash itself is written twice"),
                               "a backslash stands only before ',', '|', '$' or '\\'");
        i += is_escape;
        text[n++] = raw.p[i];
    }
    *ret = text ? (struct str){text, n} : STR("");
    return text;
}

bool query_bad_value(struct query_run *run, struct str at, struct str wanted)
{
    return query_fault(run, FHIR_QUERY_BAD_VALUE, at, STR(""), "%.*s is not %.*s",
                       STR_ARG(query_quote(run, at)), STR_ARG(wanted));
}

/* ---- strings, URIs */

static bool read_string(struct query_run *run, enum fhir_index_role role, struct str raw,
                        struct fhir_query_value *ret)
{
    struct str text = STR(""), folded;
    if (!query_unescape(run, raw, &text))
        return false;
    if (text.n > FHIR_FOLD_BYTES_MAX)
        return query_fault(run, FHIR_QUERY_TOO_MUCH, raw, STR(""),
                           "a text to search for has at most %d bytes", FHIR_FOLD_BYTES_MAX);
    folded = fhir_fold(text, run->arena);
    if (!str_trim(folded).n)
        return query_bad_value(run, raw, STR("a text that can be searched for"));
    ret->is = (struct fhir_index_value){
        .type = FHIR_SEARCH_STRING, .role = (uint8_t)role, .string = {folded, text}};
    return true;
}

static bool read_uri(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    struct str text = STR("");
    if (!query_unescape(run, raw, &text))
        return false;
    if (str_find_char(text, ' ') >= 0)
        return query_bad_value(run, raw, STR("a URI: a blank stands in it"));
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_URI, .uri = text};
    return true;
}

/* ---- tokens */

bool query_ends_bars(struct query_run *run, struct str rest, const char *wanted)
{
    if (!rest.p)
        return true;
    return query_fault(run, FHIR_QUERY_BAD_VALUE, rest,
                       STR("a '|' that belongs to a text is written \"\\|\""),
                       "more '|' than a value has that is written as %s", wanted);
}

static bool read_token(struct query_run *run, enum fhir_index_role role, struct str raw,
                       struct fhir_query_value *ret)
{
    struct str rest = raw, system = STR(""), code = STR(""), first = query_cut(&rest, '|');
    bool has_system = rest.p;
    struct str second = has_system ? query_cut(&rest, '|') : first;
    if (!query_ends_bars(run, has_system ? rest : STR_NONE, "code, system|code, |code or system|") ||
        !query_unescape(run, has_system ? first : STR(""), &system) || !query_unescape(run, second, &code))
        return false;
    if (!system.n && !code.n)
        return query_bad_value(run, raw, STR("a code: there is nothing beside the '|'"));
    ret->is =
        (struct fhir_index_value){.type = FHIR_SEARCH_TOKEN, .role = (uint8_t)role, .token = {system, code}};
    ret->any_system = !has_system;
    ret->any_code = !code.n;
    return true;
}

/* "system|type|value", as rows write it: the system, and "type|value". */
static bool read_of_type(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    struct str rest = raw, system = STR(""), type = STR(""), value = STR(""), first = query_cut(&rest, '|');
    struct str second = rest.p ? query_cut(&rest, '|') : STR("");
    struct str third = rest.p ? query_cut(&rest, '|') : STR("");
    if (!query_ends_bars(run, rest, "system|type|value") || !query_unescape(run, first, &system) ||
        !query_unescape(run, second, &type) || !query_unescape(run, third, &value))
        return false;
    if (!system.n || !type.n || !value.n)
        return query_bad_value(run, raw, STR("system|type|value of an identifier, each of them there"));
    struct str code = arena_printf(run->arena, "%.*s|%.*s", STR_ARG(type), STR_ARG(value));
    ret->is = (struct fhir_index_value){
        .type = FHIR_SEARCH_TOKEN, .role = FHIR_INDEX_OF_TYPE, .token = {system, code}};
    return true;
}

static bool read_id(struct query_run *run, struct str raw, struct fhir_query_value *ret)
{
    if (!fhir_primitive_is_valid(FHIR_ID, raw))
        return query_bad_value(run, raw, STR("an id: 1 to 64 letters, digits, '-' or '.'"));
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_TOKEN, .token = {STR(""), raw}};
    ret->any_system = true;
    return true;
}

/* ---- references */

static bool bad_reference(struct query_run *run, struct str raw)
{
    struct str rest = raw, word = str_cut(&rest, '/');
    struct nearest near = nearest_to(word);
    for (unsigned i = 0; rest.p && i < fhir_type_count(); i++) {
        if (fhir_type_is_resource(fhir_type_at(i)))
            nearest_try(&near, fhir_type_name(fhir_type_at(i)));
    }
    return query_fault(run, FHIR_QUERY_BAD_VALUE, raw, query_hint(run, &near),
                       "%.*s is not a reference: an id, Type/id or an absolute URL",
                       STR_ARG(query_quote(run, raw)));
}

/* An absolute URL or URN: a scheme stands before anything else. */
static bool has_scheme(struct str text)
{
    size_t i = 0;
    while (i < text.n && (is_alnum(text.p[i]) || text.p[i] == '+' || text.p[i] == '-' || text.p[i] == '.'))
        i++;
    return i > 0 && i + 1 < text.n && text.p[i] == ':' && is_letter(text.p[0]);
}

/* What a bare id is of: the type asked for, or the only one there can be. */
static const struct fhir_type *implied_type(const struct query_asked *asked)
{
    if (asked->of_resource)
        return asked->of_resource;
    bool is_one = fhir_search_type(asked->parameter) == FHIR_SEARCH_REFERENCE &&
                  fhir_search_target_count(asked->parameter) == 1;
    return is_one ? fhir_search_target(asked->parameter, 0) : NULL;
}

static bool set_reference(struct query_run *run, const struct query_asked *asked, struct str url,
                          struct fhir_query_value *ret)
{
    struct fhir_reference r = fhir_reference_parse(url);
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_REFERENCE};
    ret->is.reference.url = url;
    ret->is.reference.id = STR("");
    ret->is.reference.version = ret->is.reference.base = STR("");
    if (r.is_contained)
        return false;
    if (!r.type) {
        bool is_id = fhir_primitive_is_valid(FHIR_ID, url);
        ret->is.reference.id = is_id ? url : STR("");
        ret->is.reference.type = is_id ? implied_type(asked) : NULL;
        return is_id || has_scheme(url);
    }
    ret->is.reference.type = r.type;
    ret->is.reference.id = r.id;
    ret->is.reference.version = r.version.p ? r.version : STR("");
    if (r.base.n && !str_eq(r.base, run->context->base_url))
        ret->is.reference.base = r.base;
    return true;
}

static bool read_reference(struct query_run *run, const struct query_asked *asked, struct str raw,
                           struct fhir_query_value *ret)
{
    struct str rest = raw, url = STR(""), version = STR(""), first = query_cut(&rest, '|');
    struct str second = rest.p ? query_cut(&rest, '|') : STR_NONE;
    if ((second.p && !query_ends_bars(run, rest, "url|version")) || !query_unescape(run, first, &url) ||
        !query_unescape(run, second, &version))
        return false;
    if (!set_reference(run, asked, url, ret) || (second.p && (!version.n || !has_scheme(url))))
        return bad_reference(run, raw);
    if (version.n)
        ret->is.reference.version = version;
    if (asked->of_resource && ret->is.reference.type != asked->of_resource)
        return query_fault(run, FHIR_QUERY_BAD_VALUE, raw, STR(""), "%.*s is not the id of a %.*s",
                           STR_ARG(query_quote(run, raw)), STR_ARG(fhir_type_name(asked->of_resource)));
    return true;
}

/* ---- by type */

static bool read_composite(struct query_run *, const struct query_asked *, struct str raw,
                           struct fhir_query_value *ret);

static bool read_plain(struct query_run *run, const struct query_asked *asked, enum fhir_search_type type,
                       struct str raw, struct fhir_query_value *ret)
{
    switch (type) {
    case FHIR_SEARCH_NUMBER:
        return query_read_number(run, raw, ret);
    case FHIR_SEARCH_DATE:
        return query_read_date(run, raw, ret);
    case FHIR_SEARCH_STRING:
        return read_string(run, FHIR_INDEX_VALUE, raw, ret);
    case FHIR_SEARCH_TOKEN:
        return read_token(run, FHIR_INDEX_VALUE, raw, ret);
    case FHIR_SEARCH_REFERENCE:
        return read_reference(run, asked, raw, ret);
    case FHIR_SEARCH_COMPOSITE:
        return read_composite(run, asked, raw, ret);
    case FHIR_SEARCH_QUANTITY:
        return query_read_quantity(run, raw, ret);
    case FHIR_SEARCH_URI:
        return read_uri(run, raw, ret);
    default:
        return query_fault(run, FHIR_QUERY_NOT_SUPPORTED, run->name, STR(""),
                           "searching by place is not supported");
    }
}

static bool read_composite(struct query_run *run, const struct query_asked *asked, struct str raw,
                           struct fhir_query_value *ret)
{
    unsigned count = fhir_search_component_count(asked->parameter);
    struct fhir_query_value *parts = arena_alloc(run->arena, (count ? count : 1) * sizeof *parts);
    struct str rest = raw;
    for (unsigned i = 0; parts && i < count; i++) {
        struct str part = rest.p ? query_cut(&rest, '$') : STR("");
        if (!part.n)
            return query_fault(run, FHIR_QUERY_BAD_VALUE, raw, STR(""),
                               "a value of this parameter has %u parts with '$' between them", count);
        enum fhir_search_type type = fhir_index_part_type(asked->type, asked->parameter, i);
        if (!read_plain(run, asked, type, part, &parts[i]))
            return false;
    }
    if (rest.p)
        return query_fault(run, FHIR_QUERY_BAD_VALUE, rest,
                           STR("a '$' that belongs to a text is written \"\\$\""),
                           "a value of this parameter has %u parts", count);
    ret->is = (struct fhir_index_value){.type = FHIR_SEARCH_COMPOSITE};
    ret->parts = parts;
    ret->part_count = count;
    return parts;
}

static bool read_value(struct query_run *run, const struct query_asked *asked, struct str raw,
                       struct fhir_query_value *ret)
{
    switch (asked->modifier) {
    case FHIR_QUERY_TEXT:
        return read_string(run, FHIR_INDEX_TEXT, raw, ret);
    case FHIR_QUERY_IN:
    case FHIR_QUERY_NOT_IN:
        return read_uri(run, raw, ret);
    case FHIR_QUERY_OF_TYPE:
        return read_of_type(run, raw, ret);
    case FHIR_QUERY_IDENTIFIER:
        return read_token(run, FHIR_INDEX_IDENTIFIER, raw, ret);
    default:
        return read_plain(run, asked, fhir_search_type(asked->parameter), raw, ret);
    }
}

/* ---- lists */

static size_t count_values(struct str text)
{
    size_t count = 0;
    for (struct str rest = text; rest.p; count++)
        (void)query_cut(&rest, ',');
    return count;
}

static bool read_missing(struct query_run *run, struct fhir_query_criterion *ret)
{
    ret->is_missing = str_eq(run->value, STR("true"));
    if (ret->is_missing || str_eq(run->value, STR("false")))
        return true;
    return query_bad_value(run, run->value, STR("true or false"));
}

/* What decides how the values are read, beside their text; the values are still to come. */
static struct query_kept reading_of(const struct query_run *run, const struct query_asked *asked, bool is_id)
{
    return (struct query_kept){.text = run->value.p,
                               .type = fhir_search_type(asked->parameter),
                               .modifier = asked->modifier,
                               .implied = implied_type(asked),
                               .is_id = is_id};
}

static bool is_kept(const struct query_run *run, const struct query_kept *reading)
{
    const struct query_kept *kept = &run->kept;
    return kept->text == reading->text && kept->type == reading->type &&
           kept->modifier == reading->modifier && kept->implied == reading->implied &&
           kept->is_id == reading->is_id && reading->type != FHIR_SEARCH_COMPOSITE;
}

static bool read_list(struct query_run *run, const struct query_asked *asked, struct query_kept *reading)
{
    size_t count = count_values(run->value);
    if (count > FHIR_QUERY_VALUES_MAX)
        return query_fault(run, FHIR_QUERY_TOO_MUCH, run->value, STR(""), "more than %d values",
                           FHIR_QUERY_VALUES_MAX);
    struct fhir_query_value *values = arena_alloc(run->arena, count * sizeof *values);
    struct str rest = run->value;
    for (size_t i = 0; i < count && values; i++) {
        struct str raw = query_cut(&rest, ',');
        if (!raw.n)
            return query_fault(run, FHIR_QUERY_BAD_VALUE, raw,
                               STR("a ',' that belongs to a text is written \"\\,\""), "an empty value");
        if (!(reading->is_id ? read_id(run, raw, &values[i]) : read_value(run, asked, raw, &values[i])))
            return false;
    }
    reading->values = values;
    reading->count = (uint32_t)count;
    return values;
}

bool query_read_values(struct query_run *run, const struct query_asked *asked,
                       struct fhir_query_criterion *ret)
{
    if (asked->modifier == FHIR_QUERY_MISSING)
        return read_missing(run, ret);
    struct query_kept reading = reading_of(run, asked, ret->kind == FHIR_QUERY_ID);
    if (!is_kept(run, &reading)) {
        if (!read_list(run, asked, &reading))
            return false;
        run->kept = reading;
    }
    ret->values = run->kept.values;
    ret->value_count = run->kept.count;
    return true;
}
