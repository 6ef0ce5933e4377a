/* Nothing acknowledged is lost and nothing half is left, in PostgreSQL: the connection is cut, the process
 * that serves it is killed, the server crashes, at bytes all over the conversation; then the store is opened
 * anew and compared with what was said. */
#include "crash_groups.h"
#include "postgres_server.h"
#include "relay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char listen_path[160], server_path[160], relayed[320];

/* In a process of its own: says of each group how it ended. */
static void work(int out)
{
    struct store *s = NULL;
    memcpy(kit.location, relayed, sizeof relayed);
    enum store_result result = kit_open(STORE_WRITER, &s);
    for (unsigned group = 1; group <= CRASH_GROUPS && result == STORE_FINE; group++) {
        struct told told = {(uint8_t)group, (uint8_t)crash_write_group(s, group)};
        if (write(out, &told, sizeof told) != sizeof told)
            _exit(3);
        if (told.result == STORE_FINE)
            continue;
        int64_t now; /* the store must not go on after that */
        if (told.result != STORE_BROKEN || store_begin(s, 0, &now) != STORE_STOPPED ||
            store_checkpoint(s) != STORE_STOPPED)
            _exit(4);
        break;
    }
    store_close(s);
    _exit(0);
}

struct seen {
    unsigned acknowledged;
    bool is_unsure, has_killed;
    uint64_t counts[2];
};

static struct seen run(enum relay_event event, uint64_t at)
{
    int ends[2], report[2], status;
    struct told told;
    struct seen seen = {0};
    assert_int_equal(pipe(report), 0);
    pid_t relay = relay_start(listen_path, server_path, event, at, postgres_server_pid(), report[1]);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        work(ends[1]);
    }
    close(ends[1]);
    close(report[1]);
    while (read(ends[0], &told, sizeof told) == sizeof told) {
        if (told.result == STORE_FINE)
            seen.acknowledged = told.group;
        seen.is_unsure |= told.result == STORE_BROKEN;
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the writer ended by %x at byte %llu of event %d", status, (unsigned long long)at, event);
    assert_int_equal(waitpid(relay, &status, 0), relay);
    seen.has_killed = WIFEXITED(status) && WEXITSTATUS(status) == RELAY_HAS_KILLED;
    if (read(report[0], seen.counts, sizeof seen.counts) != sizeof seen.counts)
        seen.counts[0] = seen.counts[1] = 0;
    close(ends[0]);
    close(report[0]);
    return seen;
}

static void fresh(void)
{
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    postgres_server_do("postgres", "DROP DATABASE IF EXISTS store WITH (FORCE)");
    postgres_server_do("postgres", "CREATE DATABASE store TEMPLATE base");
}

static void check(enum relay_event event, uint64_t at)
{
    bool lied;
    enum store_result last;
    fresh();
    struct seen seen = run(event, at);
    if (event == RELAY_KILL_SERVER) {
        postgres_server_end(SIGQUIT);
        assert_true(postgres_server_start());
    }
    if (seen.has_killed) /* it ends all its processes, recovers and is ready again */
        assert_true(postgres_server_wait());
    assert_int_equal(kit_open(STORE_WRITER, &kit.writer), STORE_FINE);
    assert_int_equal(kit_open(STORE_READER, &kit.reader), STORE_FINE);
    unsigned there = crash_read_back(&last, &lied);
    if (lied || there < seen.acknowledged || there > seen.acknowledged + seen.is_unsure || kit_verify() != 0)
        fail_msg("event %d, byte %llu: %u groups acknowledged, %u there%s", event, (unsigned long long)at,
                 seen.acknowledged, there, lied ? ", one of them in part" : "");
    if (there < CRASH_GROUPS) /* and it goes on */
        assert_int_equal(crash_write_group(kit.writer, there + 1), STORE_FINE);
    arena_reset(kit.arena);
}

static void everywhere(enum relay_event event, unsigned points)
{
    fresh();
    struct seen all = run(RELAY_COUNT, 0);
    uint64_t bytes = all.counts[event == RELAY_CUT_ANSWERS], last = 0;
    assert_int_equal(all.acknowledged, CRASH_GROUPS);
    assert_true(bytes > 1'000);
    for (unsigned i = 1; i <= points; i++) {
        uint64_t at = bytes * i / (points + 1);
        if (at != last)
            check(event, at);
        last = at;
    }
}

static void test_cut(void **)
{
    everywhere(RELAY_CUT, 40);
}

static void test_answers_cut(void **)
{
    everywhere(RELAY_CUT_ANSWERS, 40);
}

static void test_backend_killed(void **)
{
    everywhere(RELAY_KILL_BACKEND, 12);
}

static void test_server_crashes(void **)
{
    everywhere(RELAY_KILL_SERVER, 12);
}

/* The store of a test as it is before anything was written. */
static int begin(void **state)
{
    char folder[96];
    if (kit_begin(state) != 0)
        return -1;
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    postgres_server_do("postgres", "CREATE DATABASE base TEMPLATE store");
    snprintf(folder, sizeof folder, "%s", kit.folder);
    snprintf(listen_path, sizeof listen_path, "%s/.s.PGSQL.5432", folder);
    snprintf(relayed, sizeof relayed, "postgresql://polder@/store?host=%s", folder);
    snprintf(server_path, sizeof server_path, "%s/.s.PGSQL.5432", postgres_server_folder());
    return 0;
}

static int end(void **state)
{
    unlink(listen_path);
    int result = kit_end(state);
    postgres_server_do("postgres", "DROP DATABASE base");
    return result;
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_answers_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_backend_killed, begin, end),
        cmocka_unit_test_setup_teardown(test_server_crashes, begin, end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
