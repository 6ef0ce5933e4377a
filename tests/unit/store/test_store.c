/* Writing, reading, versions, groups, history. */
#include "store_test.h"

#include <string.h>

static const char patient[] = "{'resourceType':'Patient','id':'a','name':[{'family':'Jansen'}]}";
static const char renamed[] = "{'resourceType':'Patient','id':'a','name':[{'family':'de Vries'}]}";

static struct store_record read_one(const char *name, enum store_result wanted)
{
    struct str id = str_of(name), type = str_cut(&id, '/');
    struct store_record record = {0};
    assert_int_equal(store_read(kit.reader, NULL, fhir_type_find(type), id, kit.arena, &record), wanted);
    return record;
}

static void test_bytes_come_back(void **)
{
    assert_int_equal(kit_do(STORE_CREATE, "Patient/a", patient, STORE_NO_VERSION), STORE_FINE);
    struct store_record r = read_one("Patient/a", STORE_FINE);
    assert_int_equal(r.version, 1);
    assert_int_equal(r.verb, STORE_CREATE);
    struct store_write same = kit_write(STORE_CREATE, "Patient/a", patient, 0);
    assert_true(str_eq(r.body, same.body));
    assert_true(str_eq(r.id, STR("a")));
    read_one("Patient/b", STORE_NOT_FOUND);
    read_one("Observation/a", STORE_NOT_FOUND);
    kit_reopen();
    assert_true(str_eq(read_one("Patient/a", STORE_FINE).body, same.body));
}

static void test_versions(void **)
{
    struct store_record r;
    const struct fhir_type *type = fhir_type_find(STR("Patient"));
    assert_int_equal(kit_do(STORE_CREATE, "Patient/a", patient, STORE_NO_VERSION), STORE_FINE);
    assert_int_equal(kit_do(STORE_CREATE, "Patient/a", patient, STORE_ANY_VERSION), STORE_EXISTS);
    assert_int_equal(kit_do(STORE_UPDATE, "Patient/a", renamed, 2), STORE_CONFLICT);
    assert_int_equal(kit_do(STORE_UPDATE, "Patient/a", renamed, STORE_NO_VERSION), STORE_CONFLICT);
    assert_int_equal(kit_do(STORE_UPDATE, "Patient/a", renamed, 1), STORE_FINE);
    FINDS("Patient?family=jansen", "=0");
    FINDS("Patient?family=de vries", "Patient/a");
    assert_int_equal(kit_do(STORE_DELETE, "Patient/a", NULL, 1), STORE_CONFLICT);
    assert_int_equal(kit_do(STORE_DELETE, "Patient/a", NULL, 2), STORE_FINE);
    assert_int_equal(kit_do(STORE_DELETE, "Patient/a", NULL, STORE_ANY_VERSION), STORE_FINE); /* nothing */
    r = read_one("Patient/a", STORE_DELETED);
    assert_int_equal(r.version, 3);
    FINDS("Patient?_id=a", "=0");
    assert_int_equal(kit_do(STORE_CREATE, "Patient/a", patient, STORE_NO_VERSION), STORE_FINE);
    r = read_one("Patient/a", STORE_FINE);
    assert_int_equal(r.version, 4);
    assert_int_equal(r.verb, STORE_CREATE);
    assert_int_equal(store_read_version(kit.reader, NULL, type, STR("a"), 2, kit.arena, &r), STORE_FINE);
    assert_true(str_find(r.body, STR("de Vries")) > 0);
    assert_int_equal(store_read_version(kit.reader, NULL, type, STR("a"), 3, kit.arena, &r), STORE_DELETED);
    assert_int_equal(store_read_version(kit.reader, NULL, type, STR("a"), 5, kit.arena, &r), STORE_NOT_FOUND);
    assert_int_equal(store_read_version(kit.reader, NULL, type, STR("a"), 0, kit.arena, &r), STORE_NOT_FOUND);
    assert_int_equal(store_read_version(kit.reader, NULL, type, STR("a"), 1ULL << 40, kit.arena, &r),
                     STORE_NOT_FOUND);
    FINDS("Patient?family=jansen", "Patient/a");
    assert_int_equal(kit_verify(), 0);
}

