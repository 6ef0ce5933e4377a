/* isolation/codec_read.c - a state out of JSON. The reader's error is sticky: after the first thing that is
 * not there or not right, everything reads as zero, and the whole is refused. What it does not look at, like
 * the order of members, is caught by record.c, which writes again what was read and compares. */
#include "isolation/codec.h"
#include "isolation/parts.h"

#define LAST_US INT64_C(253'402'300'799'999'999) /* 9999-12-31, base/utc.h */

struct reader {
    const struct json_tape *tape;
    bool failed;
};

static uint32_t member(struct reader *r, uint32_t object, struct str key, enum json_type type)
{
    uint32_t node = r->failed ? JSON_NONE : json_get(r->tape, object, key);
    if (node == JSON_NONE || json_type(r->tape, node) != type)
        r->failed = true;
    return r->failed ? JSON_NONE : node;
}

static uint64_t read_u64(struct reader *r, uint32_t object, struct str key, uint64_t most)
{
    uint32_t node = member(r, object, key, JSON_NUMBER);
    uint64_t value = 0;
    if (r->failed || !json_get_u64(r->tape, node, &value) || value > most)
        r->failed = true;
    return r->failed ? 0 : value;
}

static int64_t read_us(struct reader *r, uint32_t object, struct str key)
{
    return (int64_t)read_u64(r, object, key, (uint64_t)LAST_US);
}

static bool read_bool(struct reader *r, uint32_t object, struct str key)
{
    uint32_t node = r->failed ? JSON_NONE : json_get(r->tape, object, key);
    enum json_type type = node == JSON_NONE ? JSON_NULL : json_type(r->tape, node);
    if (type != JSON_TRUE && type != JSON_FALSE)
        r->failed = true;
    return type == JSON_TRUE;
}

static struct str read_text(struct reader *r, uint32_t object, struct str key, char *memory, size_t room)
{
    uint32_t node = member(r, object, key, JSON_STRING);
    struct buf text = buf_over(memory, room);
    if (!r->failed)
        json_string_write(r->tape, node, &text);
    if (buf_overflowed(&text))
        r->failed = true;
    return r->failed ? STR_NONE : buf_text(&text);
}

static struct isolation_name read_name(struct reader *r, uint32_t object, struct str key)
{
    char memory[ISOLATION_NAME_MAX];
    struct isolation_name name = {0};
    if (!isolation_name_set(&name, read_text(r, object, key, memory, sizeof memory)))
        r->failed = true;
    return name;
}

static struct isolation_reason read_reason(struct reader *r, uint32_t object, struct str key)
{
    char memory[ISOLATION_REASON_MAX];
    struct isolation_reason reason = {0};
    if (!isolation_reason_set(&reason, read_text(r, object, key, memory, sizeof memory)))
        r->failed = true;
    return reason;
}

typedef bool word_of(struct str word, uint8_t *ret);

static uint8_t read_word(struct reader *r, uint32_t object, struct str key, word_of *of)
{
    char memory[ISOLATION_NAME_MAX];
    uint8_t number = 0;
    if (!of(read_text(r, object, key, memory, sizeof memory), &number))
        r->failed = true;
    return number;
}

static bool direction_of(struct str word, uint8_t *ret)
{
    *ret = str_eq(word, STR("in"))     ? ISOLATION_IN
           : str_eq(word, STR("out"))  ? ISOLATION_OUT
           : str_eq(word, STR("both")) ? ISOLATION_BOTH
                                       : 0;
    return *ret != 0;
}

/* An order that is none stands there with event "?". */
static bool event_or_none_of(struct str word, uint8_t *ret)
{
    *ret = ISOLATION_EVENT_NONE;
    return str_eq(word, STR("?")) || isolation_event_of(word, ret);
}

/* Reads up to `most` elements into an array; anything more is a failure. */
typedef void element_read(struct reader *, uint32_t node, void *ret);
static unsigned read_array(struct reader *r, uint32_t object, struct str key, unsigned most,
                           element_read *read, void *array, size_t size)
{
    uint32_t node = member(r, object, key, JSON_ARRAY);
    if (r->failed || json_count(r->tape, node) > most) {
        r->failed = true;
        return 0;
    }
    unsigned count = json_count(r->tape, node);
    uint32_t element = json_first(r->tape, node);
    for (unsigned i = 0; i < count; i++, element = json_next(r->tape, element))
        read(r, element, (char *)array + i * size);
    return count;
}

