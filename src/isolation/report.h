/* isolation/report.h - what the journal tells, in plain text: the timeline, and a letter for a partner that
 * asks whether it is safe to reconnect. Both say what they rest on: lines read, the last hash, whether the
 * chain holds. */
#ifndef POLDER_ISOLATION_REPORT_H
#define POLDER_ISOLATION_REPORT_H

#include "isolation/journal.h"

struct isolation_measure {    /* something that was done: a patch, a rule, a new version */
    struct str what, version; /* "Virtual patch CVE-2026-0001", "2" */
    struct str proof;         /* a hash or the outcome of its probe; may be empty */
    int64_t since_us;         /* in force; 0: not known */
};

struct isolation_report {
    struct str site;                  /* the house's name */
    enum isolation_language language; /* Dutch for Frisian */
    int offset_minutes;
    int64_t now_us;
    int64_t from_us; /* older lines are left out; 0: all */
    struct str journal;
    const struct isolation_finding *finding; /* of this journal */
    struct arena *scratch;                   /* reset for each line */
};

/* One line for each order, with its outcome; drills and refusals say that they are. */
void isolation_report_timeline(struct buf *, const struct isolation_report *);
/* state: as it is now. version: of the gate. */
void isolation_report_letter(struct buf *, const struct isolation_report *, struct str partner,
                             const struct isolation_state *, struct str version,
                             const struct isolation_measure *, size_t measure_count);

#endif
