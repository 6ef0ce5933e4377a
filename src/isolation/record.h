/* isolation/record.h - the state as it is kept: one line of JSON, which a person can read in a bad hour, and
 * its checksum; two slots, written in turn.
 *
 *   {"polder":"isolation 1","sequence":7,...}\n0123456789abcdef\n
 *
 * The caller writes a whole record into the slot that isolation_record_choose named, syncs it, and never
 * touches the other one meanwhile: so one valid record is there at every instant. The checksum (SipHash with
 * a key that is no secret) finds damage, not malice: who may write the file may also open the gate. */
#ifndef POLDER_ISOLATION_RECORD_H
#define POLDER_ISOLATION_RECORD_H

#include "isolation/types.h"

#include "base/arena.h"

enum {
    ISOLATION_RECORD_MAX = 1 << 20, /* the fullest state takes less */
    ISOLATION_RECORD_ARENA = 16 << 20,
};

/* A drill's state is never written: our own fault, and the end. */
void isolation_record_write(struct buf *, const struct isolation_state *, uint64_t sequence);
/* False: not a record, or not to the last byte what isolation_record_write writes. scratch, of
 * ISOLATION_RECORD_ARENA bytes, is reset; without memory nothing can be read. */
bool isolation_record_read(struct str, struct arena *scratch, struct isolation_state *ret,
                           uint64_t *ret_sequence);

enum isolation_choice {
    ISOLATION_RECORD_FINE,    /* one slot is valid and the other one too, or empty */
    ISOLATION_RECORD_DAMAGED, /* one is valid; the other one is not, and might have been the newer */
    ISOLATION_RECORD_NONE,    /* no slot is valid: nothing is known, and *ret is not set */
};

struct isolation_slots {
    enum isolation_choice choice;
    unsigned next;     /* the slot to write to, 0 or 1 */
    uint64_t sequence; /* to write there */
};

/* A slot that is not there is an empty text. */
struct isolation_slots isolation_record_choose(struct str slot0, struct str slot1, struct arena *scratch,
                                               struct isolation_state *ret);

/* What a boot unit puts in force before anything else runs and without the journal: at least closed where a
 * slot is damaged or missing, and of two states that time makes of the record the stricter one. state: as
 * chosen; it is changed. scratch2 holds two more states. */
void isolation_record_boot(enum isolation_choice, struct isolation_state *, struct isolation_moment now,
                           struct isolation_state scratch2[2]);

#endif