static void read_exception(struct reader *r, uint32_t node, void *ret)
{
    struct isolation_exception *e = ret;
    char memory[ADDR_TEXT_MAX + 8];
    *e = (struct isolation_exception){.cluster = read_name(r, node, STR("cluster"))};
    e->partner = read_name(r, node, STR("partner"));
    struct str network = read_text(r, node, STR("network"), memory, sizeof memory);
    e->has_prefix = network.n > 0;
    if (e->has_prefix && !addr_parse_prefix(network, &e->prefix))
        r->failed = true;
    e->direction = read_word(r, node, STR("direction"), direction_of);
    e->port_from = (uint16_t)read_u64(r, node, STR("port_from"), 65535);
    e->port_to = (uint16_t)read_u64(r, node, STR("port_to"), 65535);
    e->from_us = read_us(r, node, STR("from_us"));
    e->until_us = read_us(r, node, STR("until_us"));
    e->order = read_u64(r, node, STR("order"), UINT64_MAX);
}

static void read_order(struct reader *r, uint32_t node, struct isolation_order *o)
{
    *o = (struct isolation_order){.event = read_word(r, node, STR("event"), event_or_none_of)};
    o->level = read_word(r, node, STR("level"), isolation_level_of);
    o->partners_back = read_bool(r, node, STR("partners_back"));
    o->who = read_name(r, node, STR("who"));
    o->role = read_name(r, node, STR("role"));
    o->approved_by = read_name(r, node, STR("approved_by"));
    o->cluster = read_name(r, node, STR("cluster"));
    o->partner = read_name(r, node, STR("partner"));
    o->reason = read_reason(r, node, STR("reason"));
    o->until_us = read_us(r, node, STR("until_us"));
    o->confirm_by_us = read_us(r, node, STR("confirm_by_us"));
    o->rate_per_s = (uint32_t)read_u64(r, node, STR("rate_per_s"), UINT32_MAX);
    o->proposal = read_u64(r, node, STR("proposal"), UINT64_MAX);
    o->asked_count =
        read_array(r, node, STR("exceptions"), ISOLATION_ASKED, read_exception, o->asked, sizeof o->asked[0]);
}

static void read_layer(struct reader *r, uint32_t node, void *ret)
{
    struct isolation_layer *layer = ret;
    layer->level = read_word(r, node, STR("level"), isolation_level_of);
    layer->until_us = read_us(r, node, STR("until_us"));
    layer->order = read_u64(r, node, STR("order"), UINT64_MAX);
    layer->cut = read_u64(r, node, STR("cut"), UINT64_MAX);
}

static void read_stack(struct reader *r, uint32_t node, struct str key, struct isolation_stack *stack)
{
    *stack = (struct isolation_stack){0};
    stack->depth =
        (uint8_t)read_array(r, node, key, ISOLATION_LAYERS, read_layer, stack->layer, sizeof stack->layer[0]);
}

static void read_scope(struct reader *r, uint32_t node, void *ret)
{
    struct isolation_scope *scope = ret;
    *scope = (struct isolation_scope){.cluster = read_name(r, node, STR("cluster"))};
    scope->who = read_name(r, node, STR("who"));
    scope->reason = read_reason(r, node, STR("reason"));
    scope->since_us = read_us(r, node, STR("since_us"));
    scope->confirm_by_us = read_us(r, node, STR("confirm_by_us"));
    read_stack(r, node, STR("now"), &scope->now);
    read_stack(r, node, STR("before"), &scope->before);
}

