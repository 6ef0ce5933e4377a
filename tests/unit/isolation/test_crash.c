/* A crash at every point of every order: before each step, inside each write to disk, with and without a
 * reboot, and once more at every point of the recovery. A machine here has two slots, a journal, a kernel and
 * workers. */
#include "kit.h"

#include "isolation/parts.h"

enum { JOURNAL_ROOM = 1 << 17, SLOT_ROOM = 1 << 15, ORDERS = 16, SEEDS = 2 };

struct machine {
    char slot[2][SLOT_ROOM], journal[JOURNAL_ROOM];
    size_t slot_n[2], journal_n;
    struct isolation_slots slots;
    struct isolation_journal writer;
    struct isolation_state kernel, workers;
    unsigned cuts; /* how often sessions were cut */
    enum isolation_recovery outcome;
};

struct bench {
    struct kit kit;
    struct arena *records, *lines;
    struct machine base, m, again;
    struct isolation_state now, next, strict, result, record, scratch[2];
};

/* How much of a step is done before the crash. */
enum part { NOTHING, HALF, ALL };

static void write_slot(struct machine *m, const struct isolation_state *s, enum part part)
{
    struct isolation_state *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = *s;
    copy->anchor = m->writer.end;
    struct buf out = buf_over(m->slot[m->slots.next], SLOT_ROOM);
    isolation_record_write(&out, copy, m->slots.sequence);
    free(copy);
    assert_false(buf_overflowed(&out));
    m->slot_n[m->slots.next] = part == ALL ? out.n : out.n / 2;
    if (part == ALL) {
        m->slots.next = !m->slots.next;
        m->slots.sequence++;
    }
}

static void write_journal(struct machine *m, const struct isolation_step *step,
                          const struct isolation_work *work, enum part part)
{
    struct buf out = buf_over(m->journal + m->journal_n, JOURNAL_ROOM - m->journal_n);
    struct isolation_results results = {.sessions_cut = 3};
    if (step->effect == ISOLATION_EFFECT_JOURNAL_ORDER)
        isolation_journal_order(&m->writer, &out, step->state, work, KIT_BEGIN);
    else
        isolation_journal_done(&m->writer, &out, step->state, m->outcome, &results, KIT_BEGIN);
    assert_false(buf_overflowed(&out));
    m->journal_n += part == ALL ? out.n : out.n / 2;
}

static void perform(struct machine *m, const struct isolation_step *step, const struct isolation_work *work,
                    enum part part)
{
    bool is_on_disk = step->effect == ISOLATION_EFFECT_WRITE ||
                      step->effect == ISOLATION_EFFECT_JOURNAL_ORDER ||
                      step->effect == ISOLATION_EFFECT_JOURNAL_DONE;
    if (part == NOTHING || (part == HALF && !is_on_disk))
        return;
    switch (step->effect) {
    case ISOLATION_EFFECT_FILTER:
        m->kernel = *step->state;
        break;
    case ISOLATION_EFFECT_WORKERS:
        m->workers = *step->state;
        break;
    case ISOLATION_EFFECT_WRITE:
        write_slot(m, step->state, part);
        break;
    case ISOLATION_EFFECT_CUT:
        m->cuts++;
        break;
    default:
        write_journal(m, step, work, part);
    }
}

/* Performs the work up to a crash in step `at` (work->count: none). */
static void perform_until(struct machine *m, const struct isolation_work *work, unsigned at, enum part part)
{
    for (unsigned i = 0; i < work->count && i <= at; i++)
        perform(m, &work->step[i], work, i < at ? ALL : part);
}

static void look(struct bench *b, struct machine *m, struct isolation_state *ret,
                 struct isolation_finding *ret_journal)
{
    m->slots = isolation_record_choose((struct str){m->slot[0], m->slot_n[0]},
                                       (struct str){m->slot[1], m->slot_n[1]}, b->records, ret);
    isolation_journal_verify((struct str){m->journal, m->journal_n}, kit_sha256, &ret->anchor, b->lines,
                             ret_journal);
    assert_int_equal(ret_journal->how, ISOLATION_CHAIN_WHOLE);
    m->journal_n = ret_journal->whole_bytes;
    m->writer.end = ret_journal->end;
}

