/* isolation/journal_read.c - lines of the journal read, and the chain checked.
 *
 * A break is told by its first line. What stands behind it is read on all the same: a recovery must know the
 * last order, and a journal that was tampered with can make it stricter, never more open (recover.c). */
#include "isolation/codec.h"
#include "isolation/journal.h"
#include "isolation/parts.h"

#include "json/tape.h"

#include "base/must.h"

enum { DEPTH_MAX = 6, HASH_DIGITS = 2 * ISOLATION_HASH_BYTES };

#define HASH_KEY ",\"hash\":\""
#define LINE_END "\"}"

static const struct {
    struct str word, english, dutch;
} breaks[ISOLATION_BREAKS] = {
    {STR("whole"), STR("The chain is whole."), STR("De keten is heel.")},
#define BREAK(name, word, english, dutch) {STR(word), STR(english), STR(dutch)},
#include "isolation/breaks.def"
#undef BREAK
};

struct str isolation_break_word(enum isolation_break how)
{
    return breaks[how].word;
}

struct str isolation_break_text(enum isolation_break how, enum isolation_language language)
{
    return language == ISOLATION_EN ? breaks[how].english : breaks[how].dutch;
}

/* ---- one line */

struct fields { /* of one object; a failure is sticky */
    const struct json_tape *tape;
    struct arena *arena;
    uint32_t object;
    bool failed;
};

static struct str text_of(struct fields *f, struct str key)
{
    uint32_t node = json_get(f->tape, f->object, key);
    if (node == JSON_NONE || json_type(f->tape, node) != JSON_STRING) {
        f->failed = true;
        return STR_NONE;
    }
    return json_string(f->tape, node, f->arena);
}

static uint64_t number_of(struct fields *f, struct str key)
{
    uint32_t node = json_get(f->tape, f->object, key);
    uint64_t value = 0;
    if (node == JSON_NONE || json_type(f->tape, node) != JSON_NUMBER ||
        !json_get_u64(f->tape, node, &value) || value > INT64_MAX)
        f->failed = true;
    return f->failed ? 0 : value;
}

static bool bool_of(struct fields *f, struct str key)
{
    uint32_t node = json_get(f->tape, f->object, key);
    enum json_type type = node == JSON_NONE ? JSON_NULL : json_type(f->tape, node);
    f->failed |= type != JSON_TRUE && type != JSON_FALSE;
    return type == JSON_TRUE;
}

static uint8_t level_of(struct fields *f, struct str key)
{
    uint8_t level = 0;
    f->failed |= !isolation_level_of(text_of(f, key), &level);
    return level;
}

static struct str name_of(struct fields *f, struct str key)
{
    struct isolation_name name;
    struct str text = text_of(f, key);
    f->failed |= !isolation_name_set(&name, text);
    return text;
}

static void read_parameters(const struct fields *line, struct isolation_line *ret, bool *failed)
{
    struct fields f = *line;
    struct isolation_reason reason;
    f.object = json_get(line->tape, line->object, STR("parameters"));
    ret->event = ISOLATION_EVENT_NONE;
    struct str event = text_of(&f, STR("event"));
    f.failed |= !isolation_event_of(event, &ret->event) && ret->kind != ISOLATION_KIND_REFUSED;
    ret->level = level_of(&f, STR("level"));
    ret->who = name_of(&f, STR("who"));
    ret->role = name_of(&f, STR("role"));
    ret->approved_by = name_of(&f, STR("approved_by"));
    ret->cluster = name_of(&f, STR("cluster"));
    ret->partner = name_of(&f, STR("partner"));
    ret->reason = text_of(&f, STR("reason"));
    f.failed |= !isolation_reason_set(&reason, ret->reason);
    ret->until_us = (int64_t)number_of(&f, STR("until_us"));
    *failed |= f.failed;
}

