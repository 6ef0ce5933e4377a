/* Random orders against a slow model. The model keeps no layers: a scope is a list of what holds from which
 * moment on, and orders are written over it. Beside it: what state_compare and state_stricter promise, asked
 * by brute force at moments to come. */
#include "kit.h"

#include "isolation/parts.h"

enum { SEGMENTS = 64, STEPS = 400, SEEDS = 25, SCOPES = 3, LATER = 12 };

struct segment {
    int64_t from_us;
    uint64_t order, cut;
    uint8_t level;
};

struct timeline {
    struct segment at[SEGMENTS];
    unsigned count;
};

struct model_scope {
    struct timeline line, confirmed; /* confirmed: what becomes of it when somebody confirms */
    int64_t confirm_by_us;
};

struct model_standing {
    bool is_there, has_alarm;
    uint8_t stage;
    uint64_t order;
};

struct model {
    const struct kit *kit;
    struct model_scope scope[SCOPES];
    struct model_standing standing[SCOPES][KIT_PARTNERS];
    struct isolation_exception leave[4096];
    unsigned leave_count;
    uint64_t order;
};

static unsigned scope_of(struct str cluster)
{
    return !cluster.n ? 0 : str_eq(cluster, STR("noord")) ? 1 : 2;
}

static unsigned partner_of(const struct model *m, struct str name)
{
    unsigned i = 0;
    while (!str_eq(m->kit->partners[i].name, name))
        i++;
    return i;
}

static struct segment segment_at(const struct timeline *t, int64_t us)
{
    unsigned i = t->count;
    while (i > 1 && t->at[i - 1].from_us > us)
        i--;
    return t->at[i - 1];
}

/* Writes `segment` over a timeline, until a moment (0: for good). */
static struct timeline overwritten(const struct timeline *t, struct segment segment, int64_t until_us)
{
    struct timeline out = {.at = {segment}, .count = 1};
    if (!until_us)
        return out;
    struct segment after = segment_at(t, until_us);
    after.from_us = until_us;
    out.at[out.count++] = after;
    for (unsigned i = 0; i < t->count; i++)
        if (t->at[i].from_us > until_us)
            out.at[out.count++] = t->at[i];
    assert_true(out.count < SEGMENTS);
    return out;
}

static void settle_past(struct model *m, int64_t now_us)
{
    for (unsigned i = 0; i < SCOPES; i++)
        if (m->scope[i].confirm_by_us && m->scope[i].confirm_by_us <= now_us)
            m->scope[i].confirm_by_us = 0;
}

static void model_isolate(struct model *m, const struct isolation_order *o, int64_t now_us)
{
    unsigned scope = scope_of(ISOLATION_STR(o->cluster));
    struct model_scope *s = &m->scope[scope];
    if (s->confirm_by_us)
        s->line = s->confirmed;
    struct segment was = segment_at(&s->line, now_us);
    struct segment now = {now_us, m->order, was.cut, o->level};
    if (o->level > was.level && o->level >= ISOLATION_CLOSED)
        now.cut = m->order;
    if (o->partners_back)
        now.cut = 0;
    for (unsigned p = 0; o->partners_back && was.cut && p < KIT_PARTNERS; p++) {
        struct model_standing *own = &m->standing[scope][p];
        if (own->is_there && own->order > was.cut && !own->has_alarm)
            own->is_there = false;
    }
    s->confirmed = overwritten(&s->line, now, o->until_us);
    s->confirm_by_us = o->confirm_by_us;
    s->line = s->confirmed;
}

/* With a confirmation the line after that moment is the old one; kept beside the confirmed one. */
static void model_provisional(struct model *m, const struct isolation_order *o, const struct timeline *before,
                              int64_t now_us)
{
    struct model_scope *s = &m->scope[scope_of(ISOLATION_STR(o->cluster))];
    if (!o->confirm_by_us)
        return;
    struct segment now = segment_at(&s->confirmed, now_us);
    s->line = overwritten(before, now, o->confirm_by_us);
}

static void model_leaves(struct model *m, const struct isolation_order *o, int64_t now_us)
{
    unsigned scope = scope_of(ISOLATION_STR(o->cluster));
    for (unsigned i = 0; i < o->asked_count; i++) {
        struct isolation_exception e = o->asked[i];
        e.cluster = o->cluster;
        e.order = segment_at(&m->scope[scope].line, now_us).order;
        assert_true(m->leave_count < 4096);
        m->leave[m->leave_count++] = e;
    }
}

