/* From a rule's targets to values. */
#include "waf/tx.h"

static struct view absent(void)
{
    return (struct view){.is_one = true, .is_absent = true};
}

static struct view one(struct str s)
{
    return (struct view){.is_one = true, .one = s};
}

static struct view one_if(bool is_there, struct str s)
{
    return is_there ? one(s) : absent();
}

static struct view number(struct waf_tx *tx, uint64_t value)
{
    return one(text_of_number(tx->scratch, (int64_t)value));
}

static struct view list(struct pairs pairs)
{
    return (struct view){.lists = {pairs}};
}

static struct view names(struct view view)
{
    view.takes_names = true;
    return view;
}

static struct view args(struct waf_tx *tx)
{
    return (struct view){.lists = {tx->query_body.args, tx->body.args, tx->body.fhir.text}};
}

static struct view post_args(struct waf_tx *tx)
{
    return (struct view){.lists = {tx->body.args, {0}, tx->body.fhir.text}};
}

/* Of a FHIR body the names that it knows say nothing; those that it does not know are a list of their own. */
static struct view arg_names(struct waf_tx *tx, struct view view, unsigned body_list)
{
    if (tx->body.fhir.was_read)
        view.lists[body_list] = (struct pairs){0};
    view.lists[2] = tx->body.fhir.names;
    return names(view);
}

static struct view typed_args(struct waf_tx *tx)
{
    return (struct view){.lists = {tx->query_body.fhir.typed, tx->body.fhir.typed}};
}

static uint64_t args_bytes(struct waf_tx *tx)
{
    struct view view = args(tx);
    uint64_t n = 0;
    for (size_t l = 0; l < 3; l++) {
        for (size_t i = 0; i < view.lists[l].n; i++)
            n += view.lists[l].items[i].name.n + view.lists[l].items[i].value.n;
    }
    return n;
}

static struct view multipart(struct waf_tx *tx, unsigned flags)
{
    return one((tx->body.multipart & flags) ? STR("1") : STR("0"));
}

static struct view both_line_ends(struct waf_tx *tx)
{
    unsigned flags = tx->body.multipart;
    return one((flags & MULTIPART_LF_LINE) && (flags & MULTIPART_CRLF_LINE) ? STR("1") : STR("0"));
}

static struct view processor_name(struct waf_tx *tx)
{
    static const struct str processors[] = {
        [PROCESSOR_NONE] = {"", 0},
        [PROCESSOR_URLENCODED] = {"URLENCODED", 10},
        [PROCESSOR_MULTIPART] = {"MULTIPART", 9},
        [PROCESSOR_JSON] = {"JSON", 4},
        [PROCESSOR_XML] = {"XML", 3},
    };
    return one(processors[tx->wanted_processor]);
}

/* Of TX only what the target names is made into a list. */
static struct view collection(struct waf_tx *tx, const struct target *target)
{
    if (target->variable != VAR_TX || target->selector != SELECT_NAME)
        return list(tx_list(tx, target));
    struct var *var = target->slot ? vars_at(&tx->vars, target->slot) : vars_find(&tx->vars, target->name);
    struct pairs found = {0};
    if (var)
        (void)pairs_add(&found, tx->scratch, var->name, arena_copy(tx->scratch, var_text(&tx->vars, var)));
    return list(found);
}

static void add_rule_pair(struct waf_tx *tx, struct pairs *to, const char *name, struct str value)
{
    (void)pairs_add(to, tx->scratch, str_of(name), value);
}

/* %{RULE.id} and the like: of the rule that runs, for a chain of its first. */
static struct view rule_pairs(struct waf_tx *tx)
{
    struct pairs pairs = {0};
    const struct rule *head = tx->head;
    add_rule_pair(tx, &pairs, "id", text_of_number(tx->scratch, (int64_t)head->id));
    add_rule_pair(tx, &pairs, "msg", head->message.source);
    add_rule_pair(tx, &pairs, "logdata", head->data.source);
    if (head->severity != UINT8_MAX)
        add_rule_pair(tx, &pairs, "severity", text_of_number(tx->scratch, head->severity));
    return list(pairs);
}

static struct view xml(struct waf_tx *tx, enum selector selector)
{
    if (selector == SELECT_XML_ATTRIBUTES)
        return list(tx->body.xml_attributes);
    return one_if(tx->body.has_xml, tx->body.xml_text);
}

