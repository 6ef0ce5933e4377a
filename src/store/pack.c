/* zstd. What every frame begins with (its magic number) is left out, and so are its length, dictionary and
 * checksum, which stand in the head of the version. */
#include "store/pack.h"

#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>

enum { LEVEL = 3, DICTIONARIES_MAX = 4'096, DICTIONARY_BYTES = 64 << 10, MAGIC_BYTES = 4 };

struct dictionary {
    ZSTD_CDict *pack;
    ZSTD_DDict *unpack;
};

struct packer {
    ZSTD_CCtx *out;
    ZSTD_DCtx *in;
    struct dictionary *at; /* by number - 1 */
    uint32_t n;
    uint32_t of_type[256];
    char *frame; /* a packed body with its magic number */
    size_t frame_room;
};

struct packer *packer_new(void)
{
    struct packer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->out = ZSTD_createCCtx();
    p->in = ZSTD_createDCtx();
    if (p->out && p->in && !ZSTD_isError(ZSTD_CCtx_setParameter(p->out, ZSTD_c_compressionLevel, LEVEL)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(p->out, ZSTD_c_contentSizeFlag, 0)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(p->out, ZSTD_c_dictIDFlag, 0)))
        return p;
    packer_free(p);
    return NULL;
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n; i++) {
        ZSTD_freeCDict(p->at[i].pack);
        ZSTD_freeDDict(p->at[i].unpack);
    }
    ZSTD_freeCCtx(p->out);
    ZSTD_freeDCtx(p->in);
    free(p->at);
    free(p->frame);
    free(p);
}

static bool make_room(struct packer *p, uint32_t n)
{
    if (n <= p->n)
        return true;
    struct dictionary *at = n > DICTIONARIES_MAX ? NULL : realloc(p->at, n * sizeof *at);
    if (!at)
        return false;
    memset(at + p->n, 0, (n - p->n) * sizeof *at);
    p->at = at;
    p->n = n;
    return true;
}

bool packer_has(const struct packer *p, uint32_t number)
{
    return number == 0 || (number <= p->n && p->at[number - 1].unpack);
}

bool packer_add(struct packer *p, uint32_t number, uint8_t type, struct str dictionary, bool may_pack)
{
    if (number == 0 || !make_room(p, number))
        return false;
    struct dictionary *d = &p->at[number - 1];
    if (!d->unpack)
        d->unpack = ZSTD_createDDict(dictionary.p, dictionary.n);
    if (may_pack && !d->pack)
        d->pack = ZSTD_createCDict(dictionary.p, dictionary.n, LEVEL);
    if (!d->unpack || (may_pack && !d->pack))
        return false;
    if (number > p->of_type[type])
        p->of_type[type] = number;
    return true;
}

uint32_t packer_dictionary(const struct packer *p, uint8_t type)
{
    return p->of_type[type];
}

struct str packer_pack(struct packer *p, uint8_t type, struct str body, struct arena *arena,
                       uint32_t *ret_dictionary)
{
    uint32_t number = p->of_type[type];
    ZSTD_CDict *dictionary = number ? p->at[number - 1].pack : NULL;
    size_t room = ZSTD_compressBound(body.n);
    char *out = arena_bytes(arena, room);
    if (!out || ZSTD_isError(ZSTD_CCtx_refCDict(p->out, dictionary)))
        return STR_NONE;
    size_t n = ZSTD_compress2(p->out, out, room, body.p, body.n);
    if (ZSTD_isError(n) || n < MAGIC_BYTES)
        return STR_NONE;
    *ret_dictionary = dictionary ? number : 0;
    return (struct str){out + MAGIC_BYTES, n - MAGIC_BYTES};
}

bool packer_unpack(struct packer *p, uint32_t dictionary, struct str packed, char *body, size_t body_bytes)
{
    static const char magic[MAGIC_BYTES] = {0x28, (char)0xb5, 0x2f, (char)0xfd}; /* RFC 8878 3.1.1 */
    if (!packer_has(p, dictionary))
        return false;
    if (packed.n + MAGIC_BYTES > p->frame_room) {
        size_t room = (packed.n + MAGIC_BYTES) * 2;
        char *frame = realloc(p->frame, room);
        if (!frame)
            return false;
        p->frame = frame;
        p->frame_room = room;
    }
    memcpy(p->frame, magic, MAGIC_BYTES);
    if (packed.n)
        memcpy(p->frame + MAGIC_BYTES, packed.p, packed.n);
    size_t all = packed.n + MAGIC_BYTES;
    size_t n = dictionary ? ZSTD_decompress_usingDDict(p->in, body, body_bytes, p->frame, all,
                                                       p->at[dictionary - 1].unpack)
                          : ZSTD_decompressDCtx(p->in, body, body_bytes, p->frame, all);
    return !ZSTD_isError(n) && n == body_bytes;
}

struct str packer_train(const char *samples, const size_t *sizes, unsigned n, struct arena *arena)
{
    char *out = arena_bytes(arena, DICTIONARY_BYTES);
    if (!out || n < 8)
        return STR_NONE;
    size_t bytes = ZDICT_trainFromBuffer(out, DICTIONARY_BYTES, samples, sizes, n);
    return ZDICT_isError(bytes) ? STR_NONE : (struct str){out, bytes};
}
