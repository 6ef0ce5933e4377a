/* proxy/admit_handshakes.h - whose TLS handshake is worked on now: a handshake costs as much as fifty
 * requests, and costs whoever asks for it next to nothing.
 *
 * Known clients and partners are worked on at once. A stranger's waits until everything else of this turn of
 * the loop was done, and then only so many are worked on as fit into a slice, and into what known users leave
 * of the CPU: at least a twentieth, and all of it while nobody known is there. Waiting costs a connection and
 * no TLS state. Invariants
 *  1. A waiting client stands in exactly one queue; at most HANDSHAKES_WAITING wait, the next one is closed.
 *  2. Of strangers at most so many signatures are asked for at a time that a known client's is not held up.
 *  3. What waits too long is ended by the handshake's own time limit. */
#ifndef POLDER_PROXY_ADMIT_HANDSHAKES_H
#define POLDER_PROXY_ADMIT_HANDSHAKES_H

#include "proxy/client.h"

enum handshake_turn {
    HANDSHAKE_NONE,    /* nothing has come */
    HANDSHAKE_WAITS,   /* its hello is there */
    HANDSHAKE_GOES,    /* it is worked on */
    HANDSHAKE_SIGNING, /* and waits for a signature */
};

struct handshakes;
struct handshakes *handshakes_new(struct proxy *); /* NULL: no memory */
void handshakes_free(struct handshakes *);

enum handshake_verdict { HANDSHAKE_NOW, HANDSHAKE_LATER, HANDSHAKE_CLOSE };
enum handshake_verdict handshakes_ask(struct client *); /* it is readable, or its turn has come */
void handshakes_stepped(struct client *, enum tls_status);
void handshakes_leave(struct client *); /* done or closed; fine whenever */
void handshakes_known_is_here(struct proxy *);

#endif
