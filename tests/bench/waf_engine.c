/* What the rule engine alone costs, in microseconds of CPU a transaction, with the Core Rule Set as Debian
 * installs it:
 *
 *     bench-waf-engine [--cache FILE] [--rules CONF] [--only INPUT]
 *
 * The prefilter is compiled once and kept in FILE. For each input: the fast engine and the reference, at
 * paranoia levels 1 and 4; how many matches there were; and the longest time between two pauses. */
#include "disk.h"
#include "waf_inputs.h"

#include "base/buf.h"
#include "waf/waf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARENA_BYTES = 256 << 20, LEAST_RUNS = 3, RUN_US = 400'000 };

static const char standard_rules[] =
    "SecRuleEngine DetectionOnly\n"
    "SecRequestBodyAccess On\n"
    "SecRequestBodyNoFilesLimit 1048576\n"
    "SecArgumentsLimit 10000\n"
    "SecResponseBodyAccess Off\n"
    "SecPcreMatchLimit 500000\n"
    "SecRule REQUEST_HEADERS:Content-Type \"^application/(?:[a-z0-9.-]+\\+)?json\" "
    "\"id:10,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
    "SecAction \"id:11,phase:1,pass,nolog,setvar:'tx.allowed_request_content_type="
    "|application/x-www-form-urlencoded| |application/json| "
    "|application/fhir+json|'\"\n"
    "Include /etc/modsecurity/crs/crs-setup.conf\n"
    "Include /usr/share/modsecurity-crs/rules/*.conf\n";

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- the prefilter, from its file or made now */

static bool read_aligned(const char *path, struct str *ret)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    (void)fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *bytes = aligned_alloc(64, (n + 63) / 64 * 64);
    bool fine = bytes && fread(bytes, 1, n, file) == n;
    (void)fclose(file);
    *ret = (struct str){bytes, n};
    return fine;
}

static void write_file(const char *path, struct str bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return;
    (void)fwrite(bytes.p, 1, bytes.n, file);
    (void)fclose(file);
}

static void take_prefilter(struct waf_rules *rules, const char *cache)
{
    struct str bytes;
    double begin = cpu_us();
    if (read_aligned(cache, &bytes) && waf_rules_take_prefilter(rules, bytes)) {
        printf("prefilter: %.1f ms to take %.1f MiB\n", (cpu_us() - begin) / 1e3, (double)bytes.n / 1048576);
        return;
    }
    struct arena *arena = arena_new((size_t)ARENA_BYTES * 2);
    if (!arena || !waf_prefilter_compile(rules, arena, NULL, NULL, &bytes)) {
        printf("prefilter: could not be compiled\n");
        return;
    }
    printf("prefilter: %.1f s to compile\n", (cpu_us() - begin) / 1e6);
    write_file(cache, bytes);
    arena_free(arena);
    if (!read_aligned(cache, &bytes) || !waf_rules_take_prefilter(rules, bytes))
        printf("prefilter: not taken\n");
}

/* ---- one transaction */

struct measure {
    double us, longest_us; /* a transaction; between two pauses */
    size_t matches;
    unsigned limit;
};

static double last_pause_us, longest_us;

static void on_pause(void *)
{
    double now = cpu_us();
    if (now - last_pause_us > longest_us)
        longest_us = now - last_pause_us;
    last_pause_us = cpu_us();
}

static struct waf_verdict run(const struct waf_overlay *overlay, const struct waf_input *input,
                              struct arena *arena, bool has_pauses)
{
    static const struct waf_response response = {.status = 200, .protocol = {"HTTP/1.1", 8}};
    struct waf_tx *tx = waf_tx_new(overlay, &input->request, NULL, arena);
    if (!tx)
        return (struct waf_verdict){.limit = WAF_LIMIT_MEMORY};
    if (has_pauses)
        waf_tx_set_pause(tx, on_pause, NULL);
    (void)waf_tx_request_head(tx);
    (void)waf_tx_request_body(tx, input->body);
    (void)waf_tx_response_head(tx, &response);
    (void)waf_tx_response_body(tx, STR(""));
    waf_tx_logging(tx, 1000);
    struct waf_verdict verdict = waf_tx_verdict(tx);
    waf_tx_free(tx);
    return verdict;
}