static void reboot(struct bench *b, struct machine *m, int64_t now_us)
{
    struct isolation_finding journal;
    look(b, m, &m->kernel, &journal);
    isolation_record_boot(m->slots.choice, &m->kernel, kit_at(now_us), b->scratch);
    m->workers = m->kernel;
}

static enum isolation_recovery recover(struct bench *b, struct machine *m, int64_t now_us,
                                       struct isolation_work *work)
{
    struct isolation_finding journal;
    struct isolation_found_level found[ISOLATION_SCOPES];
    look(b, m, &b->record, &journal);
    for (unsigned i = 0; i < m->kernel.scope_count; i++)
        found[i] = (struct isolation_found_level){ISOLATION_STR(m->kernel.scope[i].cluster),
                                                  stack_top(&m->kernel.scope[i].now)->level};
    const struct isolation_state *record = m->slots.choice == ISOLATION_RECORD_NONE ? NULL : &b->record;
    m->outcome =
        isolation_recover(record, &journal.tail, found, m->kernel.scope_count, now_us, &b->result, work);
    return m->outcome;
}

static void must_be_as_strict(const struct bench *b, const struct isolation_state *s,
                              const struct isolation_state *as, const struct isolation_state * or,
                              int64_t now_us, const char *what)
{
    uint8_t is[KIT_QUESTIONS], x[KIT_QUESTIONS], y[KIT_QUESTIONS];
    kit_answers(&b->kit, s, now_us, is);
    kit_answers(&b->kit, as, now_us, x);
    kit_answers(&b->kit, or, now_us, y);
    for (unsigned i = 0; i < KIT_QUESTIONS; i++)
        if (is[i] < x[i] && is[i] < y[i])
            fail_msg("%s: question %u: %d, and should be %d or %d at least", what, i, is[i], x[i], y[i]);
}

/* What holds at every instant: the kernel is as strict as the newest record, and nothing is opened that does
 * not stand in the journal. */
static void check_instant(struct bench *b, struct machine *m, int64_t now_us)
{
    struct isolation_finding journal;
    look(b, m, &b->record, &journal);
    if (m->slots.choice != ISOLATION_RECORD_NONE)
        must_be_as_strict(b, &m->kernel, &b->record, &b->record, now_us, "kernel beside record");
    bool is_journalled = journal.tail.has_order && journal.tail.order == b->next.order;
    const struct isolation_state *may = is_journalled ? &b->next : &b->now;
    must_be_as_strict(b, &m->kernel, &b->now, may, now_us, "kernel beside journal");
    must_be_as_strict(b, &b->record, &b->now, may, now_us, "record beside journal");
}

static void check_end(struct bench *b, struct machine *m, int64_t now_us)
{
    struct isolation_work work;
    must_be_as_strict(b, &m->kernel, &b->now, &b->next, now_us, "after the recovery");
    must_be_as_strict(b, &m->workers, &m->kernel, &m->kernel, now_us, "workers beside kernel");
    must_be_as_strict(b, &m->kernel, &m->workers, &m->workers, now_us, "kernel beside workers");
    if (recover(b, m, now_us, &work) != ISOLATION_SETTLED)
        fail_msg("not settled after a recovery: %.*s",
                 STR_ARG(isolation_recovery_text(m->outcome, ISOLATION_EN)));
    must_be_as_strict(b, &b->result, &m->kernel, &m->kernel, now_us, "record beside kernel");
    must_be_as_strict(b, &m->kernel, &b->result, &b->result, now_us, "kernel beside record at the end");
}

