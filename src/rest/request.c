#include "rest/request_parse.h"

#include "fhir/primitive.h"
#include "rest/operations.h"
#include "rest/outcome.h"

const struct str rest_page_parameter = STR("_page");

struct str rest_interaction_name(enum rest_interaction interaction)
{
    static const struct str names[REST_INTERACTION_COUNT] = {
        [REST_CAPABILITIES] = STR("capabilities"),
        [REST_READ] = STR("read"),
        [REST_VREAD] = STR("vread"),
        [REST_HISTORY] = STR("history"),
        [REST_SEARCH] = STR("search-type"),
        [REST_SEARCH_SYSTEM] = STR("search-system"),
        [REST_CREATE] = STR("create"),
        [REST_UPDATE] = STR("update"),
        [REST_PATCH] = STR("patch"),
        [REST_DELETE] = STR("delete"),
        [REST_BUNDLE] = STR("transaction"),
        [REST_OPERATION] = STR("operation"),
    };
    return (unsigned)interaction < REST_INTERACTION_COUNT ? names[interaction] : STR("unknown");
}

/* ---- paths */

enum { SEGMENTS_MAX = 5 };

static unsigned cut_path(struct str path, struct str *segments)
{
    unsigned n = 0;
    if (path.n && path.p[0] == '/')
        path = str_skip(path, 1);
    while (path.n && n < SEGMENTS_MAX)
        segments[n++] = str_cut(&path, '/');
    return path.n ? SEGMENTS_MAX : n;
}

static bool is_operation(struct str segment)
{
    return segment.n > 1 && segment.p[0] == '$';
}

static bool system_shape(struct parsing *p, struct str segment)
{
    static const struct {
        const char *text;
        enum rest_shape shape;
    } words[] = {{"metadata", REST_SHAPE_METADATA},
                 {"_history", REST_SHAPE_SYSTEM_HISTORY},
                 {"_search", REST_SHAPE_SYSTEM_SEARCH}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(segment, str_of(words[i].text))) {
            p->request->shape = words[i].shape;
            return true;
        }
    if (!is_operation(segment))
        return false;
    p->request->shape = REST_SHAPE_SYSTEM_OPERATION;
    p->request->operation = str_skip(segment, 1);
    return true;
}

static const struct fhir_type *resource_type(struct parsing *p, struct str name)
{
    const struct fhir_type *type = fhir_type_find(name);
    if (type && rest_type_is_kept(type))
        return type;
    rest_refuse(p->call, p->answer, 404, "not-found", STR("http.path"),
                "there is no resource type \"%.*s\" in FHIR R4; names begin with a capital: \"Patient\"",
                STR_ARG(str_take(name, 64)));
    return NULL;
}

static bool take_id(struct parsing *p, struct str id)
{
    p->request->id = id;
    if (fhir_primitive_is_valid(FHIR_ID, id))
        return true;
    return rest_refuse(p->call, p->answer, 400, "value", STR("http.path"),
                       "\"%.*s\" is no id: 1 to 64 letters, digits, '-' and '.'", STR_ARG(str_take(id, 80)));
}

static bool no_such_path(struct parsing *p)
{
    return rest_refuse(p->call, p->answer, 404, "not-found", STR("http.path"),
                       "there is nothing at this path; resources are at [base]/Type/id");
}

/* "Type/x" */
static bool second_shape(struct parsing *p, struct str segment)
{
    struct rest_request *r = p->request;
    if (str_eq(segment, STR("_history"))) {
        r->shape = REST_SHAPE_TYPE_HISTORY;
    } else if (str_eq(segment, STR("_search"))) {
        r->shape = REST_SHAPE_TYPE_SEARCH;
    } else if (is_operation(segment)) {
        r->shape = REST_SHAPE_TYPE_OPERATION;
        r->operation = str_skip(segment, 1);
    } else {
        r->shape = REST_SHAPE_INSTANCE;
        return take_id(p, segment);
    }
    return true;
}

static bool compartment_shape(struct parsing *p, const struct str *segments, unsigned n)
{
    struct rest_request *r = p->request;
    r->compartment = r->type;
    r->compartment_id = r->id;
    r->id = STR_NONE;
    r->any_type = str_eq(segments[2], STR("*"));
    r->type = r->any_type ? NULL : resource_type(p, segments[2]);
    r->shape = n == 4 ? REST_SHAPE_COMPARTMENT_SEARCH : REST_SHAPE_COMPARTMENT;
    return r->any_type || r->type;
}

