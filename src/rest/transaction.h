/* rest/transaction.h - a batch or transaction while it is carried out. Inside src/rest only. */
#ifndef POLDER_REST_TRANSACTION_H
#define POLDER_REST_TRANSACTION_H

#include "rest/write.h"

enum { ENTRIES_MAX = 10'000, FIELDS_MAX = 5 };

struct bundle_entry {
    uint32_t resource; /* node; JSON_NONE: none */
    struct str full_url;
    struct http_field fields[FIELDS_MAX];
    unsigned field_count;
    struct rest_request request;
    struct rest_answer answer;
    struct str id;             /* of the resource it writes */
    bool is_write, is_settled; /* settled: answered without a write */
    enum store_verb verb;
    int64_t expected;
    struct json_tape patched; /* of a patch: what it makes of the current version */
    struct rest_pending pending;
};

/* Texts that stand for an address: full URLs of entries, conditional references that were looked up. */
struct bundle_named {
    struct str text, address;
};

struct bundle_run {
    const struct rest_call *call;
    const struct rest_request *request;
    struct rest_answer *answer;
    struct json_tape tape;
    struct bundle_entry *entries;
    unsigned n;
    struct bundle_named *names; /* an open hash table */
    size_t name_room, name_count;
    bool is_transaction;
};

struct str bundle_text(struct bundle_run *, uint32_t object, const char *member);
/* The refusal of an entry is that of the transaction: the same words, with the place. Returns false. */
bool bundle_refuse_entry(struct bundle_run *, const struct bundle_entry *, const struct rest_answer *why);

/* ---- transaction_read.c: entries become requests. False: refused. */
bool bundle_read(struct bundle_run *);
/* ---- transaction_settle.c: each entry gets its address. False: refused. */
bool bundle_settle(struct bundle_run *);
/* ---- transaction_names.c */
bool bundle_names_make(struct bundle_run *, size_t room);               /* a power of two */
struct bundle_named *bundle_name(struct bundle_run *, struct str text); /* its place, where it may be or go */
bool bundle_name_add(struct bundle_run *, struct str text, struct str address);
/* References to other entries, and conditional ones, become addresses, by edits. False: refused. */
bool bundle_rewrite(struct bundle_run *, struct bundle_entry *, uint32_t object, struct rest_edits *);

#endif
