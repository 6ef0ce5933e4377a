/* The WAF's part of the shared area: a ring of records that a worker gone wild cannot use against its reader,
 * hits of rules, and what replays of virtual patches showed. */
#include "proxy/shared.h"
#include "sys/shm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2 };

struct area {
    int fd;
    struct shared writer, reader;
};

static int area_open(void **state)
{
    static struct area a;
    a.fd = shm_create("shared", shared_size(WORKERS));
    assert_true(a.fd >= 0);
    void *memory = shm_map(a.fd, shared_size(WORKERS), true);
    assert_non_null(memory);
    shared_init(memory, WORKERS, (struct hash_key){1, 2}, &a.writer);
    assert_int_equal(shared_map_reader(a.fd, &a.reader), 0);
    *state = &a;
    return 0;
}

static int area_close(void **state)
{
    struct area *a = *state;
    munmap(a->writer.reader, a->writer.size);
    shared_unmap(&a->reader);
    close(a->fd);
    return 0;
}

/* A record that can be told from every other: its number, then as many bytes as it is long. */
static struct str record(char *memory, unsigned number, size_t length)
{
    memset(memory, (int)('a' + number % 26), length);
    struct buf out = buf_over(memory, length);
    buf_u64(&out, number);
    return (struct str){memory, length};
}

static void expect(struct area *a, unsigned number, size_t length)
{
    char memory[SHARED_AUDIT_RECORD_MAX], taken[SHARED_AUDIT_RECORD_MAX];
    bool is_broken;
    size_t n = shared_audit_take(&a->reader, 0, taken, &is_broken);
    assert_false(is_broken);
    assert_true(str_eq((struct str){taken, n}, record(memory, number, length)));
}

static void expect_none(struct area *a)
{
    char taken[SHARED_AUDIT_RECORD_MAX];
    bool is_broken;
    assert_int_equal(shared_audit_take(&a->reader, 0, taken, &is_broken), 0);
    assert_false(is_broken);
}

static size_t length_of(unsigned number)
{
    return 16 + number * 7919u % (SHARED_AUDIT_RECORD_MAX - 15);
}

static void test_records_in_order(void **state)
{
    struct area *a = *state;
    char memory[SHARED_AUDIT_RECORD_MAX];
    unsigned written = 0, read = 0;
    expect_none(a);
    while (read < 2000) { /* some fifty times around the ring */
        while (written < 2000 &&
               shared_audit_push(&a->writer, 0, record(memory, written, length_of(written))))
            written++;
        for (unsigned i = 0; i < 1 + read % 5 && read < written; i++, read++)
            expect(a, read, length_of(read));
    }
    expect_none(a);
}

static void test_full_ring(void **state)
{
    struct area *a = *state;
    char memory[SHARED_AUDIT_RECORD_MAX];
    unsigned fitting = SHARED_AUDIT_BYTES / (SHARED_AUDIT_RECORD_MAX + 4), pushed = 0;
    assert_false(shared_audit_push(&a->writer, 0, STR("")));
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_waf_audit_lost_total), 1);
    while (shared_audit_push(&a->writer, 0, record(memory, pushed, SHARED_AUDIT_RECORD_MAX)))
        pushed++;
    assert_int_equal(pushed, fitting);
    assert_int_equal(shared_counter_sum(&a->reader, COUNTER_waf_audit_lost_total), 2);
    for (unsigned i = 0; i < pushed; i++)
        expect(a, i, SHARED_AUDIT_RECORD_MAX);
    expect_none(a);
    assert_true(shared_audit_push(&a->writer, 0, record(memory, 7, 100)));
    expect(a, 7, 100);
}

/* Whatever stands in the ring and in its index: what comes out has a length within bounds, and the reader
 * gets to the end. */
static void test_hostile_ring(void **state)
{
    struct area *a = *state;
    struct shared_worker *w = shared_worker(&a->writer, 0);
    srandom(4711);
    for (unsigned round = 0; round < 2000; round++) {
        char taken[SHARED_AUDIT_RECORD_MAX];
        uint64_t read = a->reader.reader->audit_read[0],
                 ahead = (uint64_t)random() % (SHARED_AUDIT_BYTES * 2);
        for (unsigned i = 0; i < SHARED_AUDIT_BYTES; i += sizeof(uint32_t)) {
            uint32_t word = round % 3 ? (uint32_t)random() % 9000 : (uint32_t)random();
            if (round % 50 == 0 || i < 64)
                memcpy(w->audit + i, &word, sizeof word);
        }
        w->audit_written = round % 7 ? read + ahead : (uint64_t)random() << 33;
        bool is_broken = false;
        unsigned takes = 0;
        size_t n;
        while ((n = shared_audit_take(&a->reader, 0, taken, &is_broken)) > 0) {
            assert_true(n <= SHARED_AUDIT_RECORD_MAX);
            assert_true(++takes <= SHARED_AUDIT_BYTES);
        }
        assert_true(is_broken || a->reader.reader->audit_read[0] == w->audit_written);
        assert_int_equal(shared_audit_take(&a->reader, 0, taken, &is_broken), 0);
    }
}

