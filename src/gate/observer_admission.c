/* gate/observer_admission.c - what is told of admission: for each upstream how many requests may be there at
 * once, as found from its latency, and how many are. The memory is the workers', and read only. */
#include "gate/observer.h"

#include "admission/budget.h"

static bool look(const struct observer *o, const struct config_upstream *u, struct admission_view *ret)
{
    uint16_t pool =
        o->admission ? admit_pool_find(&o->admission_places, admit_pool_key(u->name)) : ADMIT_NO_SLOT;
    if (pool >= ADMIT_POOLS)
        return false;
    admission_look(o->admission, pool, ret);
    return true;
}

void observer_admission_write_status(const struct observer *o, struct json_writer *w)
{
    struct admission_view view;
    json_put_object(w, STR("admission"));
    json_put_u64(w, STR("pressure"), o->admission ? admission_pressure(o->admission) : 0);
    json_put_array(w, STR("upstreams"));
    for (unsigned i = 0; o->current && i < o->current->config->upstream_count; i++) {
        const struct config_upstream *u = &o->current->config->upstreams[i];
        if (!look(o, u, &view))
            continue;
        json_object_begin(w);
        json_put_str(w, STR("upstream"), u->name);
        json_put_u64(w, STR("limit"), view.limit);
        json_put_u64(w, STR("in_use"), view.in_use);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

static void write_rows(const struct observer *o, struct buf *out, const char *name, bool is_limit)
{
    struct admission_view view;
    for (unsigned i = 0; i < o->current->config->upstream_count; i++) {
        const struct config_upstream *u = &o->current->config->upstreams[i];
        if (!look(o, u, &view))
            continue;
        buf_printf(out, "polder_%s{upstream=", name);
        metric_write_value(out, u->name);
        buf_printf(out, "} %u\n", is_limit ? view.limit : view.in_use);
    }
}

void observer_admission_write_metrics(const struct observer *o, struct buf *out)
{
    metric_write_head(out, "pressure", "gauge",
                      STR("How much is shed: 0 nothing, 3 all but known people and partners."));
    buf_printf(out, "polder_pressure %u\n", o->admission ? admission_pressure(o->admission) : 0);
    if (!o->current)
        return;
    metric_write_head(out, "upstream_limit", "gauge",
                      STR("Requests that an upstream may have at once, found from its latency."));
    write_rows(o, out, "upstream_limit", true);
    metric_write_head(out, "upstream_in_use", "gauge", STR("Requests that hold a place at an upstream."));
    write_rows(o, out, "upstream_in_use", false);
}
