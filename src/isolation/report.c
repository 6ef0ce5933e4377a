/* isolation/report.c - timeline and letter, see report.h. Every sentence stands here in both languages, side
 * by side, so that none is forgotten. */
#include "isolation/report.h"
#include "isolation/moment.h"
#include "isolation/parts.h"

struct totals {
    uint64_t orders, sessions_cut, drills, refused;
    int64_t first_us, last_in_us, last_out_us;
};

struct paper {
    struct buf *out;
    const struct isolation_report *r;
};

static struct str say(const struct paper *p, struct str english, struct str dutch)
{
    return p->r->language == ISOLATION_EN ? english : dutch;
}

#define SAY(p, english, dutch) buf_str((p)->out, say((p), STR(english), STR(dutch)))

static void add_moment(const struct paper *p, int64_t us)
{
    moment_write(p->out, us, p->r->offset_minutes,
                 p->r->language == ISOLATION_EN ? ISOLATION_EN : ISOLATION_NL);
}

static bool next_line(const struct paper *p, struct str *rest, struct isolation_line *ret)
{
    while (rest->n) {
        struct str text = str_cut(rest, '\n');
        arena_reset(p->r->scratch);
        if (isolation_line_read(text, p->r->scratch, ret) && ret->at_us >= p->r->from_us)
            return true;
    }
    return false;
}

static struct str whole_lines(const struct paper *p)
{
    return str_take(p->r->journal, p->r->finding->whole_bytes);
}

static void add_who(const struct paper *p, const struct isolation_line *line)
{
    buf_str(p->out, line->who);
    if (line->role.n)
        buf_printf(p->out, " (%.*s)", STR_ARG(line->role));
    if (line->approved_by.n) {
        SAY(p, ", approved by ", ", goedgekeurd door ");
        buf_str(p->out, line->approved_by);
    }
}

static void add_what(const struct paper *p, const struct isolation_line *line)
{
    buf_str(p->out, isolation_event_text(line->event, p->r->language));
    if (line->event == ISOLATION_EVENT_ISOLATE)
        buf_printf(p->out, ": %.*s", STR_ARG(isolation_level_word(line->level)));
    if (line->partner.n)
        buf_printf(p->out, ": %.*s", STR_ARG(line->partner));
    if (line->partner.n && line->kind == ISOLATION_KIND_ORDER)
        buf_printf(p->out, ", %.*s", STR_ARG(isolation_stage_text(line->stage, p->r->language)));
    if (line->cluster.n)
        buf_printf(p->out, ", cluster %.*s", STR_ARG(line->cluster));
    if (line->until_us) {
        SAY(p, ", until ", ", tot ");
        add_moment(p, line->until_us);
    }
}

static void add_order(const struct paper *p, const struct isolation_line *line)
{
    if (line->is_drill)
        SAY(p, "[drill] ", "[oefening] ");
    if (line->is_proposal)
        SAY(p, "[waits for a second person] ", "[wacht op een tweede persoon] ");
    buf_printf(p->out, "%llu: ", (unsigned long long)line->order);
    add_what(p, line);
    SAY(p, ". By ", ". Door ");
    add_who(p, line);
    if (line->reason.n)
        buf_printf(p->out, ": \"%.*s\"", STR_ARG(line->reason));
}

static void add_done(const struct paper *p, const struct isolation_line *line)
{
    if (line->is_drill)
        SAY(p, "[drill] ", "[oefening] ");
    buf_printf(p->out, "%llu: ", (unsigned long long)line->order);
    SAY(p, "carried out", "uitgevoerd");
    buf_printf(p->out, " (%.*s)", STR_ARG(line->outcome));
    SAY(p, "; sessions cut: ", "; verbroken sessies: ");
    buf_u64(p->out, line->results.sessions_cut);
    if (line->results.last_in_us) {
        SAY(p, "; last packet in: ", "; laatste pakket binnen: ");
        moment_write_utc(p->out, line->results.last_in_us);
    }
    if (line->results.last_out_us) {
        SAY(p, "; last packet out: ", "; laatste pakket naar buiten: ");
        moment_write_utc(p->out, line->results.last_out_us);
    }
}