static void read_standing(struct reader *r, uint32_t node, void *ret)
{
    struct isolation_standing *own = ret;
    *own = (struct isolation_standing){.cluster = read_name(r, node, STR("cluster"))};
    own->partner = read_name(r, node, STR("partner"));
    own->stage = read_word(r, node, STR("stage"), isolation_stage_of);
    own->order = read_u64(r, node, STR("order"), UINT64_MAX);
    own->since_us = read_us(r, node, STR("since_us"));
    own->alarm_us = read_us(r, node, STR("alarm_us"));
    own->rate_per_s = (uint32_t)read_u64(r, node, STR("rate_per_s"), UINT32_MAX);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hash_parse(struct str text, uint8_t ret[ISOLATION_HASH_BYTES])
{
    if (text.n != (size_t)2 * ISOLATION_HASH_BYTES)
        return false;
    for (size_t i = 0; i < ISOLATION_HASH_BYTES; i++) {
        int high = digit_of(text.p[2 * i]), low = digit_of(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void read_hash(struct reader *r, uint32_t node, struct str key, uint8_t hash[ISOLATION_HASH_BYTES])
{
    char memory[2 * ISOLATION_HASH_BYTES];
    if (!hash_parse(read_text(r, node, key, memory, sizeof memory), hash))
        r->failed = true;
}

static void read_head(struct reader *r, uint32_t object, struct isolation_state *s)
{
    s->order = read_u64(r, object, STR("order"), UINT64_MAX - 2);
    s->at_us = read_us(r, object, STR("at_us"));
    s->is_half = read_bool(r, object, STR("half"));
    s->is_dropped = read_bool(r, object, STR("dropped"));
    s->is_proposal = read_bool(r, object, STR("proposed"));
    s->anchor.sequence = read_u64(r, object, STR("journal_sequence"), UINT64_MAX);
    read_hash(r, object, STR("journal_hash"), s->anchor.hash);
    s->proposal_order = read_u64(r, object, STR("proposal_order"), UINT64_MAX);
    s->proposal_until_us = read_us(r, object, STR("proposal_until_us"));
}

bool state_read(const struct json_tape *tape, uint32_t object, struct isolation_state *ret,
                uint64_t *ret_sequence)
{
    struct reader r = {tape, false};
    *ret = (struct isolation_state){0};
    *ret_sequence = read_u64(&r, object, STR("sequence"), UINT64_MAX - 2);
    read_head(&r, object, ret);
    read_order(&r, member(&r, object, STR("last"), JSON_OBJECT), &ret->last);
    read_order(&r, member(&r, object, STR("proposal"), JSON_OBJECT), &ret->proposal);
    ret->scope_count =
        read_array(&r, object, STR("scopes"), ISOLATION_SCOPES, read_scope, ret->scope, sizeof ret->scope[0]);
    ret->exception_count = read_array(&r, object, STR("exceptions"), ISOLATION_EXCEPTIONS, read_exception,
                                      ret->exception, sizeof ret->exception[0]);
    ret->standing_count = read_array(&r, object, STR("partners"), ISOLATION_STANDINGS, read_standing,
                                     ret->standing, sizeof ret->standing[0]);
    return !r.failed && state_is_sane(ret);
}

static bool stack_is_sane(const struct isolation_stack *stack, uint64_t order)
{
    for (unsigned i = 0; i < stack->depth; i++) {
        const struct isolation_layer *layer = &stack->layer[i];
        bool is_later = i > 1 && layer->until_us >= stack->layer[i - 1].until_us;
        if ((layer->until_us == 0) != (i == 0) || is_later || layer->order > order || layer->cut > order ||
            (layer->level >= ISOLATION_CLOSED && !layer->cut))
            return false;
    }
    return true;
}

static bool scope_is_sane(const struct isolation_state *s, const struct isolation_scope *scope)
{
    return scope->now.depth > 0 && (scope->before.depth > 0) == (scope->confirm_by_us > 0) &&
           stack_is_sane(&scope->now, s->order) && stack_is_sane(&scope->before, s->order) &&
           state_scope_const(s, ISOLATION_STR(scope->cluster)) == scope;
}

bool state_is_sane(const struct isolation_state *s)
{
    if (s->scope_count == 0 || s->scope[0].cluster.n || s->proposal_order > s->order)
        return false;
    for (unsigned i = 0; i < s->scope_count; i++)
        if (!scope_is_sane(s, &s->scope[i]))
            return false;
    for (unsigned i = 0; i < s->exception_count; i++)
        if (!s->exception[i].until_us || s->exception[i].order > s->order ||
            s->exception[i].port_from > s->exception[i].port_to)
            return false;
    for (unsigned i = 0; i < s->standing_count; i++) {
        const struct isolation_standing *own = &s->standing[i];
        if (own->order > s->order ||
            state_standing_const(s, ISOLATION_STR(own->cluster), ISOLATION_STR(own->partner)) != own)
            return false;
    }
    return true;
}
