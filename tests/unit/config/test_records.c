/* The section of the record service: alone or beside a gate, with all its mistakes told at once. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena *arena;
static struct config_problem *problems;
static unsigned count;

static bool no_file(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    *ret_error = STR("no such file");
    return false;
}

static struct config *parse(const char *yaml)
{
    struct config_files files = {.read = no_file};
    arena_reset(arena);
    return config_parse(STR("x"), str_of(yaml), &files, arena, &problems, &count);
}

static void refuses(const char *yaml, unsigned line, const char *words)
{
    struct config *config = parse(yaml);
    assert_null(config);
    for (unsigned i = 0; i < count; i++)
        if (problems[i].line == line && str_find(problems[i].text, str_of(words)) >= 0)
            return;
    fail_msg("line %u does not say '%s'", line, words);
}

#define LISTENERS "records:\n  listeners: [127.0.0.1:8090]\n  access: off\n"

static void alone(void **state)
{
    struct config *c =
        parse(LISTENERS "  workers: 2\n  clusters:\n"
                        "    - {name: noord, path: /noord/fhir}\n"
                        "    - {name: zuid, path: /zuid, url: \"https://zuid.example/fhir\"}\n");
    assert_non_null(c);
    assert_true(c->records.is_set);
    assert_int_equal(c->listener_count, 0);
    assert_int_equal(c->records.workers, 2);
    assert_int_equal(c->records.owners, 1);
    assert_int_equal(c->records.cluster_count, 2);
    assert_true(str_eq(c->records.clusters[0].url, STR("http://127.0.0.1:8090/noord/fhir")));
    assert_true(str_eq(c->records.clusters[1].url, STR("https://zuid.example/fhir")));
    assert_true(str_eq(c->records.data_directory, STR("/var/lib/polder-records")));
    config_free(c);
}

static void mistakes(void **state)
{
    refuses("records: {}\n", 1, "records needs 'listeners'");
    refuses(LISTENERS, 2, "records needs 'clusters'");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a/}\n", 5, "no '/' at its end");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /}\n", 5, "path");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a}\n    - {name: a, path: /b}\n", 6,
            "already taken");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a}\n    - {name: b, path: /a}\n", 6,
            "already taken");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a}\n    - {name: b, path: /a/b}\n", 6,
            "lies inside");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a, store: 'mysql://localhost/a'}\n", 5,
            "postgresql://");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a, store: 'postgresql:///a'}\n"
                      "    - {name: b, path: /b, store: 'postgresql:///a'}\n",
            6, "has this database already");
    refuses(LISTENERS "  clusters:\n    - {name: a, path: /a, url: \"ftp://x/y\"}\n", 5, "https://");
    refuses(LISTENERS "  page: 7\n  page_limit: 6\n  clusters:\n    - {name: a, path: /a}\n", 4,
            "page_limit");
    refuses(LISTENERS "  page: 7\n  clusters:\n    - {name: a, path: /a}\nlisteners: []\n", 7,
            "has no entries");
}

#define CLUSTERS "  clusters:\n    - {name: a, path: /a}\n"
#define GUARDED  "records:\n  listeners: [127.0.0.1:8090]\n" CLUSTERS

static void who_may_ask(void **state)
{
    refuses(GUARDED, 2, "records needs 'issuers'");
    refuses("records:\n  listeners: [192.0.2.1:8090]\n  access: off\n" CLUSTERS, 3, "must be on loopback");
    refuses("records:\n  listeners: [127.0.0.1:1, \"[::2]:8090\"]\n  access: off\n" CLUSTERS, 3,
            "must be on loopback");
    refuses(GUARDED "  issuers:\n    - {url: \"http://inloggen.example\", jwks: x}\n", 6, "https://");
    refuses(GUARDED "  issuers:\n    - {url: \"https://inloggen.example\", jwks: x}\n", 6, "no such file");
    refuses(
        GUARDED
        "    - {name: b, path: /b}\n  issuers:\n    - {url: \"https://a.example\", audience: x, jwks: y}\n",
        7, "a token of one cluster");
    refuses(GUARDED "  partners: [mcl]\n", 5, "behind_gate");
    refuses("records:\n  listeners: [{address: \"127.0.0.1:8090\", behind_gate: true}]\n" CLUSTERS
            "  partners: [mcl]\n",
            5, "no partner 'mcl'");
    refuses(GUARDED "  roles: [{code: x, as: cluster}]\n", 5, "practice");
}

static void without_it_a_gate_is_needed(void **state)
{
    refuses("gate: {workers: 1}\n", 1, "needs 'upstreams'");
}

static int set_up(void **state)
{
    arena = arena_new(8 << 20);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(who_may_ask),
        cmocka_unit_test(without_it_a_gate_is_needed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