static void add_refused(const struct paper *p, const struct isolation_line *line)
{
    SAY(p, "[refused: ", "[geweigerd: ");
    buf_printf(p->out, "%.*s] ", STR_ARG(line->outcome));
    add_what(p, line);
    SAY(p, ". By ", ". Door ");
    add_who(p, line);
}

static void add_line(const struct paper *p, const struct isolation_line *line)
{
    add_moment(p, line->at_us);
    BUF_LIT(p->out, "  ");
    if (line->kind == ISOLATION_KIND_ORDER)
        add_order(p, line);
    else if (line->kind == ISOLATION_KIND_DONE)
        add_done(p, line);
    else
        add_refused(p, line);
    buf_char(p->out, '\n');
}

/* What the paper rests on; a broken chain stands at the top and not in small print. */
static void add_basis(const struct paper *p)
{
    const struct isolation_finding *f = p->r->finding;
    SAY(p, "Journal: ", "Logboek: ");
    buf_u64(p->out, f->lines);
    SAY(p, " lines, last hash ", " regels, laatste hash ");
    buf_hex(p->out, f->end.hash, sizeof f->end.hash);
    BUF_LIT(p->out, ".\n");
    if (f->how) {
        SAY(p, "WARNING, the chain is broken. Line ", "LET OP, de keten is verbroken. Regel ");
        buf_printf(p->out, "%llu: %.*s\n", (unsigned long long)f->line,
                   STR_ARG(isolation_break_text(f->how, p->r->language)));
    } else {
        SAY(p, "The chain of hashes is whole.\n", "De keten van hashes is heel.\n");
    }
    if (f->torn_bytes)
        SAY(p, "The last line was interrupted while it was written, and does not count.\n",
            "De laatste regel is tijdens het schrijven onderbroken en telt niet.\n");
}

void isolation_report_timeline(struct buf *out, const struct isolation_report *r)
{
    const struct paper p = {out, r};
    struct str rest = whole_lines(&p);
    struct isolation_line line;
    SAY(&p, "Timeline of isolation, ", "Tijdlijn van de isolatie, ");
    buf_printf(out, "%.*s\n", STR_ARG(r->site));
    SAY(&p, "Made on ", "Gemaakt op ");
    add_moment(&p, r->now_us);
    BUF_LIT(out, ".\n");
    add_basis(&p);
    buf_char(out, '\n');
    while (next_line(&p, &rest, &line))
        add_line(&p, &line);
}

/* ---- the letter */

static bool concerns(const struct isolation_line *line, struct str partner)
{
    return line->kind == ISOLATION_KIND_ORDER && !line->is_drill && !line->is_proposal &&
           (str_eq(line->partner, partner) || line->event == ISOLATION_EVENT_ISOLATE);
}

static struct totals count_all(const struct paper *p)
{
    struct totals t = {0};
    struct str rest = whole_lines(p);
    struct isolation_line line;
    while (next_line(p, &rest, &line)) {
        bool is_done = line.kind == ISOLATION_KIND_DONE && !line.is_drill;
        t.first_us = t.first_us ? t.first_us : line.at_us;
        t.orders += line.kind == ISOLATION_KIND_ORDER && !line.is_drill;
        t.drills += line.kind == ISOLATION_KIND_ORDER && line.is_drill;
        t.refused += line.kind == ISOLATION_KIND_REFUSED;
        t.sessions_cut += is_done ? line.results.sessions_cut : 0;
        if (is_done && line.results.last_in_us)
            t.last_in_us = line.results.last_in_us;
        if (is_done && line.results.last_out_us)
            t.last_out_us = line.results.last_out_us;
    }
    return t;
}

static void add_counts(const struct paper *p)
{
    const struct totals t = count_all(p);
    SAY(p, "Orders carried out or begun: ", "Opdrachten uitgevoerd of begonnen: ");
    buf_u64(p->out, t.orders);
    SAY(p, "; refused: ", "; geweigerd: ");
    buf_u64(p->out, t.refused);
    SAY(p, "; drills: ", "; oefeningen: ");
    buf_u64(p->out, t.drills);
    SAY(p, ".\nSessions cut: ", ".\nVerbroken sessies: ");
    buf_u64(p->out, t.sessions_cut);
    BUF_LIT(p->out, ".\n");
    if (t.last_in_us) {
        SAY(p, "Last packet in that was cut off: ", "Laatste afgesneden pakket binnen: ");
        moment_write_utc(p->out, t.last_in_us);
        BUF_LIT(p->out, ".\n");
    }
    if (t.last_out_us) {
        SAY(p, "Last packet out that was cut off: ", "Laatste afgesneden pakket naar buiten: ");
        moment_write_utc(p->out, t.last_out_us);
        BUF_LIT(p->out, ".\n");
    }
}