/* "Type/id/x" and longer. */
static bool third_shape(struct parsing *p, const struct str *segments, unsigned n)
{
    struct rest_request *r = p->request;
    uint64_t version;
    if (!take_id(p, segments[1]))
        return false;
    if (n == 3 && str_eq(segments[2], STR("_history"))) {
        r->shape = REST_SHAPE_INSTANCE_HISTORY;
        return true;
    }
    if (n == 3 && is_operation(segments[2])) {
        r->shape = REST_SHAPE_INSTANCE_OPERATION;
        r->operation = str_skip(segments[2], 1);
        return true;
    }
    if (n == 3 || (n == 4 && str_eq(segments[3], STR("_search"))))
        return compartment_shape(p, segments, n);
    if (n != 4 || !str_eq(segments[2], STR("_history")))
        return no_such_path(p);
    r->shape = REST_SHAPE_VERSION;
    if (!str_parse_u64(segments[3], &version) || version == 0 || version > INT64_MAX)
        return rest_refuse(p->call, p->answer, 404, "not-found", STR("http.path"),
                           "there is no version \"%.*s\": versions are numbers from 1 on",
                           STR_ARG(str_take(segments[3], 64)));
    r->version = version;
    return true;
}

static bool find_shape(struct parsing *p)
{
    struct str segments[SEGMENTS_MAX];
    unsigned n = cut_path(p->http->path, segments);
    p->request->shape = REST_SHAPE_SYSTEM;
    if (n == 0)
        return true;
    if (n == SEGMENTS_MAX)
        return no_such_path(p);
    if (n == 1 && system_shape(p, segments[0]))
        return true;
    p->request->type = resource_type(p, segments[0]);
    p->request->shape = REST_SHAPE_TYPE;
    if (!p->request->type)
        return false;
    return n == 1 || (n == 2 ? second_shape(p, segments[1]) : third_shape(p, segments, n));
}

/* ---- methods */

static const struct row {
    enum rest_interaction interaction;
    enum http_method method;
    enum rest_shape shape;
    bool writes;
    struct str name;
} rows[] = {
#define SHAPE(id, text)
#define INTERACTION(id, method, shape, writes)                                                               \
    {REST_##id, METHOD_##method, REST_SHAPE_##shape, writes, {#method, sizeof #method - 1}},
#include "rest/interactions.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool find_interaction(struct parsing *p)
{
    struct rest_request *r = p->request;
    enum http_method method = p->http->method;
    char memory[64];
    struct buf allow = buf_over(memory, sizeof memory);
    r->is_head = method == METHOD_HEAD;
    if (r->is_head)
        method = METHOD_GET;
    for (size_t i = 0; i < ROWS; i++) {
        bool is_operation = rows[i].interaction == REST_OPERATION;
        bool changes = is_operation && rest_operation_writes(r);
        bool may_delete = !is_operation || str_eq(r->operation, STR("export-status"));
        if (rows[i].shape != r->shape || (changes && rows[i].method == METHOD_GET) ||
            (rows[i].method == METHOD_DELETE && !may_delete))
            continue;
        if (rows[i].method == method) {
            r->interaction = rows[i].interaction;
            r->writes = rows[i].writes || changes;
            return true;
        }
        buf_str(&allow, allow.n ? STR(", ") : STR(""));
        buf_str(&allow, rows[i].name);
    }
    rest_refuse(p->call, p->answer, 405, "not-supported", STR("http.method"), "here only %.*s is possible",
                STR_ARG(buf_text(&allow)));
    p->answer->allow = arena_copy(p->call->arena, buf_text(&allow));
    return false;
}

/* ---- all of it */

bool rest_request_parse(const struct rest_call *call, const struct rest_http *http, struct rest_request *ret,
                        struct rest_answer *ret_answer)
{
    struct parsing p = {call, http, ret, ret_answer};
    *ret = (struct rest_request){.since_us = INT64_MIN, .at_low_us = INT64_MIN, .at_high_us = INT64_MAX};
    *ret_answer = (struct rest_answer){.modified_us = INT64_MIN};
    ret->query = http->query;
    request_take_prefer(&p);
    request_take_conditions(&p);
    request_take_accept(&p);
    return find_shape(&p) && find_interaction(&p) && request_take_parameters(&p) &&
           request_check_accept(&p) && request_take_content_type(&p) && request_take_if_match(&p);
}