static void test_a_transaction_is_all_or_nothing(void **)
{
    int64_t now;
    size_t failed = 99;
    kit_put("Patient/a", patient);
    struct store_write first[] = {kit_write(STORE_CREATE, "Patient/b", patient, STORE_NO_VERSION),
                                  kit_write(STORE_UPDATE, "Patient/a", renamed, 7)};
    struct store_write second[] = {kit_write(STORE_CREATE, "Patient/c", patient, STORE_NO_VERSION),
                                   kit_write(STORE_UPDATE, "Patient/a", renamed, 1)};
    struct store_write third[] = {kit_write(STORE_UPDATE, "Patient/a", patient, 1)};
    assert_int_equal(store_begin(kit.writer, 0, &now), STORE_FINE);
    assert_int_equal(store_apply(kit.writer, first, 2, &failed), STORE_CONFLICT);
    assert_int_equal(failed, 1);
    struct store_write twice[] = {second[0], kit_write(STORE_CREATE, "Patient/d", patient, STORE_NO_VERSION),
                                  second[0]};
    assert_int_equal(store_apply(kit.writer, twice, 3, &failed), STORE_CONFLICT);
    assert_int_equal(failed, 2);
    assert_int_equal(store_apply(kit.writer, second, 2, &failed), STORE_FINE);
    assert_int_equal(second[1].ret_version, 2);
    assert_int_equal(store_apply(kit.writer, third, 1, &failed), STORE_CONFLICT);
    uint64_t version;
    bool exists;
    assert_int_equal(store_next(kit.writer, third[0].type, STR("a"), &version, &exists), STORE_FINE);
    assert_int_equal(version, 3);
    assert_true(exists);
    read_one("Patient/c", STORE_NOT_FOUND); /* nobody sees it yet */
    struct store_found page;                /* but the writer does */
    struct store_search search = {.query = kit_query("Patient?family=vries,de"), .count = 10};
    assert_int_equal(store_search(kit.writer, NULL, &search, kit.arena, &page), STORE_FINE);
    assert_int_equal(page.match_count, 1);
    assert_int_equal(store_commit(kit.writer), STORE_FINE);
    read_one("Patient/b", STORE_NOT_FOUND);
    read_one("Patient/c", STORE_FINE);
    FINDS("Patient?family=jansen", "Patient/c");
    assert_int_equal(kit_verify(), 0);
}

static void test_one_resource_many_times_in_a_group(void **)
{
    int64_t now;
    size_t failed;
    static const char *const bodies[] = {patient, renamed, NULL, patient, renamed};
    assert_int_equal(store_begin(kit.writer, 0, &now), STORE_FINE);
    for (size_t i = 0; i < 5; i++) {
        struct store_write w =
            kit_write(bodies[i] ? STORE_UPDATE : STORE_DELETE, "Patient/a", bodies[i], STORE_ANY_VERSION);
        assert_int_equal(store_apply(kit.writer, &w, 1, &failed), STORE_FINE);
    }
    assert_int_equal(store_commit(kit.writer), STORE_FINE);
    FINDS("Patient?family=jansen", "=0");
    FINDS("Patient?family=de", "Patient/a");
    assert_int_equal(kit_verify(), 0);
}

static void test_an_aborted_group_leaves_nothing(void **)
{
    int64_t now;
    size_t failed;
    struct store_write w = kit_write(STORE_CREATE, "Patient/a", patient, STORE_NO_VERSION);
    assert_int_equal(store_begin(kit.writer, 0, &now), STORE_FINE);
    assert_int_equal(store_apply(kit.writer, &w, 1, &failed), STORE_FINE);
    store_abort(kit.writer);
    read_one("Patient/a", STORE_NOT_FOUND);
    kit_put("Patient/x", "{'resourceType':'Patient','id':'x','name':[{'family':'Jansen'}]}");
    FINDS("Patient?family=jansen", "Patient/x");
    assert_int_equal(kit_verify(), 0);
}

