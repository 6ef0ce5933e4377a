/* Which virtual patches there are, which a cluster does without, and where the firewall's log is. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define REST                                                                                                 \
    "listeners: [{name: http, address: 127.0.0.1:8080}]\n"                                                   \
    "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"
#define CLUSTER "clusters: [{name: n, hosts: n.example, routes: [{path: /, upstream: app}]}]\n"

static bool list_files(void *, struct str pattern, struct str *ret_lines)
{
    *ret_lines = str_eq(pattern, STR("*.yaml"))              ? STR("/p/a.yaml\n/p/b.yaml\n")
                 : str_ends(pattern, STR("/patches/*.yaml")) ? STR("/share/CVE.yaml\n")
                 : str_eq(pattern, STR("one.conf"))          ? STR("/r/one.conf\n")
                 : str_eq(pattern, STR("q"))                 ? STR("/p/\".yaml\n")
                 : str_eq(pattern, STR("locked.yaml"))       ? STR("/p/locked.yaml\n")
                                                             : STR("");
    return true;
}

static bool read_file(void *, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    *ret_bytes = path;
    *ret_error = STR("no permission to read it");
    return str_find(path, STR("locked")) < 0;
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

static void test_files(void **)
{
    struct parsed p = parse(REST "waf: {rules: one.conf, patches: ['*.yaml']}\n" CLUSTER);
    assert_non_null(p.config);
    assert_int_equal(p.config->waf.patch_count, 2);
    assert_true(str_eq(p.config->waf.patches[1].path, STR("/p/b.yaml")));
    assert_true(str_eq(p.config->waf.patches[1].yaml, STR("/p/b.yaml")));
    done(&p);
    p = parse(REST "waf: {rules: one.conf}\n" CLUSTER); /* those that come with Polder */
    assert_int_equal(p.config->waf.patch_count, 1);
    done(&p);
    p = parse(REST "waf: {rules: one.conf, patches: []}\n" CLUSTER);
    assert_int_equal(p.config->waf.patch_count, 0);
    done(&p);
}

/* Another text is another configuration. */
static void test_digest(void **)
{
    struct parsed one = parse(REST "waf: {rules: one.conf, patches: ['*.yaml']}\n" CLUSTER);
    struct parsed other = parse(REST "waf: {rules: one.conf, patches: []}\n" CLUSTER);
    assert_memory_not_equal(one.config->digest, other.config->digest, sizeof one.config->digest);
    done(&one);
    done(&other);
}

static void test_exceptions(void **)
{
    struct parsed p =
        parse(REST "waf: {rules: one.conf}\nclusters: [{name: n, hosts: n.example, waf: "
                   "{patch_exceptions: [CVE-1, CVE-2]}, routes: [{path: /, upstream: app}]}]\n");
    assert_non_null(p.config);
    assert_int_equal(p.config->clusters[0].waf.patch_exception_count, 2);
    assert_true(str_eq(p.config->clusters[0].waf.patch_exceptions[1], STR("CVE-2")));
    done(&p);
}

static void test_log(void **)
{
    static const struct {
        const char *yaml, *log;
    } cases[] = {
        {REST CLUSTER, "off"},
        {REST "waf: {rules: one.conf}\n" CLUSTER, "/var/log/polder/waf.jsonl"},
        {REST "gate: {access_log: /x/y/a.log}\nwaf: {rules: one.conf}\n" CLUSTER, "/x/y/waf.jsonl"},
        {REST "gate: {access_log: off}\nwaf: {rules: one.conf}\n" CLUSTER, "off"},
        {REST "gate: {access_log: '-'}\nwaf: {rules: one.conf}\n" CLUSTER, "off"},
        {REST "gate: {waf_log: '-'}\nwaf: {rules: one.conf}\n" CLUSTER, "-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].yaml);
        assert_non_null(p.config);
        if (!str_eq(p.config->gate.waf_log, str_of(cases[i].log)))
            fail_msg("%zu: %.*s", i, STR_ARG(p.config->gate.waf_log));
        done(&p);
    }
}

static void refuses(const char *yaml, const char *text)
{
    struct parsed p = parse(yaml);
    assert_null(p.config);
    bool is_said = false;
    for (unsigned i = 0; i < p.count; i++)
        is_said = is_said || (p.problems[i].line == 3 && str_find(p.problems[i].text, str_of(text)) >= 0);
    if (!is_said)
        fail_msg("said %u: %.*s", p.problems[0].line, STR_ARG(p.problems[0].text));
    done(&p);
}

static void test_mistakes(void **)
{
    refuses(REST "waf: {rules: one.conf, patches: none.yaml}\n" CLUSTER,
            "there is no virtual patch 'none.yaml'");
    refuses(REST "waf: {rules: one.conf, patches: [locked.yaml]}\n" CLUSTER, "cannot be read: no permission");
    refuses(REST "waf: {rules: one.conf, patches: q}\n" CLUSTER, "has a quote or a backslash");
    refuses(REST "waf: {rules: one.conf, patches: {a: b}}\n" CLUSTER, "'patches' must be");
    refuses(REST "waf: {rules: one.conf, patches: [[a]]}\n" CLUSTER, "'patches' must be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files), cmocka_unit_test(test_digest),   cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_log),   cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
