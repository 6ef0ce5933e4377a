/* What a store reads back from its own file, which may be damaged, and from a link, which may be anybody's:
 * heads of versions, keys, positions. Whatever is accepted means the same when it is written and read again.
 */
#include "base/must.h"
#include "store/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_head(struct str bytes)
{
    struct head h = {0}, again = {0};
    char memory[HEAD_BYTES_MAX];
    struct buf out = buf_over(memory, sizeof memory);
    if (!head_read(bytes, &h))
        return;
    must(h.patient_count <= KEY_PATIENTS_MAX && h.body_bytes <= STORE_BODY_MAX && h.id.n > 0);
    if (h.id.n > 64) /* no id is as long: a store writes none */
        return;
    head_write(&h, &out);
    must(!buf_overflowed(&out) && head_read(buf_text(&out), &again));
    must(h.version == again.version && h.sequence == again.sequence && h.time_us == again.time_us);
    must(h.check == again.check && h.date == again.date && h.dictionary == again.dictionary);
    must(h.type == again.type && h.verb == again.verb && str_eq(h.id, again.id));
    must(memcmp(h.patients, again.patients, h.patient_count * sizeof *h.patients) == 0);
}

static void try_key(struct str bytes)
{
    struct key_end end;
    if (!key_read_end(bytes, &end))
        return;
    must(end.value_bytes > 0 && end.value_bytes < bytes.n && end.parameters.n > 0);
    must(end.parameters.p >= bytes.p && end.parameters.p + end.parameters.n <= bytes.p + bytes.n);
    if (bytes.p[0] == KEY_DATE)
        must(key_read_date((enum key_date_class)bytes.p[2], bytes.p + 3).n + 3 == end.value_bytes);
}

static void try_position(struct str bytes, struct arena *arena)
{
    char memory[512];
    struct buf out = buf_over(memory, sizeof memory), again = buf_over(memory, sizeof memory);
    struct str text = position_write(str_take(bytes, 300), arena);
    must(position_read(text, &out) && str_eq(buf_text(&out), str_take(bytes, 300)));
    (void)position_read(bytes, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    struct str bytes = {(const char *)data, size};
    if (!arena)
        arena = arena_new(1 << 20);
    must(arena);
    arena_reset(arena);
    if (!size)
        return 0;
    struct str rest = {bytes.p + 1, bytes.n - 1};
    if (bytes.p[0] == 'h')
        try_head(rest);
    else if (bytes.p[0] == 'k')
        try_key(rest);
    else
        try_position(rest, arena);
    return 0;
}