/* A length beyond what was written: bytes of an older record must not come out as if they were of this one.
 */
static void test_length_beyond_the_written(void **state)
{
    struct area *a = *state;
    char taken[SHARED_AUDIT_RECORD_MAX];
    struct shared_worker *w = shared_worker(&a->writer, 0);
    static const uint32_t lengths[] = {0, 97, 8000, SHARED_AUDIT_RECORD_MAX + 1, UINT32_MAX};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bool is_broken = false;
        uint64_t at = w->audit_written;
        memcpy(w->audit + at % SHARED_AUDIT_BYTES, &lengths[i], sizeof lengths[i]);
        w->audit_written = at + 4 + 96;
        assert_int_equal(shared_audit_take(&a->reader, 0, taken, &is_broken), 0);
        assert_true(is_broken);
        assert_int_equal(a->reader.reader->audit_read[0], w->audit_written);
        expect_none(a);
    }
}

/* A writer killed between the bytes and the index has written nothing. */
static void test_killed_writer(void **state)
{
    struct area *a = *state;
    char memory[SHARED_AUDIT_RECORD_MAX];
    struct shared_worker *w = shared_worker(&a->writer, 0);
    assert_true(shared_audit_push(&a->writer, 0, record(memory, 1, 500)));
    uint64_t before = w->audit_written;
    assert_true(shared_audit_push(&a->writer, 0, record(memory, 2, 600)));
    w->audit_written = before;
    expect(a, 1, 500);
    expect_none(a);
    assert_true(shared_audit_push(&a->writer, 0, record(memory, 3, 700)));
    expect(a, 3, 700);
}

static void test_clear_excerpts(void **state)
{
    struct area *a = *state;
    assert_false(shared_excerpts_are_clear(&a->writer, 1000));
    shared_excerpts_set_clear(&a->reader, 5000);
    assert_true(shared_excerpts_are_clear(&a->writer, 1000));
    assert_true(shared_excerpts_are_clear(&a->writer, 4999));
    assert_false(shared_excerpts_are_clear(&a->writer, 5000));
    shared_excerpts_set_clear(&a->reader, UINT64_MAX); /* for ever is not for a bounded time */
    assert_false(shared_excerpts_are_clear(&a->writer, 1000));
    shared_excerpts_set_clear(&a->reader, 1000 + SHARED_EXCERPTS_CLEAR_MS);
    assert_true(shared_excerpts_are_clear(&a->writer, 1000));
}

/* ---- rules */

static void test_rule_counts(void **state)
{
    struct area *a = *state;
    struct rule_sum sums[8];
    for (unsigned i = 0; i < 5; i++)
        shared_count_rule(&a->writer, i % WORKERS, 3, 942100, false);
    for (unsigned i = 0; i < 3; i++)
        shared_count_rule(&a->writer, i % WORKERS, 3, 942100, true);
    shared_count_rule(&a->writer, 0, 4, 942100, true);
    shared_count_rule(&a->writer, 1, 3, 949110, true);
    shared_count_rule(&a->writer, 1, 3, 949110, true);
    shared_count_rule(&a->writer, 1, SHARED_NO_SLOT, 1, true);
    assert_int_equal(shared_rule_sums(&a->reader, sums, 8), 4);
    assert_true(sums[0].cluster_slot == 3 && sums[0].rule_id == 942100 && sums[0].detected == 5 &&
                sums[0].blocked == 3);
    assert_true(sums[1].cluster_slot == 3 && sums[1].rule_id == 949110 && sums[1].blocked == 2);
    assert_true(sums[2].cluster_slot == 4 && sums[2].rule_id == 942100);
    assert_true(sums[3].cluster_slot == SHARED_NO_SLOT && sums[3].blocked == 1);
    assert_int_equal(shared_rule_sums(&a->reader, sums, 2), 2);
}

