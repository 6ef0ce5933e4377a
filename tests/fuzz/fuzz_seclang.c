/* Whatever a rule file says, it either loads or is refused with a problem that lies inside it; what loads
 * gives the same verdict twice. */
#include "base/must.h"
#include "waf/waf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ARENA_BYTES = 8 << 20 };

static bool read_words(void *, struct str, struct str, struct arena *, struct str *ret_text)
{
    *ret_text = STR("words\nmore\n");
    return true;
}

static bool list_none(void *, struct str, struct str, struct arena *, struct str **, size_t *)
{
    return false;
}

static const struct waf_files files = {.read = read_words, .list = list_none};

static struct waf_verdict run(const struct waf_overlay *overlay, struct arena *arena, struct waf_tx **ret_tx)
{
    static const struct waf_field fields[] = {
        {{"Content-Type", 12}, {"application/x-www-form-urlencoded", 33}},
        {{"Cookie", 6}, {"a=1; b=evil", 11}}};
    static const struct waf_request request = {.line = {"POST /a/b?x=1&y=<2> HTTP/1.1", 28},
                                               .method = {"POST", 4},
                                               .target = {"/a/b?x=1&y=<2>", 14},
                                               .protocol = {"HTTP/1.1", 8},
                                               .fields = fields,
                                               .field_count = 2,
                                               .client_ip = {"192.0.2.1", 9},
                                               .unique_id = {"id", 2},
                                               .now_s = 1};
    static const struct waf_response response = {.status = 200, .protocol = {"HTTP/1.1", 8}};
    struct waf_tx *tx = waf_tx_new(overlay, &request, NULL, arena);
    must(tx);
    if (waf_tx_request_head(tx) == WAF_PASS && waf_tx_request_body(tx, STR("z=%41&words=1")) == WAF_PASS &&
        waf_tx_response_head(tx, &response) == WAF_PASS)
        (void)waf_tx_response_body(tx, STR("answer"));
    waf_tx_logging(tx, 1);
    *ret_tx = tx;
    return waf_tx_verdict(tx);
}

static void must_be_same(struct waf_verdict a, struct waf_verdict b)
{
    must(a.action == b.action && a.status == b.status && a.rule_id == b.rule_id && a.limit == b.limit);
    must(a.match_count == b.match_count);
    for (size_t i = 0; i < a.match_count; i++) {
        must(a.matches[i].rule_id == b.matches[i].rule_id &&
             str_eq(a.matches[i].target, b.matches[i].target));
        must(str_eq(a.matches[i].value, b.matches[i].value) && str_eq(a.matches[i].data, b.matches[i].data));
    }
}

static void run_twice(const struct waf_rules *rules)
{
    static struct waf_problems problems;
    static const struct waf_overlay_options options = {.mode = WAF_AS_RULES_SAY};
    struct waf_overlay *overlay = waf_overlay_new(rules, &options, &problems);
    struct arena *one = arena_new(ARENA_BYTES), *other = arena_new(ARENA_BYTES);
    struct waf_tx *first, *second;
    must(overlay && one && other);
    struct waf_verdict verdict = run(overlay, one, &first);
    must_be_same(verdict, run(overlay, other, &second));
    waf_tx_free(first);
    waf_tx_free(second);
    arena_free(one);
    arena_free(other);
    waf_overlay_free(overlay);
}

static void must_lie_inside(const struct waf_problem *problem, struct str text)
{
    unsigned lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    must(problem->line >= 1 && problem->line <= lines);
    must(problem->column >= 1 && problem->column <= text.n + 1);
    must(memchr(problem->what, 0, sizeof problem->what));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct waf_problems problems;
    struct str text = {(const char *)data, size};
    if (size > INPUT_MAX)
        return 0;
    struct waf_rules *rules = waf_rules_load(STR("fuzz"), text, &files, &problems);
    must(!rules == (problems.count > 0));
    for (size_t i = 0; i < problems.count && i < WAF_PROBLEMS_MAX; i++)
        must_lie_inside(&problems.items[i], text);
    if (rules)
        run_twice(rules);
    waf_rules_free(rules);
    return 0;
}
