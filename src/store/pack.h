/* store/pack.h - bodies made small by zstd, with dictionaries made from bodies of the same type.
 *
 * Dictionaries have numbers from 1 on; the last one added for a type is used for what is packed. */
#ifndef POLDER_STORE_PACK_H
#define POLDER_STORE_PACK_H

#include "base/arena.h"

struct packer;

struct packer *packer_new(void); /* NULL: no memory */
void packer_free(struct packer *);
/* may_pack: compression with it is prepared too, which takes some milliseconds. False: no memory, or no
 * dictionary of zstd's. */
bool packer_add(struct packer *, uint32_t number, uint8_t type, struct str dictionary, bool may_pack);
bool packer_has(const struct packer *, uint32_t number);         /* 0 it always has */
uint32_t packer_dictionary(const struct packer *, uint8_t type); /* 0: none */

/* In the arena; STR_NONE: no memory. */
struct str packer_pack(struct packer *, uint8_t type, struct str body, struct arena *,
                       uint32_t *ret_dictionary);
/* False: it is not a packed body of just that length. */
bool packer_unpack(struct packer *, uint32_t dictionary, struct str packed, char *body, size_t body_bytes);

/* A dictionary from samples laid end to end; STR_NONE: too few, or none that helps. */
struct str packer_train(const char *samples, const size_t *sizes, unsigned n, struct arena *);

#endif
