/* cli/waf_test.c - `polder waf test`: what each rule sees in a request from a file, with no gate. */
#include "cli/waf.h"

#include "base/unconst.h"
#include "proxy/inspect_rules.h"
#include "json/writer.h"

#include <stdlib.h>
#include <time.h>

enum { TEST_ARENA_BYTES = 256 << 20, EXCERPT = 120 };

static struct str verdict_word(const struct waf_offline *r)
{
    switch (r->end) {
    case WAF_OFFLINE_REFUSED:
        return STR("refused before any rule");
    case WAF_OFFLINE_INCOMPLETE:
        return STR("incomplete");
    case WAF_OFFLINE_NO_MEMORY:
        return STR("refused: no memory");
    case WAF_OFFLINE_INSPECTED:
        break;
    }
    if (r->verdict.action != WAF_PASS)
        return STR("blocked");
    return r->verdict.limit != WAF_WITHIN_LIMITS ? STR("refused: over a limit") : STR("passed");
}

static struct str refusal_words(const struct waf_offline *r)
{
    if (r->end == WAF_OFFLINE_INCOMPLETE)
        return STR(
            "The file ends before the request does: is the empty line behind the head there, and the body "
            "as long as its Content-Length says?");
    if (r->end != WAF_OFFLINE_REFUSED)
        return STR("");
    return r->refusal == REFUSAL_NONE ? STR("The content coding of its body cannot be taken off.")
                                      : http_refusal_text(r->refusal);
}

static struct waf_rule_info info_of(const struct waf_setup *s, const struct waf_match *m)
{
    const struct waf_rules *rules = inspect_rules_of(s->rules);
    return m->rule < waf_rules_count(rules) ? waf_rules_info(rules, m->rule) : (struct waf_rule_info){0};
}

/* ---- JSON */

static void write_match(struct json_writer *w, const struct waf_setup *s, const struct waf_match *m)
{
    struct waf_rule_info info = info_of(s, m);
    json_object_begin(w);
    json_put_u64(w, STR("rule"), m->rule_id);
    json_put_u64(w, STR("phase"), m->phase);
    json_put_str(w, STR("message"), m->message);
    json_put_str(w, STR("target"), m->target);
    json_put_str(w, STR("value"), m->value);
    json_put_str(w, STR("data"), m->data);
    json_put_bool(w, STR("logged"), m->is_logged);
    json_put_str(w, STR("file"), info.file);
    json_put_u64(w, STR("line"), info.line);
    json_object_end(w);
}

static void write_json(struct buf *out, const struct waf_setup *s, const struct waf_offline *r)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("cluster"), s->cluster.name);
    json_put_str(&w, STR("verdict"), verdict_word(r));
    json_put_bool(&w, STR("passes"), waf_offline_passes(r));
    json_put_str(&w, STR("why"), refusal_words(r));
    json_put_str(&w, STR("method"), r->request.method_text);
    json_put_str(&w, STR("path"), r->request.path);
    json_put_u64(&w, STR("body_bytes"), r->body.n);
    json_put_u64(&w, STR("status"), r->verdict.status);
    json_put_u64(&w, STR("rule"), r->verdict.rule_id);
    json_put_u64(&w, STR("inbound_score"), r->scores.inbound);
    json_put_u64(&w, STR("inbound_threshold"), r->scores.inbound_threshold);
    json_put_array(&w, STR("matches"));
    for (size_t i = 0; i < r->verdict.match_count; i++)
        write_match(&w, s, &r->verdict.matches[i]);
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

/* ---- text */

static void write_table(struct buf *out, const struct waf_offline *r, struct arena *arena, bool color)
{
    static const char *const heads[] = {">RULE", ">PHASE", "TARGET", "VALUE", "MESSAGE", NULL};
    struct table t;
    unsigned quiet = 0, shown = 0;
    table_begin(&t, arena, heads);
    for (size_t i = 0; i < r->verdict.match_count; i++) {
        const struct waf_match *m = &r->verdict.matches[i];
        quiet += !m->is_logged;
        if (!m->is_logged)
            continue;
        shown++;
        table_printf(&t, "%llu", (unsigned long long)m->rule_id);
        table_printf(&t, "%u", m->phase);
        table_text(&t, str_take(m->target, EXCERPT));
        table_text(&t, str_take(m->value, EXCERPT));
        table_text(&t, str_take(m->message, EXCERPT));
    }
    if (shown)
        table_print(&t, out, color);
    buf_printf(out, "%u matches shown, %u of rules that log nothing (--json has them all)\n", shown, quiet);
}

static void write_text(struct buf *out, const struct waf_setup *s, const struct waf_offline *r, bool color)
{
    if (r->request.path.p) {
        print_safe(out, r->request.method_text);
        buf_char(out, ' ');
        print_safe(out, str_take(r->request.path, 400));
        buf_printf(out, "%s  body of %zu bytes, cluster %.*s\n", r->request.has_query ? "?..." : "",
                   r->body.n, STR_ARG(s->cluster.name));
    }
    buf_str(out, verdict_word(r));
    if (r->verdict.rule_id)
        buf_printf(out, " by rule %llu with status %u", (unsigned long long)r->verdict.rule_id,
                   r->verdict.status);
    if (r->end == WAF_OFFLINE_INSPECTED)
        buf_printf(out, ", score %u of %u", r->scores.inbound, r->scores.inbound_threshold);
    buf_char(out, '\n');
    if (refusal_words(r).n) {
        buf_str(out, refusal_words(r));
        buf_char(out, '\n');
    }
    if (s->cluster.waf.mode != WAF_MODE_BLOCK)
        buf_printf(out, "(The mode of this cluster is %s: in the gate it would pass.)\n",
                   s->cluster.waf.mode == WAF_MODE_DETECT ? "detect" : "off");
    if (r->end == WAF_OFFLINE_INSPECTED)
        write_table(out, r, s->arena, color);
}

static enum exit_status report(const struct cli *cli, const struct waf_setup *s, const struct waf_offline *r)
{
    char *memory = malloc(WAF_PAGE_BYTES);
    struct buf out = buf_over(memory, memory ? WAF_PAGE_BYTES : 0);
    if (cli->json)
        write_json(&out, s, r);
    else
        write_text(&out, s, r, cli->color);
    if (buf_overflowed(&out))
        cli_complain("the report is too long to be shown");
    bool is_printed = !buf_overflowed(&out) && cli_print(buf_text(&out));
    free(memory);
    if (!is_printed)
        return EXIT_BROKEN;
    return waf_offline_passes(r) ? EXIT_FINE : EXIT_PROBLEMS;
}

enum exit_status waf_test(const struct cli *cli)
{
    struct waf_setup setup;
    struct waf_offline result;
    struct str raw;
    if (!waf_request_read(cli->arguments[0], &raw))
        return EXIT_PROBLEMS;
    enum exit_status status = waf_setup_open(&setup, cli, waf_host_of(raw));
    if (status == EXIT_FINE) {
        struct arena *arena = arena_new(TEST_ARENA_BYTES);
        struct waf_overlay *overlay = waf_setup_overlay(&setup, STR(""));
        status = EXIT_PROBLEMS;
        if (arena && overlay) {
            waf_offline_run(overlay, raw, &setup.limits, time(NULL), arena, &result);
            status = report(cli, &setup, &result);
        }
        waf_overlay_free(overlay);
        arena_free(arena);
        waf_setup_close(&setup);
    }
    free(unconst(raw.p));
    return status;
}
