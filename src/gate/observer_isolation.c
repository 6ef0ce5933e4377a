/* gate/observer_isolation.c - what is in force of isolation, for `polder status` and the event log, from the
 * memory in which the filter publishes it. */
#include "gate/observer.h"

#define NEWS_US                                                                                              \
    INT64_C(5'000'000) /* what a new observer sees first and is older, the last one has logged               \
                        */

static const struct isolation_scope *scope_at(const struct isolation_state *s, unsigned i)
{
    return &s->scope[i < ISOLATION_SCOPES ? i : 0];
}

static uint8_t level_of(const struct isolation_scope *scope)
{
    unsigned depth = scope->now.depth;
    return depth && depth <= ISOLATION_LAYERS ? scope->now.layer[depth - 1].level : ISOLATION_CLOSED;
}

static bool look(struct observer *o)
{
    if (!o->perimeter.area || !perimeter_sequence(&o->perimeter))
        return false;
    o->isolation_sequence = perimeter_read(&o->perimeter, &o->isolation);
    return true;
}

static void say(struct observer *o, const struct isolation_state *s)
{
    const struct isolation_order *last = &s->last;
    char memory[LOG_LINE_MAX / 4];
    struct buf text = buf_over(memory, sizeof memory);
    struct str what = isolation_event_text(last->event, ISOLATION_EN),
               level = isolation_level_word(level_of(scope_at(s, 0)));
    buf_printf(&text, "isolation: level %.*s, order %llu by %.*s", STR_ARG(level),
               (unsigned long long)s->order, STR_ARG(ISOLATION_STR(last->who)));
    if (last->role.n)
        buf_printf(&text, " (%.*s)", STR_ARG(ISOLATION_STR(last->role)));
    buf_printf(&text, ": %.*s", STR_ARG(what));
    if (last->event == ISOLATION_EVENT_ISOLATE)
        buf_printf(&text, ", %.*s", STR_ARG(isolation_level_word(last->level)));
    if (last->cluster.n)
        buf_printf(&text, ", cluster %.*s", STR_ARG(ISOLATION_STR(last->cluster)));
    if (last->partner.n)
        buf_printf(&text, ", partner %.*s", STR_ARG(ISOLATION_STR(last->partner)));
    if (s->is_proposal)
        BUF_LIT(&text, ", waits for a second person");
    buf_printf(&text, "; %.*s", STR_ARG(ISOLATION_STR(last->reason)));
    bool is_own = last->event == ISOLATION_EVENT_RECOVER;
    observer_log(o, &(struct event_line){.event = is_own ? EVENT_isolation_recovered : EVENT_isolation,
                                         .message = buf_text(&text),
                                         .cluster = ISOLATION_STR(last->cluster)});
}

void observer_isolation_watch(struct observer *o)
{
    uint64_t order = o->isolation.order, seen = o->isolation_sequence;
    if (!o->perimeter.area || perimeter_sequence(&o->perimeter) == seen || !look(o))
        return;
    bool is_old = seen == 0 && o->isolation.at_us + NEWS_US < loop_wall_us(o->loop);
    if (o->isolation.order != order && !is_old)
        say(o, &o->isolation);
}

static void put_time(struct json_writer *w, struct str key, int64_t us)
{
    char memory[32];
    struct buf text = buf_over(memory, sizeof memory);
    time_write_utc(&text, us);
    json_put_str(w, key, buf_text(&text));
}

void observer_isolation_write_status(struct observer *o, struct json_writer *w)
{
    const struct isolation_state *s = &o->isolation;
    json_put_object(w, STR("isolation"));
    if (!look(o)) {
        json_put_str(w, STR("level"), isolation_level_word(ISOLATION_CLOSED)); /* as workers read it, too */
        json_put_str(w, STR("note"), STR("the filter process has not said yet which level holds"));
        json_object_end(w);
        return;
    }
    json_put_str(w, STR("level"), isolation_level_word(level_of(scope_at(s, 0))));
    json_put_str(w, STR("meaning"), isolation_level_text(level_of(scope_at(s, 0)), ISOLATION_EN));
    json_put_u64(w, STR("order"), s->order);
    json_put_str(w, STR("event"), isolation_event_word(s->last.event));
    put_time(w, STR("since"), scope_at(s, 0)->since_us);
    json_put_str(w, STR("who"), ISOLATION_STR(scope_at(s, 0)->who));
    json_put_str(w, STR("reason"), ISOLATION_STR(scope_at(s, 0)->reason));
    json_put_array(w, STR("clusters"));
    for (unsigned i = 1; i < s->scope_count && i < ISOLATION_SCOPES; i++) {
        json_object_begin(w);
        json_put_str(w, STR("name"), ISOLATION_STR(s->scope[i].cluster));
        json_put_str(w, STR("level"), isolation_level_word(level_of(&s->scope[i])));
        put_time(w, STR("since"), s->scope[i].since_us);
        json_put_str(w, STR("who"), ISOLATION_STR(s->scope[i].who));
        json_put_str(w, STR("reason"), ISOLATION_STR(s->scope[i].reason));
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}
