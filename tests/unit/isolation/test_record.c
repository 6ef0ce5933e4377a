/* The record: round trip of every state that random orders lead to, every truncation, every flipped bit, two
 * slots, and what a boot unit makes of them. */
#include "kit.h"

#include "isolation/codec.h"

enum { ROOM = 1 << 17, SEEDS = 40, STEPS = 60 };

struct desk {
    struct kit kit;
    struct arena *arena;
    char text[2][ROOM];
};

static struct desk *desk_new(void)
{
    struct desk *d = calloc(1, sizeof *d);
    assert_non_null(d);
    kit_init(&d->kit);
    d->arena = arena_new(ISOLATION_RECORD_ARENA);
    return d;
}

static void desk_free(struct desk *d)
{
    arena_free(d->arena);
    free(d);
}

static struct str written(struct desk *d, unsigned slot, const struct isolation_state *s, uint64_t sequence)
{
    struct buf out = buf_over(d->text[slot], ROOM);
    isolation_record_write(&out, s, sequence);
    assert_false(buf_overflowed(&out));
    return buf_text(&out);
}

/* A state with a bit of everything. */
static struct isolation_state *full_state(const struct kit *k)
{
    struct isolation_state *s = kit_state();
    struct isolation_order o = kit_isolate(ISOLATION_CLOSED, "");
    struct isolation_exception *e = kit_ask(&o, "umc", KIT_BEGIN + KIT_DAY);
    e->has_prefix = true;
    assert_true(addr_parse_prefix(STR("192.0.2.77/28"), &e->prefix));
    kit_ask(&o, "z-cert", KIT_BEGIN + KIT_HOUR)->direction = ISOLATION_OUT;
    kit_must(k, s, &o, KIT_BEGIN);
    o = kit_isolate(ISOLATION_SEALED, "zuid");
    o.until_us = KIT_BEGIN + KIT_DAY;
    o.confirm_by_us = KIT_BEGIN + KIT_HOUR;
    kit_must(k, s, &o, KIT_BEGIN);
    o = kit_partner(ISOLATION_EVENT_NEXT, "apotheek", "");
    kit_must(k, s, &o, KIT_BEGIN);
    memset(s->anchor.hash, 0xa5, sizeof s->anchor.hash);
    s->anchor.sequence = 12;
    return s;
}

static void test_round_trip(void **)
{
    struct desk *d = desk_new();
    struct isolation_state *s = malloc(sizeof *s), *again = malloc(sizeof *again);
    uint64_t sequence;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t chance = seed * 0x9e3779b97f4a7c15u;
        int64_t now_us = KIT_BEGIN;
        isolation_state_init(s, now_us);
        for (unsigned i = 0; i < STEPS; i++) {
            now_us += KIT_SECOND * kit_below(&chance, 5000);
            kit_tick(s, kit_at(now_us));
            struct isolation_order o = kit_random_order(&d->kit, &chance, now_us);
            (void)kit_apply(&d->kit, s, &o, now_us);
            struct str text = written(d, 0, s, i);
            assert_true(isolation_record_read(text, d->arena, again, &sequence));
            assert_int_equal(sequence, i);
            assert_true(str_eq(written(d, 1, again, i), text));
        }
    }
    free(s);
    free(again);
    desk_free(d);
}

static void test_every_damage(void **)
{
    struct desk *d = desk_new();
    struct isolation_state *s = full_state(&d->kit), *again = malloc(sizeof *again);
    uint64_t sequence;
    struct str text = written(d, 0, s, 7);
    assert_true(isolation_record_read(text, d->arena, again, &sequence));
    for (size_t n = 0; n < text.n; n++)
        assert_false(isolation_record_read(str_take(text, n), d->arena, again, &sequence));
    for (size_t bit = 0; bit < 8 * text.n; bit++) {
        d->text[0][bit / 8] = (char)(d->text[0][bit / 8] ^ 1 << bit % 8);
        assert_false(isolation_record_read(text, d->arena, again, &sequence));
        d->text[0][bit / 8] = (char)(d->text[0][bit / 8] ^ 1 << bit % 8);
    }
    assert_true(isolation_record_read(text, d->arena, again, &sequence));
    free(s);
    free(again);
    desk_free(d);
}

/* A right checksum alone makes no record: what is changed with care must still be one that we would write. */
static bool reads_with(struct desk *d, struct str text, const char *old, const char *new)
{
    static const struct hash_key key = {0x706f6c646572, 0x69736f6c6174696f};
    struct isolation_state *again = malloc(sizeof *again);
    uint64_t sequence;
    struct buf out = buf_over(d->text[1], ROOM);
    ptrdiff_t at = str_find(text, str_of(old));
    assert_true(at >= 0);
    buf_str(&out, str_take(text, (size_t)at));
    buf_str(&out, str_of(new));
    buf_str(&out, str_skip(str_take(text, text.n - 18), (size_t)at + strlen(old)));
    uint64_t sum = hash_bytes(&key, out.p, out.n);
    buf_printf(&out, "\n%016llx\n", (unsigned long long)sum);
    bool is_read = isolation_record_read(buf_text(&out), d->arena, again, &sequence);
    free(again);
    return is_read;
}

