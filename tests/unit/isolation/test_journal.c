/* The journal: what is written is found whole; every way to break it is told with its line; and what is made
 * of it, the timeline and the letter. */
#include "kit.h"

#include "isolation/report.h"

enum { ROOM = 1 << 17, LINES_MAX = 64 };

struct desk {
    struct kit kit;
    struct arena *arena;
    struct isolation_state *s;
    struct isolation_journal writer;
    char text[ROOM], other[ROOM];
    struct buf out;
};

static struct desk *desk_new(void)
{
    struct desk *d = calloc(1, sizeof *d);
    assert_non_null(d);
    kit_init(&d->kit);
    d->arena = arena_new(ISOLATION_JOURNAL_ARENA);
    d->s = kit_state();
    d->writer.hash_of = kit_sha256;
    d->out = buf_over(d->text, sizeof d->text);
    return d;
}

static void desk_free(struct desk *d)
{
    arena_free(d->arena);
    free(d->s);
    free(d);
}

static void order(struct desk *d, const struct isolation_order *o, int64_t us)
{
    struct isolation_work work = {.tightens = true};
    struct isolation_results results = {
        .last_in_us = us, .last_out_us = us + 1, .sessions_cut = 41, .duration_us = 900};
    kit_must(&d->kit, d->s, o, us);
    isolation_journal_order(&d->writer, &d->out, d->s, &work, us);
    isolation_journal_done(&d->writer, &d->out, d->s, ISOLATION_SETTLED, &results, us + KIT_SECOND);
}

/* Isolated, reconnected, refused, practised. */
static void write_week(struct desk *d)
{
    struct isolation_order o = kit_isolate(ISOLATION_CLOSED, "");
    kit_ask(&o, "z-cert", KIT_BEGIN + KIT_DAY);
    order(d, &o, KIT_BEGIN);
    o = kit_partner(ISOLATION_EVENT_NEXT, "umc", "");
    order(d, &o, KIT_BEGIN + KIT_DAY);
    o.who.p[0] = '\n';
    isolation_journal_refused(&d->writer, &d->out, &o, ISOLATION_REFUSED_WHO, KIT_BEGIN + 2 * KIT_DAY);
    o = kit_isolate(ISOLATION_SEALED, "noord");
    o.until_us = KIT_BEGIN + 5 * KIT_DAY;
    d->s->is_drill = true;
    order(d, &o, KIT_BEGIN + 4 * KIT_DAY);
    d->s->is_drill = false;
    assert_false(buf_overflowed(&d->out));
}

static struct isolation_finding verify(struct desk *d, struct str journal,
                                       const struct isolation_anchor *anchor)
{
    struct isolation_finding f;
    isolation_journal_verify(journal, kit_sha256, anchor, d->arena, &f);
    return f;
}

static unsigned lines_of(struct str text, struct str lines[LINES_MAX])
{
    unsigned count = 0;
    while (text.n) {
        const char *begin = text.p;
        struct str line = str_cut(&text, '\n');
        lines[count++] = (struct str){begin, line.n + 1};
    }
    return count;
}

static void test_whole(void **)
{
    struct desk *d = desk_new();
    write_week(d);
    struct isolation_finding f = verify(d, buf_text(&d->out), &d->writer.end);
    assert_true(f.how == ISOLATION_CHAIN_WHOLE && f.lines == 7 && f.torn_bytes == 0 &&
                f.whole_bytes == d->out.n);
    assert_true(f.end.sequence == 7 && memcmp(&f.end, &d->writer.end, sizeof f.end) == 0);
    assert_true(f.tail.has_order && f.tail.is_done && f.tail.order == 2 &&
                f.tail.site_level == ISOLATION_CLOSED);
    f = verify(d, STR_NONE, NULL);
    assert_true(f.how == ISOLATION_CHAIN_WHOLE && f.lines == 0 && !f.tail.has_order);
    desk_free(d);
}

/* What a crash leaves: however much of the last line is there, the lines before it count and it does not. */
static void test_torn(void **)
{
    struct desk *d = desk_new();
    struct str lines[LINES_MAX];
    write_week(d);
    struct str all = buf_text(&d->out);
    unsigned count = lines_of(all, lines);
    for (size_t n = 0; n < lines[count - 1].n; n++) {
        struct isolation_finding f = verify(d, str_take(all, all.n - lines[count - 1].n + n), NULL);
        assert_true(f.how == ISOLATION_CHAIN_WHOLE && f.lines == count - 1 && f.torn_bytes == n);
    }
    /* And the writer goes on behind what is whole. */
    struct isolation_finding f = verify(d, str_take(all, all.n - 5), NULL);
    d->writer.end = f.end;
    d->out.n = f.whole_bytes;
    struct isolation_order o = kit_isolate(ISOLATION_OPEN, "");
    order(d, &o, KIT_BEGIN + 6 * KIT_DAY);
    assert_int_equal(verify(d, buf_text(&d->out), NULL).how, ISOLATION_CHAIN_WHOLE);
    desk_free(d);
}

