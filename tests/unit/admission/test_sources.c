/* What is remembered of addresses and users, and what strangers cannot make it forget. */
#include "kit.h"

#include "admission/sources.h"

#define SECOND UINT64_C(1'000'000)
#define DAY    (86'400 * SECOND)

static struct kit fresh(void)
{
    return kit_new(1, 1, 1); /* 64 buckets: 512 places */
}

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse_ip(str_of(text), &a));
    return a;
}

static uint64_t address_key(const struct kit *k, const char *text)
{
    struct addr a = address(text);
    return admission_address_key(k->workers[0], &a);
}

static enum admission_class class_of(const struct kit *k, uint64_t address, uint64_t user, uint64_t now_us)
{
    struct admission_source s = {.address = address, .user = user};
    return admission_classify(k->workers[0], &s, now_us);
}

static void test_known_is_earned_and_decays(void **state)
{
    struct kit k = fresh();
    struct admission *a = k.workers[0];
    uint64_t key = address_key(&k, "192.0.2.1"), now = DAY;
    assert_int_equal(class_of(&k, key, 0, now), ADMISSION_UNKNOWN);
    admission_note_accepted(a, key, ADMISSION_POINTS_ACCEPTED, now);
    assert_int_equal(class_of(&k, key, 0, now), ADMISSION_KNOWN);
    assert_int_equal(class_of(&k, address_key(&k, "192.0.2.2"), 0, now), ADMISSION_UNKNOWN);
    for (unsigned i = 0; i < 30; i++)
        admission_note_accepted(a, key, ADMISSION_POINTS_ACCEPTED, now);
    assert_int_equal(class_of(&k, key, 0, now + 21 * DAY), ADMISSION_KNOWN); /* 255, 127, 63, 31 */
    assert_int_equal(class_of(&k, key, 0, now + 35 * DAY), ADMISSION_UNKNOWN);
    kit_free(&k);
}

static void test_an_address_is_a_32_or_a_64(void **state)
{
    struct kit k = fresh();
    assert_true(address_key(&k, "2001:db8:1:2::1") == address_key(&k, "2001:db8:1:2:ffff::9"));
    assert_true(address_key(&k, "2001:db8:1:2::1") != address_key(&k, "2001:db8:1:3::1"));
    assert_true(address_key(&k, "192.0.2.1") != address_key(&k, "192.0.2.2"));
    kit_free(&k);
}

static void test_suspicion_passes(void **state)
{
    struct kit k = fresh();
    uint64_t key = address_key(&k, "192.0.2.1"), now = DAY;
    admission_note_suspect(k.workers[0], key, ADMISSION_POINTS_WAF, now);
    assert_int_equal(class_of(&k, key, 0, now), ADMISSION_UNKNOWN);
    admission_note_suspect(k.workers[0], key, ADMISSION_POINTS_WAF, now);
    assert_int_equal(class_of(&k, key, 0, now), ADMISSION_SUSPECT);
    assert_int_equal(class_of(&k, key, 0, now + 900 * SECOND), ADMISSION_UNKNOWN);
    kit_free(&k);
}

static void test_a_block_ends(void **state)
{
    struct kit k = fresh();
    uint64_t key = address_key(&k, "192.0.2.1"), now = DAY;
    assert_true(admission_block(k.workers[0], key, 600, now));
    assert_int_equal(class_of(&k, key, 0, now + 590 * SECOND), ADMISSION_BLOCKED);
    assert_int_equal(class_of(&k, key, 0, now + 620 * SECOND), ADMISSION_UNKNOWN);
    assert_true(admission_block(k.workers[0], key, UINT32_MAX, now)); /* for ever is 30 days */
    assert_int_equal(class_of(&k, key, 0, now + 29 * DAY), ADMISSION_BLOCKED);
    assert_int_equal(class_of(&k, key, 0, now + 31 * DAY), ADMISSION_UNKNOWN);
    assert_true(admission_block(k.workers[0], key, 600, now));
    assert_int_equal(class_of(&k, key, 0, now + 700 * SECOND),
                     ADMISSION_UNKNOWN); /* the shorter one counts */
    assert_true(admission_block(k.workers[0], key, 600, now));
    admission_unblock(k.workers[0], key);
    assert_int_equal(class_of(&k, key, 0, now), ADMISSION_UNKNOWN);
    kit_free(&k);
}

