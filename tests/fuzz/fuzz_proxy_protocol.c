/* What a load balancer in front may send before the first byte. Properties: a header that comes in parts gets
 * the same verdict; what is accepted, written as either version, reads back as the same. */
#include "base/must.h"
#include "http/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ptrdiff_t parse_byte_by_byte(struct str in, struct proxy_header *ret)
{
    ptrdiff_t n = 0;
    for (size_t have = 0; have <= in.n && n == 0; have++)
        n = proxy_header_parse(str_take(in, have), ret);
    return n;
}

static void must_be_same(const struct proxy_header *a, const struct proxy_header *b)
{
    must(a->is_local == b->is_local);
    must(a->is_local || (addr_eq(&a->source, &b->source) && addr_eq(&a->destination, &b->destination)));
}

typedef void write_fn(struct buf *, const struct proxy_header *);

static void must_survive(const struct proxy_header *header, write_fn *write)
{
    char memory[PROXY_HEADER_MAX];
    struct buf b = buf_over(memory, sizeof memory);
    struct proxy_header again = {0};
    write(&b, header);
    must(!buf_overflowed(&b));
    must(proxy_header_parse(buf_text(&b), &again) == (ptrdiff_t)b.n);
    must_be_same(header, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str in = {(const char *)data, size};
    struct proxy_header whole = {0}, dripped = {0};
    ptrdiff_t n = proxy_header_parse(in, &whole);
    must(n == parse_byte_by_byte(in, &dripped));
    must(n <= (ptrdiff_t)size && n <= PROXY_HEADER_MAX);
    must(n != 0 || size < PROXY_HEADER_MAX);
    if (n > 0) {
        must_be_same(&whole, &dripped);
        must_survive(&whole, proxy_header_write_v1);
        must_survive(&whole, proxy_header_write_v2);
    }
    return 0;
}
