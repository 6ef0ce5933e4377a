/* filter/pcapng.c - samples as a capture file: Section Header, one Interface Description with times in
 * nanoseconds, then Enhanced Packet Blocks (draft-ietf-opsawg-pcapng 4.1, 4.2, 4.3). Pure. All numbers in our
 * own byte order, which the section says. */
#include "filter/filter.h"

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    ORDER_MAGIC = 0x1a2b3c4d,
    LINK_ETHERNET = 1,
    OPTION_COMMENT = 1,
    OPTION_TIME_UNIT = 9,
    COMMENT_MAX = 160,
};

static void put16(struct buf *b, uint16_t value)
{
    buf_add(b, &value, 2);
}

static void put32(struct buf *b, uint32_t value)
{
    buf_add(b, &value, 4);
}

static void put_padded(struct buf *b, const void *bytes, size_t n)
{
    static const char zeros[4] = {0};
    buf_add(b, bytes, n);
    buf_add(b, zeros, -n & 3);
}

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

void filter_pcapng_begin(struct buf *b)
{
    static const uint8_t nanoseconds = 9;
    put32(b, BLOCK_SECTION);
    put32(b, 28);
    put32(b, ORDER_MAGIC);
    put16(b, 1);
    put16(b, 0);
    put32(b, UINT32_MAX); /* length of the section: not said */
    put32(b, UINT32_MAX);
    put32(b, 28);
    put32(b, BLOCK_INTERFACE);
    put32(b, 32);
    put16(b, LINK_ETHERNET);
    put16(b, 0);
    put32(b, FILTER_SAMPLE_BYTES);
    put16(b, OPTION_TIME_UNIT);
    put16(b, 1);
    put_padded(b, &nanoseconds, 1);
    put32(b, 0); /* end of options */
    put32(b, 32);
}

static struct str comment(const struct filter_sample *s, char *memory)
{
    struct buf b = buf_over(memory, COMMENT_MAX);
    buf_printf(&b, "%s %s: %s; class %s, level %s, interface %u", s->direction == FILTER_IN ? "in" : "out",
               s->dropped ? "dropped" : "passed", filter_reason_text(s->reason), filter_class_word(s->class),
               filter_level_word(s->level), s->interface);
    return buf_text(&b);
}

void filter_pcapng_add(struct buf *b, const struct filter_sample *s, int64_t boot_ns)
{
    char memory[COMMENT_MAX];
    struct str text = comment(s, memory);
    size_t kept = s->kept <= FILTER_SAMPLE_BYTES ? s->kept : FILTER_SAMPLE_BYTES;
    uint64_t at = s->at_ns + (uint64_t)boot_ns;
    uint32_t bytes = (uint32_t)(28 + padded(kept) + 4 + padded(text.n) + 4 + 4);
    put32(b, BLOCK_PACKET);
    put32(b, bytes);
    put32(b, 0); /* the interface described above */
    put32(b, (uint32_t)(at >> 32));
    put32(b, (uint32_t)at);
    put32(b, (uint32_t)kept);
    put32(b, s->bytes);
    put_padded(b, s->frame, kept);
    put16(b, OPTION_COMMENT);
    put16(b, (uint16_t)text.n);
    put_padded(b, text.p, text.n);
    put32(b, 0);
    put32(b, bytes);
}