static void add_measures(const struct paper *p, const struct isolation_measure *measures, size_t count)
{
    SAY(p, "\nMeasures\n", "\nMaatregelen\n");
    for (size_t i = 0; i < count; i++) {
        buf_printf(p->out, "- %.*s, %.*s", STR_ARG(measures[i].what), STR_ARG(measures[i].version));
        if (measures[i].since_us) {
            SAY(p, ", in force since ", ", van kracht sinds ");
            add_moment(p, measures[i].since_us);
        }
        if (measures[i].proof.n)
            buf_printf(p->out, " [%.*s]", STR_ARG(measures[i].proof));
        buf_char(p->out, '\n');
    }
    if (count == 0)
        SAY(p, "- None was named.\n", "- Er is geen maatregel genoemd.\n");
}

static void add_events(const struct paper *p, struct str partner)
{
    struct str rest = whole_lines(p);
    struct isolation_line line;
    SAY(p, "\nWhat happened\n", "\nWat er is gebeurd\n");
    while (next_line(p, &rest, &line)) {
        if (!concerns(&line, partner))
            continue;
        BUF_LIT(p->out, "- ");
        add_moment(p, line.at_us);
        BUF_LIT(p->out, ": ");
        add_what(p, &line); /* who and why are the house's own business */
        buf_char(p->out, '\n');
    }
}

static void add_standing(const struct paper *p, struct str partner, const struct isolation_state *s)
{
    uint32_t rate;
    uint8_t level = isolation_level(s, STR_NONE), stage = isolation_stage(s, STR_NONE, partner, &rate);
    SAY(p, "\nWhere it stands now\nLevel ", "\nHoe het er nu voor staat\nNiveau ");
    buf_printf(p->out, "%.*s: %.*s\n", STR_ARG(isolation_level_word(level)),
               STR_ARG(isolation_level_text(level, p->r->language)));
    SAY(p, "Your connection: ", "Uw aansluiting: ");
    buf_str(p->out, level == ISOLATION_SEALED ? isolation_stage_text(ISOLATION_STAGE_CUT, p->r->language)
                                              : isolation_stage_text(stage, p->r->language));
    if (rate) {
        SAY(p, ", requests a second: ", ", verzoeken per seconde: ");
        buf_u64(p->out, rate);
    }
    BUF_LIT(p->out, ".\n");
}

void isolation_report_letter(struct buf *out, const struct isolation_report *r, struct str partner,
                             const struct isolation_state *state, struct str version,
                             const struct isolation_measure *measures, size_t measure_count)
{
    const struct paper p = {out, r};
    SAY(&p, "To: ", "Aan: ");
    buf_printf(out, "%.*s\n", STR_ARG(partner));
    SAY(&p, "From: ", "Van: ");
    buf_printf(out, "%.*s\n", STR_ARG(r->site));
    SAY(&p, "Date: ", "Datum: ");
    add_moment(&p, r->now_us);
    SAY(&p, "\nSubject: isolation of our gateway, and reconnecting you\n\n",
        "\nOnderwerp: de isolatie van onze toegangspoort, en uw aansluiting\n\n");
    SAY(&p,
        "This letter was made from our journal, in which each line carries the hash of the one before it.\n",
        "Deze brief is gemaakt uit ons logboek, waarin elke regel de hash van de vorige draagt.\n");
    add_basis(&p);
    SAY(&p, "Gateway: Polder ", "Toegangspoort: Polder ");
    buf_printf(out, "%.*s\n", STR_ARG(version));
    add_counts(&p);
    add_events(&p, partner);
    add_measures(&p, measures, measure_count);
    add_standing(&p, partner, state);
}