/* The least of several rounds: what else the machine does only adds. */
static struct measure measure(const struct waf_overlay *overlay, const struct waf_input *input,
                              struct arena *arena)
{
    struct measure m = {.us = 1e12};
    struct waf_verdict verdict = run(overlay, input, arena, false);
    m.matches = verdict.match_count + verdict.matches_left_out;
    m.limit = verdict.limit;
    unsigned runs = 1;
    double spent = 0;
    for (unsigned round = 0; round < LEAST_RUNS || spent < RUN_US; round++) {
        double begin = cpu_us();
        for (unsigned i = 0; i < runs; i++) {
            arena_reset(arena);
            (void)run(overlay, input, arena, false);
        }
        double us = cpu_us() - begin;
        spent += us;
        m.us = us / runs < m.us ? us / runs : m.us;
        if (us < 10'000)
            runs *= 2;
    }
    longest_us = 0;
    arena_reset(arena);
    last_pause_us = cpu_us();
    (void)run(overlay, input, arena, true);
    on_pause(NULL);
    m.longest_us = longest_us;
    arena_reset(arena);
    return m;
}

static const struct waf_overlay *overlay_for(const struct waf_rules *rules, enum waf_engine engine,
                                             unsigned paranoia)
{
    static struct waf_problems problems;
    struct waf_overlay_options options = {.mode = WAF_DETECT, .engine = engine, .paranoia = paranoia};
    return waf_overlay_new(rules, &options, &problems);
}

static void report(const struct waf_rules *rules, const char *only)
{
    struct arena *arena = arena_new(ARENA_BYTES), *inputs = arena_new(ARENA_BYTES);
    const struct waf_overlay *fast[2] = {overlay_for(rules, WAF_ENGINE_FAST, 1),
                                         overlay_for(rules, WAF_ENGINE_FAST, 4)};
    const struct waf_overlay *reference[2] = {overlay_for(rules, WAF_ENGINE_REFERENCE, 1),
                                              overlay_for(rules, WAF_ENGINE_REFERENCE, 4)};
    printf("%-22s %10s %10s %10s %10s %8s %8s %10s %10s\n", "us", "fast PL1", "PL4", "ref. PL1", "PL4",
           "matches", "PL4", "piece PL1", "PL4");
    for (unsigned i = 0; i < WAF_INPUTS; i++) {
        struct waf_input input = waf_input_make(i, inputs);
        if (only && strcmp(only, input.name) != 0)
            continue;
        struct measure f[2] = {measure(fast[0], &input, arena), measure(fast[1], &input, arena)};
        struct measure r[2] = {{0}, {0}};
        if (!only) {
            r[0] = measure(reference[0], &input, arena);
            r[1] = measure(reference[1], &input, arena);
        }
        printf("%-22s %10.1f %10.1f %10.1f %10.1f %8zu %8zu %10.1f %10.1f%s\n", input.name, f[0].us, f[1].us,
               r[0].us, r[1].us, f[0].matches, f[1].matches, f[0].longest_us, f[1].longest_us,
               f[0].limit || f[1].limit ? "  reached a limit" : "");
        (void)fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static struct waf_problems problems;
    const char *cache = "/tmp/polder-bench-prefilter", *conf = NULL, *only = NULL;
    struct arena *arena = arena_new(1 << 20);
    struct str text = STR(standard_rules);
    for (int i = 1; i + 1 < argc; i += 2) {
        cache = strcmp(argv[i], "--cache") == 0 ? argv[i + 1] : cache;
        conf = strcmp(argv[i], "--rules") == 0 ? argv[i + 1] : conf;
        only = strcmp(argv[i], "--only") == 0 ? argv[i + 1] : only;
    }
    if (!arena || (conf && !disk_read(conf, arena, &text)))
        return 2;
    double begin = cpu_us();
    struct waf_rules *rules = waf_rules_load(STR("bench"), text, &disk_files, &problems);
    if (!rules) {
        printf("%s:%u: %s\n", problems.items[0].file, problems.items[0].line, problems.items[0].what);
        return 1;
    }
    printf("rules: %.1f ms to load %zu", (cpu_us() - begin) / 1e3, waf_rules_count(rules));
    begin = cpu_us();
    waf_rules_make_code(rules);
    printf(", %.1f ms to compile just in time\n", (cpu_us() - begin) / 1e3);
    take_prefilter(rules, cache);
    report(rules, only);
    return 0;
}