/* The recovery, and the recovery with a crash at each of its own steps. */
static void recover_everywhere(struct bench *b, struct machine *m, bool is_reboot, int64_t now_us)
{
    struct isolation_work work;
    struct machine *again = &b->again;
    unsigned count = 1;
    for (unsigned at = 0; at <= count; at++) {
        for (unsigned part = NOTHING; part <= HALF; part++) {
            *again = *m;
            recover(b, again, now_us, &work);
            count = work.count;
            perform_until(again, &work, at, (enum part)part);
            if (is_reboot)
                reboot(b, again, now_us);
            recover(b, again, now_us, &work);
            perform_until(again, &work, work.count, ALL);
            check_end(b, again, now_us);
        }
    }
}

static void crash_everywhere(struct bench *b, int64_t now_us)
{
    struct isolation_work work;
    isolation_work_make(&b->now, &b->next, &b->strict, &work);
    for (unsigned at = 0; at <= work.count; at++) {
        for (unsigned part = NOTHING; part <= HALF; part++) {
            for (unsigned is_reboot = 0; is_reboot < 2; is_reboot++) {
                b->m = b->base;
                perform_until(&b->m, &work, at, (enum part)part);
                check_instant(b, &b->m, now_us);
                if (is_reboot)
                    reboot(b, &b->m, now_us);
                check_instant(b, &b->m, now_us);
                recover_everywhere(b, &b->m, is_reboot, now_us);
            }
        }
    }
}

static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    kit_init(&b->kit);
    b->records = arena_new(ISOLATION_RECORD_ARENA);
    b->lines = arena_new(ISOLATION_JOURNAL_ARENA);
    isolation_state_init(&b->now, KIT_BEGIN);
    b->base = (struct machine){
        .kernel = b->now, .workers = b->now, .writer.hash_of = kit_sha256, .slots.sequence = 1};
    write_slot(&b->base, &b->now, ALL);
    return b;
}

static void bench_free(struct bench *b)
{
    arena_free(b->records);
    arena_free(b->lines);
    free(b);
}

static void carry_out(struct bench *b)
{
    struct isolation_work work;
    b->base.outcome = ISOLATION_SETTLED;
    isolation_work_make(&b->now, &b->next, &b->strict, &work);
    perform_until(&b->base, &work, work.count, ALL);
    b->now = b->next;
}

static void test_random_orders(void **)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = bench_new();
        uint64_t chance = seed * 0x9e3779b97f4a7c15u;
        int64_t now_us = KIT_BEGIN;
        for (unsigned done = 0; done < ORDERS;) {
            now_us += KIT_SECOND * kit_below(&chance, 4000);
            int64_t next_us;
            if (isolation_tick(&b->now, kit_at(now_us), &b->next, &next_us)) {
                crash_everywhere(b, now_us);
                carry_out(b);
            }
            struct isolation_order o = kit_random_order(&b->kit, &chance, now_us);
            if (isolation_apply(&b->now, &o, &b->kit.inventory, &b->kit.policy, kit_at(now_us), &b->next))
                continue;
            crash_everywhere(b, now_us);
            carry_out(b);
            done++;
        }
        assert_true(b->base.journal_n > 10'000);
        bench_free(b);
    }
}

/* ---- the table at the head of recover.c, row by row */

struct row {
    const char *what;
    enum isolation_recovery
        verdict[ISOLATION_STEPS + 1]; /* after a crash before step i; the last: after all */
    unsigned steps;
};

static void check_row(struct bench *b, const struct row *row, int64_t now_us)
{
    struct isolation_work work, recovery;
    isolation_work_make(&b->now, &b->next, &b->strict, &work);
    assert_int_equal(work.count, row->steps);
    for (unsigned at = 0; at <= work.count; at++) {
        b->m = b->base;
        perform_until(&b->m, &work, at, NOTHING);
        enum isolation_recovery is = recover(b, &b->m, now_us, &recovery);
        if (is != row->verdict[at])
            fail_msg("%s, before step %u: %.*s", row->what, at,
                     STR_ARG(isolation_recovery_text(is, ISOLATION_EN)));
    }
}

