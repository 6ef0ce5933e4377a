/* proxy/inspect.h - the step "inspect" between admit and forward: a request goes through the rules of the
 * firewall, and so does its answer where the cluster wants that.
 *
 *   HEAD --phase 1--> COLLECT --body whole--> BODY --phase 2--> FORWARDED --answer--> ANSWER_HEAD --phase
 * 3-->
 *      \_____________no body: phases 1 and 2 in one go_____________/
 *   ANSWER_COLLECT --whole, or as much as is looked at--> ANSWER_BODY --phase 4--> OVER
 *
 * Each phase is a plain function that runs in a fiber (sys/fiber.h). The rules call a function between two
 * pieces of work; when a slice of time is used up it pauses, and the next slice goes to the cluster whose
 * turn it is. Short inspections, nearly all of them, are over in their first slice and never wait.
 *
 * Invariants:
 *  1. In mode block no byte of a request leaves for an application before its inspection has ended; in mode
 * detect neither, but for what is over a limit: there the request goes on and only that is written down.
 *  2. A body under inspection lies in one piece of memory, counted against waf.memory from its first byte
 * until it was sent or dropped.
 *  3. Nothing of an exchange is touched from inside a fiber; what follows from a phase is done on the loop's
 * own stack. An exchange that goes away takes its inspection with it, wherever that stands.
 *  4. An answer is judged from the loop, never from below a call of its own upstream connection. */
#ifndef POLDER_PROXY_INSPECT_H
#define POLDER_PROXY_INSPECT_H

#include "proxy/exchange.h"
#include "proxy/inspect_rules.h"

struct inspector; /* a worker's */
struct inspection;

struct inspector *inspector_new(struct proxy *); /* NULL: no memory */
void inspector_free(struct inspector *);         /* NULL is fine; after the last exchange */
/* Rules that fit use it from now on, those loaded later too. */
void inspector_take_prefilter(struct inspector *, struct inspect_prefilter *);
unsigned inspector_trim(struct inspector *); /* frees what was not needed since the last call: how many */

/* What a snapshot keeps for its clusters. */
struct inspect_cluster;
/* Compiles, or shares what is compiled already. False: *ret_error says why. */
bool inspect_snapshot_build(struct snapshot *, struct arena *errors, struct str *ret_error);
void inspect_snapshot_done(struct snapshot *);

/* ---- the way of a request. Each does nothing and answers false where nothing is inspected. */

/* True: the exchange is in the hands of the inspection (or was answered already): exchange_inspected or an
 * answer follows. False: go on. */
bool inspect_begin(struct exchange *);
void inspect_body(struct exchange *, struct str bytes); /* while EXCHANGE_INSPECT */
void inspect_body_end(struct exchange *, const struct http_field *trailers, unsigned count);
/* Moves what was held to ex->req_body, framed. False: no memory. */
bool inspect_give_body(struct exchange *);
/* The trailers that came behind it. */
const struct http_field *inspect_trailers(const struct exchange *, unsigned *ret_count);

bool inspect_wants_answer(const struct exchange *);
/* True: the answer is held; exchange_answer_inspected or an answer of the gate's own follows. */
bool inspect_answer_head(struct exchange *);
bool inspect_holds_answer(const struct exchange *);
void inspect_answer_body(struct exchange *, struct str bytes);
void inspect_answer_end(struct exchange *, const struct http_field *trailers, unsigned count);

/* The client went away, or the exchange was answered otherwise: nothing more is inspected. */
void inspect_cancel(struct exchange *);
/* The exchange ends: tells what was found, and forgets. */
void inspect_end(struct exchange *);

#endif