static void model_revoke(struct model *m, const struct isolation_order *o)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < m->leave_count; i++)
        if (!name_eq(&m->leave[i].cluster, &o->cluster) || !name_eq(&m->leave[i].partner, &o->partner))
            m->leave[kept++] = m->leave[i];
    m->leave_count = kept;
}

static uint8_t model_stage(const struct model *m, unsigned scope, unsigned partner, int64_t now_us)
{
    uint64_t cut = segment_at(&m->scope[scope].line, now_us).cut;
    const struct model_standing *own = &m->standing[scope][partner];
    if (own->is_there && own->order > cut)
        return own->stage;
    return cut ? ISOLATION_STAGE_CUT : ISOLATION_STAGE_FULL;
}

static void model_partner(struct model *m, const struct isolation_order *o, int64_t now_us)
{
    unsigned scope = scope_of(ISOLATION_STR(o->cluster)), partner = partner_of(m, ISOLATION_STR(o->partner));
    struct model_standing *own = &m->standing[scope][partner];
    int stage = model_stage(m, scope, partner, now_us) + (o->event == ISOLATION_EVENT_NEXT ? 1 : -1);
    bool has_alarm = o->event == ISOLATION_EVENT_ALARM ||
                     (own->is_there && own->has_alarm && stage != ISOLATION_STAGE_FULL);
    *own = (struct model_standing){true, has_alarm, (uint8_t)stage, m->order};
}

static void model_order(struct model *m, const struct isolation_order *o, int64_t now_us)
{
    struct model_scope *s = &m->scope[scope_of(ISOLATION_STR(o->cluster))];
    struct timeline before = s->confirm_by_us ? s->confirmed : s->line;
    m->order++;
    switch (o->event) {
    case ISOLATION_EVENT_ISOLATE:
        model_isolate(m, o, now_us);
        model_provisional(m, o, &before, now_us);
        model_leaves(m, o, now_us);
        break;
    case ISOLATION_EVENT_EXCEPT:
        model_leaves(m, o, now_us);
        break;
    case ISOLATION_EVENT_REVOKE:
        model_revoke(m, o);
        break;
    case ISOLATION_EVENT_CONFIRM:
        s->line = s->confirmed;
        s->confirm_by_us = 0;
        break;
    default:
        model_partner(m, o, now_us);
    }
}

static enum isolation_answer model_scope_answer(const struct model *m, unsigned scope,
                                                const struct isolation_question *q, int64_t now_us)
{
    struct segment now = segment_at(&m->scope[scope].line, now_us);
    enum isolation_answer refused = q->direction == ISOLATION_IN ? ISOLATION_NOTICE : ISOLATION_REFUSE;
    if (now.level == ISOLATION_SEALED)
        return q->class == ISOLATION_MANAGEMENT ? ISOLATION_PASS : ISOLATION_REFUSE;
    if (q->class == ISOLATION_INSIDE || q->class == ISOLATION_MANAGEMENT)
        return ISOLATION_PASS;
    if (q->class != ISOLATION_PARTNER)
        return now.level >= ISOLATION_PARTNERS                                   ? refused
               : now.level == ISOLATION_GUARDED && q->class == ISOLATION_UNKNOWN ? ISOLATION_LIMITED
                                                                                 : ISOLATION_PASS;
    for (unsigned i = 0; i < m->leave_count; i++) {
        const struct isolation_exception *e = &m->leave[i];
        if (scope_of(ISOLATION_STR(e->cluster)) == scope && name_is(&e->partner, q->partner) &&
            e->order == now.order && now_us < e->until_us && (e->direction & q->direction) &&
            q->port >= e->port_from && q->port <= e->port_to &&
            (!e->has_prefix || addr_in_prefix(q->address, &e->prefix)))
            return ISOLATION_PASS;
    }
    static const enum isolation_answer by_stage[] = {ISOLATION_NOTICE, ISOLATION_READ_ONLY, ISOLATION_LIMITED,
                                                     ISOLATION_PASS};
    uint8_t stage = model_stage(m, scope, partner_of(m, q->partner), now_us);
    return stage == ISOLATION_STAGE_CUT ? refused : by_stage[stage];
}

