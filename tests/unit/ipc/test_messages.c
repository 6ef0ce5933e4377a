/* Every message of the table: there and back, and nothing but the exact bytes is accepted. */
#include "ipc/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* Fills a field with bytes that differ from field to field; BYTES once as long as they may be, once empty. */
static uint8_t next_byte;

static void fill(void *field, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)field)[i] = ++next_byte;
}

#define FD_ONE
#define FD_MAYBE
#define U8(field)  fill(&m->field, 1);
#define U16(field) fill(&m->field, 2);
#define U32(field) fill(&m->field, 4);
#define U64(field) fill(&m->field, 8);
#define BYTES(field, max)                                                                                    \
    m->field##_len = is_full ? (max) : 0;                                                                    \
    fill(m->field, m->field##_len);
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    static void fill_##name(struct msg_##name *m, bool is_full)                                              \
    {                                                                                                        \
        memset(m, 0, sizeof *m);                                                                             \
        fields                                                                                               \
    }
#include "ipc/messages.def"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef BYTES
#undef FD_ONE
#undef FD_MAYBE

/* Too short by any number of bytes, too long by one, and under another number: all refused. */
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    static void check_##name(bool is_full)                                                                   \
    {                                                                                                        \
        static struct msg_##name sent, received;                                                             \
        static char memory[MSG_##NAME##_MAX + 1];                                                            \
        struct buf b = buf_over(memory, sizeof memory);                                                      \
        fill_##name(&sent, is_full);                                                                         \
        memset(&received, 0, sizeof received);                                                               \
        assert_true(msg_##name##_encode(&sent, &b));                                                         \
        assert_int_equal(msg_number_of(buf_text(&b)), MSG_##NAME);                                           \
        assert_true(!is_full || b.n == MSG_##NAME##_MAX);                                                    \
        assert_true(msg_##name##_decode(buf_text(&b), &received));                                           \
        assert_memory_equal(&sent, &received, sizeof sent);                                                  \
        for (size_t n = 0; n < b.n; n++)                                                                     \
            assert_false(msg_##name##_decode((struct str){memory, n}, &received));                           \
        assert_false(msg_##name##_decode((struct str){memory, b.n + 1}, &received));                         \
        memory[1] ^= 0x40;                                                                                   \
        assert_false(msg_##name##_decode(buf_text(&b), &received));                                          \
        struct buf small = buf_over(memory, b.n - 1);                                                        \
        assert_false(msg_##name##_encode(&sent, &small));                                                    \
    }
#include "ipc/messages.def"
#undef MESSAGE

static void test_every_message_there_and_back(void **state)
{
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    check_##name(true);                                                                                      \
    check_##name(false);
#include "ipc/messages.def"
#undef MESSAGE
}

static void test_the_bytes_on_the_wire(void **state)
{
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    const struct msg_prepared m = {.generation = 0x0102030405060708, .ok = 1, .error_len = 2, .error = "no"};
    assert_true(msg_prepared_encode(&m, &b));
    assert_true(str_eq(buf_text(&b), STR("\x0b\0"
                                         "\x08\x07\x06\x05\x04\x03\x02\x01"
                                         "\x01"
                                         "\x02\0"
                                         "no")));
}

static void test_bytes_longer_than_they_may_be(void **state)
{
    static char memory[300];
    static struct msg_ticket_keys m;
    struct buf b = buf_over(memory, sizeof memory);
    BUF_LIT(&b, "\x10\0"
                "\xf1\0"); /* 241 bytes of keys: one too many, and they are all there */
    b.n += 241;
    assert_false(msg_ticket_keys_decode(buf_text(&b), &m));
    memory[2] = '\xf0';
    b.n--;
    assert_true(msg_ticket_keys_decode(buf_text(&b), &m));
    assert_int_equal(m.keys_len, 240);
}

static void test_only_the_length_used_is_copied(void **state)
{
    static struct msg_ticket_keys m;
    memset(&m, 0xee, sizeof m);
    assert_true(msg_ticket_keys_decode(STR("\x10\0"
                                           "\x02\0"
                                           "ab"),
                                       &m));
    assert_int_equal(m.keys_len, 2);
    assert_memory_equal(m.keys, "ab\xee", 3);
}

static void test_numbers(void **state)
{
    assert_int_equal(msg_number_of(STR("")), MSG_NONE);
    assert_int_equal(msg_number_of(STR("\x01")), MSG_NONE);
    assert_int_equal(msg_number_of(STR("\0\0")), MSG_NONE);
    assert_int_equal(msg_number_of(STR("\xff\xff")), MSG_NONE);
    assert_int_equal(msg_number_of(STR("\x01\x01")), MSG_NONE);
    assert_int_equal(msg_number_of(STR("\x1f\0 whatever")), MSG_DIALED);
    assert_true(str_eq(msg_name(MSG_KEY_LOADED), STR("key_loaded")));
    assert_int_equal(msg_name((enum msg_number)999).n, 0);
}

static void test_who_may_say_what(void **state)
{
    assert_true(msg_may_come_from(MSG_HELLO, ROLE_WORKER, ROLE_MASTER));
    assert_true(msg_may_come_from(MSG_HELLO, ROLE_FILTER, ROLE_MASTER));
    assert_false(msg_may_come_from(MSG_HELLO, ROLE_WORKER, ROLE_SIGNER));
    assert_true(msg_may_come_from(MSG_SIGN, ROLE_WORKER, ROLE_SIGNER));
    assert_false(msg_may_come_from(MSG_SIGN, ROLE_OBSERVER, ROLE_SIGNER));
    assert_false(msg_may_come_from(MSG_SIGN, ROLE_SIGNER, ROLE_WORKER));
    assert_false(msg_may_come_from(MSG_LOAD_KEY, ROLE_WORKER, ROLE_SIGNER));
    assert_false(msg_may_come_from(MSG_ORDER, ROLE_WORKER, ROLE_MASTER));
    assert_false(msg_may_come_from(MSG_NONE, ROLE_MASTER, ROLE_WORKER));
    assert_false(msg_may_come_from((enum msg_number)999, ROLE_MASTER, ROLE_WORKER));
}

static void test_descriptors_belong_to_the_welcome(void **state)
{
    assert_int_equal(msg_welcome(STR("\x02\0"), 5, ROLE_MASTER, ROLE_WORKER), MSG_PEER);
    assert_int_equal(msg_welcome(STR("\x02\0"), -1, ROLE_MASTER, ROLE_WORKER), MSG_NONE);
    assert_int_equal(msg_welcome(STR("\x03\0"), -1, ROLE_MASTER, ROLE_WORKER), MSG_STOP);
    assert_int_equal(msg_welcome(STR("\x03\0"), 5, ROLE_MASTER, ROLE_WORKER), MSG_NONE);
    assert_int_equal(msg_welcome(STR("\x1f\0"), 5, ROLE_DIALER, ROLE_WORKER), MSG_DIALED);
    assert_int_equal(msg_welcome(STR("\x1f\0"), -1, ROLE_DIALER, ROLE_WORKER), MSG_DIALED);
    assert_int_equal(msg_welcome(STR("\x1f\0"), -1, ROLE_SIGNER, ROLE_WORKER), MSG_NONE);
    assert_int_equal(msg_welcome(STR("\xff\0"), -1, ROLE_MASTER, ROLE_WORKER), MSG_NONE);
}

static void test_roles_have_names(void **state)
{
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        assert_true(role_name((enum role)role).n > 0);
    assert_true(str_eq(role_name(ROLE_OBSERVER), STR("observer")));
    assert_int_equal(role_name((enum role)ROLE_COUNT).n, 0);
}

/* -- over a channel */

struct receiver {
    struct loop *loop;
    struct msg_dialed dialed;
    bool has_fd;
};

static bool receive(void *self, struct channel *, struct str bytes, int fd)
{
    struct receiver *r = self;
    r->has_fd = fd >= 0;
    if (fd >= 0)
        close(fd);
    loop_stop(r->loop);
    return msg_dialed_decode(bytes, &r->dialed);
}

static void closed(void *, struct channel *)
{
    fail();
}

static void test_sending(void **state)
{
    int fds[2];
    struct receiver r = {.loop = loop_new()};
    const struct channel_events events = {receive, closed, &r};
    assert_int_equal(channel_pair(fds), 0);
    struct channel *from = channel_new(r.loop, fds[0], 4, events),
                   *to = channel_new(r.loop, fds[1], 4, events);
    assert_true(from && to);
    assert_int_equal(msg_dialed_send(from, &(struct msg_dialed){.id = 77}, STDOUT_FILENO), 0);
    assert_int_equal(loop_run(r.loop), 0);
    assert_int_equal(r.dialed.id, 77);
    assert_true(r.has_fd);
    channel_free(from);
    channel_free(to);
    loop_free(r.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_there_and_back),
        cmocka_unit_test(test_the_bytes_on_the_wire),
        cmocka_unit_test(test_bytes_longer_than_they_may_be),
        cmocka_unit_test(test_only_the_length_used_is_copied),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_who_may_say_what),
        cmocka_unit_test(test_descriptors_belong_to_the_welcome),
        cmocka_unit_test(test_roles_have_names),
        cmocka_unit_test(test_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