static void read_order_line(struct fields *f, struct isolation_line *ret)
{
    ret->order = number_of(f, STR("order"));
    ret->is_drill = bool_of(f, STR("drill"));
    ret->is_proposal = bool_of(f, STR("proposal"));
    ret->tightens = bool_of(f, STR("tightens"));
    ret->opens = bool_of(f, STR("opens"));
    ret->site_level = level_of(f, STR("site_level"));
    ret->scope_level = level_of(f, STR("scope_level"));
    struct str stage = text_of(f, STR("stage"));
    f->failed |= stage.n && !isolation_stage_of(stage, &ret->stage);
    read_parameters(f, ret, &f->failed);
}

static void read_done_line(struct fields *f, struct isolation_line *ret)
{
    ret->order = number_of(f, STR("order"));
    ret->is_drill = bool_of(f, STR("drill"));
    ret->outcome = name_of(f, STR("outcome"));
    ret->results.last_in_us = (int64_t)number_of(f, STR("last_in_us"));
    ret->results.last_out_us = (int64_t)number_of(f, STR("last_out_us"));
    ret->results.sessions_cut = number_of(f, STR("sessions_cut"));
    ret->results.duration_us = number_of(f, STR("duration_us"));
}

static void read_refused_line(struct fields *f, struct isolation_line *ret)
{
    ret->outcome = name_of(f, STR("outcome"));
    read_parameters(f, ret, &f->failed);
}

static const struct {
    struct str word;
    void (*read)(struct fields *, struct isolation_line *);
} kinds[] = {
    [ISOLATION_KIND_ORDER] = {STR("order"), read_order_line},
    [ISOLATION_KIND_DONE] = {STR("done"), read_done_line},
    [ISOLATION_KIND_REFUSED] = {STR("refused"), read_refused_line},
};

static bool read_kind(struct fields *f, struct isolation_line *ret)
{
    struct str word = text_of(f, STR("kind"));
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(word, kinds[i].word))
            continue;
        ret->kind = (enum isolation_kind)i;
        kinds[i].read(f, ret);
        return !f->failed;
    }
    return false;
}

bool isolation_line_read(struct str line, struct arena *arena, struct isolation_line *ret)
{
    struct json_tape tape;
    *ret = (struct isolation_line){0};
    if (line.n > ISOLATION_LINE_MAX)
        return false;
    size_t room = json_nodes_max(line.n);
    struct json_node *nodes = arena_alloc(arena, room * sizeof *nodes);
    if (!nodes || json_parse(line, DEPTH_MAX, nodes, room, &tape, NULL) != JSON_FINE ||
        json_type(&tape, 0) != JSON_OBJECT)
        return false;
    struct fields f = {&tape, arena, 0, false};
    ret->sequence = number_of(&f, STR("sequence"));
    ret->at_us = (int64_t)number_of(&f, STR("at_us"));
    if (!hash_parse(text_of(&f, STR("previous")), ret->previous))
        return false;
    return read_kind(&f, ret) && !arena_overflowed(arena);
}

/* ---- the chain */

struct check {
    isolation_hash *hash_of;
    const struct isolation_anchor *anchor;
    struct arena *scratch;
    struct isolation_finding *found;
};

/* The hash that a line says it has, and the one that it has. */
static bool hashes_of(struct str line, isolation_hash *hash_of, uint8_t said[ISOLATION_HASH_BYTES],
                      uint8_t is[ISOLATION_HASH_BYTES])
{
    const size_t tail = sizeof HASH_KEY - 1 + HASH_DIGITS + sizeof LINE_END - 1;
    if (line.n <= tail || !str_ends(line, STR(LINE_END)))
        return false;
    struct str body = str_take(line, line.n - tail), rest = str_skip(line, body.n);
    if (!str_starts(rest, STR(HASH_KEY)) ||
        !hash_parse(str_take(str_skip(rest, sizeof HASH_KEY - 1), HASH_DIGITS), said))
        return false;
    hash_of(body.p, body.n, is);
    return true;
}

