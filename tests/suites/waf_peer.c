/* The same as waf-eval, by Debian's libmodsecurity: to be held against it. Of its matches only those it logs
 * are told:
 *
 *     waf-peer RULES < requests.jsonl > verdicts.jsonl */
#include "input.h"

#include "json/writer.h"

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_BYTES = 512 << 20, NODES_MAX = 1 << 20, OUT_BYTES = 16 << 20 };

struct log {
    struct json_writer w;
};

/* libmodsecurity calls this for every rule that matched and logs. */
static void on_log(void *context, const void *text)
{
    struct log *log = context;
    struct str line = str_of(text), mark = STR("[id \"");
    ptrdiff_t at = str_find(line, mark);
    uint64_t id = 0;
    if (at < 0)
        return;
    struct str rest = str_skip(line, (size_t)at + mark.n);
    if (!str_parse_u64(str_cut(&rest, '"'), &id))
        return;
    json_object_begin(&log->w);
    json_put_u64(&log->w, STR("id"), id);
    json_put_bool(&log->w, STR("logged"), true);
    json_put_str(&log->w, STR("text"), line);
    json_object_end(&log->w);
}

static char *text_of(struct input *in, uint32_t object, const char *name)
{
    return arena_copy_z(in->arena, input_member(in, object, name));
}

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.n ? s.p : "");
}

static void process_request(struct input *in, Transaction *tx)
{
    size_t count;
    struct waf_field *fields = input_fields(in, 0, &count);
    const char *target = text_of(in, 0, "target"), *method = text_of(in, 0, "method"),
               *protocol = text_of(in, 0, "protocol");
    if (!fields || !target || !method || !protocol)
        return;
    msc_process_connection(tx, "127.0.0.1", 40'000, "127.0.0.1", 80);
    msc_process_uri(tx, target, method, strncmp(protocol, "HTTP/", 5) == 0 ? protocol + 5 : protocol);
    for (size_t i = 0; i < count; i++)
        msc_add_n_request_header(tx, bytes_of(fields[i].name), fields[i].name.n, bytes_of(fields[i].value),
                                 fields[i].value.n);
    msc_process_request_headers(tx);
    struct str body = input_member(in, 0, "body");
    if (body.n)
        msc_append_request_body(tx, bytes_of(body), body.n);
    msc_process_request_body(tx);
}

static void process_answer(struct input *in, Transaction *tx)
{
    uint32_t answer = json_get(&in->tape, 0, STR("answer"));
    uint64_t status = 200;
    size_t count;
    if (answer == JSON_NONE)
        return;
    (void)json_get_u64(&in->tape, json_get(&in->tape, answer, STR("status")), &status);
    struct waf_field *fields = input_fields(in, answer, &count);
    for (size_t i = 0; fields && i < count; i++)
        msc_add_n_response_header(tx, bytes_of(fields[i].name), fields[i].name.n, bytes_of(fields[i].value),
                                  fields[i].value.n);
    msc_process_response_headers(tx, (int)status, "HTTP 1.1");
    struct str body = input_member(in, answer, "body");
    if (body.n)
        msc_append_response_body(tx, bytes_of(body), body.n);
    msc_process_response_body(tx);
}

static bool run_line(struct str line, ModSecurity *engine, RulesSet *rules, struct json_node *nodes,
                     struct buf *out)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct input in = {.arena = arena};
    bool fine = arena && json_parse(line, 64, nodes, NODES_MAX, &in.tape, NULL) == JSON_FINE;
    if (fine) {
        struct log log = {json_writer_over(out)};
        Transaction *tx = msc_new_transaction(engine, rules, &log);
        json_object_begin(&log.w);
        json_put_array(&log.w, STR("matches"));
        process_request(&in, tx);
        process_answer(&in, tx);
        msc_process_logging(tx);
        msc_transaction_cleanup(tx);
        json_array_end(&log.w);
        json_object_end(&log.w);
        buf_char(out, '\n');
        fine = !buf_overflowed(out);
    }
    arena_free(arena);
    return fine;
}

int main(int argc, char **argv)
{
    const char *error = NULL;
    char *line = NULL, *memory = malloc(OUT_BYTES);
    size_t cap = 0;
    struct json_node *nodes = malloc(NODES_MAX * sizeof *nodes);
    ModSecurity *engine = msc_init();
    RulesSet *rules = msc_create_rules_set();
    if (argc != 2 || !memory || !nodes || msc_rules_add_file(rules, argv[1], &error) < 0) {
        fprintf(stderr, "waf-peer: %s\n", error ? error : "usage: waf-peer RULES");
        return 2;
    }
    msc_set_log_cb(engine, on_log);
    int failed = 0;
    for (ssize_t n; !failed && (n = getline(&line, &cap, stdin)) > 0;) {
        struct buf out = buf_over(memory, OUT_BYTES);
        failed = !run_line((struct str){line, (size_t)n}, engine, rules, nodes, &out) ||
                 fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0;
    }
    free(line);
    free(memory);
    free(nodes);
    msc_rules_cleanup(rules);
    msc_cleanup(engine);
    return failed;
}
