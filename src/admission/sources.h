/* admission/sources.h - what is known of a source: an address (/32, IPv6 /64) or a user (hash of a
 * credential).
 *
 * Three things can be remembered, each in an entry of its own: proof (points for answers of the application
 * that only an accepted user gets), suspicion (points for what attackers do), and a block, which always ends.
 * Points decay: proof by half in a week, suspicion by half in ten minutes.
 *
 * The table is fixed: buckets of eight entries of 64 bits, one cache line, in memory that all workers share.
 * An entry is changed by one compare-and-swap, so there is nothing a dying worker could leave half done.
 * Invariants:
 *  1. Suspicion and blocks never push proof out: they have at most WAYS_DISTRUST of the eight places, and
 * take only empty or forgotten ones and weaker ones of their own type. So strangers, however many, cost no
 * accepted user his place, and the table never grows.
 *  2. An address or user that nobody accepted or complained of has no entry.
 *  3. A block has an end, at most BLOCK_MOST_S from now.
 * Two sources share an entry with probability 8 / 2^32 for each look; who collides with whom depends on a
 * secret key. */
#ifndef POLDER_ADMISSION_SOURCES_H
#define POLDER_ADMISSION_SOURCES_H

#include "admission/admission.h"

#include "base/addr.h"

enum {
    ADMISSION_KNOWN_POINTS =
        16, /* from here a source counts as known: one accepted answer is worth so many */
    ADMISSION_SUSPECT_POINTS =
        64, /* from here as suspect: two WAF hits, eight glitches, sixteen early retries */
    ADMISSION_POINTS_ACCEPTED = 16,
    ADMISSION_POINTS_WAF = 32,
    ADMISSION_POINTS_GLITCH = 8,
    ADMISSION_POINTS_HANDSHAKE = 8,
    ADMISSION_POINTS_EARLY_RETRY = 4, /* came back before Retry-After */
    ADMISSION_BLOCK_MOST_S = 30 * 86'400,
};

/* Keys; never 0. */
uint64_t admission_address_key(const struct admission *, const struct addr *);
uint64_t admission_user_key(const struct admission *, struct str credential);

void admission_note_accepted(struct admission *, uint64_t key, unsigned points, uint64_t now_us);
void admission_note_suspect(struct admission *, uint64_t key, unsigned points, uint64_t now_us);
/* False: not blocked, because accepted users come from there (a hospital behind one address is not banned for
 * one of its machines; block its users), or because the bucket is full of longer blocks. */
[[nodiscard]] bool admission_block(struct admission *, uint64_t key, uint32_t seconds, uint64_t now_us);
void admission_unblock(struct admission *, uint64_t key);

struct admission_source {
    uint64_t address, user;     /* keys; user 0: nobody is logged in, as far as the gate can see */
    bool is_partner;            /* a listed network or client certificate */
    unsigned connection_points; /* of suspicion, of this connection alone */
};
/* A user's standing goes before his address's, so one address can carry all classes. A known address with
 * suspicion is unknown: one behind it is at fault, and nobody can tell who. */
enum admission_class admission_classify(const struct admission *, const struct admission_source *,
                                        uint64_t now_us);

struct admission_standing { /* for status and tests */
    unsigned proof, suspicion;
    bool is_blocked;
};
void admission_standing(const struct admission *, uint64_t key, uint64_t now_us,
                        struct admission_standing *ret);

#endif
