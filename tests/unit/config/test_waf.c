/* The keys of the firewall: files of rules and patterns, what a cluster and its routes inherit, and a bundle
 * that answers as the disk did. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include <stdlib.h>
#include <unistd.h>

#define REST                                                                                                 \
    "listeners: [{name: http, address: 127.0.0.1:8080}]\n"                                                   \
    "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"

static bool list_files(void *self, struct str pattern, struct str *ret_lines)
{
    (void)self;
    *ret_lines = str_eq(pattern, STR("*.conf"))        ? STR("/r/a.conf\n/r/b.conf\n")
                 : str_eq(pattern, STR("one.conf"))    ? STR("/r/one.conf\n")
                 : str_eq(pattern, STR("locked.conf")) ? STR("/r/locked.conf\n")
                 : str_eq(pattern, STR("q*"))          ? STR("/r/\".conf\n")
                                                       : STR("");
    return true;
}

static bool read_file(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    (void)self;
    *ret_bytes = str_eq(path, STR("ex.conf")) ? STR("SecRuleRemoveById 1\n") : STR("# rules\n");
    *ret_error = STR("no permission to read it");
    return str_find(path, STR("locked")) < 0 && !str_eq(path, STR("nowhere.conf"));
}

static const struct config_files files = {read_file, NULL, list_files};

struct parsed {
    struct config *config;
    struct config_problem *problems;
    unsigned count;
    struct arena *arena;
};

static struct parsed parse(const char *yaml)
{
    struct parsed p = {.arena = arena_new(1 << 20)};
    p.config = config_parse(STR("p.yaml"), str_of(yaml), &files, p.arena, &p.problems, &p.count);
    return p;
}

static void done(struct parsed *p)
{
    config_free(p->config);
    arena_free(p->arena);
}

static void refuses(const char *yaml, unsigned line, unsigned column, const char *text)
{
    struct parsed p = parse(yaml);
    assert_null(p.config);
    for (unsigned i = 0; i < p.count; i++)
        if (p.problems[i].line == line && p.problems[i].column == column &&
            str_find(p.problems[i].text, str_of(text)) >= 0) {
            done(&p);
            return;
        }
    fail_msg("no problem at %u:%u says '%s'; the first is %u:%u %.*s", line, column, text, p.problems[0].line,
             p.problems[0].column, STR_ARG(p.problems[0].text));
}

static void without_the_section_nothing_is_inspected(void **)
{
    struct parsed p =
        parse(REST "clusters: [{name: n, hosts: n.example, routes: [{path: /, upstream: app}]}]\n");
    assert_non_null(p.config);
    assert_false(p.config->waf.is_set);
    assert_int_equal(p.config->clusters[0].waf.mode, WAF_MODE_OFF);
    assert_int_equal(p.config->clusters[0].routes[0].waf.mode, WAF_MODE_OFF);
    done(&p);
}

static void clusters_block_unless_they_say_otherwise(void **)
{
    struct parsed p = parse(
        REST
        "gate: {state_directory: /s}\n"
        "waf: {rules: ['*.conf', one.conf], patches: []}\n"
        "clusters:\n"
        "  - {name: n, hosts: n.example, routes: [{path: /, upstream: app},\n"
        "     {path: /a, upstream: app, waf: {mode: off, body_limit: 1k}}]}\n"
        "  - {name: z, hosts: z.example, waf: {mode: detect, paranoia: 3, responses: on, body_limit: 2k,\n"
        "       inbound_threshold: 7, profile: fhir, exclusions: ex.conf},\n"
        "     routes: [{path: /, upstream: app, waf: {responses: off}}]}\n");
    assert_non_null(p.config);
    const struct config_waf *waf = &p.config->waf;
    assert_int_equal(waf->rule_count, 3);
    assert_true(str_eq(waf->rules[0], STR("/r/a.conf")) && str_eq(waf->rules[2], STR("/r/one.conf")));
    assert_true(str_eq(waf->cache_directory, STR("/s/waf")));
    assert_int_equal(waf->memory_bytes, 128 << 20);
    const struct config_cluster *n = &p.config->clusters[0], *z = &p.config->clusters[1];
    assert_int_equal(n->waf.mode, WAF_MODE_BLOCK);
    assert_int_equal(n->routes[0].waf.mode, WAF_MODE_OFF); /* the longer path comes first */
    assert_int_equal(n->routes[0].waf.body_bytes, 1024);
    assert_int_equal(n->routes[1].waf.mode, WAF_MODE_BLOCK);
    assert_int_equal(n->routes[1].waf.answers, WAF_ANSWERS_OFF);
    assert_int_equal(z->routes[0].waf.mode, WAF_MODE_DETECT);
    assert_int_equal(z->routes[0].waf.answers, WAF_ANSWERS_OFF);
    assert_int_equal(z->routes[0].waf.body_bytes, 2048);
    assert_int_equal(z->waf.paranoia, 3);
    assert_int_equal(z->waf.inbound_threshold, 7);
    assert_true(str_eq(z->waf.exclusions_path, STR("ex.conf")));
    assert_true(str_eq(z->waf.exclusions, STR("SecRuleRemoveById 1\n")));
    done(&p);
}