static void tell(struct check *c, enum isolation_break how, uint64_t line)
{
    if (c->found->how == ISOLATION_CHAIN_WHOLE) {
        c->found->how = how;
        c->found->line = line;
    }
}

/* Does a sequence number come later on? */
static bool comes_later(struct check *c, struct str rest, uint64_t sequence)
{
    struct isolation_line line;
    while (rest.n) {
        arena_reset(c->scratch);
        if (isolation_line_read(str_cut(&rest, '\n'), c->scratch, &line) && line.sequence == sequence)
            return true;
    }
    return false;
}

static enum isolation_break how_broken(struct check *c, const struct isolation_line *line, struct str rest)
{
    const struct isolation_anchor *end = &c->found->end;
    if (line->sequence <= end->sequence)
        return ISOLATION_BREAK_REORDERED;
    if (line->sequence > end->sequence + 1)
        return c->found->how == ISOLATION_CHAIN_WHOLE && comes_later(c, rest, end->sequence + 1)
                   ? ISOLATION_BREAK_REORDERED
                   : ISOLATION_BREAK_MISSING;
    return memcmp(line->previous, end->hash, sizeof end->hash) == 0 ? ISOLATION_CHAIN_WHOLE
                                                                    : ISOLATION_BREAK_REPLACED;
}

static void note_tail(struct isolation_tail *tail, const struct isolation_line *line)
{
    if (line->is_drill || line->kind == ISOLATION_KIND_REFUSED)
        return;
    if (line->kind == ISOLATION_KIND_DONE) {
        tail->is_done |= tail->has_order && line->order == tail->order;
        return;
    }
    *tail = (struct isolation_tail){.has_order = true,
                                    .tightens = line->tightens,
                                    .order = line->order,
                                    .site_level = line->site_level,
                                    .scope_level = line->scope_level};
    must(isolation_name_set(&tail->cluster, line->cluster));
}

static void check_line(struct check *c, struct str text, struct str rest)
{
    uint8_t said[ISOLATION_HASH_BYTES] = {0}, is[ISOLATION_HASH_BYTES];
    struct isolation_line line;
    uint64_t number = ++c->found->lines;
    bool has_hash = hashes_of(text, c->hash_of, said, is);
    arena_reset(c->scratch);
    if (!has_hash || !isolation_line_read(text, c->scratch, &line)) {
        tell(c, ISOLATION_BREAK_UNREADABLE, number);
        return;
    }
    if (memcmp(said, is, sizeof is) != 0) {
        tell(c, ISOLATION_BREAK_CHANGED, number);
    } else {
        note_tail(&c->found->tail, &line);
        enum isolation_break how = how_broken(c, &line, rest);
        if (how)
            tell(c, how, number);
    }
    if (c->anchor && line.sequence == c->anchor->sequence && memcmp(is, c->anchor->hash, sizeof is) != 0)
        tell(c, ISOLATION_BREAK_REWRITTEN, number);
    if (line.sequence > c->found->end.sequence)
        c->found->end.sequence = line.sequence;
    memcpy(c->found->end.hash, said, sizeof said);
}

void isolation_journal_verify(struct str journal, isolation_hash *hash_of,
                              const struct isolation_anchor *anchor, struct arena *scratch,
                              struct isolation_finding *ret)
{
    *ret = (struct isolation_finding){0};
    struct check c = {hash_of, anchor && anchor->sequence ? anchor : NULL, scratch, ret};
    for (struct str rest = journal; rest.n && str_find_char(rest, '\n') >= 0;) {
        struct str line = str_cut(&rest, '\n');
        ret->whole_bytes += line.n + 1;
        check_line(&c, line, rest);
    }
    ret->torn_bytes = journal.n - ret->whole_bytes;
    if (c.anchor && ret->end.sequence < c.anchor->sequence)
        tell(&c, ISOLATION_BREAK_SHORTENED, ret->lines);
}