/* More pairs than rows: nothing is lost, what finds no row counts in the one behind them. */
static void test_rule_overflow(void **state)
{
    enum { PAIRS = 3 * SHARED_RULE_ROWS };
    struct area *a = *state;
    struct rule_sum *sums = calloc(SHARED_RULE_ROWS + 1, sizeof *sums);
    uint64_t total = 0;
    bool has_overflow = false;
    assert_non_null(sums);
    for (unsigned i = 0; i < PAIRS; i++)
        shared_count_rule(&a->writer, 0, i % SHARED_CLUSTERS_MAX, 900'000 + i, i & 1);
    size_t n = shared_rule_sums(&a->reader, sums, SHARED_RULE_ROWS + 1);
    for (size_t i = 0; i < n; i++) {
        total += sums[i].detected + sums[i].blocked;
        has_overflow = has_overflow || sums[i].cluster_slot == SHARED_NO_SLOT;
    }
    assert_int_equal(total, PAIRS);
    assert_true(has_overflow);
    assert_true(sums[0].cluster_slot == SHARED_NO_SLOT);
    free(sums);
}

static void test_slot_of_another_cluster(void **state)
{
    struct area *a = *state;
    struct rule_sum sums[4];
    struct patch_result result = {.state = PATCH_EFFECTIVE, .generation = 1, .at_us = 5};
    uint32_t slot = shared_cluster_claim(&a->writer, 111, 1, 1);
    shared_count_rule(&a->writer, 1, slot, 942100, true);
    shared_patch_set(&a->writer, 0, slot, 2, &result);
    assert_int_equal(shared_cluster_claim(&a->writer, 222, 2, 2),
                     slot); /* the old one's configuration is gone */
    assert_int_equal(shared_rule_sums(&a->reader, sums, 4), 0);
    assert_false(shared_patch_get(&a->reader, slot, 2, 1, &result));
    shared_count_rule(&a->writer, 1, slot, 942100, false);
    assert_int_equal(shared_rule_sums(&a->reader, sums, 4), 1);
    assert_true(sums[0].detected == 1 && sums[0].blocked == 0);
}

static void test_hostile_rules(void **state)
{
    struct area *a = *state;
    struct rule_sum sums[64];
    memset((void *)shared_worker(&a->writer, 0)->rules, 0xff, sizeof shared_worker(&a->writer, 0)->rules);
    size_t n = shared_rule_sums(&a->reader, sums, 64);
    assert_int_equal(n, 1); /* no cluster has that slot: the overflow's row */
    assert_true(sums[0].cluster_slot == SHARED_NO_SLOT);
    shared_count_rule(&a->writer, 0, 1, 2, true);
}

static void test_patches(void **state)
{
    struct area *a = *state;
    struct patch_result got, result = {.state = PATCH_NOT_EFFECTIVE,
                                       .reason = PATCH_LET_THROUGH,
                                       .request = 9,
                                       .generation = 77,
                                       .at_us = 123};
    assert_false(shared_patch_get(&a->reader, 5, 6, 77, &got));
    shared_patch_set(&a->writer, 1, 5, 6, &result);
    assert_true(shared_patch_get(&a->reader, 5, 6, 77, &got));
    assert_true(got.state == PATCH_NOT_EFFECTIVE && got.reason == PATCH_LET_THROUGH && got.request == 9 &&
                got.at_us == 123);
    assert_false(shared_patch_get(&a->reader, 5, 6, 78, &got)); /* not under this configuration */
    result.state = PATCH_EFFECTIVE;
    result.at_us = 124;
    shared_patch_set(&a->writer, 0, 5, 6, &result);
    assert_true(shared_patch_get(&a->reader, 5, 6, 77, &got) && got.state == PATCH_EFFECTIVE);
    shared_worker(&a->writer, 0)->patches[5][6].state = UINT64_MAX;
    assert_true(shared_patch_get(&a->reader, 5, 6, 77, &got) && got.state == PATCH_NOT_EFFECTIVE);
    shared_patch_set(&a->writer, 0, SHARED_NO_SLOT, 6, &result);
    assert_false(shared_patch_get(&a->reader, SHARED_NO_SLOT, 6, 77, &got));
    assert_false(shared_patch_get(&a->reader, 5, SHARED_PATCHES_MAX, 77, &got));
}

int main(void)
{
#define IN_AREA(test) cmocka_unit_test_setup_teardown(test, area_open, area_close)
    const struct CMUnitTest tests[] = {
        IN_AREA(test_records_in_order),
        IN_AREA(test_full_ring),
        IN_AREA(test_hostile_ring),
        IN_AREA(test_length_beyond_the_written),
        IN_AREA(test_killed_writer),
        IN_AREA(test_clear_excerpts),
        IN_AREA(test_rule_counts),
        IN_AREA(test_rule_overflow),
        IN_AREA(test_slot_of_another_cluster),
        IN_AREA(test_hostile_rules),
        IN_AREA(test_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
