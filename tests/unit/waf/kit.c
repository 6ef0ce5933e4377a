#include "kit.h"

static bool read_file(void *, struct str, struct str path, struct arena *, struct str *ret_text)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"words.data", "# comment\nevil\n  worse  \n\n"},
        {"more.conf", "SecAction \"id:900,phase:1,pass,nolog\"\n"},
        {"broken.conf", "SecRuleEngine On\nSecNonsense 1\n"},
        {"unicode.mapping", "(MAC)\n20127 (US-ASCII)\n2019:27 ff41:61\n"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!str_eq(path, str_of(files[i].name)))
            continue;
        *ret_text = str_of(files[i].text);
        return true;
    }
    return false;
}

static bool list_files(void *, struct str, struct str pattern, struct arena *arena, struct str **ret_paths,
                       size_t *ret_count)
{
    struct str text;
    if (!read_file(NULL, pattern, pattern, arena, &text))
        return false;
    *ret_paths = arena_alloc(arena, sizeof **ret_paths);
    if (!*ret_paths)
        return false;
    **ret_paths = pattern;
    *ret_count = 1;
    return true;
}

const struct waf_files kit_files = {.read = read_file, .list = list_files};

void kit_load(struct kit *k, const char *rules, const struct waf_overlay_options *options)
{
    static const struct waf_overlay_options as_rules_say = {.mode = WAF_AS_RULES_SAY};
    k->rules = waf_rules_load(STR("test"), str_of(rules), &kit_files, &k->problems);
    if (k->rules)
        k->overlay = waf_overlay_new(k->rules, options ? options : &as_rules_say, &k->problems);
    struct waf_overlay_options other = options ? *options : as_rules_say;
    other.engine = other.engine == WAF_ENGINE_FAST ? WAF_ENGINE_REFERENCE : WAF_ENGINE_FAST;
    if (k->overlay)
        k->other = waf_overlay_new(k->rules, &other, &k->problems);
    if (!k->overlay || !k->other)
        fail_msg("%s:%u:%u: %s", k->problems.items[0].file, k->problems.items[0].line,
                 k->problems.items[0].column, k->problems.items[0].what);
    k->store = waf_store_new(4);
    k->other_store = waf_store_new(4);
    k->arena = arena_new(16 << 20);
    assert_true(k->store && k->other_store && k->arena);
    k->request = (struct waf_request){.protocol = STR("HTTP/1.1"),
                                      .fields = k->fields,
                                      .client_ip = STR("192.0.2.7"),
                                      .unique_id = STR("id"),
                                      .now_s = 1000};
}

const struct waf_problem *kit_refuses(struct kit *k, const char *rules)
{
    k->rules = waf_rules_load(STR("test"), str_of(rules), &kit_files, &k->problems);
    assert_null(k->rules);
    assert_true(k->problems.count > 0);
    return &k->problems.items[0];
}

void kit_field(struct kit *k, const char *name, const char *value)
{
    assert_true(k->request.field_count < sizeof k->fields / sizeof *k->fields);
    k->fields[k->request.field_count++] = (struct waf_field){str_of(name), str_of(value)};
}

static struct waf_tx *run(struct kit *k, const struct waf_overlay *overlay, struct waf_store *store,
                          const char *body)
{
    static const struct waf_field plain = {{"Content-Type", 12}, {"text/plain", 10}};
    static const struct waf_response response = {
        .status = 200, .protocol = {"HTTP/1.1", 8}, .fields = &plain, .field_count = 1};
    struct waf_tx *tx = waf_tx_new(overlay, &k->request, store, k->arena);
    assert_non_null(tx);
    if (waf_tx_request_head(tx) == WAF_PASS && waf_tx_request_body(tx, str_of(body)) == WAF_PASS &&
        waf_tx_response_head(tx, &response) == WAF_PASS)
        (void)waf_tx_response_body(tx, STR("answer"));
    waf_tx_logging(tx, 5);
    return tx;
}

static void expect_same(struct waf_verdict a, struct waf_verdict b)
{
    assert_int_equal(a.action, b.action);
    assert_int_equal(a.limit, b.limit);
    assert_int_equal(a.match_count, b.match_count);
    for (size_t i = 0; i < a.match_count; i++) {
        assert_int_equal(a.matches[i].rule_id, b.matches[i].rule_id);
        assert_true(str_eq(a.matches[i].target, b.matches[i].target));
        assert_true(str_eq(a.matches[i].value, b.matches[i].value));
        assert_true(str_eq(a.matches[i].message, b.matches[i].message));
        assert_true(str_eq(a.matches[i].data, b.matches[i].data));
    }
}

struct waf_verdict kit_run(struct kit *k, const char *method, const char *target, const char *body)
{
    waf_tx_free(k->tx);
    arena_reset(k->arena);
    k->request.method = str_of(method);
    k->request.target = str_of(target);
    k->request.line = arena_printf(k->arena, "%s %s HTTP/1.1", method, target);
    struct waf_tx *other = run(k, k->other, k->other_store, body);
    k->tx = run(k, k->overlay, k->store, body);
    expect_same(waf_tx_verdict(k->tx), waf_tx_verdict(other));
    waf_tx_free(other);
    return waf_tx_verdict(k->tx);
}

void kit_expect(struct kit *k, struct waf_verdict verdict, const char *ids)
{
    struct str seen = STR("");
    for (size_t i = 0; i < verdict.match_count; i++)
        seen = arena_printf(k->arena, "%.*s%s%llu", STR_ARG(seen), seen.n ? " " : "",
                            (unsigned long long)verdict.matches[i].rule_id);
    if (!str_eq(seen, str_of(ids)))
        fail_msg("matched: %.*s; expected: %s", STR_ARG(seen), ids);
}

void kit_free(struct kit *k)
{
    waf_tx_free(k->tx);
    waf_store_free(k->store);
    waf_store_free(k->other_store);
    waf_overlay_free(k->other);
    waf_overlay_free(k->overlay);
    waf_rules_free(k->rules);
    arena_free(k->arena);
}