/* Every bit of every line, but for the line feed that ends the whole: then the end is torn. */
static void test_every_bit(void **)
{
    struct desk *d = desk_new();
    struct str lines[LINES_MAX];
    write_week(d);
    struct str all = buf_text(&d->out);
    unsigned count = lines_of(all, lines);
    for (unsigned l = 0; l < count; l++) {
        for (size_t bit = 0; bit < 8 * lines[l].n; bit++) {
            char *at = &d->text[(size_t)(lines[l].p - all.p) + bit / 8];
            *at = (char)(*at ^ 1 << bit % 8);
            struct isolation_finding f = verify(d, all, &d->writer.end);
            *at = (char)(*at ^ 1 << bit % 8);
            if (f.how == ISOLATION_CHAIN_WHOLE || f.line > l + 2 || f.line + 1 < l + 1)
                fail_msg("line %u, bit %zu: %.*s at line %u", l + 1, bit,
                         STR_ARG(isolation_break_word(f.how)), (unsigned)f.line);
        }
    }
    desk_free(d);
}

static struct str joined(struct desk *d, const struct str *lines, const unsigned *order, unsigned count)
{
    struct buf out = buf_over(d->other, sizeof d->other);
    for (unsigned i = 0; i < count; i++)
        buf_str(&out, lines[order[i]]);
    return buf_text(&out);
}

static void must_break(struct desk *d, struct str journal, const struct isolation_anchor *anchor,
                       enum isolation_break how, uint64_t line)
{
    struct isolation_finding f = verify(d, journal, anchor);
    if (f.how != how || f.line != line)
        fail_msg("%.*s at line %u instead of %.*s at line %u", STR_ARG(isolation_break_word(f.how)),
                 (unsigned)f.line, STR_ARG(isolation_break_word(how)), (unsigned)line);
}

static void test_breaks(void **)
{
    struct desk *d = desk_new();
    struct str lines[LINES_MAX];
    write_week(d);
    lines_of(buf_text(&d->out), lines);
    static const unsigned missing[] = {0, 1, 3, 4, 5, 6}, swapped[] = {0, 2, 1, 3, 4, 5, 6},
                          twice[] = {0, 1, 1, 2, 3, 4, 5, 6}, headless[] = {1, 2, 3, 4, 5, 6},
                          shorter[] = {0, 1, 2, 3, 4}, all[] = {0, 1, 2, 3, 4, 5, 6};
    must_break(d, joined(d, lines, missing, 6), NULL, ISOLATION_BREAK_MISSING, 3);
    must_break(d, joined(d, lines, swapped, 7), NULL, ISOLATION_BREAK_REORDERED, 2);
    must_break(d, joined(d, lines, twice, 8), NULL, ISOLATION_BREAK_REORDERED, 3);
    must_break(d, joined(d, lines, headless, 6), NULL, ISOLATION_BREAK_MISSING, 1);
    must_break(d, joined(d, lines, shorter, 5), NULL, ISOLATION_CHAIN_WHOLE,
               0); /* the chain alone cannot see it */
    must_break(d, joined(d, lines, shorter, 5), &d->writer.end, ISOLATION_BREAK_SHORTENED, 5);
    must_break(d, STR_NONE, &d->writer.end, ISOLATION_BREAK_SHORTENED, 0);
    joined(d, lines, all, 7);
    struct str text = {d->other, d->out.n};
    ptrdiff_t at = str_find(text, STR("\"sessions_cut\":41"));
    d->other[(size_t)at + 15] = '9';
    must_break(d, text, NULL, ISOLATION_BREAK_CHANGED, 2);
    memset(d->other, '\0', 20);
    must_break(d, text, NULL, ISOLATION_BREAK_UNREADABLE, 1);
    desk_free(d);
}

/* Somebody who can compute hashes: one line written anew, and then all of them. */
static void test_forged(void **)
{
    struct desk *d = desk_new(), *forger = desk_new();
    struct str lines[LINES_MAX], forged[LINES_MAX];
    write_week(d);
    struct isolation_order o = kit_isolate(ISOLATION_OPEN, "");
    kit_must(&forger->kit, forger->s, &o, KIT_BEGIN);
    order(forger, &o, KIT_BEGIN);
    o = kit_partner(ISOLATION_EVENT_BACK, "umc", "");
    order(forger, &o, KIT_BEGIN);
    lines_of(buf_text(&d->out), lines);
    lines_of(buf_text(&forger->out), forged);
    struct buf out = buf_over(d->other, sizeof d->other);
    buf_str(&out, forged[0]);
    for (unsigned i = 1; i < 7; i++)
        buf_str(&out, lines[i]);
    must_break(d, buf_text(&out), NULL, ISOLATION_BREAK_REPLACED, 2);
    struct isolation_anchor remembered =
        verify(d, (struct str){lines[0].p, lines[0].n + lines[1].n}, NULL).end;
    must_break(forger, buf_text(&forger->out), NULL, ISOLATION_CHAIN_WHOLE, 0);
    must_break(forger, buf_text(&forger->out), &remembered, ISOLATION_BREAK_REWRITTEN, 2);
    desk_free(forger);
    desk_free(d);
}