/* A hospital behind one address: known staff, an infected machine, a visitor. */
static void test_a_shared_address_is_judged_by_user(void **state)
{
    struct kit k = fresh();
    struct admission *a = k.workers[0];
    uint64_t nat = address_key(&k, "192.0.2.1"), now = DAY;
    uint64_t nurse = admission_user_key(a, STR("session-of-a-nurse")),
             bad = admission_user_key(a, STR("stolen"));
    admission_note_accepted(a, nurse, ADMISSION_POINTS_ACCEPTED, now);
    admission_note_accepted(a, nat, ADMISSION_POINTS_ACCEPTED, now);
    for (unsigned i = 0; i < 4; i++)
        admission_note_suspect(a, nat, ADMISSION_POINTS_WAF, now);
    assert_int_equal(class_of(&k, nat, nurse, now), ADMISSION_KNOWN);
    assert_int_equal(class_of(&k, nat, 0, now), ADMISSION_UNKNOWN);
    assert_false(admission_block(a, nat, 600, now));
    assert_int_equal(class_of(&k, nat, nurse, now), ADMISSION_KNOWN);
    assert_true(admission_block(a, bad, 600, now));
    assert_int_equal(class_of(&k, nat, bad, now), ADMISSION_BLOCKED);
    struct admission_source machine = {.address = nat, .connection_points = ADMISSION_SUSPECT_POINTS};
    assert_int_equal(admission_classify(a, &machine, now), ADMISSION_SUSPECT);
    struct admission_source partner = {.address = nat, .is_partner = true};
    assert_int_equal(admission_classify(a, &partner, now), ADMISSION_PARTNER);
    kit_free(&k);
}

static void test_a_blocked_address_does_not_shut_out_its_known_user(void **state)
{
    struct kit k = fresh();
    uint64_t where = address_key(&k, "192.0.2.1"), who = admission_user_key(k.workers[0], STR("token"));
    assert_true(admission_block(k.workers[0], where, 600, DAY));
    admission_note_accepted(k.workers[0], who, ADMISSION_POINTS_ACCEPTED, DAY);
    assert_int_equal(class_of(&k, where, who, DAY), ADMISSION_KNOWN);
    assert_int_equal(class_of(&k, where, 0, DAY), ADMISSION_BLOCKED);
    kit_free(&k);
}

/* A hundred thousand sources with suspicion and blocks: whoever was known still is. */
static void test_strangers_push_nobody_out(void **state)
{
    struct kit k = fresh();
    struct admission *a = k.workers[0];
    uint64_t users[64], now = DAY;
    unsigned known = 0, known_after = 0;
    for (unsigned i = 0; i < 64; i++) {
        users[i] = admission_user_key(a, (struct str){(const char *)&i, sizeof i});
        admission_note_accepted(a, users[i], ADMISSION_POINTS_ACCEPTED, now);
    }
    for (unsigned i = 0; i < 64; i++)
        known += class_of(&k, 1, users[i], now) == ADMISSION_KNOWN;
    assert_int_equal(known, 64);
    for (unsigned i = 0; i < 100'000; i++) {
        uint64_t stranger = admission_user_key(a, (struct str){(const char *)&(uint64_t){i + 1'000'000}, 8});
        admission_note_suspect(a, stranger, 255, now + i);
        (void)admission_block(a, stranger, 3600, now + i);
    }
    for (unsigned i = 0; i < 64; i++)
        known_after += class_of(&k, 1, users[i], now) == ADMISSION_KNOWN;
    assert_int_equal(known_after, 64);
    kit_free(&k);
}

/* Eight regulars fill a bucket: who came once does not push one out, and a place that nobody needs is his. */
static void test_regulars_stay_before_those_who_came_once(void **state)
{
    struct kit k = {.shape = {1, 1, 1, 1}};
    k.size = admission_area_size(&k.shape);
    k.memory = aligned_alloc(64, (k.size + 63) / 64 * 64);
    memset(k.memory, 0, k.size);
    admission_area_init(k.memory, &k.shape, (struct hash_key){1, 2});
    k.workers[0] = kit_worker(&k, 0);
    uint64_t now = 30 * DAY, once = hash_mix(99);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned n = 0; n < 10; n++)
            admission_note_accepted(k.workers[0], hash_mix(i), ADMISSION_POINTS_ACCEPTED, now);
    admission_note_accepted(k.workers[0], once, ADMISSION_POINTS_ACCEPTED, now);
    assert_int_equal(class_of(&k, once, 0, now), ADMISSION_UNKNOWN);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(class_of(&k, hash_mix(i), 0, now), ADMISSION_KNOWN);
    admission_note_accepted(k.workers[0], once, ADMISSION_POINTS_ACCEPTED, now + 60 * DAY);
    assert_int_equal(class_of(&k, once, 0, now + 60 * DAY), ADMISSION_KNOWN);
    kit_free(&k);
}

static void test_asking_leaves_no_trace(void **state)
{
    struct kit k = fresh();
    void *before = malloc(k.size);
    memcpy(before, k.memory, k.size);
    for (unsigned i = 0; i < 10'000; i++)
        class_of(&k, hash_mix(i), hash_mix(i + 77), DAY);
    assert_memory_equal(before, k.memory, k.size);
    free(before);
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_is_earned_and_decays),
        cmocka_unit_test(test_an_address_is_a_32_or_a_64),
        cmocka_unit_test(test_suspicion_passes),
        cmocka_unit_test(test_a_block_ends),
        cmocka_unit_test(test_a_shared_address_is_judged_by_user),
        cmocka_unit_test(test_a_blocked_address_does_not_shut_out_its_known_user),
        cmocka_unit_test(test_strangers_push_nobody_out),
        cmocka_unit_test(test_regulars_stay_before_those_who_came_once),
        cmocka_unit_test(test_asking_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
