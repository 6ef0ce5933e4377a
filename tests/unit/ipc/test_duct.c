/* Messages through shared memory: whole, in order, of any size, and nobody trusts the other side. */
#include "ipc/duct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 8 << 20, BACKLOG_MAX = 32 << 20 };

struct side {
    struct loop *loop;
    struct duct *duct;
    size_t count, bytes, next_size;
    bool broke, refuses, echoes;
    size_t stop_at; /* messages */
};

/* Each message is its own length, counted up, in each byte its number: what is cut or mixed is seen. */
static void check_message(struct side *s, struct str m)
{
    for (size_t i = 0; i < m.n; i++)
        assert_int_equal((unsigned char)m.p[i], s->count & 0xff);
}

static bool message(void *self, struct duct *d, struct str bytes)
{
    struct side *s = self;
    check_message(s, bytes);
    s->count++;
    s->bytes += bytes.n;
    if (s->echoes)
        assert_true(duct_send(d, &bytes, 1));
    if (s->count == s->stop_at)
        loop_stop(s->loop);
    return !s->refuses;
}

static void broken(void *self, struct duct *d)
{
    struct side *s = self;
    s->broke = true;
    loop_stop(s->loop);
}

struct pair {
    struct side a, b;
    void *memory; /* as a third process would see it */
};

static struct duct_parts copy_of(const struct duct_parts *p)
{
    return (struct duct_parts){dup(p->memory), {dup(p->bells[0]), dup(p->bells[1])}};
}

static void open_pair(struct pair *p, size_t message_max)
{
    struct duct_parts parts;
    struct loop *loop = loop_new();
    *p = (struct pair){.a.loop = loop, .b.loop = loop};
    assert_int_equal(duct_parts_make(&parts), 0);
    p->memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, parts.memory, 0);
    assert_ptr_not_equal(p->memory, MAP_FAILED);
    p->a.duct = duct_open(loop, copy_of(&parts), 0, message_max, BACKLOG_MAX,
                          (struct duct_events){message, broken, &p->a});
    p->b.duct = duct_open(loop, copy_of(&parts), 1, message_max, BACKLOG_MAX,
                          (struct duct_events){message, broken, &p->b});
    duct_parts_close(&parts);
    assert_non_null(p->a.duct);
    assert_non_null(p->b.duct);
}

static void close_pair(struct pair *p)
{
    struct loop *loop = p->a.loop;
    duct_close(p->a.duct);
    duct_close(p->b.duct);
    munmap(p->memory, 4096);
    loop_free(loop);
}

static void send_filled(struct duct *d, size_t n, unsigned number)
{
    char *bytes = malloc(n + 1);
    memset(bytes, (int)(number & 0xff), n);
    const struct str parts[] = {{bytes, n / 2}, {bytes + n / 2, n - n / 2}};
    assert_true(duct_send(d, parts, 2));
    free(bytes);
}

static void test_order_and_sizes(void **state)
{
    static const size_t sizes[] = {
        0, 1, 3, 4, 100, 4096, DUCT_RING_BYTES - 4, DUCT_RING_BYTES, DUCT_RING_BYTES + 1, 5 << 20, 7, 0};
    struct pair p;
    size_t total = 0;
    open_pair(&p, MESSAGE_MAX);
    p.b.stop_at = sizeof sizes / sizeof *sizes;
    for (unsigned i = 0; i < p.b.stop_at; i++) {
        send_filled(p.a.duct, sizes[i], i);
        total += sizes[i];
    }
    assert_true(duct_waiting(p.a.duct) > 0);
    assert_int_equal(loop_run(p.a.loop), 0);
    assert_int_equal(p.b.count, p.b.stop_at);
    assert_int_equal(p.b.bytes, total);
    assert_int_equal(duct_waiting(p.a.duct), 0);
    close_pair(&p);
}

static void test_both_ways(void **state)
{
    struct pair p;
    open_pair(&p, MESSAGE_MAX);
    p.b.echoes = true;
    p.a.stop_at = 5'000;
    for (unsigned i = 0; i < p.a.stop_at; i++)
        send_filled(p.a.duct, i % 3'000, i);
    assert_int_equal(loop_run(p.a.loop), 0);
    assert_int_equal(p.a.count, 5'000);
    close_pair(&p);
}

static void test_too_large(void **state)
{
    struct pair p;
    open_pair(&p, 1'000);
    send_filled(p.a.duct, 1'000, 0);
    send_filled(p.a.duct, 1'001, 1);
    assert_int_equal(loop_run(p.a.loop), 0);
    assert_int_equal(p.b.count, 1);
    assert_true(p.b.broke);
    close_pair(&p);
}

static void test_refused(void **state)
{
    struct pair p;
    open_pair(&p, 1'000);
    p.b.refuses = true;
    send_filled(p.a.duct, 10, 0);
    send_filled(p.a.duct, 10, 1);
    assert_int_equal(loop_run(p.a.loop), 0);
    assert_int_equal(p.b.count, 1); /* nothing after what was not acceptable */
    assert_true(p.b.broke);
    close_pair(&p);
}

static void test_full(void **state)
{
    struct pair p;
    static char large[BACKLOG_MAX];
    const struct str half = {large, BACKLOG_MAX / 2};
    open_pair(&p, MESSAGE_MAX);
    assert_true(duct_send(p.a.duct, &half, 1));
    assert_true(duct_send(p.a.duct, &half, 1));
    assert_false(duct_send(p.a.duct, &half, 1));
    close_pair(&p);
}

/* Words of the first page, as written by a process that was taken over. */
static void spoil(unsigned word, uint64_t value)
{
    struct pair p;
    open_pair(&p, MESSAGE_MAX);
    p.b.stop_at = 1;
    send_filled(p.a.duct, 10, 0);
    ((uint64_t *)p.memory)[word] = value;
    if (word == 8) /* what the reader took: the writer looks at it */
        assert_false(duct_send(p.a.duct, &(const struct str){"\1", 1}, 1));
    assert_int_equal(loop_run(p.a.loop), 0);
    assert_true(p.a.broke || p.b.broke);
    close_pair(&p);
}

static void test_spoilt_indexes(void **state)
{
    spoil(0, UINT64_MAX);             /* more was written than the ring holds */
    spoil(0, DUCT_RING_BYTES + 100U); /* likewise */
    spoil(8, 1'000'000'000);          /* more was read than was written */
}

static void test_parts(void **state)
{
    struct duct_parts p;
    assert_int_equal(duct_parts_make(&p), 0);
    duct_parts_close(&p);
    assert_int_equal(p.memory, -1);
    duct_parts_close(&p);
    duct_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_sizes),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_spoilt_indexes),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
