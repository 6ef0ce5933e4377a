/* admission/budget.h - small rules beside the queue: retries, streams of a connection, pressure on the gate
 * itself. */
#ifndef POLDER_ADMISSION_BUDGET_H
#define POLDER_ADMISSION_BUDGET_H

#include "admission/admission.h"

struct area;

/* ---- retries: a pool's requests earn them, all workers spend from one purse, so a failing upstream never
 * gets more than that share of repeated requests on top */
void admission_retry_earn(struct admission *, unsigned pool, unsigned percent); /* for each first attempt */
[[nodiscard]] bool admission_retry_take(struct admission *, unsigned pool);     /* may one be made now? */

/* ---- pressure on the gate's machine: shares of time (permille) of the last ten seconds in which somebody
 * waited for CPU or memory ("some"), or everybody for memory ("full"): /proc/pressure,
 * Documentation/accounting/psi.rst */
struct admission_psi {
    unsigned cpu_some, memory_some, memory_full;
};
/* Rises at once, falls one level in five seconds. The level, 0 to 3:
 *   1  suspects are refused, and bulk of strangers
 *   2  and all strangers, and all bulk
 *   3  and everything but persons who are known and partners */
unsigned admission_pressure_note(struct admission *, const struct admission_psi *, uint64_t now_us);
unsigned admission_pressure(const struct admission *);

/* ---- how many streams one HTTP/2 connection may have at the upstream or waiting for it, of `most`
 * configured */
unsigned admission_streams(enum admission_class, unsigned pressure, unsigned most);

/* For admission.c: is this request shed? */
bool budget_sheds(const struct area *, enum admission_class, enum admission_criticality);

#endif
