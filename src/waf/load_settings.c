/* Directives that set something, and those that are read and heeded elsewhere or nowhere. */
#include "waf/load.h"

static bool load_u64(struct loader *l, struct token text, uint64_t max, uint64_t *ret)
{
    if (str_parse_u64(text.text, ret) && *ret <= max)
        return true;
    return load_problem(l, text.at[0], "\"%.*s\" is not a number up to %llu", STR_ARG(text.text),
                        (unsigned long long)max);
}

static bool load_switch(struct loader *l, struct token text, bool *ret)
{
    *ret = str_eq_nocase(text.text, STR("On"));
    return *ret || str_eq_nocase(text.text, STR("Off")) || load_problem(l, text.at[0], "expected On or Off");
}

bool directive_nothing(struct loader *, const struct token *, size_t)
{
    return true; /* logging and files are the gate's business, not the rules' */
}

bool directive_arguments_limit(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 100'000, &l->rules->limits.arguments);
}

bool directive_argument_separator(struct loader *l, const struct token *t, size_t)
{
    return str_eq(t[1].text, STR("&")) ||
           load_problem(l, t[1].at[0], "arguments are separated by & and nothing else");
}

bool directive_cookie_format(struct loader *l, const struct token *t, size_t)
{
    return str_eq(t[1].text, STR("0")) || load_problem(l, t[1].at[0], "only format 0, Netscape's, is in use");
}

bool directive_collection_timeout(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 30 * 86'400, &l->rules->collection_timeout_s);
}

bool directive_match_limit(struct loader *l, const struct token *t, size_t)
{
    uint64_t limit;
    if (!load_u64(l, t[1], UINT32_MAX, &limit))
        return false;
    l->rules->match_limit = (uint32_t)limit;
    return true;
}

bool directive_json_depth(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 10'000, &l->rules->limits.json_depth);
}

bool directive_request_body_access(struct loader *l, const struct token *t, size_t)
{
    return load_switch(l, t[1], &l->rules->limits.request_body);
}

bool directive_response_body_access(struct loader *l, const struct token *t, size_t)
{
    return load_switch(l, t[1], &l->rules->limits.response_body);
}

bool directive_request_body_limit(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 1 << 30, &l->rules->limits.request_body_bytes);
}

bool directive_request_body_no_files_limit(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 1 << 30, &l->rules->limits.request_body_no_files_bytes);
}

bool directive_response_body_limit(struct loader *l, const struct token *t, size_t)
{
    return load_u64(l, t[1], 1 << 30, &l->rules->limits.response_body_bytes);
}

bool directive_request_body_limit_action(struct loader *l, const struct token *t, size_t)
{
    return str_eq_nocase(t[1].text, STR("Reject")) ||
           load_problem(l, t[1].at[0],
                        "only Reject: no part of a request passes without having been looked at");
}

bool directive_response_body_limit_action(struct loader *l, const struct token *t, size_t)
{
    l->rules->limit_is_partial = str_eq_nocase(t[1].text, STR("ProcessPartial"));
    return l->rules->limit_is_partial || str_eq_nocase(t[1].text, STR("Reject")) ||
           load_problem(l, t[1].at[0], "expected Reject or ProcessPartial");
}

bool directive_no_response_types(struct loader *l, const struct token *, size_t)
{
    l->rules->response_type_count = 0;
    return true;
}

bool directive_response_types(struct loader *l, const struct token *t, size_t count)
{
    struct waf_rules *rules = l->rules;
    struct str *types = arena_alloc(l->arena, (rules->response_type_count + count) * sizeof *types);
    if (!types)
        return load_no_memory(l);
    if (rules->response_type_count)
        memcpy(types, rules->response_types, rules->response_type_count * sizeof *types);
    rules->response_types = types;
    for (size_t i = 1; i < count; i++)
        types[rules->response_type_count++] = arena_copy(l->arena, t[i].text);
    return true;
}

bool directive_engine(struct loader *l, const struct token *t, size_t)
{
    if (str_eq_nocase(t[1].text, STR("On")))
        l->rules->mode = WAF_BLOCK;
    else if (str_eq_nocase(t[1].text, STR("DetectionOnly")))
        l->rules->mode = WAF_DETECT;
    else if (str_eq_nocase(t[1].text, STR("Off")))
        l->rules->mode = WAF_OFF;
    else
        return load_problem(l, t[1].at[0], "expected On, Off or DetectionOnly");
    return true;
}

bool directive_unicode_map_file(struct loader *l, const struct token *t, size_t)
{
    return load_unicode_map(l, t[1], t[2]);
}
