/* Runs requests through the WAF without a gate around it:
 *
 *     waf-eval [--reference] RULES < requests.jsonl > verdicts.jsonl
 *
 * A request is one line of JSON: {"line", "method", "target", "protocol", "fields": [[name, value]...],
 * "body", "answer": {"status", "fields", "body"}}. A character U+0000..U+00FF in it stands for the byte of
 * that number. The verdict: {"action", "status", "limit", "left_out", "matches": [{"id", "logged", "text",
 * "data"}...]}, where text is what a log shows and data, again one character for each byte, the rule's
 * logdata. */
#include "disk.h"
#include "input.h"

#include "waf/waf.h"
#include "json/writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 64 << 20, ARENA_BYTES = 512 << 20, NODES_MAX = 1 << 20, OUT_BYTES = 16 << 20 };

static struct waf_request request_of(struct input *in)
{
    struct waf_request request = {
        .line = input_member(in, 0, "line"),
        .method = input_member(in, 0, "method"),
        .target = input_member(in, 0, "target"),
        .protocol = input_member(in, 0, "protocol"),
        .client_ip = STR("127.0.0.1"),
        .server_ip = STR("127.0.0.1"),
        .server_name = STR("localhost"),
        .unique_id = STR("0123456789abcdef"),
        .client_port = 40'000,
        .server_port = 80,
        .now_s = 1'700'000'000,
    };
    request.fields = input_fields(in, 0, &request.field_count);
    return request;
}

static void run_answer(struct input *in, struct waf_tx *tx)
{
    uint32_t answer = json_get(&in->tape, 0, STR("answer"));
    uint64_t status = 200;
    if (answer == JSON_NONE)
        return;
    (void)json_get_u64(&in->tape, json_get(&in->tape, answer, STR("status")), &status);
    struct waf_response *response = arena_alloc(in->arena, sizeof *response);
    if (!response)
        return;
    response->status = (unsigned)status;
    response->protocol = STR("HTTP/1.1");
    response->fields = input_fields(in, answer, &response->field_count);
    if (waf_tx_response_head(tx, response) == WAF_PASS)
        (void)waf_tx_response_body(tx, input_member(in, answer, "body"));
}

/* What a log shows: bytes that are no printable ASCII as \xHH. */
static struct str shown(struct str text, struct arena *arena)
{
    char *memory = arena_bytes(arena, text.n * 4);
    struct buf out = buf_over(memory, memory ? text.n * 4 : 0);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] >= ' ' && text.p[i] < 0x7f)
            buf_char(&out, text.p[i]);
        else
            buf_printf(&out, "\\x%02x", (unsigned)(uint8_t)text.p[i]);
    }
    return buf_text(&out);
}

/* One character U+0000..U+00FF for each byte. */
static struct str as_characters(struct str bytes, struct arena *arena)
{
    char *memory = arena_bytes(arena, bytes.n * 2);
    struct buf out = buf_over(memory, memory ? bytes.n * 2 : 0);
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        if (c >= 0x80)
            buf_char(&out, (char)(0xc0 | c >> 6));
        buf_char(&out, (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c));
    }
    return buf_text(&out);
}

static void write_verdict(struct waf_verdict verdict, struct buf *out, struct arena *arena)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_u64(&w, STR("action"), verdict.action);
    json_put_u64(&w, STR("status"), verdict.status);
    json_put_u64(&w, STR("limit"), verdict.limit);
    json_put_u64(&w, STR("left_out"), verdict.matches_left_out);
    json_put_array(&w, STR("matches"));
    for (size_t i = 0; i < verdict.match_count; i++) {
        const struct waf_match *match = &verdict.matches[i];
        json_object_begin(&w);
        json_put_u64(&w, STR("id"), match->rule_id);
        json_put_bool(&w, STR("logged"), match->is_logged);
        struct str text = arena_printf(arena, "[id \"%llu\"] [msg \"%.*s\"] [data \"%.*s\"] at %.*s",
                                       (unsigned long long)match->rule_id, STR_ARG(match->message),
                                       STR_ARG(match->data), STR_ARG(match->target));
        json_put_str(&w, STR("text"), shown(text, arena));
        json_put_str(&w, STR("data"), as_characters(match->data, arena));
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

static bool run_line(struct str line, const struct waf_overlay *overlay, struct json_node *nodes,
                     struct buf *out)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct input in = {.arena = arena};
    bool fine = arena && json_parse(line, 64, nodes, NODES_MAX, &in.tape, NULL) == JSON_FINE;
    if (fine) {
        struct waf_request request = request_of(&in);
        struct waf_tx *tx = waf_tx_new(overlay, &request, NULL, arena);
        if (tx && waf_tx_request_head(tx) == WAF_PASS &&
            waf_tx_request_body(tx, input_member(&in, 0, "body")) == WAF_PASS)
            run_answer(&in, tx);
        if (tx) {
            waf_tx_logging(tx, 1000);
            write_verdict(waf_tx_verdict(tx), out, arena);
        }
        fine = tx && !buf_overflowed(out);
        waf_tx_free(tx);
    }
    arena_free(arena);
    return fine;
}

static int run_all(const struct waf_overlay *overlay)
{
    char *line = NULL, *memory = malloc(OUT_BYTES);
    size_t cap = 0;
    struct json_node *nodes = malloc(NODES_MAX * sizeof *nodes);
    int failed = !memory || !nodes;
    for (ssize_t n; !failed && (n = getline(&line, &cap, stdin)) > 0;) {
        struct buf out = buf_over(memory, OUT_BYTES);
        failed = n > LINE_MAX_BYTES || !run_line((struct str){line, (size_t)n}, overlay, nodes, &out);
        if (!failed)
            failed = fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0;
    }
    free(line);
    free(memory);
    free(nodes);
    return failed;
}

int main(int argc, char **argv)
{
    static struct waf_problems problems;
    struct arena *arena = arena_new(1 << 20);
    struct str text;
    bool is_reference = argc == 3 && strcmp(argv[1], "--reference") == 0;
    const char *path = argv[argc - 1];
    if (argc != 2 + is_reference || !arena || !disk_read(path, arena, &text)) {
        fprintf(stderr, "usage: waf-eval [--reference] RULES\n");
        return 2;
    }
    struct waf_rules *rules = waf_rules_load(str_of(path), text, &disk_files, &problems);
    if (rules)
        waf_rules_make_code(rules);
    struct waf_overlay_options options = {.mode = WAF_AS_RULES_SAY,
                                          .engine = is_reference ? WAF_ENGINE_REFERENCE : WAF_ENGINE_FAST};
    struct waf_overlay *overlay = rules ? waf_overlay_new(rules, &options, &problems) : NULL;
    for (size_t i = 0; i < problems.count && i < WAF_PROBLEMS_MAX; i++)
        fprintf(stderr, "%s:%u:%u: %s\n", problems.items[i].file, problems.items[i].line,
                problems.items[i].column, problems.items[i].what);
    int failed = overlay ? run_all(overlay) : 1;
    waf_overlay_free(overlay);
    waf_rules_free(rules);
    arena_free(arena);
    return failed;
}