static void compare_with_model(const struct model *m, const struct isolation_state *s, int64_t now_us,
                               const char *when)
{
    for (unsigned i = 0; i < KIT_QUESTIONS; i++) {
        struct isolation_question q;
        struct addr address = {0};
        kit_question(m->kit, i, &q, &address);
        enum isolation_answer expected = model_scope_answer(m, 0, &q, now_us);
        if (q.cluster.n) {
            enum isolation_answer own = model_scope_answer(m, scope_of(q.cluster), &q, now_us);
            expected = own > expected ? own : expected;
        }
        enum isolation_answer is = isolation_judge(s, &q, now_us);
        if (is != expected)
            fail_msg("%s, order %u: question %u: %d instead of %d", when, (unsigned)s->order, i, (int)is,
                     (int)expected);
    }
}

/* ---- what comparing promises */

static void answers_later(const struct kit *k, const struct isolation_state *s, int64_t us,
                          struct isolation_state *scratch, uint8_t answers[KIT_QUESTIONS])
{
    int64_t next_us;
    (void)isolation_tick(s, kit_at(us), scratch, &next_us);
    kit_answers(k, scratch, us, answers);
}

static void check_comparison(const struct kit *k, const struct isolation_state *old,
                             const struct isolation_state *new, struct isolation_state *scratch2,
                             int64_t now_us)
{
    struct isolation_state *strict = &scratch2[0], *scratch = &scratch2[1];
    struct comparison c = state_compare(old, new);
    state_stricter(old, new, strict);
    assert_true(strict->is_half == c.opens);
    for (unsigned i = 0; i < LATER; i++) {
        int64_t us = now_us + (i * i * i) * 23 * KIT_MINUTE / 5;
        uint8_t a[KIT_QUESTIONS], b[KIT_QUESTIONS], both[KIT_QUESTIONS];
        answers_later(k, old, us, scratch, a);
        answers_later(k, new, us, scratch, b);
        answers_later(k, strict, us, scratch, both);
        for (unsigned q = 0; q < KIT_QUESTIONS; q++) {
            assert_true(c.opens || b[q] >= a[q]);
            assert_true(c.tightens || b[q] <= a[q]);
            if (both[q] < a[q] || both[q] < b[q])
                fail_msg("order %u: the stricter of %d and %d is %d (question %u, %u min later)",
                         (unsigned)new->order, a[q], b[q], both[q], q,
                         (unsigned)((us - now_us) / KIT_MINUTE));
        }
    }
}

struct run {
    struct kit kit;
    struct model model;
    struct isolation_state states[4];
    unsigned accepted, opened, tightened;
};

static void run_seed(struct run *r, uint64_t seed)
{
    uint64_t chance = seed * 0x9e3779b97f4a7c15u + 1;
    int64_t now_us = KIT_BEGIN;
    struct isolation_state *s = &r->states[0], *next = &r->states[1];
    r->model = (struct model){.kit = &r->kit};
    for (unsigned i = 0; i < SCOPES; i++)
        r->model.scope[i].line.count = r->model.scope[i].confirmed.count = 1;
    isolation_state_init(s, now_us);
    for (unsigned step = 0; step < STEPS; step++) {
        now_us += KIT_SECOND * kit_below(&chance, kit_below(&chance, 6) ? 300 : 20'000);
        if (kit_tick(s, kit_at(now_us)))
            r->model.order++;
        settle_past(&r->model, now_us);
        compare_with_model(&r->model, s, now_us, "time");
        struct isolation_order o = kit_random_order(&r->kit, &chance, now_us);
        if (isolation_apply(s, &o, &r->kit.inventory, &r->kit.policy, kit_at(now_us), next))
            continue;
        model_order(&r->model, &o, now_us);
        compare_with_model(&r->model, next, now_us, "order");
        check_comparison(&r->kit, s, next, &r->states[2], now_us);
        struct comparison c = state_compare(s, next);
        r->accepted++;
        r->opened += c.opens;
        r->tightened += c.tightens;
        *s = *next;
    }
}

static void test_model(void **)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    kit_init(&r->kit);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(r, seed);
    /* The orders must be such that something comes of them. */
    print_message("%u orders accepted, %u opened something, %u tightened\n", r->accepted, r->opened,
                  r->tightened);
    assert_true(r->accepted > SEEDS * STEPS / 3 && r->opened > r->accepted / 5 &&
                r->tightened > r->accepted / 5);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
