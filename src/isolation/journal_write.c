/* isolation/journal_write.c - lines of the journal. */
#include "isolation/codec.h"
#include "isolation/journal.h"
#include "isolation/parts.h"

#include "base/utc.h"

static void put_time(struct json_writer *w, struct str key, int64_t us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    time_write_utc(&text, us);
    json_put_str(w, key, buf_text(&text));
}

static void put_hash(struct json_writer *w, struct str key, const uint8_t hash[ISOLATION_HASH_BYTES])
{
    char memory[2 * ISOLATION_HASH_BYTES];
    struct buf text = buf_over(memory, sizeof memory);
    buf_hex(&text, hash, ISOLATION_HASH_BYTES);
    json_put_str(w, key, buf_text(&text));
}

static struct json_writer begin_line(const struct isolation_journal *journal, struct buf *out,
                                     struct str kind, int64_t now_us)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_u64(&w, STR("sequence"), journal->end.sequence + 1);
    put_time(&w, STR("time"), now_us);
    json_put_i64(&w, STR("at_us"), now_us);
    json_put_str(&w, STR("kind"), kind);
    return w;
}

static void end_line(struct isolation_journal *journal, struct json_writer *w, size_t begin)
{
    struct buf *out = w->out;
    put_hash(w, STR("previous"), journal->end.hash);
    if (buf_overflowed(out))
        return;
    must(out->n - begin <= ISOLATION_LINE_MAX - 128);
    journal->hash_of(out->p + begin, out->n - begin, journal->end.hash);
    journal->end.sequence++;
    put_hash(w, STR("hash"), journal->end.hash);
    json_object_end(w);
    buf_char(out, '\n');
}

/* The stage that the order has led to; for orders about a partner. */
static void put_stage(struct json_writer *w, const struct isolation_state *s)
{
    const struct isolation_standing *own =
        state_standing_const(s, ISOLATION_STR(s->last.cluster), ISOLATION_STR(s->last.partner));
    uint8_t stage = own ? own->stage : ISOLATION_STAGE_FULL;
    json_put_str(w, STR("stage"), s->last.partner.n ? isolation_stage_word(stage) : STR_NONE);
}

void isolation_journal_order(struct isolation_journal *journal, struct buf *out,
                             const struct isolation_state *s, const struct isolation_work *work,
                             int64_t now_us)
{
    size_t begin = out->n;
    const struct isolation_scope *own = state_scope_const(s, ISOLATION_STR(s->last.cluster));
    struct json_writer w = begin_line(journal, out, STR("order"), now_us);
    json_put_u64(&w, STR("order"), s->order);
    json_put_bool(&w, STR("drill"), s->is_drill);
    json_put_bool(&w, STR("proposal"), s->is_proposal);
    json_put_bool(&w, STR("tightens"), work->tightens);
    json_put_bool(&w, STR("opens"), work->opens);
    json_put_str(&w, STR("site_level"), isolation_level_word(isolation_level(s, STR_NONE)));
    json_put_str(&w, STR("scope_level"),
                 isolation_level_word(own ? stack_top(&own->now)->level : ISOLATION_OPEN));
    put_stage(&w, s);
    json_key(&w, STR("parameters"));
    order_write(&w, &s->last);
    end_line(journal, &w, begin);
}

static struct str outcome_word(enum isolation_recovery outcome)
{
    static const struct str words[ISOLATION_RECOVERIES] = {
        [ISOLATION_SETTLED] = STR("done"),
        [ISOLATION_KEPT] = STR("kept"),
        [ISOLATION_RESUMED] = STR("resumed"),
        [ISOLATION_COMPLETED] = STR("completed"),
        [ISOLATION_HALVED] = STR("halved"),
        [ISOLATION_ABANDONED] = STR("abandoned"),
        [ISOLATION_LOST] = STR("lost"),
        [ISOLATION_UNREADABLE] = STR("unreadable"),
        [ISOLATION_JOURNAL_SHORT] = STR("journal-short"),
    };
    return words[outcome];
}

void isolation_journal_done(struct isolation_journal *journal, struct buf *out,
                            const struct isolation_state *s, enum isolation_recovery outcome,
                            const struct isolation_results *results, int64_t now_us)
{
    size_t begin = out->n;
    struct json_writer w = begin_line(journal, out, STR("done"), now_us);
    json_put_u64(&w, STR("order"), s->order);
    json_put_bool(&w, STR("drill"), s->is_drill);
    json_put_str(&w, STR("outcome"), outcome_word(outcome));
    json_put_i64(&w, STR("last_in_us"), results->last_in_us);
    json_put_i64(&w, STR("last_out_us"), results->last_out_us);
    json_put_u64(&w, STR("sessions_cut"), results->sessions_cut);
    json_put_u64(&w, STR("duration_us"), results->duration_us);
    end_line(journal, &w, begin);
}

/* What was refused may hold any bytes: the order as a whole is not written, only what can be shown. */
void isolation_journal_refused(struct isolation_journal *journal, struct buf *out,
                               const struct isolation_order *o, enum isolation_refusal refusal,
                               int64_t now_us)
{
    size_t begin = out->n;
    struct isolation_order shown = {.event = o->event < ISOLATION_EVENT_COUNT ? o->event : 0,
                                    .level = o->level < ISOLATION_LEVEL_COUNT ? o->level : 0};
    (void)isolation_name_set(&shown.who, ISOLATION_STR(o->who));
    (void)isolation_name_set(&shown.role, ISOLATION_STR(o->role));
    (void)isolation_name_set(&shown.cluster, ISOLATION_STR(o->cluster));
    (void)isolation_name_set(&shown.partner, ISOLATION_STR(o->partner));
    (void)isolation_reason_set(&shown.reason, ISOLATION_STR(o->reason));
    struct json_writer w = begin_line(journal, out, STR("refused"), now_us);
    json_put_str(&w, STR("outcome"), isolation_refusal_word(refusal));
    json_key(&w, STR("parameters"));
    order_write(&w, &shown);
    end_line(journal, &w, begin);
}