static struct view response_view(struct waf_tx *tx, enum variable variable)
{
    const struct waf_response *response = tx->response;
    switch (variable) {
    case VAR_RESPONSE_BODY:
        return one_if(tx->has_response_bytes, tx->response_bytes);
    case VAR_RESPONSE_CONTENT_TYPE:
        return one_if(response, tx->response_type);
    case VAR_RESPONSE_HEADERS:
        return list(tx->response_fields);
    case VAR_RESPONSE_HEADERS_NAMES:
        return names(list(tx->response_fields));
    case VAR_RESPONSE_PROTOCOL:
        return one_if(response, response ? response->protocol : STR_NONE);
    default:
        return response ? number(tx, response->status) : absent();
    }
}

static struct view body_view(struct waf_tx *tx, enum variable variable)
{
    const struct body *body = &tx->body;
    switch (variable) {
    case VAR_FILES:
        return list(body->files);
    case VAR_FILES_COMBINED_SIZE:
        return number(tx, body->file_bytes);
    case VAR_FILES_NAMES:
        return names(list(body->files));
    case VAR_FILES_SIZES:
        return list(body->file_sizes);
    case VAR_REQBODY_ERROR:
    case VAR_REQBODY_PROCESSOR_ERROR:
        return one(body->has_error ? STR("1") : STR("0"));
    case VAR_REQBODY_ERROR_MSG:
    case VAR_REQBODY_PROCESSOR_ERROR_MSG:
        return one(body->error);
    case VAR_REQUEST_BODY:
        return one_if(tx->has_request_bytes, tx->request_bytes);
    case VAR_REQUEST_BODY_LENGTH:
        return number(tx, tx->body_length);
    case VAR_URLENCODED_ERROR:
        return one(body->bad_encodings || tx->query_body.bad_encodings ? STR("1") : STR("0"));
    default:
        return processor_name(tx);
    }
}

static struct view multipart_view(struct waf_tx *tx, enum variable variable)
{
    switch (variable) {
    case VAR_MULTIPART_BOUNDARY_QUOTED:
        return multipart(tx, MULTIPART_BOUNDARY_QUOTED);
    case VAR_MULTIPART_BOUNDARY_WHITESPACE:
        return multipart(tx, MULTIPART_BOUNDARY_WHITESPACE);
    case VAR_MULTIPART_CRLF_LF_LINES:
        return both_line_ends(tx);
    case VAR_MULTIPART_DATA_AFTER:
        return multipart(tx, MULTIPART_DATA_AFTER);
    case VAR_MULTIPART_DATA_BEFORE:
        return multipart(tx, MULTIPART_DATA_BEFORE);
    case VAR_MULTIPART_FILE_LIMIT_EXCEEDED:
        return multipart(tx, MULTIPART_FILE_LIMIT);
    case VAR_MULTIPART_FILENAME:
        return one_if(tx->body.multipart_filename.p, tx->body.multipart_filename);
    case VAR_MULTIPART_HEADER_FOLDING:
        return multipart(tx, MULTIPART_HEADER_FOLDING);
    case VAR_MULTIPART_INVALID_HEADER_FOLDING:
        return multipart(tx, MULTIPART_INVALID_HEADER_FOLDING);
    case VAR_MULTIPART_INVALID_PART:
        return multipart(tx, MULTIPART_INVALID_PART);
    case VAR_MULTIPART_INVALID_QUOTING:
        return multipart(tx, MULTIPART_INVALID_QUOTING);
    case VAR_MULTIPART_LF_LINE:
        return multipart(tx, MULTIPART_LF_LINE);
    case VAR_MULTIPART_MISSING_SEMICOLON:
    case VAR_MULTIPART_SEMICOLON_MISSING:
        return multipart(tx, MULTIPART_MISSING_SEMICOLON);
    case VAR_MULTIPART_NAME:
        return one_if(tx->body.multipart_name.p, tx->body.multipart_name);
    case VAR_MULTIPART_PART_HEADERS:
        return list(tx->body.part_fields);
    case VAR_MULTIPART_UNMATCHED_BOUNDARY:
        return multipart(tx, MULTIPART_UNMATCHED_BOUNDARY);
    default:
        return multipart(tx, MULTIPART_STRICT);
    }
}