static void must_say(struct str text, const char *what)
{
    if (str_find(text, str_of(what)) < 0)
        fail_msg("\"%s\" is missing in:\n%.*s", what, STR_ARG(text));
}

static void test_report(void **)
{
    struct desk *d = desk_new();
    write_week(d);
    struct isolation_finding f = verify(d, buf_text(&d->out), &d->writer.end);
    struct isolation_report r = {STR("MC Fryslan"), ISOLATION_EN, 60,      KIT_BEGIN + 6 * KIT_DAY, 0,
                                 buf_text(&d->out), &f,           d->arena};
    struct buf out = buf_over(d->other, sizeof d->other);
    isolation_report_timeline(&out, &r);
    must_say(buf_text(&out), "7 lines, last hash ");
    must_say(buf_text(&out), "The chain of hashes is whole.");
    must_say(buf_text(&out),
             "Wednesday 15 January 2020 at 11:00  1: level ordered: closed. By j.dijkstra (ciso): \"a hole");
    must_say(buf_text(&out), "2: partner one stage further: umc, may read. By j.dijkstra");
    must_say(buf_text(&out), "sessions cut: 41; last packet in: 2020-01-15T10:00:00Z");
    must_say(buf_text(&out), "[refused: who]");
    must_say(buf_text(&out),
             "[drill] 3: level ordered: sealed, cluster noord, until Monday 20 January 2020 at 11:00");
    r.language = ISOLATION_NL;
    out.n = 0;
    d->text[40] ^= 1;
    f = verify(d, buf_text(&d->out), NULL);
    d->text[40] ^= 1;
    isolation_report_timeline(&out, &r);
    must_say(buf_text(&out), "LET OP, de keten is verbroken. Regel 1: ");
    must_say(buf_text(&out),
             "woensdag 15 januari 2020 om 11.00 uur  1: niveau opgedragen: closed. Door j.dijkstra");
    desk_free(d);
}

static void test_letter(void **)
{
    struct desk *d = desk_new();
    write_week(d);
    static const struct isolation_measure measures[] = {
        {STR("Virtual patch CVE-2019-19781"), STR("3"), STR("probe: effective"), KIT_BEGIN},
        {STR("Firmware"), STR("12.1-55.18"), STR_NONE, 0}};
    struct isolation_finding f = verify(d, buf_text(&d->out), &d->writer.end);
    struct isolation_report r = {STR("MC Fryslan"), ISOLATION_EN, 60,      KIT_BEGIN + 6 * KIT_DAY, 0,
                                 buf_text(&d->out), &f,           d->arena};
    struct buf out = buf_over(d->other, sizeof d->other);
    isolation_report_letter(&out, &r, STR("umc"), d->s, STR("0.1.0"), measures, 2);
    must_say(buf_text(&out), "To: umc\nFrom: MC Fryslan\n");
    must_say(buf_text(&out), "Orders carried out or begun: 2; refused: 1; drills: 1.\nSessions cut: 82.\n");
    must_say(buf_text(&out), "- Virtual patch CVE-2019-19781, 3, in force since Wednesday 15 January 2020 at "
                             "11:00 [probe: effective]\n"
                             "- Firmware, 12.1-55.18\n");
    must_say(buf_text(&out), "Your connection: may read.\n");
    /* The reasons, and what concerns other partners, are not for this reader. */
    assert_true(str_find(buf_text(&out), STR("a hole")) < 0 && str_find(buf_text(&out), STR("dijkstra")) < 0);
    out.n = 0;
    r.language = ISOLATION_NL;
    isolation_report_letter(&out, &r, STR("apotheek"), d->s, STR("0.1.0"), NULL, 0);
    must_say(buf_text(&out), "Uw aansluiting: afgesneden.\n");
    must_say(buf_text(&out), "- Er is geen maatregel genoemd.\n");
    assert_true(str_find(buf_text(&out), STR("umc")) < 0);
    desk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),  cmocka_unit_test(test_torn),   cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_breaks), cmocka_unit_test(test_forged), cmocka_unit_test(test_report),
        cmocka_unit_test(test_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
