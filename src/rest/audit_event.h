/* rest/audit_event.h - the log of accesses as AuditEvents (https://hl7.org/fhir/R4/auditevent.html): a
 * patient asks who looked at the own record, whoever administers the cluster also what somebody looked at.
 * Nothing is stored twice: the audit process reads its file from the end, and its lines become resources
 * here.
 *
 *   AuditEvent?patient=1&date=ge2026-01-01   AuditEvent?agent=Practitioner/1   Patient/1/AuditEvent */
#ifndef POLDER_REST_AUDIT_EVENT_H
#define POLDER_REST_AUDIT_EVENT_H

#include "rest/request.h"

enum { REST_AT_CHARACTERS = 23, REST_AUDIT_COUNT_MAX = 1'000, REST_AUDIT_LINES_MAX = 2 << 20 };

/* What is asked of the audit process. */
struct rest_audit_question {
    struct str patient, user; /* an id; a reference: of letters, digits, '-', '.' and '/'. Empty: all */
    struct str from, to;      /* as lines have it, REST_AT_CHARACTERS; empty: no bound */
    uint32_t count;
};

/* Is it a search for AuditEvents that the log answers? Not where access is off: then they are what is stored.
 */
bool rest_audit_is_asked(const struct rest_call *, const struct rest_request *);
/* False: refused. */
[[nodiscard]] bool rest_audit_question_read(const struct rest_call *, const struct rest_request *,
                                            struct rest_audit_question *ret, struct rest_answer *);
/* As one text, and back: four words and a number, a line feed behind each. */
struct str rest_audit_question_write(const struct rest_audit_question *, struct arena *);
[[nodiscard]] bool rest_audit_question_parse(struct str text, struct rest_audit_question *ret);
/* Does a line of the log (rest/audit.h, with its number in front) fit? */
bool rest_audit_line_fits(struct str line, const struct rest_audit_question *);
/* lines: newest first, a line feed behind each. has_older: not all of the log was looked at. */
void rest_audit_answer(const struct rest_call *, const struct rest_request *, struct str lines,
                       bool has_older, struct rest_answer *);

#endif
