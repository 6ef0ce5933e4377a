/* tests/unit/admission/kit.h - an area in ordinary memory, workers over it, and the usual calls. */
#ifndef POLDER_TESTS_ADMISSION_KIT_H
#define POLDER_TESTS_ADMISSION_KIT_H

#include "admission/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KIT_WORKERS = 8, KIT_FOREVER_US = 3'000'000 };

struct kit {
    void *memory;
    size_t size;
    struct admission_shape shape;
    struct admission *workers[KIT_WORKERS];
    unsigned limit;
};

static inline struct admission *kit_worker(const struct kit *k, unsigned worker)
{
    struct admission *a = admission_new(k->memory, k->size, worker);
    assert_non_null(a);
    for (unsigned f = 0; f < k->shape.flows; f++)
        assert_true(admission_flow_set(a, f, 0, 1));
    if (k->limit)
        admission_pool_set(a, 0, k->limit, k->limit, k->limit);
    return a;
}

/* limit 0: found from latency. */
static inline struct kit kit_new(unsigned workers, unsigned flows, unsigned limit)
{
    struct kit k = {.shape = {workers, 1, flows, 64}, .limit = limit};
    k.size = admission_area_size(&k.shape);
    assert_true(k.size > 0);
    k.memory = aligned_alloc(64, (k.size + 63) / 64 * 64);
    assert_non_null(k.memory);
    memset(k.memory, 0, k.size);
    admission_area_init(k.memory, &k.shape, (struct hash_key){11, 12});
    for (unsigned w = 0; w < workers; w++)
        k.workers[w] = kit_worker(&k, w);
    return k;
}

static inline void kit_free(struct kit *k)
{
    for (unsigned w = 0; w < k->shape.workers; w++)
        admission_free(k->workers[w]);
    free(k->memory);
}

static inline struct admission_request kit_request(unsigned flow, enum admission_class class)
{
    return (struct admission_request){
        .flow = flow, .class = class, .criticality = ADMISSION_PERSON_READ, .patience_us = KIT_FOREVER_US};
}

static inline enum admission_answer kit_enter(struct admission *a, struct admission_ticket *t, unsigned flow,
                                              enum admission_class class, uint64_t now_us)
{
    struct admission_request r = kit_request(flow, class);
    uint32_t after = 0;
    return admission_enter(a, t, &r, now_us, &after);
}

static inline struct admission_ticket *kit_next(struct admission *a, uint64_t now_us)
{
    enum admission_answer answer;
    uint32_t after;
    struct admission_ticket *t = admission_next(a, 0, now_us, &answer, &after);
    if (t)
        assert_int_equal(answer, ADMISSION_GO);
    return t;
}

static inline void kit_leave(struct admission *a, struct admission_ticket *t, uint64_t now_us)
{
    admission_leave(a, t, ADMISSION_ANSWERED, 1000, now_us);
}

static inline struct admission_view kit_look(const struct kit *k, unsigned worker)
{
    struct admission_view v;
    admission_look(k->workers[worker], 0, &v);
    return v;
}

static inline uint64_t kit_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

#endif
