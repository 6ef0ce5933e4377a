/* Holds the engines against each other on requests as waf-eval reads them:
 *
 *     waf-compare RULES PREFILTER MUTATIONS < requests.jsonl
 *
 * Each request, and so many made from it by chance, goes through the reference, the fast engine without a
 * prefilter and with one (kept in the file PREFILTER, made if it does not fit). Prints a line for each that
 * differs. Exit: 1 if any differed. */
#include "disk.h"
#include "engines.h"
#include "input.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_BYTES = 512 << 20, NODES_MAX = 1 << 20, LINES_MAX = 20 };

static struct waf_rules *load(const char *path)
{
    static struct waf_problems problems;
    struct arena *arena = arena_new(1 << 20);
    struct str text;
    must(arena);
    if (!disk_read(path, arena, &text)) {
        fprintf(stderr, "waf-compare: cannot read %s\n", path);
        exit(2);
    }
    struct waf_rules *rules = waf_rules_load(str_of(path), text, &disk_files, &problems);
    if (!rules) {
        fprintf(stderr, "%s:%u: %s\n", problems.items[0].file, problems.items[0].line,
                problems.items[0].what);
        exit(2);
    }
    waf_rules_make_code(rules);
    return rules;
}

static bool take_from(struct waf_rules *rules, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    (void)fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *bytes = aligned_alloc(64, (n + 63) / 64 * 64 + 64);
    bool fine =
        bytes && fread(bytes, 1, n, file) == n && waf_rules_take_prefilter(rules, (struct str){bytes, n});
    (void)fclose(file);
    if (!fine)
        free(bytes);
    return fine;
}

static void take_prefilter(struct waf_rules *rules, const char *path)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct str bytes;
    if (take_from(rules, path))
        return;
    must(arena && waf_prefilter_compile(rules, arena, NULL, NULL, &bytes));
    FILE *file = fopen(path, "wb");
    must(file && fwrite(bytes.p, 1, bytes.n, file) == bytes.n && fclose(file) == 0);
    arena_free(arena);
    must(take_from(rules, path));
}

static struct exchange exchange_of(struct input *in)
{
    struct exchange e = {.request = {.line = input_member(in, 0, "line"),
                                     .method = input_member(in, 0, "method"),
                                     .target = input_member(in, 0, "target"),
                                     .protocol = input_member(in, 0, "protocol"),
                                     .client_ip = STR("127.0.0.1"),
                                     .server_ip = STR("127.0.0.1"),
                                     .server_name = STR("localhost"),
                                     .unique_id = STR("0123456789abcdef"),
                                     .client_port = 40'000,
                                     .server_port = 80,
                                     .now_s = 1'700'000'000},
                         .body = input_member(in, 0, "body")};
    e.request.fields = input_fields(in, 0, &e.request.field_count);
    uint32_t answer = json_get(&in->tape, 0, STR("answer"));
    if (answer == JSON_NONE)
        return e;
    uint64_t status = 200;
    (void)json_get_u64(&in->tape, json_get(&in->tape, answer, STR("status")), &status);
    struct waf_response *response = arena_alloc(in->arena, sizeof *response);
    must(response);
    response->status = (unsigned)status;
    response->protocol = STR("HTTP/1.1");
    response->fields = input_fields(in, answer, &response->field_count);
    e.response = response;
    e.answer = input_member(in, answer, "body");
    return e;
}

struct comparison {
    const struct waf_overlay *reference, *fast, *prefiltered;
    struct arena *arena;
    struct chance chance;
    size_t requests, differing;
};

static void compare(struct comparison *c, const struct exchange *e, size_t line, unsigned mutation)
{
    const struct waf_overlay *const others[] = {c->fast, c->prefiltered};
    c->requests++;
    for (unsigned i = 0; i < 2; i++) {
        const char *what = engines_differ(c->reference, others[i], e, c->arena);
        if (!what)
            continue;
        if (++c->differing <= LINES_MAX)
            printf("request %zu, mutation %u, %s: %s\n", line, mutation, i ? "with prefilter" : "without",
                   what);
        break;
    }
}

static void compare_line(struct comparison *c, struct str line, struct json_node *nodes, size_t number,
                         unsigned mutations)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct input in = {.arena = arena};
    must(arena && json_parse(line, 64, nodes, NODES_MAX, &in.tape, NULL) == JSON_FINE);
    struct exchange e = exchange_of(&in);
    for (unsigned i = 0; i <= mutations; i++) {
        struct exchange made = i ? chance_exchange(&c->chance, &e, arena) : e;
        compare(c, &made, number, i);
        arena_reset(c->arena);
    }
    arena_free(arena);
}

static const struct waf_overlay *overlay_of(const struct waf_rules *rules, enum waf_engine engine)
{
    static struct waf_problems problems;
    struct waf_overlay_options options = {.mode = WAF_AS_RULES_SAY, .engine = engine};
    const struct waf_overlay *overlay = waf_overlay_new(rules, &options, &problems);
    must(overlay);
    return overlay;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: waf-compare RULES PREFILTER MUTATIONS\n");
        return 2;
    }
    struct waf_rules *with = load(argv[1]), *without = load(argv[1]);
    take_prefilter(with, argv[2]);
    struct comparison c = {.reference = overlay_of(without, WAF_ENGINE_REFERENCE),
                           .fast = overlay_of(without, WAF_ENGINE_FAST),
                           .prefiltered = overlay_of(with, WAF_ENGINE_FAST),
                           .arena = arena_new(ARENA_BYTES),
                           .chance = {0x2545f4914f6cdd1d}};
    struct json_node *nodes = malloc(NODES_MAX * sizeof *nodes);
    char *line = NULL;
    size_t cap = 0, number = 0;
    must(nodes && c.arena);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0; number++)
        compare_line(&c, (struct str){line, (size_t)n}, nodes, number, (unsigned)strtoul(argv[3], NULL, 10));
    printf("%zu requests and %zu made from them through both engines: %zu differ\n", number,
           c.requests - number, c.differing);
    return c.differing != 0;
}
