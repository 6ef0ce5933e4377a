/* Nothing acknowledged is lost and nothing half is left: the process is killed, the disk fails, is full or
 * loses power at every call that changes a file, then the store is opened anew and compared with what was
 * said. */
#include "crash_groups.h"
#include "faulty_vfs.h"
#include "store_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char base_folder[64];

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; in >= 0 && (n = read(in, bytes, sizeof bytes)) > 0;)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

/* In a process of its own: says of each group how it ended. */
static void work(int out)
{
    struct store *s = NULL;
    kit.vfs = faulty_vfs();
    enum store_result result = kit_open(STORE_WRITER, &s);
    for (unsigned group = 1; group <= CRASH_GROUPS && result == STORE_FINE; group++) {
        struct told told = {(uint8_t)group, (uint8_t)crash_write_group(s, group)};
        if (write(out, &told, sizeof told) != sizeof told)
            _exit(3);
        if (told.result == STORE_BROKEN) { /* the store must not go on after that */
            int64_t now;
            if (store_begin(s, 0, &now) != STORE_STOPPED || store_checkpoint(s) != STORE_STOPPED)
                _exit(4);
            break;
        }
        if (told.result != STORE_FINE)
            group--, faulty.kind = told.result == STORE_NO_SPACE ? faulty.kind : FAULT_NONE;
        if (group == 3 && told.result == STORE_FINE && store_checkpoint(s) != STORE_FINE)
            break;
    }
    store_close(s);
    _exit(0);
}

/* The number of calls that change files. told: the last group that was acknowledged, or the one that broke.
 */
static uint64_t run(enum fault_kind kind, uint64_t at, unsigned *ret_acknowledged, bool *ret_is_unsure)
{
    int ends[2], status;
    struct told told;
    uint64_t calls = 0;
    assert_int_equal(pipe(ends), 0);
    copy_file(arena_printf(kit.arena, "%s/records.db", base_folder).p, kit_file("records.db"));
    unlink(kit_file("records.db-wal"));
    unlink(kit_file("records.db-shm"));
    faulty = (struct faulty){.kind = kind, .at = at, .seed = at * 977};
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (kind == FAULT_NONE) { /* only counts */
            struct store *s;
            kit.vfs = faulty_vfs();
            if (kit_open(STORE_WRITER, &s) != STORE_FINE)
                _exit(5);
            for (unsigned group = 1; group <= CRASH_GROUPS; group++) {
                if (crash_write_group(s, group) != STORE_FINE ||
                    (group == 3 && store_checkpoint(s) != STORE_FINE))
                    _exit(6);
            }
            store_close(s);
            _exit(write(ends[1], &faulty.calls, sizeof faulty.calls) == sizeof faulty.calls ? 0 : 7);
        }
        work(ends[1]);
    }
    close(ends[1]);
    *ret_acknowledged = 0;
    *ret_is_unsure = kind == FAULT_KILL || kind == FAULT_POWER;
    if (kind == FAULT_NONE)
        assert_int_equal(read(ends[0], &calls, sizeof calls), sizeof calls);
    else
        while (read(ends[0], &told, sizeof told) == sizeof told) {
            if (told.result == STORE_FINE)
                *ret_acknowledged = told.group;
            *ret_is_unsure |= told.result == STORE_BROKEN;
        }
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!died && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail_msg("the writer ended by %x at call %llu of kind %d", status, (unsigned long long)at, kind);
    return calls;
}

static void check(enum fault_kind kind, uint64_t at)
{
    unsigned acknowledged;
    bool is_unsure, lied;
    enum store_result last;
    run(kind, at, &acknowledged, &is_unsure);
    kit.vfs = NULL;
    assert_int_equal(kit_open(STORE_WRITER, &kit.writer), STORE_FINE);
    assert_int_equal(kit_open(STORE_READER, &kit.reader), STORE_FINE);
    unsigned there = crash_read_back(&last, &lied);
    if (lied || there < acknowledged || there > acknowledged + is_unsure || kit_verify() != 0)
        fail_msg("kind %d, call %llu: %u groups acknowledged, %u there%s", kind, (unsigned long long)at,
                 acknowledged, there, lied ? ", one of them in part" : "");
    /* and it goes on */
    if (there < CRASH_GROUPS)
        assert_int_equal(crash_write_group(kit.writer, there + 1), STORE_FINE);
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
}

static void every_call(enum fault_kind kind)
{
    unsigned acknowledged;
    bool is_unsure;
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    uint64_t calls = run(FAULT_NONE, 0, &acknowledged, &is_unsure);
    assert_true(calls > 50);
    for (uint64_t at = 1; at <= calls; at++) {
        check(kind, at);
        arena_reset(kit.arena);
    }
}

static void test_error(void **)
{
    every_call(FAULT_ERROR);
}

static void test_error_that_stays(void **)
{
    every_call(FAULT_ERROR_STAYS);
}

static void test_full_disk(void **)
{
    every_call(FAULT_FULL);
}

static void test_half_a_write(void **)
{
    every_call(FAULT_HALF);
}

static void test_kill(void **)
{
    every_call(FAULT_KILL);
}

static void test_power(void **)
{
    every_call(FAULT_POWER);
}

/* Making a store: whatever was left, it can be made or opened then. */
static void test_making(void **)
{
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    for (uint64_t at = 1; at < 400; at += at < 20 ? 1 : 23) {
        int status;
        static const char *const names[] = {"records.db", "records.db-wal", "records.db-shm",
                                            "records.db-journal"};
        for (size_t i = 0; i < 4; i++)
            unlink(kit_file(names[i]));
        faulty = (struct faulty){.kind = FAULT_POWER, .at = at, .seed = at};
        pid_t child = fork();
        if (child == 0) {
            struct store *s;
            kit.vfs = faulty_vfs();
            (void)kit_open(STORE_WRITER, &s);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        kit.vfs = NULL;
        assert_int_equal(kit_open(STORE_WRITER, &kit.writer), STORE_FINE);
        assert_int_equal(crash_write_group(kit.writer, 1), STORE_FINE);
        store_close(kit.writer);
        kit.writer = NULL;
    }
}

static int setup(void **state)
{
    if (kit_setup(state) != 0 || kit_begin(state) != 0)
        return -1;
    snprintf(base_folder, sizeof base_folder, "%s", kit.folder);
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    arena_free(kit.arena); /* each test has one of its own */
    kit.arena = NULL;
    return 0;
}

static int teardown(void **state)
{
    kit_remove_files(base_folder);
    return kit_teardown(state);
}

static int clean_end(void **state)
{
    kit.vfs = NULL;
    return kit_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_error, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_error_that_stays, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_full_disk, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_half_a_write, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_kill, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_power, kit_begin, clean_end),
        cmocka_unit_test_setup_teardown(test_making, kit_begin, clean_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