static struct view request_view(struct waf_tx *tx, enum variable variable)
{
    const struct waf_request *request = tx->request;
    switch (variable) {
    case VAR_QUERY_STRING:
        return one_if(tx->has_query, tx->query);
    case VAR_REMOTE_ADDR:
        return one(request->client_ip);
    case VAR_REMOTE_PORT:
        return number(tx, request->client_port);
    case VAR_REQUEST_BASENAME:
        return one_if(tx->has_basename, tx->basename);
    case VAR_REQUEST_COOKIES:
        return list(tx->cookies);
    case VAR_REQUEST_COOKIES_NAMES:
        return names(list(tx->cookies));
    case VAR_REQUEST_FILENAME:
        return one(tx->path);
    case VAR_REQUEST_HEADERS:
        return list(tx->fields);
    case VAR_REQUEST_HEADERS_NAMES:
        return names(list(tx->fields));
    case VAR_REQUEST_LINE:
        return one(request->line);
    case VAR_REQUEST_METHOD:
        return one(request->method);
    case VAR_REQUEST_PROTOCOL:
        return one(request->protocol);
    case VAR_REQUEST_URI:
        return one(tx->uri);
    case VAR_REQUEST_URI_RAW:
        return one(request->target);
    case VAR_SERVER_ADDR:
        return one(request->server_ip);
    case VAR_SERVER_NAME:
        return one(request->server_name);
    case VAR_SERVER_PORT:
        return number(tx, request->server_port);
    default:
        return one(request->unique_id);
    }
}

static struct view argument_view(struct waf_tx *tx, enum variable variable)
{
    switch (variable) {
    case VAR_ARGS:
        return args(tx);
    case VAR_ARGS_NAMES:
        return arg_names(tx, args(tx), 1);
    case VAR_ARGS_GET:
        return list(tx->query_body.args);
    case VAR_ARGS_GET_NAMES:
        return names(list(tx->query_body.args));
    case VAR_ARGS_POST:
        return post_args(tx);
    case VAR_ARGS_POST_NAMES:
        return arg_names(tx, post_args(tx), 0);
    default:
        return number(tx, args_bytes(tx));
    }
}

struct view collect_view(struct waf_tx *tx, const struct target *target)
{
    static const struct pairs nothing;
    enum variable v = target->variable;
    switch (v) {
    case VAR_ARGS:
    case VAR_ARGS_COMBINED_SIZE:
    case VAR_ARGS_GET:
    case VAR_ARGS_GET_NAMES:
    case VAR_ARGS_NAMES:
    case VAR_ARGS_POST:
    case VAR_ARGS_POST_NAMES:
        return argument_view(tx, v);
    case VAR_DURATION:
        return number(tx, tx->duration_us);
    case VAR_FHIR_ATTACHMENT:
        return list(tx->body.fhir.attachments);
    case VAR_FHIR_TEXT:
        return list(tx->body.fhir.text);
    case VAR_FHIR_TYPE_ERROR:
        return list(tx->body.fhir.errors);
    case VAR_FHIR_TYPED:
        return typed_args(tx);
    case VAR_GEO:
        return list(nothing); /* there is no database */
    case VAR_GLOBAL:
    case VAR_IP:
    case VAR_RESOURCE:
    case VAR_SESSION:
    case VAR_TX:
    case VAR_USER:
        return collection(tx, target);
    case VAR_HIGHEST_SEVERITY:
        return number(tx, tx->highest_severity);
    case VAR_MATCHED_VAR:
        return one_if(tx->has_last, arena_copy(tx->scratch, tx->last.text));
    case VAR_MATCHED_VAR_NAME:
        return one_if(tx->has_last,
                      tx->has_last ? value_full_name(&tx->last, tx->scratch, SIZE_MAX) : STR_NONE);
    case VAR_MATCHED_VARS:
        return list(tx->matched_before);
    case VAR_MATCHED_VARS_NAMES:
        return names(list(tx->matched_before));
    case VAR_PROFILE:
        return one(tx->overlay->options.profile == WAF_PROFILE_FHIR ? STR("fhir") : STR("plain"));
    case VAR_RULE:
        return rule_pairs(tx);
    case VAR_XML:
        return xml(tx, target->selector);
    default:
        break;
    }
    if (v >= VAR_FILES && v <= VAR_FILES_SIZES)
        return body_view(tx, v);
    if (v >= VAR_MULTIPART_BOUNDARY_QUOTED && v <= VAR_MULTIPART_UNMATCHED_BOUNDARY)
        return multipart_view(tx, v);
    if (v >= VAR_REQBODY_ERROR && v <= VAR_REQBODY_PROCESSOR_ERROR_MSG)
        return body_view(tx, v);
    if (v >= VAR_RESPONSE_BODY && v <= VAR_RESPONSE_STATUS)
        return response_view(tx, v);
    if (v == VAR_REQUEST_BODY || v == VAR_REQUEST_BODY_LENGTH || v == VAR_URLENCODED_ERROR)
        return body_view(tx, v);
    return request_view(tx, v);
}

static void add_value(struct waf_tx *tx, struct values *to, struct value value)
{
    if (to->n == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 64;
        struct value *items = arena_alloc(tx->scratch, cap * sizeof *items);
        if (!items)
            return; /* the scratch remembers, and the transaction is refused */
        if (to->n)
            memcpy(items, to->items, to->n * sizeof *items);
        to->items = items;
        to->cap = cap;
    }
    to->items[to->n++] = value;
}