static void test_verdicts(void **)
{
    static const struct row closing = {"closing",
                                       {ISOLATION_SETTLED, ISOLATION_KEPT, ISOLATION_KEPT,
                                        ISOLATION_COMPLETED, ISOLATION_RESUMED, ISOLATION_RESUMED,
                                        ISOLATION_SETTLED},
                                       6};
    static const struct row opening = {"opening",
                                       {ISOLATION_SETTLED, ISOLATION_ABANDONED, ISOLATION_RESUMED,
                                        ISOLATION_RESUMED, ISOLATION_RESUMED, ISOLATION_SETTLED},
                                       5};
    /* From level partners to closed with an exception for a partner that was cut off: both at once. */
    static const struct row mixed = {"both",
                                     {ISOLATION_SETTLED, ISOLATION_KEPT, ISOLATION_KEPT, ISOLATION_HALVED,
                                      ISOLATION_HALVED, ISOLATION_RESUMED, ISOLATION_RESUMED,
                                      ISOLATION_RESUMED, ISOLATION_RESUMED, ISOLATION_SETTLED},
                                     9};
    struct bench *b = bench_new();
    struct isolation_order close = kit_isolate(ISOLATION_CLOSED, ""),
                           open = kit_isolate(ISOLATION_PARTNERS, "");
    b->next = b->now;
    kit_must(&b->kit, &b->next, &close, KIT_BEGIN);
    check_row(b, &closing, KIT_BEGIN);
    carry_out(b);
    kit_must(&b->kit, &b->next, &open, KIT_BEGIN);
    check_row(b, &opening, KIT_BEGIN);
    carry_out(b);
    kit_ask(&close, "umc", KIT_BEGIN + KIT_HOUR);
    kit_must(&b->kit, &b->next, &close, KIT_BEGIN);
    check_row(b, &mixed, KIT_BEGIN);
    bench_free(b);
}

static void test_lost_record(void **)
{
    struct bench *b = bench_new();
    struct isolation_work work;
    struct isolation_order close = kit_isolate(ISOLATION_SEALED, "");
    b->next = b->now;
    kit_must(&b->kit, &b->next, &close, KIT_BEGIN);
    carry_out(b);
    b->m = b->base;
    memset(b->m.slot[!b->m.slots.next], 'x', 9); /* the newest one is damaged, the older one says open */
    b->again = b->m;
    reboot(b, &b->m, KIT_BEGIN);
    assert_int_equal(isolation_level(&b->m.kernel, STR_NONE), ISOLATION_CLOSED);
    assert_int_equal(recover(b, &b->m, KIT_BEGIN, &work), ISOLATION_LOST);
    assert_int_equal(isolation_level(&b->result, STR_NONE), ISOLATION_SEALED);
    b->again.slot_n[0] = b->again.slot_n[1] = 0; /* and none at all */
    b->again.kernel = b->next;
    isolation_state_init(&b->again.kernel, KIT_BEGIN);
    assert_int_equal(recover(b, &b->again, KIT_BEGIN, &work), ISOLATION_UNREADABLE);
    assert_int_equal(isolation_level(&b->result, STR_NONE), ISOLATION_SEALED);
    perform_until(&b->again, &work, work.count, ALL);
    assert_int_equal(recover(b, &b->again, KIT_BEGIN, &work), ISOLATION_SETTLED);
    bench_free(b);
}

/* The order that was lost sealed one cluster: that is known from the journal, the site is closed besides. */
static void test_lost_cluster(void **)
{
    struct bench *b = bench_new();
    struct isolation_work work;
    struct isolation_order seal = kit_isolate(ISOLATION_SEALED, "noord");
    b->next = b->now;
    kit_must(&b->kit, &b->next, &seal, KIT_BEGIN);
    carry_out(b);
    b->m = b->base;
    memset(b->m.slot[!b->m.slots.next], 'x', 9);
    reboot(b, &b->m, KIT_BEGIN);
    assert_int_equal(recover(b, &b->m, KIT_BEGIN, &work), ISOLATION_LOST);
    assert_int_equal(isolation_level(&b->result, STR("noord")), ISOLATION_SEALED);
    assert_int_equal(isolation_level(&b->result, STR("zuid")), ISOLATION_CLOSED);
    bench_free(b);
}