#define CLUSTER "clusters: [{name: n, hosts: n.example, routes: [{path: /, upstream: app}]}]\n"

static void exclusions_may_stand_in_the_configuration(void **)
{
    struct parsed p = parse(REST "waf: {rules: one.conf, patches: []}\n"
                                 "clusters:\n"
                                 "  - name: n\n"
                                 "    hosts: n.example\n"
                                 "    routes: [{path: /, upstream: app}]\n"
                                 "    waf:\n"
                                 "      exclusions: |\n"
                                 "        SecRuleRemoveById 1\n"
                                 "        SecRuleRemoveById 2\n");
    assert_non_null(p.config);
    assert_int_equal(p.config->clusters[0].waf.exclusions_path.n, 0);
    assert_true(
        str_eq(p.config->clusters[0].waf.exclusions, STR("SecRuleRemoveById 1\nSecRuleRemoveById 2\n")));
    done(&p);
}

static void mistakes_have_their_place(void **)
{
    refuses(REST "waf: {rules: [one.conf, none.conf]}\n" CLUSTER, 3, 25,
            "there is no file of rules 'none.conf'");
    refuses(REST "waf: {rules: 'z*.conf'}\n" CLUSTER, 3, 15, "no file of rules matches 'z*.conf'");
    refuses(REST "waf: {rules: locked.conf}\n" CLUSTER, 3, 14, "cannot be read: no permission to read it");
    refuses(REST "waf: {rules: 'q*'}\n" CLUSTER, 3, 15, "has a quote or a backslash in its name");
    refuses(REST "waf: {}\n" CLUSTER, 3, 6, "'waf' without 'rules' means Debian's rules, but there is no");
    refuses(REST "waf: {rules: one.conf, memory: 1}\n" CLUSTER, 3, 32, "memory");
    refuses(
        REST
        "clusters: [{name: n, hosts: n.example, waf: {mode: block}, routes: [{path: /, upstream: app}]}]\n",
        3, 45, "a cluster cannot be inspected without rules");
    refuses(
        REST
        "clusters: [{name: n, hosts: n.example, routes: [{path: /, upstream: app, waf: {mode: detect}}]}]\n",
        3, 86, "a route cannot be inspected without rules");
    refuses(
        REST
        "waf: {rules: one.conf}\nclusters: [{name: n, hosts: n.example, waf: {exclusions: nowhere.conf},\n"
        "  routes: [{path: /, upstream: app}]}]\n",
        4, 58, "cannot be read from 'nowhere.conf'");
}

/* What matched when the bundle was written matches in it, and nothing else does. */
static void a_bundle_answers_as_the_disk_did(void **)
{
    char path[] = "/tmp/polder-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    struct arena *arena = arena_new(1 << 20);
    struct str config_path = arena_printf(arena, "%s/p.yaml", path);
    struct str lines, again, bytes, error;
    struct config_disk *disk = config_disk_new(config_path);
    struct config_files on_disk = config_disk_files(disk), in_bundle;
    assert_true(on_disk.list(on_disk.self, STR("/etc/host[s]"), &lines));
    assert_true(str_eq(lines, STR("/etc/hosts\n")));
    assert_true(on_disk.read(on_disk.self, STR("/etc/hosts"), &bytes, &error));
    unsigned count;
    const struct config_bundle_entry *entries = config_disk_read(disk, &count);
    size_t size = config_bundle_size(config_path, STR("{}"), entries, count);
    struct buf b = buf_over(malloc(size), size);
    config_bundle_write(&b, config_path, STR("{}"), entries, count);
    assert_true(config_bundle_files(buf_text(&b), arena, &in_bundle));
    assert_true(in_bundle.list(in_bundle.self, STR("/etc/host[s]"), &again) && str_eq(again, lines));
    assert_false(in_bundle.list(in_bundle.self, STR("/etc/passw[d]"), &again));
    assert_true(in_bundle.read(in_bundle.self, STR("/etc/hosts"), &again, &error) && str_eq(again, bytes));
    assert_false(config_bundle_files(STR("nonsense"), arena, &in_bundle));
    free(b.p);
    config_disk_free(disk);
    arena_free(arena);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_section_nothing_is_inspected),
        cmocka_unit_test(clusters_block_unless_they_say_otherwise),
        cmocka_unit_test(exclusions_may_stand_in_the_configuration),
        cmocka_unit_test(mistakes_have_their_place),
        cmocka_unit_test(a_bundle_answers_as_the_disk_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