static void add_target(struct waf_tx *tx, const struct target *target, struct values *to)
{
    struct view view = collect_view(tx, target);
    if (view.is_one) {
        if (!view.is_absent)
            add_value(tx, to,
                      (struct value){.variable = target->variable,
                                     .text = view.one,
                                     .has_name = target->selector != SELECT_ALL,
                                     .name = target->name});
        return;
    }
    for (size_t l = 0; l < 3; l++) {
        for (size_t i = 0; i < view.lists[l].n; i++) {
            const struct pair *pair = &view.lists[l].items[i];
            if (target_names(target, pair->name, tx->rules->room))
                add_value(tx, to,
                          (struct value){.variable = target->variable,
                                         .has_name = true,
                                         .is_fhir_text = l == 2 && !view.takes_names,
                                         .name = pair->name,
                                         .text = view.takes_names ? pair->name : pair->value});
        }
    }
}

struct value collect_count(struct waf_tx *tx, const struct target *target)
{
    struct values counted = {0};
    add_target(tx, target, &counted);
    return (struct value){.variable = target->variable,
                          .is_count = true,
                          .has_name = target->selector != SELECT_ALL,
                          .name = target->name,
                          .text = text_of_number(tx->scratch, (int64_t)counted.n)};
}

static bool is_excluded_by(struct waf_tx *tx, const struct target *target, const struct value *value)
{
    bool is_about =
        target->variable == value->variable || (target->variable == VAR_FHIR_TEXT && value->is_fhir_text);
    return is_about && !value->is_count && target_names(target, value->name, tx->rules->room);
}

static bool excluded_by_any(struct waf_tx *tx, const struct target_exclusion *items, size_t count,
                            uint32_t rule, const struct value *value)
{
    for (size_t i = 0; i < count; i++) {
        if (rule_set_has(&items[i].rules, rule) && is_excluded_by(tx, &items[i].target, value))
            return true;
    }
    return false;
}

/* The rule's own "!" belong to the link; what takes targets away from outside is about a chain's first rule.
 */
bool collect_excludes(struct waf_tx *tx, const struct rule *head, const struct rule *link,
                      const struct value *value)
{
    const struct waf_overlay *overlay = tx->overlay;
    for (size_t i = 0; i < link->excluded.count; i++) {
        if (is_excluded_by(tx, &link->excluded.items[i], value))
            return true;
    }
    if (link != head)
        return false;
    return excluded_by_any(tx, tx->exclusions, tx->exclusion_count, head->index, value) ||
           excluded_by_any(tx, overlay->exclusions, overlay->exclusion_count, head->index, value);
}

void collect_values(struct waf_tx *tx, const struct rule *head, const struct rule *link, struct values *ret)
{
    size_t kept = 0;
    *ret = (struct values){0};
    for (size_t i = 0; i < link->targets.count; i++) {
        const struct target *target = &link->targets.items[i];
        if (target->is_count)
            add_value(tx, ret, collect_count(tx, target));
        else
            add_target(tx, target, ret);
    }
    for (size_t i = 0; i < ret->n; i++) {
        if (!collect_excludes(tx, head, link, &ret->items[i]))
            ret->items[kept++] = ret->items[i];
    }
    ret->n = kept;
}

bool collect_one(struct waf_tx *tx, enum variable variable, struct str selector, struct str *ret)
{
    struct target target = {
        .variable = variable, .name = selector, .selector = selector.p ? SELECT_NAME : SELECT_ALL};
    struct view view = collect_view(tx, &target);
    if (view.is_one) {
        *ret = view.one;
        return !view.is_absent;
    }
    for (size_t l = 0; l < 3; l++) {
        const struct pair *pair = pairs_find(&view.lists[l], selector);
        if (!pair)
            continue;
        *ret = view.takes_names ? pair->name : pair->value;
        return true;
    }
    return false;
}

/* By hand: it is made for every match. */
struct str value_full_name(const struct value *value, struct arena *arena, size_t most)
{
    struct str variable = variable_name(value->variable);
    size_t n = variable.n + 2 + (value->has_name ? value->name.n : 0);
    n = n < most ? n : most;
    char *memory = arena_bytes(arena, n);
    struct buf out = buf_over(memory, memory ? n : 0);
    if (value->is_count)
        buf_char(&out, '&');
    buf_str(&out, variable);
    if (value->has_name) {
        buf_char(&out, ':');
        buf_str(&out, str_take(value->name, out.cap - out.n));
    }
    return buf_text(&out);
}
