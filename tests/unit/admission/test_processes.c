/* Real processes over real shared memory: the limit holds while they race, and a worker killed at any
 * instruction takes no capacity along. Everything ends by counts, nothing by a clock. */
#include "kit.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, LIMIT = 5, TICKETS = 12, RACE_SERVED = 8'000, KILLS = 40 };

struct shared {
    _Atomic unsigned inside, most, violations;
    _Atomic uint64_t served[WORKERS];
    _Atomic bool stop;
};

static struct kit shared_kit(struct shared **ret)
{
    struct kit k = {.shape = {WORKERS, 1, 3, 64}, .limit = LIMIT};
    k.size = admission_area_size(&k.shape);
    k.memory = mmap(NULL, k.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *ret = mmap(NULL, sizeof **ret, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(k.memory != MAP_FAILED && *ret != MAP_FAILED);
    admission_area_init(k.memory, &k.shape, (struct hash_key){1, 2});
    return k;
}

static void shared_free(struct kit *k, struct shared *s)
{
    munmap(k->memory, k->size);
    munmap(s, sizeof *s);
}

struct child {
    struct admission *a;
    struct shared *s;
    struct admission_ticket t[TICKETS], *running[TICKETS];
    bool waits[TICKETS];
    unsigned worker, count;
    uint64_t now, random;
};

static void goes(struct child *c, struct admission_ticket *t)
{
    unsigned inside = atomic_fetch_add(&c->s->inside, 1) + 1, most = atomic_load(&c->s->most);
    if (inside > LIMIT)
        atomic_fetch_add(&c->s->violations, 1);
    while (most < inside && !atomic_compare_exchange_weak(&c->s->most, &most, inside))
        ;
    c->waits[t - c->t] = false;
    c->running[c->count++] = t;
}

static void drain(struct child *c)
{
    struct admission_ticket *t;
    enum admission_answer answer;
    uint32_t after;
    while ((t = admission_next(c->a, 0, c->now, &answer, &after))) {
        c->waits[t - c->t] = false;
        if (answer == ADMISSION_GO)
            goes(c, t);
    }
    admission_take_wakes(c->a, 0); /* everybody looks all the time here */
}

static bool is_running(const struct child *c, const struct admission_ticket *t)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->running[i] == t)
            return true;
    return false;
}

static void child_step(struct child *c)
{
    unsigned i = (unsigned)(kit_random(&c->random) % TICKETS);
    c->now += 50;
    if (c->count && kit_random(&c->random) % 2) {
        struct admission_ticket *t = c->running[--c->count];
        atomic_fetch_sub(&c->s->inside, 1);
        admission_leave(c->a, t, ADMISSION_ANSWERED, 500, c->now);
        atomic_fetch_add(&c->s->served[c->worker], 1);
    } else if (!c->waits[i] && !is_running(c, &c->t[i])) {
        enum admission_answer answer =
            kit_enter(c->a, &c->t[i], (unsigned)kit_random(&c->random) % 3, ADMISSION_UNKNOWN, c->now);
        c->waits[i] = answer == ADMISSION_WAIT;
        if (answer == ADMISSION_GO)
            goes(c, &c->t[i]);
    }
    if (kit_random(&c->random) % 64 == 0)
        admission_tick(c->a, 0, c->now);
    drain(c);
}

static void child_ends(struct child *c)
{
    for (unsigned i = 0; i < TICKETS; i++)
        if (c->waits[i])
            admission_cancel(c->a, &c->t[i]);
    while (c->count) {
        atomic_fetch_sub(&c->s->inside, 1);
        admission_leave(c->a, c->running[--c->count], ADMISSION_ANSWERED, 500, c->now);
    }
    drain(c); /* grants go back */
    admission_free(c->a);
}

static pid_t child_start(const struct kit *k, struct shared *s, unsigned worker, unsigned requests,
                         uint64_t seed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct child c = {
        .a = kit_worker(k, worker), .s = s, .worker = worker, .random = seed * 2654435761u + 1, .now = 1};
    while (requests ? atomic_load(&s->served[worker]) < requests : !atomic_load(&s->stop))
        child_step(&c);
    child_ends(&c);
    _exit(0);
}

static void child_wait(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct admission_view look(const struct kit *k)
{
    struct admission *a = kit_worker(k, 0);
    struct admission_view v;
    admission_look(a, 0, &v);
    admission_free(a);
    return v;
}

static void test_the_limit_holds_in_a_race(void **state)
{
    struct shared *s;
    struct kit k = shared_kit(&s);
    pid_t pids[WORKERS];
    for (unsigned w = 0; w < WORKERS; w++)
        pids[w] = child_start(&k, s, w, RACE_SERVED, w + 1);
    for (unsigned w = 0; w < WORKERS; w++)
        child_wait(pids[w]);
    assert_int_equal(atomic_load(&s->violations), 0);
    assert_int_equal(atomic_load(&s->most), LIMIT);
    assert_int_equal(look(&k).in_use, 0);
    shared_free(&k, s);
}

static uint64_t served_by(struct shared *s, unsigned w)
{
    return atomic_load(&s->served[w]);
}

static void test_killed_workers_take_nothing_along(void **state)
{
    struct shared *s;
    struct kit k = shared_kit(&s);
    pid_t pids[WORKERS];
    uint64_t random = 5, seed = 100;
    for (unsigned w = 0; w < WORKERS; w++)
        pids[w] = child_start(&k, s, w, 0, ++seed);
    for (unsigned n = 0; n < KILLS; n++) {
        unsigned w = (unsigned)(kit_random(&random) % WORKERS), other = (w + 1) % WORKERS;
        uint64_t before = served_by(s, other), own = served_by(s, w);
        while (served_by(s, w) < own + 20 + kit_random(&random) % 50)
            usleep(100);
        kill(pids[w], SIGKILL);
        assert_int_equal(waitpid(pids[w], NULL, 0), pids[w]);
        admission_worker_reset(k.memory, k.size, w);
        while (served_by(s, other) < before + 20) /* the others go on */
            usleep(100);
        pids[w] = child_start(&k, s, w, 0, ++seed);
    }
    atomic_store(&s->stop, true);
    for (unsigned w = 0; w < WORKERS; w++)
        child_wait(pids[w]);
    for (unsigned w = 0; w < WORKERS; w++) { /* grants to one that had already ended */
        struct admission *a = kit_worker(&k, w);
        assert_null(kit_next(a, 1));
        admission_free(a);
    }
    assert_int_equal(look(&k).in_use, 0);
    assert_int_equal(look(&k).granted, 0);
    shared_free(&k, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limit_holds_in_a_race),
        cmocka_unit_test(test_killed_workers_take_nothing_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