/* Without record and journal: closed, both ways, and care inside goes on. */
static void test_nothing_left(void **)
{
    struct bench *b = bench_new();
    struct isolation_work work;
    b->m = b->base;
    b->m.slot_n[0] = b->m.slot_n[1] = b->m.journal_n = 0;
    reboot(b, &b->m, KIT_BEGIN);
    assert_int_equal(recover(b, &b->m, KIT_BEGIN, &work), ISOLATION_UNREADABLE);
    assert_int_equal(kit_judge(&b->result, "noord", ISOLATION_KNOWN, "", KIT_BEGIN), ISOLATION_NOTICE);
    assert_int_equal(kit_judge(&b->result, "noord", ISOLATION_PARTNER, "umc", KIT_BEGIN), ISOLATION_NOTICE);
    assert_int_equal(kit_judge(&b->result, "noord", ISOLATION_INSIDE, "", KIT_BEGIN), ISOLATION_PASS);
    bench_free(b);
}

static void test_short_journal(void **)
{
    struct bench *b = bench_new();
    struct isolation_work work;
    struct isolation_finding journal;
    b->next = b->now;
    for (unsigned i = 0; i < 4; i++) {
        struct isolation_order o = kit_isolate(i % 2 ? ISOLATION_CLOSED : ISOLATION_PARTNERS, "");
        kit_must(&b->kit, &b->next, &o, KIT_BEGIN);
        carry_out(b);
    }
    ptrdiff_t first = str_find_char((struct str){b->base.journal, b->base.journal_n}, '\n');
    struct isolation_state *record = &b->record;
    b->base.slots =
        isolation_record_choose((struct str){b->base.slot[0], b->base.slot_n[0]},
                                (struct str){b->base.slot[1], b->base.slot_n[1]}, b->records, record);
    isolation_journal_verify((struct str){b->base.journal, (size_t)first + 1}, kit_sha256, &record->anchor,
                             b->lines, &journal);
    assert_int_equal(journal.how, ISOLATION_BREAK_SHORTENED);
    assert_int_equal(isolation_recover(record, &journal.tail, NULL, 0, KIT_BEGIN, &b->result, &work),
                     ISOLATION_JOURNAL_SHORT);
    assert_int_equal(isolation_level(&b->result, STR_NONE), ISOLATION_CLOSED);
    bench_free(b);
}

/* A drill writes lines of the journal and nothing else, and they do not count for a recovery. */
static void test_drill(void **)
{
    struct bench *b = bench_new();
    struct isolation_work work;
    struct isolation_finding journal;
    isolation_state_drill(&b->now, &b->record);
    b->next = b->record;
    struct isolation_order o = kit_isolate(ISOLATION_SEALED, "");
    kit_must(&b->kit, &b->next, &o, KIT_BEGIN);
    isolation_work_make(&b->record, &b->next, &b->strict, &work);
    assert_int_equal(work.count, 2);
    perform_until(&b->base, &work, work.count, ALL);
    assert_int_equal(isolation_level(&b->base.kernel, STR_NONE), ISOLATION_OPEN);
    isolation_journal_verify((struct str){b->base.journal, b->base.journal_n}, kit_sha256, NULL, b->lines,
                             &journal);
    assert_int_equal(journal.lines, 2);
    assert_false(journal.tail.has_order);
    assert_int_equal(recover(b, &b->base, KIT_BEGIN, &work), ISOLATION_SETTLED);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),      cmocka_unit_test(test_lost_record),
        cmocka_unit_test(test_lost_cluster),  cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_short_journal), cmocka_unit_test(test_drill),
        cmocka_unit_test(test_random_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
