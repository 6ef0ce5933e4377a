/* rest/audit.h - the record of one access, after NEN 7513: who, for whom, which organisation, whose record,
 * what, which action, when, from where, and how it was judged. Made in this one place; the audit process
 * chains it and makes it durable (records/audit.c) before the answer leaves.
 *
 * The record is the inside of a JSON object, without its brackets:
 *   "at":"2026-01-31T09:41:07.123Z","action":"R","interaction":"read","status":200,"user":...,"patients":["7"],
 *   "objects":["Patient/7/_history/1"],"outcome":"Y---"
 * Texts of a query may name a patient, as the log itself does: it is as well protected as the records. */
#ifndef POLDER_REST_AUDIT_H
#define POLDER_REST_AUDIT_H

#include "rest/request.h"

enum { REST_AUDIT_OBJECTS_MAX = 1'000, REST_AUDIT_BYTES_MAX = 1 << 19 };

struct rest_access {
    const struct rest_caller *caller;
    const struct rest_judged *judged;
    const struct rest_request *request;
    const struct rest_answer *answer;
    int64_t at_us;
};
/* { NULL, 0 }: no memory. More objects than the limit are counted only ("more"). */
struct str rest_audit_write(const struct rest_access *, struct arena *);

#endif
