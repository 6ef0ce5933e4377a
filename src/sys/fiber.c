/* sys/fiber.c - stacks by mmap(2), begun with makecontext(3), switched with setjmp(3).
 *
 * glibc's swapcontext saves the signal mask with a system call each time; _setjmp and _longjmp do not. A
 * stack is begun once with makecontext and then stays in begin(), which runs one function after another, so
 * that only a fiber that was set again in mid-pause is begun anew.
 *
 * With a shadow stack each context has its own, which longjmp cannot change to: there swapcontext is used
 * throughout. So it is under a sanitizer, which follows it. */
#undef _FORTIFY_SOURCE /* longjmp's check takes a jump to another stack for an attack */
#include "sys/fiber.h"

#include "base/must.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if SANITIZED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct fiber {
    char *memory; /* the guard page, then the stack */
    size_t size;  /* of both */
    size_t guard;
    void (*function)(void *);
    void *context;
    bool has_begun, is_over, jumps;
    jmp_buf inside, outside;
    ucontext_t inside_context, outside_context;
    void *fake_stack, *caller_fake_stack; /* AddressSanitizer's */
    const void *caller_stack;
    size_t caller_stack_bytes;
};

#if defined(__x86_64__)
__attribute__((target("shstk"))) static bool has_shadow_stack(void)
{
    return _get_ssp() != 0;
}
#else
static bool has_shadow_stack(void)
{
    return true; /* not known: the way that is always right */
}
#endif

struct fiber *fiber_new(size_t stack_bytes)
{
    struct fiber *f = calloc(1, sizeof *f);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!f)
        return NULL;
    f->guard = page;
    f->size = page + (stack_bytes + page - 1) / page * page;
    f->jumps = !SANITIZED && !has_shadow_stack();
    void *memory =
        mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(f);
        return NULL;
    }
    f->memory = memory;
    if (mprotect(memory, page, PROT_NONE) < 0) {
        fiber_free(f);
        return NULL;
    }
    return f;
}

void fiber_free(struct fiber *f)
{
    if (!f)
        return;
#if SANITIZED
    ASAN_UNPOISON_MEMORY_REGION(f->memory + f->guard, f->size - f->guard);
#endif
    munmap(f->memory, f->size);
    free(f);
}

void fiber_set(struct fiber *f, void (*function)(void *), void *context)
{
    if (!f->is_over) /* it paused in the middle, or never ran */
        f->has_begun = false;
#if SANITIZED
    if (!f->has_begun)
        ASAN_UNPOISON_MEMORY_REGION(f->memory + f->guard, f->size - f->guard);
#endif
    f->function = function;
    f->context = context;
    f->is_over = false;
}

/* ---- telling AddressSanitizer which stack it is */

static void leaves_caller(struct fiber *f [[maybe_unused]])
{
#if SANITIZED
    __sanitizer_start_switch_fiber(&f->caller_fake_stack, f->memory + f->guard, f->size - f->guard);
#endif
}

static void is_back_at_caller(struct fiber *f [[maybe_unused]])
{
#if SANITIZED
    __sanitizer_finish_switch_fiber(f->caller_fake_stack, NULL, NULL);
#endif
}

static void leaves_fiber(struct fiber *f [[maybe_unused]])
{
#if SANITIZED
    __sanitizer_start_switch_fiber(&f->fake_stack, f->caller_stack, f->caller_stack_bytes);
#endif
}

static void is_in_fiber(struct fiber *f [[maybe_unused]])
{
#if SANITIZED
    __sanitizer_finish_switch_fiber(f->has_begun ? f->fake_stack : NULL, &f->caller_stack,
                                    &f->caller_stack_bytes);
#endif
}

/* ---- switching */

void fiber_pause(struct fiber *f)
{
    leaves_fiber(f);
    if (!f->jumps)
        must(swapcontext(&f->inside_context, &f->outside_context) == 0);
    else if (_setjmp(f->inside) == 0)
        _longjmp(f->outside, 1);
    is_in_fiber(f);
}

/* The first frame of every stack. makecontext hands over ints only: the pointer comes in halves. */
static void begin(unsigned low, unsigned high)
{
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);
    is_in_fiber(f);
    f->has_begun = true;
    for (;;) {
        f->function(f->context);
        f->is_over = true;
        fiber_pause(f);
    }
}

static void begin_stack(struct fiber *f)
{
    uintptr_t self = (uintptr_t)f;
    must(getcontext(&f->inside_context) == 0);
    f->inside_context.uc_stack.ss_sp = f->memory + f->guard;
    f->inside_context.uc_stack.ss_size = f->size - f->guard;
    f->inside_context.uc_link = NULL;
    makecontext(&f->inside_context, (void (*)(void))begin, 2, (unsigned)self, (unsigned)(self >> 32));
    must(swapcontext(&f->outside_context, &f->inside_context) == 0);
}

bool fiber_run(struct fiber *f)
{
    must(f->function && !f->is_over);
    leaves_caller(f);
    if (!f->jumps) {
        if (f->has_begun)
            must(swapcontext(&f->outside_context, &f->inside_context) == 0);
        else
            begin_stack(f);
    } else if (_setjmp(f->outside) == 0) {
        if (f->has_begun)
            _longjmp(f->inside, 1);
        begin_stack(f);
    }
    is_back_at_caller(f);
    return f->is_over;
}
