/* tests/breach/attacks_memory.c - memory that was data and becomes code. */
#include "attack_list.h"

#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, ANSWER = 42 };

/* int f(void) { return 42; } */
#if defined(__x86_64__)
static const unsigned char code[] = {0xb8, ANSWER, 0, 0, 0, 0xc3};
#elif defined(__aarch64__)
static const unsigned char code[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};
#else
static const unsigned char code[] = {0}; /* not written yet for this one: see run() */
#endif

static int run(void *p)
{
    int (*f)(void);
    if (sizeof code == 1) {
        errno = ENOSYS;
        return attack_outcome(false);
    }
    memcpy(&f, &p, sizeof f);
    __builtin___clear_cache((char *)p, (char *)p + sizeof code);
    return attack_outcome(f() == ANSWER);
}

static void *page_with_code(int protection)
{
    void *p = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    memcpy(p, code, sizeof code);
    return p;
}

int attack_map_write_execute(const struct attack_world *w)
{
    void *p = page_with_code(PROT_READ | PROT_WRITE | PROT_EXEC);
    return p ? run(p) : attack_outcome(false);
}

int attack_make_executable(const struct attack_world *w)
{
    void *p = page_with_code(PROT_READ | PROT_WRITE);
    return p && mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0 ? run(p) : attack_outcome(false);
}

int attack_make_executable_by_key(const struct attack_world *w)
{
    void *p = page_with_code(PROT_READ | PROT_WRITE);
    const int no_key = -1;
    return p && syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ | PROT_EXEC, no_key) == 0
               ? run(p)
               : attack_outcome(false);
}

int attack_map_memfd_executable(const struct attack_world *w)
{
    int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || write(fd, code, sizeof code) != sizeof code)
        return attack_outcome(false);
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    return p != MAP_FAILED ? run(p) : attack_outcome(false);
}

int attack_map_file_executable(const struct attack_world *w)
{
    return attack_outcome(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, w->program, 0) != MAP_FAILED);
}

int attack_reading_is_executing(const struct attack_world *w)
{
    if (personality(READ_IMPLIES_EXEC) < 0)
        return attack_outcome(false);
    void *p = page_with_code(PROT_READ | PROT_WRITE);
    return p ? run(p) : attack_outcome(false);
}
