/* tests/bench/bench_admission.c - what src/admission costs a request: enter, next, leave without anything
 * waiting, the same through the queue, and a look at who a source is. Nanoseconds of CPU, the best of several
 * runs. */
#include "admission/admission.h"
#include "admission/sources.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 9, TIMES = 200'000, DEPTH = 64, WORKERS = 4 };

static struct admission *gate;
static void *memory;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void gate_open(unsigned workers, unsigned flows)
{
    struct admission_shape shape = {workers, 1, flows, 1 << 16};
    size_t size = admission_area_size(&shape);
    memory = aligned_alloc(64, (size + 63) / 64 * 64);
    must(memory);
    memset(memory, 0, size);
    admission_area_init(memory, &shape, (struct hash_key){1, 2});
    gate = admission_new(memory, size, 0);
    must(gate);
    for (unsigned f = 0; f < flows; f++)
        must(admission_flow_set(gate, f, 0, 1));
}

static void gate_close(void)
{
    admission_free(gate);
    free(memory);
}

static struct admission_request request_of(unsigned flow)
{
    return (struct admission_request){.flow = flow,
                                      .class = ADMISSION_KNOWN,
                                      .criticality = ADMISSION_PERSON_READ,
                                      .patience_us = UINT32_MAX};
}

static void at_once(unsigned times)
{
    struct admission_ticket t;
    uint32_t after;
    for (unsigned i = 0; i < times; i++) {
        struct admission_request r = request_of(0);
        uint64_t now = 50'000 + (uint64_t)i * 100;
        must(admission_enter(gate, &t, &r, now, &after) == ADMISSION_GO);
        admission_leave(gate, &t, ADMISSION_ANSWERED, 50, now + 50);
    }
}

/* Every slot is taken and requests of many clusters wait: one leaves, the next goes, one more comes. */
static void through_queue(unsigned times)
{
    static struct admission_ticket tickets[2 * DEPTH], *running[DEPTH], *next;
    enum admission_answer answer;
    uint32_t after;
    unsigned at = 0, running_count = 0;
    uint64_t now = 1000;
    admission_pool_set(gate, 0, DEPTH, DEPTH, DEPTH);
    for (unsigned i = 0; i < 2 * DEPTH; i++) {
        struct admission_request r = request_of(i % DEPTH);
        if (admission_enter(gate, &tickets[i], &r, now, &after) == ADMISSION_GO)
            running[running_count++] = &tickets[i];
    }
    for (unsigned i = 0; i < times; i++, at = (at + 1) % DEPTH) {
        struct admission_ticket *t = running[at];
        struct admission_request r = request_of(t->flow);
        now += 100;
        admission_leave(gate, t, ADMISSION_ANSWERED, 6400, now);
        next = admission_next(gate, 0, now, &answer, &after);
        must(next && answer == ADMISSION_GO);
        running[at] = next;
        must(admission_enter(gate, t, &r, now, &after) == ADMISSION_WAIT);
    }
}

static uint64_t classes;

static void classify(unsigned times)
{
    struct admission_source s = {0};
    for (unsigned i = 0; i < times; i++) {
        s.address = hash_mix(i);
        s.user = hash_mix(i + 1);
        classes += admission_classify(gate, &s, 1);
    }
}

static void measure(const char *what, unsigned workers, unsigned flows, void (*run)(unsigned))
{
    double best = 1e18;
    for (unsigned i = 0; i < RUNS; i++) {
        gate_open(workers, flows);
        double begin = cpu_ns();
        run(TIMES);
        double took = (cpu_ns() - begin) / TIMES;
        best = took < best ? took : best;
        gate_close();
    }
    printf("%-52s %6.1f ns\n", what, best);
}

int main(void)
{
    measure("enter and leave, one worker", 1, 1, at_once);
    measure("enter and leave, one of 4 workers", WORKERS, 1, at_once);
    measure("enter and leave, one of 64 workers", ADMISSION_WORKERS_MAX, 1, at_once);
    measure("leave, next, enter; 64 clusters wait, one worker", 1, DEPTH, through_queue);
    measure("leave, next, enter; 64 clusters wait, one of 4", WORKERS, DEPTH, through_queue);
    measure("class of an address and a user, 4 MiB table", 1, 1, classify);
    return classes == 0;
}
