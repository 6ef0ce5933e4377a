/* Shared memory and its seals. */
#include "sys/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void test_two_mappings_see_each_other(void **state)
{
    int fd = shm_create("test", 8192);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    char *writer = shm_map(fd, 8192, true);
    const char *reader = shm_map(fd, 8192, false);
    assert_true(writer && reader);
    assert_int_equal(reader[8191], 0);
    writer[8191] = 'x';
    assert_int_equal(reader[8191], 'x');
    shm_unmap(writer, 8192);
    shm_unmap((void *)(uintptr_t)reader, 8192);
    shm_unmap(NULL, 8192);
    close(fd);
}

/* Whoever holds it could otherwise kill every other holder with SIGBUS. */
static void test_it_cannot_be_resized(void **state)
{
    int fd = shm_create("test", 4096);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 8192), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1); /* nor sealed further */
    close(fd);
}

static void test_sealed_bytes_arrive_and_stay(void **state)
{
    int fd = shm_from_bytes("test", STR("configuration"));
    assert_true(fd >= 0);
    struct str bytes = STR_NONE;
    assert_true(shm_map_sealed(fd, 13, &bytes));
    assert_true(str_eq(bytes, STR("configuration")));
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_null(shm_map(fd, 13, true));
    assert_int_equal(ftruncate(fd, 0), -1);
    close(fd);
    assert_true(str_eq(bytes, STR("configuration"))); /* the mapping does not need the fd */
    shm_unmap_sealed(bytes);
}

static void test_empty_bytes(void **state)
{
    int fd = shm_from_bytes("test", STR(""));
    struct str bytes = {NULL, 9};
    assert_true(shm_map_sealed(fd, 0, &bytes));
    assert_int_equal(bytes.n, 0);
    shm_unmap_sealed(bytes);
    close(fd);
}

static void test_what_is_not_sealed_is_refused(void **state)
{
    struct str bytes = STR("untouched");
    int resizable = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int writable = shm_create("test", 4096);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int large = shm_from_bytes("test", STR("12345"));
    assert_false(shm_map_sealed(resizable, 4096, &bytes));
    assert_false(shm_map_sealed(writable, 4096, &bytes));
    assert_false(shm_map_sealed(file, 4096, &bytes));
    assert_false(shm_map_sealed(large, 4, &bytes));
    assert_false(shm_map_sealed(-1, 4, &bytes));
    assert_true(str_eq(bytes, STR("untouched")));
    close(resizable);
    close(writable);
    close(file);
    close(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_mappings_see_each_other),   cmocka_unit_test(test_it_cannot_be_resized),
        cmocka_unit_test(test_sealed_bytes_arrive_and_stay),  cmocka_unit_test(test_empty_bytes),
        cmocka_unit_test(test_what_is_not_sealed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
