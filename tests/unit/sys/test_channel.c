/* Channels: order, descriptors, bounds, and senders that misbehave. */
#include "sys/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUEUE_MAX = 8 };

/* One side of a channel and what it saw. The other side is a bare socket, which can do what a channel never
 * would. */
struct side {
    struct loop *loop;
    struct channel *channel;
    struct timer guard;
    int other;
    unsigned messages, closed, fds, stop_after;
    unsigned next; /* the number the next message must bear */
    bool refuse, free_when_closed;
};

static bool side_message(void *self, struct channel *c, struct str bytes, int fd)
{
    struct side *s = self;
    unsigned number;
    assert_ptr_equal(c, s->channel);
    if (bytes.n >= sizeof number) {
        memcpy(&number, bytes.p, sizeof number);
        assert_int_equal(number, s->next++);
    }
    s->messages++;
    if (fd >= 0) {
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
        s->fds++;
    }
    if (s->messages == s->stop_after)
        loop_stop(s->loop);
    return !s->refuse;
}

static void side_closed(void *self, struct channel *c)
{
    struct side *s = self;
    assert_false(channel_is_open(c));
    s->closed++;
    if (s->free_when_closed) {
        channel_free(c);
        s->channel = NULL;
    }
    loop_stop(s->loop);
}

static void side_timeout(struct timer *t)
{
    loop_stop(container_of(t, struct side, guard)->loop);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static void side_open(struct side *s)
{
    int fds[2];
    *s = (struct side){.loop = loop_new()};
    assert_non_null(s->loop);
    assert_int_equal(channel_pair(fds), 0);
    s->other = fds[1];
    timer_init(&s->guard, side_timeout);
    s->channel =
        channel_new(s->loop, fds[0], QUEUE_MAX, (struct channel_events){side_message, side_closed, s});
    assert_non_null(s->channel);
}

static void side_run(struct side *s)
{
    timer_set(s->loop, &s->guard, loop_now_ms(s->loop) + 60);
    assert_int_equal(loop_run(s->loop), 0);
    timer_clear(s->loop, &s->guard);
}

static void side_done(struct side *s)
{
    channel_free(s->channel);
    if (s->other >= 0)
        close(s->other);
    loop_free(s->loop);
}

static void other_sends(const struct side *s, unsigned number)
{
    assert_int_equal(send(s->other, &number, sizeof number, MSG_NOSIGNAL), sizeof number);
}

/* A packet with so many duplicates of standard output. */
static void other_sends_fds(const struct side *s, size_t n, unsigned count)
{
    static char bytes[CHANNEL_MESSAGE_MAX + 1];
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(16 * sizeof(int))];
    } control = {.space = {0}};
    struct iovec vector = {bytes, n};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        for (unsigned i = 0; i < count; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int){STDOUT_FILENO}, sizeof(int));
    }
    assert_int_equal(sendmsg(s->other, &message, MSG_NOSIGNAL), (ssize_t)n);
}

static void test_messages_come_in_order(void **state)
{
    struct side s;
    side_open(&s);
    for (unsigned i = 0; i < 200; i++) /* several shares of a turn */
        other_sends(&s, i);
    side_run(&s);
    assert_int_equal(s.messages, 200);
    assert_int_equal(s.closed, 0);
    side_done(&s);
}

static void test_one_channel_does_not_keep_the_loop(void **state)
{
    struct side s;
    side_open(&s);
    for (unsigned i = 0; i < 200; i++)
        other_sends(&s, i);
    s.stop_after = 1;
    side_run(&s);
    assert_in_range(s.messages, 1, 199); /* the turn ended with messages left */
    side_run(&s);
    assert_int_equal(s.messages, 200); /* and they were not forgotten */
    side_done(&s);
}

static void test_a_descriptor_comes_along(void **state)
{
    unsigned before = open_fds();
    struct side s;
    side_open(&s);
    other_sends_fds(&s, 1, 1);
    side_run(&s);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.fds, 1);
    side_done(&s);
    assert_int_equal(open_fds(), before);
}

static void assert_ends_without_leak(size_t n, unsigned fd_count)
{
    unsigned before = open_fds();
    struct side s;
    side_open(&s);
    other_sends_fds(&s, n, fd_count);
    side_run(&s);
    assert_int_equal(s.messages, 0);
    assert_int_equal(s.closed, 1);
    assert_int_equal(channel_send(s.channel, STR("x"), -1), -EPIPE);
    side_done(&s);
    assert_int_equal(open_fds(), before);
}

