/* The care suites through the Core Rule Set of Debian and our rules for care traffic, in block mode:
 *
 *     care [--pl N] [--reference] [--list] FOLDER
 *
 * Lines of care language and benign requests must pass, attacks must be blocked, by a rule about attacks and
 * not by one about the protocol. Prints a table; --list says which and why. Exit: 1 if one went the wrong way
 * at paranoia level 1 (plain JSON and forms are only counted unless they are said to be held), 77 if the
 * rules are not there. */
#include "suite.h"

#include "../suites/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_BYTES = 256 << 20, CARE_ARENA_BYTES = 64 << 20 };

struct care {
    struct waf_rules *rules;
    struct waf_overlay *overlay;
    struct arena *arena; /* of the request that runs */
    bool lists;
};

struct outcome {
    bool is_blocked;
    bool is_attack; /* a rule about attacks matched, ours or the CRS's */
    struct str rules;
};

static bool is_about_attacks(uint64_t id)
{
    return (id >= 930'000 && id < 945'000) || (id >= 8'900'000 && id < 9'000'000 && id != 8'901'010) ||
           id == 920'270 || id == 7'600'010 || (id >= 921'110 && id < 921'170);
}

static bool is_told(const struct waf_match *match)
{
    bool is_sum = match->rule_id >= 949'000 && match->rule_id < 990'000;
    return match->is_logged && !is_sum;
}

static void fill_outcome(struct care *c, struct waf_verdict verdict, struct outcome *ret)
{
    ret->is_blocked = verdict.action != WAF_PASS || verdict.limit != WAF_WITHIN_LIMITS;
    for (size_t i = 0; i < verdict.match_count; i++) {
        const struct waf_match *match = &verdict.matches[i];
        if (!is_told(match))
            continue;
        ret->is_attack |= is_about_attacks(match->rule_id);
        ret->rules = arena_printf(c->arena, "%.*s %llu(%.*s: %.*s)", STR_ARG(ret->rules),
                                  (unsigned long long)match->rule_id, STR_ARG(match->target),
                                  STR_ARG(str_take(match->data.n ? match->data : match->value, 80)));
    }
    if (verdict.limit != WAF_WITHIN_LIMITS)
        ret->rules = arena_printf(c->arena, "%.*s limit %d", STR_ARG(ret->rules), (int)verdict.limit);
}

static struct outcome run(struct care *c, const struct care_request *r)
{
    struct outcome outcome = {.rules = STR("")};
    arena_reset(c->arena);
    struct waf_field fields[] = {
        {STR("Host"), STR("zorg.voorbeeld.nl")},
        {STR("User-Agent"), STR("Polder-care/1.0 (test)")},
        {STR("Accept"), STR("application/fhir+json")},
        {STR("Content-Length"), arena_printf(c->arena, "%zu", r->body.n)},
        {STR("Content-Type"), r->type},
    };
    struct waf_request request = {
        .line = arena_printf(c->arena, "%.*s %.*s HTTP/1.1", STR_ARG(r->method), STR_ARG(r->target)),
        .method = r->method,
        .target = r->target,
        .protocol = STR("HTTP/1.1"),
        .fields = fields,
        .field_count = r->type.n ? 5 : 3,
        .client_ip = STR("192.0.2.1"),
        .server_ip = STR("192.0.2.2"),
        .server_name = STR("zorg.voorbeeld.nl"),
        .unique_id = STR("care"),
        .client_port = 40'000,
        .server_port = 443,
        .now_s = 1'700'000'000,
    };
    struct waf_tx *tx = waf_tx_new(c->overlay, &request, NULL, c->arena);
    if (tx && waf_tx_request_head(tx) == WAF_PASS)
        (void)waf_tx_request_body(tx, r->body);
    if (tx)
        fill_outcome(c, waf_tx_verdict(tx), &outcome);
    waf_tx_free(tx);
    return outcome;
}

static void tell(const struct care *c, const char *what, struct str name, const struct outcome *outcome)
{
    if (c->lists)
        printf("  %s: %.*s\n     %.*s\n", what, STR_ARG(name), STR_ARG(outcome->rules));
}

static size_t run_requests(struct care *c, const char *folder, struct arena *arena, bool are_attacks,
                           const char *what)
{
    struct care_requests requests = {0};
    size_t wrong = 0;
    if (!care_read_requests(folder, arena, &requests) || !requests.n) {
        printf("%s: nothing to read\n", folder);
        return 1;
    }
    for (size_t i = 0; i < requests.n; i++) {
        struct outcome outcome = run(c, &requests.items[i]);
        bool is_right = are_attacks ? outcome.is_blocked && outcome.is_attack : !outcome.is_blocked;
        wrong += !is_right;
        if (!is_right)
            tell(c, are_attacks ? "passed" : "blocked", requests.items[i].name, &outcome);
    }
    printf("%-28s %4zu of %4zu %s\n", what, wrong, requests.n, are_attacks ? "passed" : "blocked");
    return wrong;
}

