/* Heads and ids as bytes. Numbers are as short as they can be: seven bits a byte, the lowest first. */
#include "store/head.h"

#include "base/hash.h"

static void write_short(struct buf *out, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        buf_char(out, (char)(0x80 | value));
    buf_char(out, (char)value);
}

struct reader {
    const char *at, *end;
    bool failed;
};

static const char *take(struct reader *r, size_t n)
{
    if (r->failed || n > (size_t)(r->end - r->at)) {
        r->failed = true;
        return NULL;
    }
    r->at += n;
    return r->at - n;
}

static uint64_t read_wide(struct reader *r, unsigned bytes)
{
    const char *p = take(r, bytes);
    return p ? key_read(p, bytes) : 0;
}

static uint64_t read_short(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const char *p = take(r, 1);
        if (!p)
            return 0;
        value |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p & 0x80))
            return value;
    }
    r->failed = true;
    return 0;
}

/* ---- ids */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool pack_uuid(struct str id, char out[16])
{
    unsigned n = 0;
    if (id.n != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (id.p[i] != '-')
                return false;
            continue;
        }
        int digit = hex_digit(id.p[i]);
        if (digit < 0)
            return false;
        out[n / 2] = (char)(n % 2 ? out[n / 2] | digit : digit << 4);
        n++;
    }
    return true;
}

static void unpack_uuid(const char in[16], char out[36])
{
    static const char digits[] = "0123456789abcdef";
    unsigned n = 0;
    for (unsigned i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            out[i] = '-';
            continue;
        }
        out[i] = digits[(uint8_t)in[n / 2] >> (n % 2 ? 0 : 4) & 0xf];
        n++;
    }
}

enum { ID_IS_UUID = 1, ID_IS_TEXT = 2 };

static void write_id(struct str id, struct buf *out)
{
    char uuid[16];
    bool is_uuid = pack_uuid(id, uuid);
    buf_char(out, is_uuid ? ID_IS_UUID : ID_IS_TEXT);
    buf_str(out, is_uuid ? (struct str){uuid, sizeof uuid} : id);
}

void ident_write(uint8_t type, struct str id, struct buf *out)
{
    buf_char(out, (char)type);
    write_id(id, out);
}

static bool read_id(struct reader *r, struct head *ret)
{
    const char *kind = take(r, 1);
    size_t n = (size_t)(r->end - r->at);
    const char *p = take(r, n);
    if (!kind || !p || (*kind == ID_IS_UUID && n != 16))
        return false;
    ret->id = (struct str){p, n};
    if (*kind == ID_IS_UUID) {
        unpack_uuid(p, ret->memory);
        ret->id = (struct str){ret->memory, sizeof ret->memory};
    }
    return *kind == ID_IS_UUID || (*kind == ID_IS_TEXT && n > 0);
}

/* ---- heads */

void head_write(const struct head *h, struct buf *out)
{
    buf_char(out, (char)h->type);
    buf_char(out, (char)h->verb);
    write_short(out, h->version);
    write_short(out, h->sequence);
    key_write(out, (uint64_t)h->time_us ^ 1ULL << 55, 7);
    key_write(out, h->check, 4);
    write_short(out, h->body_bytes);
    write_short(out, h->dictionary);
    key_write(out, h->date, 6);
    write_short(out, h->subjects);
    write_short(out, h->patient_count);
    for (unsigned i = 0; i < h->patient_count; i++)
        key_write(out, h->patients[i], 4);
    write_id(h->id, out);
}

bool head_read(struct str bytes, struct head *ret)
{
    struct reader r = {bytes.p, bytes.p + bytes.n, !bytes.n};
    struct head *h = ret;
    h->type = (uint8_t)read_wide(&r, 1);
    h->verb = (uint8_t)read_wide(&r, 1);
    h->version = read_short(&r);
    h->sequence = read_short(&r);
    uint64_t time = read_wide(&r, 7) ^ 1ULL << 55;
    h->time_us = (int64_t)(time << 8) >> 8;
    h->check = (uint32_t)read_wide(&r, 4);
    h->body_bytes = (uint32_t)read_short(&r);
    h->dictionary = (uint32_t)read_short(&r);
    h->date = read_wide(&r, 6);
    h->subjects = (uint32_t)read_short(&r);
    uint64_t patients = read_short(&r);
    if (patients > KEY_PATIENTS_MAX)
        return false;
    h->patient_count = (unsigned)patients;
    for (unsigned i = 0; i < h->patient_count; i++)
        h->patients[i] = (uint32_t)read_wide(&r, 4);
    return !r.failed && read_id(&r, h) && h->verb <= STORE_DELETE && h->body_bytes <= STORE_BODY_MAX;
}

uint32_t body_check(uint32_t resource, uint64_t version, struct str body)
{
    const struct hash_key key = {0x706f6c646572 ^ (uint64_t)resource << 16, version};
    return (uint32_t)hash_bytes(&key, body.p, body.n);
}