static size_t history_of(struct store_history h, char *ret, size_t room)
{
    struct buf out = buf_over(ret, room);
    struct store_page page;
    size_t pages = 0;
    h.since_us = h.since_us ? h.since_us : INT64_MIN;
    h.at_low_us = INT64_MIN;
    h.at_high_us = INT64_MAX;
    do {
        assert_int_equal(store_history(kit.reader, NULL, &h, kit.arena, &page), STORE_FINE);
        for (size_t i = 0; i < page.n; i++)
            buf_printf(&out, "%.*s.%llu ", STR_ARG(page.records[i].id),
                       (unsigned long long)page.records[i].version);
        h.position = page.next;
        pages++;
    } while (page.next.n);
    buf_char(&out, 0);
    return pages;
}

static void test_history(void **)
{
    char text[200];
    const struct fhir_type *type = fhir_type_find(STR("Patient"));
    kit_put("Patient/a", patient);
    kit_put("Organization/o", "{'resourceType':'Organization','id':'o'}");
    kit_put("Patient/b", patient);
    kit_put("Patient/a", renamed);
    kit_do(STORE_DELETE, "Patient/a", NULL, STORE_ANY_VERSION);
    assert_int_equal(history_of((struct store_history){.count = 2}, text, sizeof text), 3);
    assert_string_equal(text, "a.3 a.2 b.1 o.1 a.1 ");
    assert_int_equal(history_of((struct store_history){.count = 3, .type = type}, text, sizeof text), 2);
    assert_string_equal(text, "a.3 a.2 b.1 a.1 ");
    assert_int_equal(
        history_of((struct store_history){.count = 2, .type = type, .id = STR("a")}, text, sizeof text), 2);
    assert_string_equal(text, "a.3 a.2 a.1 ");
    struct store_record r = read_one("Patient/b", STORE_FINE);
    history_of((struct store_history){.count = 9, .since_us = r.time_us}, text, sizeof text);
    assert_string_equal(text, "a.3 a.2 b.1 ");
    struct store_page page;
    struct store_history h = {
        .count = 5, .since_us = INT64_MIN, .at_low_us = r.time_us, .at_high_us = r.time_us + 1};
    assert_int_equal(store_history(kit.reader, NULL, &h, kit.arena, &page), STORE_FINE);
    assert_int_equal(page.n, 3); /* what was current then: b.1, o.1, a.1 */
    h.position = STR("!");
    assert_int_equal(store_history(kit.reader, NULL, &h, kit.arena, &page), STORE_BAD_POSITION);
}

static void test_a_store_has_one_name_and_one_writer(void **)
{
    struct store *other;
    struct store_options o = {.role = STORE_READER, .cluster = STR("another"), .indexer = kit.indexer};
    assert_int_equal(store_open(str_of(kit.location), &o, &other), STORE_OTHER);
    assert_int_equal(kit_open(STORE_WRITER, &other), STORE_BUSY);
    o.cluster = STR("test");
    assert_int_equal(store_open(STR("/nowhere/at/all"), &o, &other), STORE_OTHER);
    assert_int_equal(store_open(STR("/tmp/a\0b"), &o, &other), STORE_OTHER);
}

static void test_snapshot(void **)
{
    kit_put("Patient/a", patient);
    assert_int_equal(store_snapshot_begin(kit.reader), STORE_FINE);
    uint64_t sequence = store_last_sequence(kit.reader);
    kit_put("Patient/b", patient);
    read_one("Patient/b", STORE_NOT_FOUND);
    assert_int_equal(store_last_sequence(kit.reader), sequence);
    store_snapshot_end(kit.reader);
    read_one("Patient/b", STORE_FINE);
}

static void test_time_never_goes_back(void **)
{
    int64_t first, second;
    assert_int_equal(store_begin(kit.writer, 5'000'000, &first), STORE_FINE);
    assert_int_equal(first, 5'000'000);
    assert_int_equal(store_commit(kit.writer), STORE_FINE);
    assert_int_equal(store_begin(kit.writer, 4'000'000, &second), STORE_FINE);
    assert_int_equal(second, 5'000'000);
    store_abort(kit.writer);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_come_back, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_versions, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_a_transaction_is_all_or_nothing, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_one_resource_many_times_in_a_group, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_an_aborted_group_leaves_nothing, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_history, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_a_store_has_one_name_and_one_writer, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_snapshot, kit_begin, kit_end),
        cmocka_unit_test_setup_teardown(test_time_never_goes_back, kit_begin, kit_end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
