/* records/bulk.h - one bulk export (https://hl7.org/fhir/uv/bulkdata/): from what was asked for to its files.
 *
 * A job is done in steps, each a bounded piece of work, so that whoever runs several stays awake. Its files
 * lie in the folder "export" of the cluster and begin with the number of its slot:
 *
 *   3.job.json        what was asked for; there from the beginning
 *   3.Patient.0.ndjson
 *   3.manifest.json   there when all others are on disk: the job is done
 *
 * What always holds:
 *  1. Every step is judged anew with the token that asked: one that is over, or a role that is, ends the job.
 *  2. What a manifest names is whole and on disk. A job without one, after a start, was broken off and says
 * so. */
#ifndef POLDER_RECORDS_BULK_H
#define POLDER_RECORDS_BULK_H

#include "rest/read.h"

enum { BULK_SLOTS = 8, BULK_FILES_MAX = 4'096 };

enum bulk_level { BULK_SYSTEM, BULK_PATIENT, BULK_GROUP };
enum bulk_state { BULK_FREE, BULK_RUNS, BULK_DONE, BULK_FAILED };

struct bulk_file {
    const struct fhir_type *type;
    unsigned part;
    uint64_t count, bytes;
    int fd; /* -1: complete */
};

struct bulk_job {
    enum bulk_state state;
    enum bulk_level level;
    const char *folder; /* of the cluster's exports */
    unsigned slot;
    struct arena *arena;       /* of what was asked for, and of the results */
    struct str id, url, begun; /* begun: transactionTime */
    struct rest_http http;     /* who asked, and what */
    struct rest_caller caller;
    struct str filter;    /* "_type=Patient,Observation&_lastUpdated=ge2026-01-01" */
    bool wants_patients;  /* Patients themselves are among what is asked for */
    struct str *patients; /* ids: of a group all, else those of a page */
    size_t patient_count, patient_at;
    char position[1'024]; /* of the search under way; empty: its first page */
    char patient_position[1'024];
    size_t position_n, patient_position_n;
    bool is_last_patients;
    struct bulk_file *files; /* BULK_FILES_MAX of them, in the arena */
    unsigned file_count;
    uint64_t resources;
    struct str manifest, problem; /* DONE; FAILED */
    int64_t ended_us;
};

/* Reads what was asked for, into a job that is free: false, and it is free still: the answer says why. */
[[nodiscard]] bool bulk_begin(struct bulk_job *, const struct rest_call *, const struct rest_request *,
                              const struct rest_http *, struct str id, struct rest_answer *);
/* Some hundred resources more. The call sees what its caller sees; its arena is reset by whoever calls. */
void bulk_step(struct bulk_job *, const struct rest_call *);
void bulk_fail(struct bulk_job *, struct str why);
/* What a start finds of a slot. */
void bulk_restore(struct bulk_job *);
/* Its files go, and it is free. */
void bulk_remove(struct bulk_job *);
/* A file that its manifest names ("Patient.0"), whole. False: there is none of that name. */
[[nodiscard]] bool bulk_read(const struct bulk_job *, struct str name, struct arena *, struct str *ret);

#endif
