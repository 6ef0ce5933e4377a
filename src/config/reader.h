/* config/reader.h - fills the structs from the tree of nodes, as the table of keys says.
 *
 * Invariants: a struct has all its defaults before its keys are read; a value that cannot be read leaves
 * its default in place and a problem behind, so that reading goes on and finds the next mistake. */
#ifndef POLDER_CONFIG_READER_H
#define POLDER_CONFIG_READER_H

#include "config/problems.h"
#include "config/table.h"
#include "config/tree.h"

#include <openssl/evp.h>

enum { FILE_BYTES_MAX = 16 << 20 };

/* Text that only one may have: names, hosts, addresses. */
enum claim_kind {
    CLAIM_NAME,
    CLAIM_HOST,
    CLAIM_ADDRESS,
    CLAIM_PATH,
    CLAIM_ENDPOINT,
    CLAIM_HEADER,
    CLAIM_PARTNER
};
struct claim {
    enum claim_kind kind;
    uint64_t scope; /* only claims of one scope rule each other out */
    struct str text;
    struct place at;
};

struct read_file_node; /* files read so far */

struct reader {
    struct arena *arena;   /* of the config: all that stays */
    struct arena *scratch; /* dies with the reading */
    struct problems *problems;
    const struct config_files *files;
    struct read_file_node *read_files;
    EVP_MD_CTX *digest;
    struct config_root *root;
    unsigned cpus; /* what `workers: auto` means */
    struct claim *claims;
    unsigned claim_count, claim_cap;
};

void reader_read_root(struct reader *, const struct node *tree);

/* Two equal claims are an error at the later one. */
void reader_claim(struct reader *, enum claim_kind, uint64_t scope, struct str text, struct place);
void reader_check_claims(struct reader *);

/* Reads the keys of a section into the struct at base, which has its defaults. */
void reader_section(struct reader *, enum config_section_id, const struct node *, void *base, unsigned index);
void reader_defaults(struct reader *, enum config_section_id, void *base);

/* The contents of a file the configuration names, kept in the arena; false: a problem was reported. */
bool reader_file(struct reader *, const struct config_key *, struct str path, struct place,
                 struct str *ret_bytes);

/* What else the digest of the configuration is made over. */
void reader_digest(struct reader *, struct str bytes);

/* rules.c: fills in what a cluster and its routes did not say about inspection. */
void config_inherit_waf(const struct reader *, struct config_cluster *, struct config_route *routes);

/* notice.c: what a cluster's notice does not say is the site's. */
void config_inherit_notice(const struct reader *, struct config_notice *);

/* patches.c: the virtual patches that come with Polder, where they are installed. */
void config_standard_patches(struct reader *, struct place);

/* "'key' must be WORDS, not VALUE". */
void reader_complain(struct reader *, const struct config_key *, const struct node *value);
/* The value as words, when it is one. Reports otherwise. */
bool reader_word(struct reader *, const struct config_key *, const struct node *value, struct str *ret);

/* A list of words; one word may stand for a list of one. */
struct reader_many {
    const struct node *at; /* of the first; the others are its next */
    unsigned count;
    void *entries;
};
/* Room for the entries, hung into base. False: a problem was reported. */
bool reader_many_begin(struct reader *, const struct config_key *, const struct node *value, void *base,
                       size_t entry_size, struct reader_many *ret);

static inline void *field_at(void *base, size_t offset)
{
    return (char *)base + offset;
}

#endif
