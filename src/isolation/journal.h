/* isolation/journal.h - who ordered what, why, and what it did: lines of JSON, each of which carries the hash
 * of the one before it and its own.
 *
 *   {"sequence":8,"time":"...","kind":"order",...,"previous":"<64 digits>","hash":"<64 digits>"}\n
 *
 * The hash is of all bytes of the line before `,"hash":`. Whoever changes a line must write all later ones
 * anew, and then still disagrees with the record of the level, which remembers a line (its anchor). A last
 * line without its line feed is what a crash leaves: it never counted, and is told, not complained about. */
#ifndef POLDER_ISOLATION_JOURNAL_H
#define POLDER_ISOLATION_JOURNAL_H

#include "isolation/isolation.h"

#include "base/arena.h"

/* SHA-256, the caller's. */
typedef void isolation_hash(const void *bytes, size_t n, uint8_t ret[ISOLATION_HASH_BYTES]);

enum { ISOLATION_LINE_MAX = 1 << 15, ISOLATION_JOURNAL_ARENA = 2 << 20 };

/* ---- writing (journal_write.c)
 *
 * Each function adds one line to out and moves the end. Append and sync it; when that fails, verify again
 * before anything else is written. */

struct isolation_journal {
    isolation_hash *hash_of;
    struct isolation_anchor end; /* the last line; sequence 0: there is none */
};

struct isolation_results {           /* 0: not known, or none */
    int64_t last_in_us, last_out_us; /* the last packet of a peer that was cut off */
    uint64_t sessions_cut;
    uint64_t duration_us;
};

void isolation_journal_order(struct isolation_journal *, struct buf *out, const struct isolation_state *new,
                             const struct isolation_work *, int64_t now_us);
/* outcome: ISOLATION_SETTLED for an order that was carried out, else what the recovery said. */
void isolation_journal_done(struct isolation_journal *, struct buf *out, const struct isolation_state *,
                            enum isolation_recovery outcome, const struct isolation_results *,
                            int64_t now_us);
void isolation_journal_refused(struct isolation_journal *, struct buf *out, const struct isolation_order *,
                               enum isolation_refusal, int64_t now_us);

/* ---- reading (journal_read.c) */

enum isolation_kind { ISOLATION_KIND_ORDER, ISOLATION_KIND_DONE, ISOLATION_KIND_REFUSED };

struct isolation_line { /* text lies in the journal or in the arena */
    enum isolation_kind kind;
    uint64_t sequence, order;
    int64_t at_us, until_us;
    uint8_t event, level, stage, site_level, scope_level;
    bool is_drill, is_proposal, tightens, opens;
    struct str who, role, approved_by, cluster, partner, reason;
    struct str outcome; /* of done and refused: a word */
    struct isolation_results results;
    uint8_t previous[ISOLATION_HASH_BYTES];
};

/* One line, without its line feed. False: not one of ours; its hash is not looked at. */
bool isolation_line_read(struct str line, struct arena *, struct isolation_line *ret);

enum isolation_break {
    ISOLATION_CHAIN_WHOLE,
#define BREAK(name, ...) ISOLATION_BREAK_##name,
#include "isolation/breaks.def"
#undef BREAK
    ISOLATION_BREAKS
};
struct str isolation_break_word(enum isolation_break);
struct str isolation_break_text(enum isolation_break, enum isolation_language);

struct isolation_finding {
    enum isolation_break how; /* the first break */
    uint64_t line;            /* where it shows, from 1 */
    uint64_t lines;           /* whole ones */
    size_t whole_bytes;       /* up to the last line feed: cut a torn end off here before anything is added */
    size_t torn_bytes;        /* behind it: an interrupted write */
    struct isolation_anchor end; /* to go on from, behind a break too */
    struct isolation_tail tail;  /* for isolation_recover */
};

/* anchor: what the record remembers; NULL or sequence 0: nothing. scratch is reset for each line. */
void isolation_journal_verify(struct str journal, isolation_hash *hash_of,
                              const struct isolation_anchor *anchor, struct arena *scratch,
                              struct isolation_finding *ret);

#endif
