/* The perimeter's memory: whose area it is, that a reader never sees half of a state while a writer goes on,
 * and that numbers which were written half are still bounded. */
#include "../isolation/kit.h"

#include "proxy/perimeter.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3000 };

static void *make(void)
{
    void *memory = mmap(NULL, perimeter_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    perimeter_init(memory);
    return memory;
}

static void is_ours(void **state [[maybe_unused]])
{
    struct perimeter p;
    char *memory = make();
    assert_true(perimeter_open(memory, perimeter_size(), false, &p));
    assert_false(perimeter_open(memory, 4096, false, &p));
    memory[0] ^= 1;
    assert_false(perimeter_open(memory, perimeter_size(), false, &p));
    munmap(memory, perimeter_size());
}

static void nothing_then_something(void **state [[maybe_unused]])
{
    struct perimeter writer, reader;
    void *memory = make();
    struct isolation_state *s = kit_state(), *copy = kit_state();
    assert_true(perimeter_open(memory, perimeter_size(), true, &writer));
    assert_true(perimeter_open(memory, perimeter_size(), false, &reader));
    assert_int_equal(perimeter_read(&reader, copy), 0);
    for (uint64_t n = 1; n < 6; n++) {
        s->order = n;
        assert_int_equal(perimeter_publish(&writer, s), n);
        assert_int_equal(perimeter_sequence(&reader), n);
        assert_int_equal(perimeter_read(&reader, copy), n);
        assert_int_equal(copy->order, n);
    }
    free(s);
    free(copy);
    munmap(memory, perimeter_size());
}

/* Every byte of a state says which one it is. */
static void write_on_and_on(void *memory)
{
    struct perimeter writer;
    struct isolation_state *s = malloc(sizeof *s);
    if (!s || !perimeter_open(memory, perimeter_size(), true, &writer))
        _exit(1);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        memset(s, (int)(i & 0xff), sizeof *s);
        perimeter_publish(&writer, s);
    }
    _exit(0);
}

static void is_never_torn(void **state [[maybe_unused]])
{
    struct perimeter reader;
    void *memory = make();
    struct isolation_state *s = malloc(sizeof *s);
    uint64_t n = 0, before = 0;
    assert_non_null(s);
    assert_true(perimeter_open(memory, perimeter_size(), false, &reader));
    pid_t writer = fork();
    if (writer == 0)
        write_on_and_on(memory);
    while (n < ROUNDS) {
        n = perimeter_read(&reader, s);
        const uint8_t *bytes = (const uint8_t *)s;
        assert_true(n >= before);
        for (size_t i = 0; n && i < sizeof *s; i++)
            if (bytes[i] != (uint8_t)n)
                fail_msg("byte %zu of state %u says %u", i, (unsigned)n, bytes[i]);
        before = n;
    }
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    free(s);
    munmap(memory, perimeter_size());
}

static void packets_are_bounded(void **state [[maybe_unused]])
{
    struct perimeter p;
    struct perimeter_packets in, out;
    void *memory = make();
    memset(&in, 'x', sizeof in);
    in.at_us = 5;
    assert_true(perimeter_open(memory, perimeter_size(), true, &p));
    perimeter_packets_write(&p, &in);
    perimeter_packets_read(&p, &out);
    assert_int_equal(out.at_us, 5);
    assert_int_equal(out.why[sizeof out.why - 1], '\0');
    assert_int_equal(out.interface_count, PERIMETER_INTERFACES_MAX);
    for (unsigned i = 0; i < PERIMETER_INTERFACES_MAX; i++)
        assert_int_equal(out.interfaces[i].name[15], '\0');
    munmap(memory, perimeter_size());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ours),
        cmocka_unit_test(nothing_then_something),
        cmocka_unit_test(is_never_torn),
        cmocka_unit_test(packets_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
