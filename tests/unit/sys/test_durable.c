/* Files that must be on disk: made, replaced, appended to, cut; and what is refused. */
#include "sys/durable.h"

#include "base/buf.h"
#include "base/unconst.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <signal.h>

struct place {
    char root[64], folder[80];
    int fd;
};

static int begin(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    memcpy(p->root, "/tmp/polder-durable-XXXXXX", sizeof "/tmp/polder-durable-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    struct buf path = buf_over(p->folder, sizeof p->folder);
    buf_printf(&path, "%s/isolation%c", p->root, 0);
    p->fd = durable_folder(p->folder);
    assert_true(p->fd >= 0);
    *state = p;
    return 0;
}

static int end(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"a", "b", "link", "pipe"};
    for (unsigned i = 0; i < 4; i++)
        unlinkat(p->fd, names[i], 0);
    close(p->fd);
    rmdir(p->folder);
    rmdir(p->root);
    free(p);
    return 0;
}

static void assert_reads(int fd, struct str wanted)
{
    struct str text;
    assert_int_equal(durable_read(fd, 100, &text), 0);
    assert_true(str_eq(text, wanted));
    free(unconst(text.p));
}

static void test_a_folder_is_made_once_and_is_the_owners(void **state)
{
    const struct place *p = *state;
    struct stat st;
    assert_int_equal(stat(p->folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    int again = durable_folder(p->folder);
    assert_true(again >= 0 && (fcntl(again, F_GETFD) & FD_CLOEXEC));
    close(again);
}

static void test_a_folder_that_others_may_write_to_is_refused(void **state)
{
    const struct place *p = *state;
    assert_int_equal(chmod(p->folder, 0770), 0);
    assert_int_equal(durable_folder(p->folder), -EPERM);
    assert_int_equal(chmod(p->folder, 0702), 0);
    assert_int_equal(durable_folder(p->folder), -EPERM);
    assert_int_equal(chmod(p->folder, 0750), 0);
    int fd = durable_folder(p->folder);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(durable_folder("/dev/null"), -ENOTDIR);
    assert_int_equal(durable_folder("/no/such/place"), -ENOENT);
}

static void test_a_file_is_made_empty_and_replaced_whole(void **state)
{
    const struct place *p = *state;
    struct stat st;
    assert_int_equal(durable_open_reader(p->fd, "a"), -ENOENT);
    int fd = durable_open(p->fd, "a");
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_reads(fd, STR(""));
    assert_int_equal(durable_replace(fd, STR("a longer text")), 0);
    assert_int_equal(durable_replace(fd, STR("short")), 0);
    int reader = durable_open_reader(p->fd, "a");
    assert_reads(reader, STR("short"));
    close(reader);
    close(fd);
}

static void test_what_is_appended_stands_at_the_end(void **state)
{
    const struct place *p = *state;
    int fd = durable_open(p->fd, "a");
    assert_int_equal(durable_append(fd, 0, STR("one\n")), 0);
    assert_int_equal(durable_append(fd, 4, STR("two\n")), 0);
    assert_reads(fd, STR("one\ntwo\n"));
    assert_int_equal(durable_cut(fd, 4), 0);
    assert_reads(fd, STR("one\n"));
    close(fd);
}

/* RLIMIT_FSIZE stands in for a disk that is full in the middle of a line. */
static void test_what_did_not_fit_is_taken_back(void **state)
{
    const struct place *p = *state;
    struct rlimit before, tight = {6, RLIM_INFINITY};
    int fd = durable_open(p->fd, "a");
    assert_int_equal(durable_append(fd, 0, STR("one\n")), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int error = durable_append(fd, 4, STR("two\n"));
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(error, -EFBIG);
    assert_reads(fd, STR("one\n"));
    assert_int_equal(durable_append(fd, 4, STR("two\n")), 0);
    assert_reads(fd, STR("one\ntwo\n"));
    close(fd);
}

static void test_only_plain_files_are_opened(void **state)
{
    const struct place *p = *state;
    int fd = durable_open(p->fd, "a");
    close(fd);
    assert_int_equal(symlinkat("a", p->fd, "link"), 0);
    assert_int_equal(durable_open(p->fd, "link"), -ELOOP);
    assert_int_equal(durable_open_reader(p->fd, "link"), -ELOOP);
    assert_int_equal(mkfifoat(p->fd, "pipe", 0600), 0);
    assert_int_equal(durable_open(p->fd, "pipe"), -EINVAL);
    assert_int_equal(durable_open_reader(p->fd, "pipe"), -EINVAL);
}

static void test_a_file_above_its_limit_is_not_read(void **state)
{
    const struct place *p = *state;
    struct str text;
    int fd = durable_open(p->fd, "b");
    assert_int_equal(durable_replace(fd, STR("12345")), 0);
    assert_int_equal(durable_read(fd, 4, &text), -EFBIG);
    assert_int_equal(durable_read(fd, 5, &text), 0);
    free(unconst(text.p));
    close(fd);
    assert_int_equal(durable_read(-1, 4, &text), -EBADF);
    assert_int_equal(durable_replace(-1, STR("x")), -EBADF);
    assert_int_equal(durable_append(-1, 0, STR("x")), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_folder_is_made_once_and_is_the_owners, begin, end),
        cmocka_unit_test_setup_teardown(test_a_folder_that_others_may_write_to_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_a_file_is_made_empty_and_replaced_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_appended_stands_at_the_end, begin, end),
        cmocka_unit_test_setup_teardown(test_what_did_not_fit_is_taken_back, begin, end),
        cmocka_unit_test_setup_teardown(test_only_plain_files_are_opened, begin, end),
        cmocka_unit_test_setup_teardown(test_a_file_above_its_limit_is_not_read, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
