/* store/keys.h - from the index rows of a resource to the keys by which it is found, for any engine that
 * keeps byte strings in order.
 *
 * A key is where a value stands, then where the resource stands, then which parameters have the value:
 *
 *   KEY_ALL        kind type                           place  shape              one for each resource
 *   KEY_TERM       kind term                           place  parameters         a token, string, uri, ...
 *   KEY_REFERENCE  kind type target                    place  parameters         of the same store
 *   KEY_DATE       kind type class low width           spot   parameters
 *   KEY_NUMBER     kind type unit is_wide value        spot   parameters, and their number
 *
 *   place  patient (4), date downwards (6), resource (4)
 *   spot   patient (4), resource (4)
 *
 * So what a patient has of a code is one range, the newest first; without the patient the same keys serve all
 * patients. `patient` is the number of the Patient in whose compartment the resource is, 0 for none; of a
 * resource that is in several there are keys for each, and all but the first are marked by a zero before the
 * parameters. `type`, parameters: store/numbers.h. `term`: the number of a text (a code with its system, a
 * folded string) in the store's list of texts, where it stands in full: two values never share a key, nothing
 * is hashed. `target`: a resource's number; it is given when the first reference to it is stored, also to
 * what is not there yet.
 *
 * Where "patient" and "subject" refer to the only patient of a resource, these references are no keys of
 * their own: a bit of the date says it (PLACE_IS_SUBJECT). Numbers are ordered by value inside a unit, but
 * what fits is for the resource itself to say: such a key is a candidate. */
#ifndef POLDER_STORE_KEYS_H
#define POLDER_STORE_KEYS_H

#include "fhir/search_index.h"
#include "store/numbers.h"
#include "store/store.h"

enum key_kind { KEY_ALL = 1, KEY_TERM, KEY_REFERENCE, KEY_DATE, KEY_NUMBER };

enum {
    KEY_PATIENTS_MAX = 32, /* compartments of one resource; of more it is in none beyond the first */
    KEY_KEYS_MAX = 50'000, /* of one resource */
    KEY_PREFIX_MAX = 48,
    KEY_PLACE_BYTES = 14,
    KEY_SPOT_BYTES = 8,
    KEY_TEXT_MAX = 400, /* of a value's text in the list of texts; what is longer is cut and hashed */
};

/* Bits of place.date, below milliseconds since the year 1000. */
enum {
    PLACE_IS_SUBJECT = 1, /* it is of this patient alone, and all of "patient" and "subject" refer to them */
    PLACE_IS_SHORT = 2,   /* the date is known, and ends within a day */
    PLACE_DATE_SHIFT = 2,
};

/* Where a resource stands in ordered keys. */
struct place {
    uint64_t date; /* 48 bits */
    uint32_t patient, resource;
};

/* What the list of texts is made of. The letter begins the text. */
enum term_kind {
    TERM_SYSTEM = 'y',
    TERM_TOKEN = 't',
    TERM_IDENTIFIER = 'i',
    TERM_OF_TYPE = 'o',
    TERM_STRING = 's',
    TERM_URI = 'u',
    TERM_REFERENCE = 'r', /* to what is not of this store */
    TERM_UNIT = 'q',
    TERM_SHAPE = 'p', /* the parameters a resource has values for: their numbers, sorted */
};

/* Where numbers come from. A source that only looks gives STORE_NOT_FOUND for what has none. */
struct key_source {
    void *context;
    enum store_result (*term)(void *context, struct str text, uint32_t *ret);
    enum store_result (*resource)(void *context, const struct fhir_type *, struct str id, uint32_t *ret);
    const struct numbers *numbers;
};

struct keys {
    const struct str *at; /* in order, none twice */
    size_t n;
    uint64_t date;                       /* of the place, without PLACE_IS_SUBJECT */
    uint32_t patients[KEY_PATIENTS_MAX]; /* at least one: 0 when there is none */
    uint32_t subjects;                   /* 1: PLACE_IS_SUBJECT */
    unsigned patient_count;
};

/* resource: the number of the resource itself. */
enum store_result keys_make(const struct key_source *, const struct fhir_type *, uint32_t resource,
                            const struct fhir_index_rows *, struct arena *, struct keys *ret);

/* The text of a value in the list of texts; empty: its keys are no terms. type_number: of the resources. */
struct str key_term_text(const struct key_source *, uint8_t type_number, const struct fhir_index_value *,
                         struct arena *, enum store_result *ret);
/* "kind type text", the text cut when it is long. Prefixes of it are ranges of the list. */
struct str key_term_of(enum term_kind, uint8_t type_number, struct str text, struct str tail, struct arena *);

/* The text of the unit a number is ordered in; empty: none. */
struct str key_unit_text(const struct fhir_index_number *, struct arena *);

/* ---- reading keys */

/* What stands in a key behind its value. False: it is no key. */
struct key_end {
    struct place place;       /* of a spot: without the date */
    bool is_spot, is_further; /* is_further: of another patient than the first */
    struct str parameters;    /* of KEY_ALL: the shape, 4 bytes */
    size_t value_bytes;       /* where the place begins */
};
bool key_read_end(struct str key, struct key_end *ret);

static inline uint64_t key_read(const char *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)p[i];
    return value;
}

static inline void key_write(struct buf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--)
        buf_char(out, (char)(value >> (i - 1) * 8));
}

static inline struct place key_place(const char *p)
{
    return (struct place){~key_read(p + 4, 6) & 0xffff'ffff'ffffULL, (uint32_t)key_read(p, 4),
                          (uint32_t)key_read(p + 10, 4)};
}

static inline void key_write_place(struct buf *out, const struct place *p)
{
    key_write(out, p->patient, 4);
    key_write(out, ~p->date & 0xffff'ffff'ffffULL, 6);
    key_write(out, p->resource, 4);
}

/* Stretches are kept apart by their length, so that one that begins long before what is asked for is not
 * looked for among the short ones. */
enum key_date_class {
    DATE_OF_DAY,    /* at most a day: low, length in 5 bytes */
    DATE_OF_YEAR,   /* at most 366 days: low, high in 8 bytes */
    DATE_LONG,      /* finite: the same */
    DATE_OPEN_HIGH, /* low */
    DATE_OPEN_LOW,  /* high */
    DATE_CLASSES,
};
void key_write_date(struct buf *, int64_t low_us, int64_t high_us); /* class, then what stands behind it */
int64_t key_date_span_us(enum key_date_class); /* the longest stretch of the class; 0: open */
void key_write_i64(struct buf *, int64_t);     /* in the order of numbers */
int64_t key_read_i64(const char *p);
struct key_date {
    int64_t low_us, high_us;
    size_t n; /* bytes behind "kind type class" */
};
struct key_date key_read_date(enum key_date_class, const char *p);

/* The date of a place, for what is known of a stretch of time. */
uint64_t key_date_of(int64_t low_us, int64_t high_us);
/* What a place says of the stretch's begin: in [low, last]. False: nothing. */
bool key_date_known(uint64_t date, int64_t *ret_low_us, int64_t *ret_last_us);

#endif
