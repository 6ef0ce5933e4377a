/* Verifying, copies, dictionaries, compaction, keys anew. */
#include "postgres_server.h"
#include "store_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *printed(unsigned i)
{
    return arena_printf(kit.arena,
                        "{'resourceType':'Observation','id':'x%u','status':'final','code':{'coding':[{'"
                        "system':'http://loinc."
                        "org','code':'%u-4','display':'Blood pressure %u'}],'text':'A measurement of many "
                        "words'},'subject':{"
                        "'reference':'Patient/"
                        "p%u'},'effectiveDateTime':'2020-01-%02u','valueQuantity':{'value':%u.%u,'unit':"
                        "'mm[Hg]','system':'http://unitsofmeasure.org','code':'mm[Hg]'}}%c",
                        i, i % 9, i % 9, i % 7, 1 + i % 28, i % 200, i % 10, 0)
        .p;
}

static void fill(unsigned n)
{
    int64_t now;
    size_t failed;
    assert_int_equal(store_begin(kit.writer, 0, &now), STORE_FINE);
    for (unsigned i = 0; i < n; i++) {
        struct str name = arena_printf(kit.arena, "Observation/x%u%c", i, 0);
        struct store_write w = kit_write(STORE_UPDATE, name.p, printed(i), STORE_ANY_VERSION);
        assert_int_equal(store_apply(kit.writer, &w, 1, &failed), STORE_FINE);
    }
    assert_int_equal(store_commit(kit.writer), STORE_FINE);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* in_postgres: the same in its words; NULL: they are the same. */
static void change_by_hand(const char *sql, const char *in_postgres)
{
    sqlite3 *db;
    char *error = NULL;
    if (kit.is_postgres) {
        postgres_server_do("store", in_postgres ? in_postgres : sql);
        return;
    }
    assert_int_equal(sqlite3_open(kit_file("records.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

static unsigned faults[STORE_FAULT_KEY + 1];

static void count_fault(void *, const struct store_finding *f)
{
    faults[f->fault]++;
    assert_true(f->what.n > 0);
}

static uint64_t verify_again(void)
{
    struct store_verified all;
    memset(faults, 0, sizeof faults);
    assert_int_equal(store_verify(kit.reader, count_fault, NULL, &all), STORE_FINE);
    return all.faults;
}

static void test_verify_finds_what_was_changed(void **)
{
    fill(30);
    kit_put("Observation/x3", printed(4));
    assert_int_equal(verify_again(), 0);
    change_by_hand(
        "DELETE FROM keys WHERE k IN (SELECT k FROM keys ORDER BY k LIMIT 1 OFFSET 40)",
        "DELETE FROM polder.keys WHERE k IN (SELECT k FROM polder.keys ORDER BY k LIMIT 1 OFFSET 40)");
    assert_int_equal(verify_again(), 1);
    assert_int_equal(faults[STORE_FAULT_KEY], 1);
    change_by_hand("INSERT INTO keys VALUES (x'0200000001000000010000000000000000000302')",
                   "INSERT INTO polder.keys VALUES ('\\x0200000001000000010000000000000000000302')");
    assert_int_equal(verify_again(), 2);
    change_by_hand(
        "UPDATE resource SET body = (SELECT body FROM resource ORDER BY rid LIMIT 1 OFFSET 5) WHERE rid = "
        "(SELECT rid FROM resource ORDER BY rid LIMIT 1 OFFSET 9)",
        "UPDATE polder.resource SET body = (SELECT body FROM polder.resource ORDER BY rid LIMIT 1 OFFSET 5) "
        "WHERE "
        "rid = (SELECT rid FROM polder.resource ORDER BY rid LIMIT 1 OFFSET 9)");
    assert_int_equal(verify_again() > 2, true);
    assert_int_equal(faults[STORE_FAULT_BODY], 1);
    change_by_hand("DELETE FROM old", "DELETE FROM polder.old");
    verify_again();
    assert_true(faults[STORE_FAULT_VERSION] >= 1);
}

/* A body that is another's is not given out, though it can be unpacked. */
static void test_a_wrong_body_is_no_data(void **)
{
    struct store_record r;
    fill(3);
    change_by_hand(
        "UPDATE resource SET body = (SELECT body FROM resource WHERE rid = 1), head = substr(head, 1) WHERE "
        "rid = 3",
        "UPDATE polder.resource SET body = (SELECT body FROM polder.resource WHERE rid = 1) WHERE rid = 3");
    unsigned corrupt = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct str id = arena_printf(kit.arena, "x%u", i);
        enum store_result result =
            store_read(kit.reader, NULL, fhir_type_find(STR("Observation")), id, kit.arena, &r);
        corrupt += result == STORE_CORRUPT;
        if (result == STORE_FINE)
            assert_true(str_find(r.body, arena_printf(kit.arena, "\"id\":\"x%u\"", i)) > 0);
    }
    assert_int_equal(corrupt, 1);
}

/* Each page in turn is overwritten: reading gives what was written, or an error; verifying finds it. */
static void test_damaged_pages(void **)
{
    enum { PAGE = 4'096 };
    char garbage[PAGE], page[PAGE];
    struct store_record r;
    if (kit.is_postgres)
        skip(); /* the pages are the server's; it has checksums of its own */
    fill(60);
    store_close(kit.reader);
    store_close(kit.writer);
    kit.writer = kit.reader = NULL;
    const char *path = kit_file("records.db");
    off_t pages = size_of(path) / PAGE;
    unsigned unseen = 0, looked = 0;
    for (off_t p = 1; p < pages; p++) {
        memset(garbage, (int)p, sizeof garbage);
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, page, PAGE, p * PAGE), PAGE);
        assert_int_equal(pwrite(fd, garbage, PAGE, p * PAGE), PAGE);
        if (kit_open(STORE_READER, &kit.reader) == STORE_FINE) {
            looked++;
            for (unsigned i = 0; i < 60; i++) {
                struct str id = arena_printf(kit.arena, "x%u", i);
                enum store_result result =
                    store_read(kit.reader, NULL, fhir_type_find(STR("Observation")), id, kit.arena, &r);
                struct store_write w = kit_write(STORE_UPDATE, "Observation/x", printed(i), 0);
                if (result == STORE_FINE && !str_eq(r.body, w.body))
                    fail_msg("page %ld: other bytes", (long)p);
            }
            struct store_verified all = {0};
            enum store_result verified = store_verify(kit.reader, count_fault, NULL, &all);
            unseen += verified == STORE_FINE && all.faults == 0;
            store_close(kit.reader);
            kit.reader = NULL;
        }
        assert_int_equal(pwrite(fd, page, PAGE, p * PAGE), PAGE);
        close(fd);
    }
    assert_int_equal(unseen, 0);
    assert_true(looked > 5);
    assert_int_equal(kit_open(STORE_READER, &kit.reader), STORE_FINE);
    assert_int_equal(verify_again(), 0);
}

static bool count_steps(void *context, uint64_t done, uint64_t all)
{
    unsigned *steps = context;
    (*steps)++;
    return done <= all && *steps < 1'000;
}

static bool refuse(void *, uint64_t, uint64_t)
{
    return false;
}

static void remove_store(void)
{
    if (kit.is_postgres)
        postgres_server_do("store", "DROP SCHEMA polder CASCADE");
    unlink(kit_file("records.db"));
    unlink(kit_file("records.db-wal"));
    unlink(kit_file("records.db-shm"));
}

static void test_backup_and_restore(void **)
{
    unsigned steps = 0;
    struct store_options o = {.cluster = STR("test"), .indexer = kit.indexer};
    struct str copy = str_of(kit_file("copy.db"));
    fill(40);
    assert_int_equal(store_backup(kit.reader, copy, refuse, NULL), STORE_BUSY);
    assert_int_equal(size_of(copy.p), -1);
    assert_int_equal(store_backup(kit.reader, copy, count_steps, &steps), STORE_FINE);
    assert_true(steps > 0);
    assert_int_equal(store_backup(kit.reader, copy, NULL, NULL), STORE_OTHER); /* it is there already */
    kit_put("Observation/x1", printed(99));                                    /* not in the copy */
    assert_int_equal(store_restore(copy, str_of(kit.location), &o), STORE_BUSY);
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    assert_int_equal(store_restore(copy, str_of(kit.location), &o), STORE_OTHER); /* a store is there */
    remove_store();
    o.cluster = STR("another");
    assert_int_equal(store_restore(copy, str_of(kit.location), &o), STORE_OTHER);
    assert_int_equal(size_of(kit_file("records.db")), -1);
    assert_int_equal(kit_open(STORE_READER, &kit.reader), STORE_OTHER);
    o.cluster = STR("test");
    assert_int_equal(store_restore(copy, str_of(kit.location), &o), STORE_FINE);
    kit_reopen();
    FINDS("Observation?_id=x1&code=1-4", "Observation/x1");
    assert_int_equal(verify_again(), 0);
}

static void test_dictionary_and_compaction(void **)
{
    struct str dictionary = STR_NONE;
    struct store_size before, after;
    const struct fhir_type *type = fhir_type_find(STR("Observation"));
    assert_null(store_wants_dictionary(kit.writer, 1'000));
    fill(1'500);
    assert_null(store_wants_dictionary(kit.writer, 2'000));
    assert_ptr_equal(store_wants_dictionary(kit.writer, 1'000), type);
    assert_null(store_wants_dictionary(kit.writer, 1'000));
    assert_int_equal(store_train(kit.reader, type, kit.arena, &dictionary), STORE_FINE);
    assert_true(dictionary.n > 0);
    assert_int_equal(store_add_dictionary(kit.writer, type, dictionary), STORE_FINE);
    kit_put("Observation/x1500", printed(1'500)); /* by the dictionary, which the reader does not know yet */
    FINDS("Observation?_id=x1500", "Observation/x1500");
    kit_put("Observation/x5", printed(6));
    assert_int_equal(store_checkpoint(kit.writer), STORE_FINE);
    assert_int_equal(store_measure(kit.writer, &before), STORE_FINE);
    assert_int_equal(store_compact(kit.writer), STORE_FINE);
    assert_int_equal(store_measure(kit.writer, &after), STORE_FINE);
    assert_true(kit.is_postgres || after.file_bytes < before.file_bytes);
    assert_int_equal(after.resources, 1'501);
    assert_int_equal(after.versions, 1'502);
    kit_reopen();
    assert_int_equal(verify_again(), 0);
    FINDS("Observation?_id=x1500", "Observation/x1500");
}

static void test_keys_anew(void **)
{
    struct store_options o = {.role = STORE_WRITER, .cluster = STR("test"), .indexer = kit.indexer};
    struct store *s;
    fill(20);
    kit_do(STORE_DELETE, "Observation/x2", NULL, STORE_ANY_VERSION);
    change_by_hand("DELETE FROM keys; UPDATE info SET value = '0' WHERE name = 'index'",
                   "DELETE FROM polder.keys; UPDATE polder.info SET value = '0' WHERE name = 'index'");
    FINDS("Observation?code=1-4", "=0");
    store_close(kit.reader);
    store_close(kit.writer);
    kit.reader = kit.writer = NULL;
    assert_int_equal(store_open(str_of(kit.location), &o, &s), STORE_OLD_INDEX);
    assert_int_equal(store_reindex(str_of(kit.location), &o), STORE_FINE);
    kit_reopen();
    FINDS("Observation?code=http://loinc.org|1-4&_sort=_id",
          "Observation/x1 Observation/x10 Observation/x19");
    assert_int_equal(verify_again(), 0);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verify_finds_what_was_changed, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_a_wrong_body_is_no_data, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_damaged_pages, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_backup_and_restore, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_dictionary_and_compaction, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_keys_anew, kit_begin, kit_end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