static void test_packets_that_end_the_channel(void **state)
{
    assert_ends_without_leak(1, 2);
    assert_ends_without_leak(1, 4);
    assert_ends_without_leak(1, 5); /* more than there is room for */
    assert_ends_without_leak(1, 16);
    assert_ends_without_leak(CHANNEL_MESSAGE_MAX + 1, 0);
    assert_ends_without_leak(CHANNEL_MESSAGE_MAX + 1, 1);
    assert_ends_without_leak(0, 1);
}

static void test_the_largest_packet_is_fine(void **state)
{
    struct side s;
    side_open(&s);
    other_sends_fds(&s, CHANNEL_MESSAGE_MAX, 0);
    side_run(&s);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.closed, 0);
    side_done(&s);
}

static void test_a_refused_message_ends_the_channel(void **state)
{
    struct side s;
    side_open(&s);
    s.refuse = true;
    other_sends(&s, 0);
    other_sends(&s, 1);
    side_run(&s);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.closed, 1);
    side_done(&s);
}

static void test_last_words_are_heard(void **state)
{
    struct side s;
    side_open(&s);
    s.free_when_closed = true;
    assert_int_equal(channel_send(s.channel, STR("never read"), -1), 0); /* makes it a reset, not an end */
    other_sends(&s, 0);
    other_sends(&s, 1);
    close(s.other);
    s.other = -1;
    side_run(&s);
    assert_int_equal(s.messages, 2);
    assert_int_equal(s.closed, 1);
    assert_null(s.channel);
    side_done(&s);
}

static void test_sending_to_nobody(void **state)
{
    struct side s;
    side_open(&s);
    close(s.other);
    s.other = -1;
    assert_int_equal(channel_send(s.channel, STR("x"), -1), -EPIPE);
    assert_int_equal(s.closed, 0); /* not from within channel_send */
    side_run(&s);
    assert_int_equal(s.closed, 1);
    side_done(&s);
}

static void test_sizes_that_cannot_be_sent(void **state)
{
    static const char bytes[CHANNEL_MESSAGE_MAX + 1];
    struct side s;
    side_open(&s);
    assert_int_equal(channel_send(s.channel, STR(""), -1), -EMSGSIZE);
    assert_int_equal(channel_send(s.channel, (struct str){bytes, sizeof bytes}, -1), -EMSGSIZE);
    assert_int_equal(channel_send(s.channel, (struct str){bytes, sizeof bytes - 1}, -1), 0);
    side_done(&s);
}

/* Numbers the messages it sends until the channel refuses; some bring a descriptor. */
static unsigned send_until_refused(struct side *s)
{
    for (unsigned n = 0;; n++) {
        char bytes[1000] = {0};
        memcpy(bytes, &n, sizeof n);
        int e = channel_send(s->channel, (struct str){bytes, sizeof bytes}, n % 3 ? -1 : STDOUT_FILENO);
        if (e) {
            assert_int_equal(e, -ENOBUFS);
            return n;
        }
    }
}

static void test_a_slow_reader_gets_all_in_order(void **state)
{
    unsigned before = open_fds();
    struct side s, reader;
    side_open(&s);
    unsigned sent = send_until_refused(&s);
    assert_true(sent > QUEUE_MAX);

    side_open(&reader); /* only its loop and counters: it reads the other end of s */
    channel_free(reader.channel);
    reader.channel = channel_new(reader.loop, s.other, QUEUE_MAX,
                                 (struct channel_events){side_message, side_closed, &reader});
    s.other = -1;
    for (int round = 0; round < 20 && reader.messages < sent; round++) {
        side_run(&reader);
        side_run(&s); /* there is room again: the queue goes out */
    }
    assert_int_equal(reader.messages, sent);
    assert_int_equal(reader.fds, (sent + 2) / 3);
    side_done(&reader);
    side_done(&s);
    assert_int_equal(open_fds(), before);
}

static void test_freeing_with_a_full_queue(void **state)
{
    unsigned before = open_fds();
    struct side s;
    side_open(&s);
    send_until_refused(&s);
    side_done(&s);
    channel_free(NULL);
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_in_order),
        cmocka_unit_test(test_one_channel_does_not_keep_the_loop),
        cmocka_unit_test(test_a_descriptor_comes_along),
        cmocka_unit_test(test_packets_that_end_the_channel),
        cmocka_unit_test(test_the_largest_packet_is_fine),
        cmocka_unit_test(test_a_refused_message_ends_the_channel),
        cmocka_unit_test(test_last_words_are_heard),
        cmocka_unit_test(test_sending_to_nobody),
        cmocka_unit_test(test_sizes_that_cannot_be_sent),
        cmocka_unit_test(test_a_slow_reader_gets_all_in_order),
        cmocka_unit_test(test_freeing_with_a_full_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