static void test_forged(void **)
{
    struct desk *d = desk_new();
    struct isolation_state *s = full_state(&d->kit);
    struct str text = written(d, 0, s, 7);
    static const char *const pairs[][2] = {
        {"\"sequence\":7", "\"sequence\":07"},
        {"\"sequence\":7", "\"sequence\": 7"},
        {"\"sequence\":7", "\"sequence\":-7"},
        {"\"order\":3", "\"order\":2"},
        {"\"half\":false", "\"half\":0"},
        {"\"level\":\"closed\"", "\"level\":\"shut\""},
        {"192.0.2.64/28", "192.0.2.64/129"},
        {"\"before\":[{", "\"before\":[],\"x\":[{"},
        {"\"journal_sequence\":12", "\"journal_sequence\":12,\"journal_sequence\":12"},
        {"a5a5", "A5a5"},
        {"isolation 1", "isolation 2"},
        {"\"cluster\":\"zuid\",\"who\"", "\"cluster\":\"\",\"who\""},
        {"\"cut\":1", "\"cut\":0"},
        {"\"stage\":\"read-only\"", "\"stage\":\"read\""},
    };
    assert_true(reads_with(d, text, "\"sequence\":7", "\"sequence\":8"));
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (reads_with(d, text, pairs[i][0], pairs[i][1]))
            fail_msg("read with %s", pairs[i][1]);
    free(s);
    desk_free(d);
}

static void test_slots(void **)
{
    struct desk *d = desk_new();
    struct isolation_state *s = full_state(&d->kit), *got = malloc(sizeof *got), *open = kit_state();
    struct str older = written(d, 0, open, 7), newer = written(d, 1, s, 8);
    struct isolation_slots slots = isolation_record_choose(older, newer, d->arena, got);
    assert_true(slots.choice == ISOLATION_RECORD_FINE && slots.next == 0 && slots.sequence == 9);
    assert_int_equal(got->order, s->order);
    slots = isolation_record_choose(newer, older, d->arena, got);
    assert_true(slots.choice == ISOLATION_RECORD_FINE && slots.next == 1 && got->order == s->order);
    slots = isolation_record_choose(older, STR_NONE, d->arena, got);
    assert_true(slots.choice == ISOLATION_RECORD_FINE && slots.next == 1 && slots.sequence == 8);
    slots = isolation_record_choose(str_take(older, 40), newer, d->arena, got);
    assert_true(slots.choice == ISOLATION_RECORD_DAMAGED && slots.next == 0 && got->order == s->order);
    slots = isolation_record_choose(STR_NONE, STR("x"), d->arena, got);
    assert_true(slots.choice == ISOLATION_RECORD_NONE && slots.sequence == 1);
    free(s);
    free(got);
    free(open);
    desk_free(d);
}

static uint8_t boot_level(struct isolation_state *s, enum isolation_choice choice,
                          struct isolation_moment now)
{
    struct isolation_state *scratch = calloc(2, sizeof *scratch);
    assert_non_null(scratch);
    isolation_record_boot(choice, s, now, scratch);
    assert_true(choice == ISOLATION_RECORD_NONE || state_is_sane(s));
    free(scratch);
    return isolation_level(s, STR_NONE);
}

static void test_boot(void **)
{
    struct kit k;
    kit_init(&k);
    struct isolation_state *s = kit_state();
    assert_int_equal(boot_level(s, ISOLATION_RECORD_FINE, kit_at(KIT_BEGIN)), ISOLATION_OPEN);
    assert_int_equal(boot_level(s, ISOLATION_RECORD_DAMAGED, kit_at(KIT_BEGIN)), ISOLATION_CLOSED);
    assert_int_equal(boot_level(s, ISOLATION_RECORD_NONE, kit_at(KIT_BEGIN)), ISOLATION_CLOSED);
    isolation_state_init(s, KIT_BEGIN);
    struct isolation_order o = kit_isolate(ISOLATION_SEALED, "");
    o.until_us = KIT_BEGIN + KIT_HOUR;
    kit_must(&k, s, &o, KIT_BEGIN);
    /* An end that opens waits for the journal, whatever the clock shows at boot. */
    assert_int_equal(boot_level(s, ISOLATION_RECORD_FINE, kit_at(KIT_BEGIN + KIT_DAY)), ISOLATION_SEALED);
    assert_int_equal(boot_level(s, ISOLATION_RECORD_DAMAGED, kit_at(KIT_BEGIN)), ISOLATION_SEALED);
    isolation_state_init(s, KIT_BEGIN);
    o = kit_isolate(ISOLATION_CLOSED, "");
    kit_must(&k, s, &o, KIT_BEGIN);
    o = kit_isolate(ISOLATION_OPEN, "");
    o.until_us = KIT_BEGIN + KIT_HOUR;
    kit_must(&k, s, &o, KIT_BEGIN);
    assert_int_equal(isolation_level(s, STR_NONE), ISOLATION_OPEN);
    assert_int_equal(
        boot_level(s, ISOLATION_RECORD_FINE, (struct isolation_moment){KIT_BEGIN + KIT_DAY, false}),
        ISOLATION_CLOSED); /* one that closes does not */
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_every_damage), cmocka_unit_test(test_forged),
        cmocka_unit_test(test_slots),      cmocka_unit_test(test_boot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
