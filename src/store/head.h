/* store/head.h - what is kept of a version besides its body, as bytes. Pure. */
#ifndef POLDER_STORE_HEAD_H
#define POLDER_STORE_HEAD_H

#include "store/keys.h"

struct head {
    uint64_t version, sequence;
    int64_t time_us;
    uint64_t date; /* of its places, without PLACE_IS_SUBJECT */
    uint32_t check, body_bytes;
    uint32_t dictionary; /* 0: none */
    uint32_t subjects, patients[KEY_PATIENTS_MAX];
    unsigned patient_count;
    uint8_t type, verb;
    struct str id; /* borrowed; of a head that was read, in `memory` when it was packed */
    char memory[36];
};

enum { HEAD_BYTES_MAX = 320, IDENT_BYTES_MAX = 72 };

void head_write(const struct head *, struct buf *);
bool head_read(struct str, struct head *ret); /* false: these are not the bytes of a head */

/* A type and an id as a key, to which the resource's number is added: ids that are UUIDs take 16 bytes. */
void ident_write(uint8_t type, struct str id, struct buf *);

/* Of a body that stands as that version of that resource. */
uint32_t body_check(uint32_t resource, uint64_t version, struct str body);

#endif
