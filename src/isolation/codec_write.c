/* isolation/codec_write.c - orders and states as JSON. */
#include "isolation/codec.h"
#include "isolation/isolation.h"

static void put_name(struct json_writer *w, struct str key, const struct isolation_name *name)
{
    json_put_str(w, key, ISOLATION_STR(*name));
}

static void put_prefix(struct json_writer *w, const struct isolation_exception *e)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char memory[ADDR_TEXT_MAX + 8];
    struct buf text = buf_over(memory, sizeof memory);
    struct addr a = {.is_v4 = e->prefix.bits >= 96 && memcmp(e->prefix.ip, mapped, sizeof mapped) == 0};
    memcpy(a.ip, e->prefix.ip, sizeof a.ip);
    if (e->has_prefix) {
        addr_write_ip(&text, &a);
        buf_char(&text, '/');
        buf_u64(&text, e->prefix.bits - (a.is_v4 ? 96u : 0));
    }
    json_put_str(w, STR("network"), buf_text(&text));
}

static void write_exception(struct json_writer *w, const struct isolation_exception *e)
{
    static const char *const directions[] = {"?", "in", "out", "both"};
    json_object_begin(w);
    put_name(w, STR("cluster"), &e->cluster);
    put_name(w, STR("partner"), &e->partner);
    put_prefix(w, e);
    json_put_str(w, STR("direction"), str_of(directions[e->direction & ISOLATION_BOTH]));
    json_put_u64(w, STR("port_from"), e->port_from);
    json_put_u64(w, STR("port_to"), e->port_to);
    json_put_i64(w, STR("from_us"), e->from_us);
    json_put_i64(w, STR("until_us"), e->until_us);
    json_put_u64(w, STR("order"), e->order);
    json_object_end(w);
}

void order_write(struct json_writer *w, const struct isolation_order *o)
{
    json_object_begin(w);
    json_put_str(w, STR("event"), isolation_event_word(o->event));
    json_put_str(w, STR("level"), isolation_level_word(o->level));
    json_put_bool(w, STR("partners_back"), o->partners_back);
    put_name(w, STR("who"), &o->who);
    put_name(w, STR("role"), &o->role);
    put_name(w, STR("approved_by"), &o->approved_by);
    put_name(w, STR("cluster"), &o->cluster);
    put_name(w, STR("partner"), &o->partner);
    json_put_str(w, STR("reason"), ISOLATION_STR(o->reason));
    json_put_i64(w, STR("until_us"), o->until_us);
    json_put_i64(w, STR("confirm_by_us"), o->confirm_by_us);
    json_put_u64(w, STR("rate_per_s"), o->rate_per_s);
    json_put_u64(w, STR("proposal"), o->proposal);
    json_put_array(w, STR("exceptions"));
    for (unsigned i = 0; i < o->asked_count && i < ISOLATION_ASKED; i++)
        write_exception(w, &o->asked[i]);
    json_array_end(w);
    json_object_end(w);
}

static void write_stack(struct json_writer *w, struct str key, const struct isolation_stack *stack)
{
    json_put_array(w, key);
    for (unsigned i = 0; i < stack->depth; i++) {
        const struct isolation_layer *layer = &stack->layer[i];
        json_object_begin(w);
        json_put_str(w, STR("level"), isolation_level_word(layer->level));
        json_put_i64(w, STR("until_us"), layer->until_us);
        json_put_u64(w, STR("order"), layer->order);
        json_put_u64(w, STR("cut"), layer->cut);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_scope(struct json_writer *w, const struct isolation_scope *scope)
{
    json_object_begin(w);
    put_name(w, STR("cluster"), &scope->cluster);
    put_name(w, STR("who"), &scope->who);
    json_put_str(w, STR("reason"), ISOLATION_STR(scope->reason));
    json_put_i64(w, STR("since_us"), scope->since_us);
    json_put_i64(w, STR("confirm_by_us"), scope->confirm_by_us);
    write_stack(w, STR("now"), &scope->now);
    write_stack(w, STR("before"), &scope->before);
    json_object_end(w);
}

static void write_standing(struct json_writer *w, const struct isolation_standing *own)
{
    json_object_begin(w);
    put_name(w, STR("cluster"), &own->cluster);
    put_name(w, STR("partner"), &own->partner);
    json_put_str(w, STR("stage"), isolation_stage_word(own->stage));
    json_put_u64(w, STR("order"), own->order);
    json_put_i64(w, STR("since_us"), own->since_us);
    json_put_i64(w, STR("alarm_us"), own->alarm_us);
    json_put_u64(w, STR("rate_per_s"), own->rate_per_s);
    json_object_end(w);
}

static void write_lists(struct json_writer *w, const struct isolation_state *s)
{
    json_put_array(w, STR("scopes"));
    for (unsigned i = 0; i < s->scope_count; i++)
        write_scope(w, &s->scope[i]);
    json_array_end(w);
    json_put_array(w, STR("exceptions"));
    for (unsigned i = 0; i < s->exception_count; i++)
        write_exception(w, &s->exception[i]);
    json_array_end(w);
    json_put_array(w, STR("partners"));
    for (unsigned i = 0; i < s->standing_count; i++)
        write_standing(w, &s->standing[i]);
    json_array_end(w);
}

void state_write(struct json_writer *w, const struct isolation_state *s, uint64_t sequence)
{
    char hash[2 * ISOLATION_HASH_BYTES];
    struct buf hex = buf_over(hash, sizeof hash);
    buf_hex(&hex, s->anchor.hash, sizeof s->anchor.hash);
    json_object_begin(w);
    json_put_str(w, STR("polder"), STR("isolation 1"));
    json_put_u64(w, STR("sequence"), sequence);
    json_put_u64(w, STR("order"), s->order);
    json_put_i64(w, STR("at_us"), s->at_us);
    json_put_bool(w, STR("half"), s->is_half);
    json_put_bool(w, STR("dropped"), s->is_dropped);
    json_put_bool(w, STR("proposed"), s->is_proposal);
    json_put_u64(w, STR("journal_sequence"), s->anchor.sequence);
    json_put_str(w, STR("journal_hash"), buf_text(&hex));
    json_key(w, STR("last"));
    order_write(w, &s->last);
    json_key(w, STR("proposal"));
    order_write(w, &s->proposal);
    json_put_u64(w, STR("proposal_order"), s->proposal_order);
    json_put_i64(w, STR("proposal_until_us"), s->proposal_until_us);
    write_lists(w, s);
    json_object_end(w);
}
