/* A request at the desk of isolation: whatever comes is no order, or one that is refused, or one that leads
 * to a sane state that can be recorded and read again. Who orders is never taken from the request, and no
 * event that only the machine may cause can be ordered. */
#include "base/must.h"
#include "gate/filter_request.h"
#include "isolation/codec.h"
#include "isolation/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 7168, DEPTH = 6, REQUEST_ARENA = 1 << 20, UID = 4711 };
#define NOW_US  INT64_C(1'600'000'000'000'000)
#define HOUR_US INT64_C(3'600'000'000)

static const struct addr_prefix networks[] = {{.ip = {[10] = 0xff, [11] = 0xff, 192, 0, 2}, .bits = 120}};
static const struct isolation_partner partners[] = {{STR("mcl"), networks, 1}, {STR("ncsc"), NULL, 0}};
static const struct str clusters[] = {STR("noord"), STR("zuid")};
static const struct isolation_inventory inventory = {
    .clusters = clusters, .cluster_count = 2, .partners = partners, .partner_count = 2};
static const struct isolation_policy policy = {.exception_us = 24 * HOUR_US, .stage_us = HOUR_US};

static struct isolation_state states[3];

static void must_be_recorded(const struct isolation_state *s)
{
    static struct arena *scratch;
    static char *memory;
    uint64_t sequence;
    if (!scratch)
        scratch = arena_new(ISOLATION_RECORD_ARENA);
    if (!memory)
        memory = malloc(ISOLATION_RECORD_MAX);
    must(scratch && memory);
    struct buf out = buf_over(memory, ISOLATION_RECORD_MAX);
    isolation_record_write(&out, s, 7);
    must(!buf_overflowed(&out));
    must(isolation_record_read(buf_text(&out), scratch, &states[2], &sequence) && sequence == 7);
}

static void carry(const struct isolation_order *o, const struct isolation_state *from)
{
    const struct isolation_moment now = {NOW_US, true};
    must(str_eq(ISOLATION_STR(o->who), STR("uid 4711")));
    if (isolation_apply(from, o, &inventory, &policy, now, &states[1]) != ISOLATION_ACCEPTED)
        return;
    must(o->event != ISOLATION_EVENT_TIME && o->event != ISOLATION_EVENT_RECOVER);
    must(state_is_sane(&states[1]) && states[1].order == from->order + 1);
    for (unsigned i = 0; i < states[1].exception_count; i++)
        must(states[1].exception[i].until_us > NOW_US &&
             states[1].exception[i].until_us <= NOW_US + policy.exception_us);
    must_be_recorded(&states[1]);
}

static void close_first(struct isolation_state *s)
{
    struct isolation_order o = {.event = ISOLATION_EVENT_ISOLATE, .level = ISOLATION_CLOSED};
    const struct isolation_moment then = {NOW_US - 48 * HOUR_US, true};
    static struct isolation_state open;
    must(isolation_name_set(&o.who, STR("uid 0")) && isolation_reason_set(&o.reason, STR("a test")));
    isolation_state_init(&open, NOW_US - 72 * HOUR_US);
    must(isolation_apply(&open, &o, &inventory, &policy, then, s) == ISOLATION_ACCEPTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    struct json_tape tape;
    struct isolation_order o;
    struct str why = STR_NONE;
    if (size > INPUT_MAX)
        return 0;
    if (!arena) {
        arena = arena_new(REQUEST_ARENA);
        close_first(&states[0]);
    }
    must(arena);
    arena_reset(arena);
    size_t room = json_nodes_max(size);
    struct json_node *nodes = arena_alloc(arena, room * sizeof *nodes);
    struct str text = {(const char *)data, size};
    if (!nodes || json_parse(text, DEPTH, nodes, room, &tape, NULL) != JSON_FINE ||
        json_type(&tape, 0) != JSON_OBJECT)
        return 0;
    const struct request r = {&tape, arena, UID, NOW_US};
    if (!request_order(&r, policy.exception_us, &o, &why)) {
        must(why.n > 0);
        return 0;
    }
    carry(&o, &states[0]);
    return 0;
}
