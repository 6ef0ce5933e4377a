/* proxy/perimeter.h - one memory area in which the filter role tells workers and observer what holds at the
 * perimeter: the isolation in force, and what the packet filter does.
 *
 * The filter role alone writes; all others hold a descriptor that cannot be mapped for writing, so a worker
 * that was taken over cannot open anything, for itself or for others. Everything is a value without pointers.
 *
 * Isolation: two places and a sequence number. A new state goes into the place that is not in force, then the
 * number moves. Who reads copies, and looks at the number again: had it moved by two, the copy would be torn.
 * Invariants
 *  1. Sequence 0 says that nothing was published yet: whoever reads that acts as at level closed.
 *  2. The number only grows while one area lives. A filter role that is replaced goes on from it. */
#ifndef POLDER_PROXY_PERIMETER_H
#define POLDER_PROXY_PERIMETER_H

#include "isolation/types.h"

#include <stdatomic.h>

enum { PERIMETER_VERSION = 1, PERIMETER_INTERFACES_MAX = 16, PERIMETER_REASONS = 64, PERIMETER_CLASSES = 8 };

enum perimeter_mode {                     /* of the packet filter */
                      PERIMETER_OFF,      /* no interface is configured */
                      PERIMETER_PROGRAMS, /* XDP and tc */
                      PERIMETER_NFTABLES, /* no capability or no kernel for programs */
                      PERIMETER_FAILED,   /* neither; `why` says it */
};

struct perimeter_interface {
    char name[16];           /* ends in a NUL */
    uint8_t ingress, egress; /* enum filter_ingress, filter_egress */
    bool is_attached;
};

/* What the packet filter did, as of at_us; read and written whole. */
struct perimeter_packets {
    int64_t at_us; /* wall clock */
    uint8_t mode;  /* enum perimeter_mode */
    uint8_t interface_count;
    uint8_t level; /* that the kernel enforces */
    char why[240]; /* ends in a NUL; a notice for people, or empty */
    struct perimeter_interface interfaces[PERIMETER_INTERFACES_MAX];
    uint64_t packets[2][PERIMETER_REASONS]; /* [direction][enum filter_reason] */
    uint64_t dry[2][PERIMETER_REASONS];
    uint64_t passed[2][PERIMETER_CLASSES], dropped[2][PERIMETER_CLASSES];
    uint64_t samples_lost;
};

struct perimeter { /* a mapping of it */
    struct perimeter_area *area;
    bool is_writer;
};

size_t perimeter_size(void);
void perimeter_init(void *memory); /* zeroed, perimeter_size() long: the master's, once */
/* False: not an area of this build. */
bool perimeter_open(void *memory, size_t size, bool is_writer, struct perimeter *ret);

/* ---- isolation */

/* One relaxed load: whether something newer was published than what a reader has. */
uint64_t perimeter_sequence(const struct perimeter *);
/* Returns the sequence number it has from now on; from then on every reader that looks finds it. */
uint64_t perimeter_publish(struct perimeter *, const struct isolation_state *);
/* A copy of what is in force and its number; 0: nothing was published. */
uint64_t perimeter_read(const struct perimeter *, struct isolation_state *ret);

/* ---- packets */

void perimeter_packets_write(struct perimeter *, const struct perimeter_packets *);
void perimeter_packets_read(const struct perimeter *, struct perimeter_packets *ret);

#endif