/* What passes alone must pass together. */
static size_t run_bundles(struct care *c, const char *folder, struct arena *arena)
{
    static const char *const types[] = {"transaction", "batch",    "searchset",
                                        "message",     "document", "collection"};
    static const size_t counts[] = {1, 5, 20, 50, 75};
    struct care_requests requests = {0};
    size_t wrong = 0, all = 0;
    if (!care_read_requests(folder, arena, &requests))
        return 1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++, all++) {
            struct care_request bundle;
            bool is_made = care_bundle(&requests, types[t], counts[i], arena, &bundle);
            struct outcome outcome = run(c, &bundle);
            wrong += !is_made || outcome.is_blocked;
            if (outcome.is_blocked)
                tell(c, "blocked", bundle.name, &outcome);
        }
    }
    printf("%-28s %4zu of %4zu blocked\n", "bundles of them", wrong, all);
    return wrong;
}

static size_t run_lines(struct care *c, const struct str *lines, size_t count, enum care_way way)
{
    size_t blocked = 0;
    struct arena *arena = arena_new(CARE_ARENA_BYTES);
    for (size_t i = 0; arena && i < count; i++) {
        arena_reset(arena);
        struct care_request request = care_of_line(lines[i], way, arena);
        struct outcome outcome = run(c, &request);
        blocked += outcome.is_blocked;
        if (outcome.is_blocked)
            tell(c, "blocked", lines[i], &outcome);
    }
    arena_free(arena);
    printf("lines as %-19s %4zu of %4zu blocked\n", care_way_name(way), blocked, count);
    return blocked;
}

static bool load(struct care *c, const char *folder, const struct waf_overlay_options *options,
                 struct arena *arena)
{
    static struct waf_problems problems;
    struct str text;
    const char *path = arena_copy_z(arena, arena_printf(arena, "%s/care.conf", folder));
    if (!path || !disk_read(path, arena, &text))
        return false;
    c->rules = waf_rules_load(str_of(path), text, &disk_files, &problems);
    c->overlay = c->rules ? waf_overlay_new(c->rules, options, &problems) : NULL;
    for (size_t i = 0; i < problems.count && i < WAF_PROBLEMS_MAX; i++)
        fprintf(stderr, "%s:%u:%u: %s\n", problems.items[i].file, problems.items[i].line,
                problems.items[i].column, problems.items[i].what);
    c->arena = arena_new(ARENA_BYTES);
    return c->overlay && c->arena;
}

static size_t run_all(struct care *c, const char *folder, struct arena *arena)
{
    struct str *lines;
    size_t count, wrong = 0;
    const char *where = arena_copy_z(arena, arena_printf(arena, "%s/lines", folder));
    if (!where || !care_read_lines(where, arena, &lines, &count) || !count)
        return 1;
    for (enum care_way way = CARE_JSON; way < CARE_WAYS; way++)
        wrong += run_lines(c, lines, count, way);
    where = arena_copy_z(arena, arena_printf(arena, "%s/benign", folder));
    wrong += run_requests(c, where ? where : "", arena, false, "benign requests");
    wrong += run_bundles(c, where ? where : "", arena);
    where = arena_copy_z(arena, arena_printf(arena, "%s/attacks", folder));
    return wrong + run_requests(c, where ? where : "", arena, true, "attacks");
}

int main(int argc, char **argv)
{
    struct waf_overlay_options options = {.mode = WAF_BLOCK, .profile = WAF_PROFILE_FHIR, .paranoia = 1};
    struct care c = {0};
    int at = 1;
    for (; at + 1 < argc; at++) {
        if (strcmp(argv[at], "--reference") == 0)
            options.engine = WAF_ENGINE_REFERENCE;
        else if (strcmp(argv[at], "--list") == 0)
            c.lists = true;
        else if (strcmp(argv[at], "--pl") == 0 && at + 2 < argc)
            options.paranoia = (unsigned)strtoul(argv[++at], NULL, 10);
        else
            break;
    }
    if (at + 1 != argc) {
        fprintf(stderr, "usage: care [--pl N] [--reference] [--list] FOLDER\n");
        return 2;
    }
    if (access("/usr/share/modsecurity-crs/rules", R_OK) != 0) {
        printf("left out: modsecurity-crs is not installed\n");
        return 77;
    }
    char *folder = realpath(argv[at], NULL); /* what a rule file includes is sought from where it stands */
    struct arena *arena = arena_new(CARE_ARENA_BYTES);
    bool fine = folder && arena && load(&c, folder, &options, arena);
    size_t wrong = fine ? run_all(&c, folder, arena) : 1;
    free(folder);
    waf_overlay_free(c.overlay);
    waf_rules_free(c.rules);
    arena_free(c.arena);
    arena_free(arena);
    return wrong && options.paranoia == 1;
}
