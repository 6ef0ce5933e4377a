/* A record of the level: whatever comes is refused, or is a sane state that is written again as the same
 * bytes. The checksum is put right first, or nothing would ever get past it. What a boot unit makes of it is
 * never more open where something was damaged. */
#include "base/must.h"
#include "isolation/codec.h"
#include "isolation/isolation.h"
#include "isolation/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ROOM = INPUT_MAX + 64 };

static struct str with_check(const uint8_t *data, size_t size, char *memory)
{
    static const struct hash_key key = {0x706f6c646572, 0x69736f6c6174696f};
    struct buf out = buf_over(memory, ROOM);
    buf_add(&out, data, size);
    buf_printf(&out, "\n%016llx\n", (unsigned long long)hash_bytes(&key, data, size));
    return buf_text(&out);
}

static void must_write_the_same(struct str text, const struct isolation_state *s, uint64_t sequence)
{
    static char memory[ROOM];
    struct buf out = buf_over(memory, sizeof memory);
    isolation_record_write(&out, s, sequence);
    must(!buf_overflowed(&out) && str_eq(buf_text(&out), text));
}

static void must_boot_closed(struct isolation_state *s)
{
    static struct isolation_state scratch[2];
    const struct isolation_moment now = {INT64_C(1'600'000'000'000'000), true};
    uint8_t level = isolation_level(s, STR_NONE);
    isolation_record_boot(ISOLATION_RECORD_DAMAGED, s, now, scratch);
    must(isolation_level(s, STR_NONE) >= ISOLATION_CLOSED && isolation_level(s, STR_NONE) >= level);
    must(state_is_sane(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct isolation_state s;
    static struct arena *arena;
    static char memory[ROOM];
    uint64_t sequence;
    if (size > INPUT_MAX)
        return 0;
    if (!arena)
        arena = arena_new(ISOLATION_RECORD_ARENA);
    must(arena);
    /* A seed is a whole record; its check is left off, and one that fits put behind it. */
    while (size > 0 && data[size - 1] == '\n')
        size--;
    if (size > 17 && data[size - 17] == '\n')
        size -= 17;
    struct str text = with_check(data, size, memory);
    if (isolation_record_read(text, arena, &s, &sequence)) {
        must(state_is_sane(&s));
        must_write_the_same(text, &s, sequence);
        must_boot_closed(&s);
    }
    return 0;
}
