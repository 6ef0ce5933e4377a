/* gate/observer_packets.c - the packet filter in `polder status`, in the metrics and in the event log: what
 * the filter role puts into the perimeter's memory once a second. */
#include "gate/observer.h"

#include "filter/filter.h"

static const char *const modes[] = {[PERIMETER_OFF] = "off",
                                    [PERIMETER_PROGRAMS] = "programs",
                                    [PERIMETER_NFTABLES] = "nftables",
                                    [PERIMETER_FAILED] = "failed"};
static const char *const ways[] = {"in", "out"};

static struct str mode_word(const struct perimeter_packets *p)
{
    return str_of(p->mode <= PERIMETER_FAILED ? modes[p->mode] : "failed");
}

static struct str ingress_word(const struct perimeter_interface *i)
{
    static const char *const words[] = {"none", "native", "generic"};
    return str_of(i->is_attached && i->ingress <= FILTER_INGRESS_GENERIC ? words[i->ingress] : "none");
}

static struct str egress_word(const struct perimeter_interface *i)
{
    static const char *const words[] = {"none", "tcx", "clsact"};
    return str_of(i->is_attached && i->egress <= FILTER_EGRESS_CLSACT ? words[i->egress] : "none");
}

static bool look(const struct observer *o, struct perimeter_packets *ret)
{
    if (!o->perimeter.area)
        return false;
    perimeter_packets_read(&o->perimeter, ret);
    ret->why[sizeof ret->why - 1] = '\0';
    if (ret->interface_count > PERIMETER_INTERFACES_MAX)
        ret->interface_count = 0;
    for (unsigned i = 0; i < ret->interface_count; i++)
        ret->interfaces[i].name[15] = '\0';
    return true;
}

static uint64_t sum_of(const uint64_t *numbers, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += numbers[i];
    return sum;
}

void observer_packets_write_status(const struct observer *o, struct json_writer *w)
{
    struct perimeter_packets p;
    if (!look(o, &p))
        return;
    json_key(w, STR("packets"));
    json_object_begin(w);
    json_put_str(w, STR("mode"), mode_word(&p));
    json_put_str(w, STR("notice"), str_of(p.why));
    json_put_str(w, STR("level"), str_of(filter_level_word(p.level)));
    json_put_u64(w, STR("passed_in"), sum_of(p.passed[FILTER_IN], PERIMETER_CLASSES));
    json_put_u64(w, STR("dropped_in"), sum_of(p.dropped[FILTER_IN], PERIMETER_CLASSES));
    json_put_u64(w, STR("passed_out"), sum_of(p.passed[FILTER_OUT], PERIMETER_CLASSES));
    json_put_u64(w, STR("dropped_out"), sum_of(p.dropped[FILTER_OUT], PERIMETER_CLASSES));
    json_key(w, STR("interfaces"));
    json_array_begin(w);
    for (unsigned i = 0; i < p.interface_count; i++) {
        json_object_begin(w);
        json_put_str(w, STR("name"), str_of(p.interfaces[i].name));
        json_put_str(w, STR("in"), ingress_word(&p.interfaces[i]));
        json_put_str(w, STR("out"), egress_word(&p.interfaces[i]));
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

/* ---- metrics */

static void write_by_reason(struct buf *out, const char *name, struct str help,
                            const uint64_t numbers[2][PERIMETER_REASONS])
{
    metric_write_head(out, name, "counter", help);
    for (unsigned way = 0; way < 2; way++)
        for (unsigned r = 0; r < FILTER_REASON_COUNT; r++)
            if (numbers[way][r]) {
                buf_printf(out, "polder_%s{direction=\"%s\",reason=\"%s\"} ", name, ways[way],
                           filter_reason_name(r));
                buf_u64(out, numbers[way][r]);
                buf_char(out, '\n');
            }
}

static void write_by_class(struct buf *out, const char *name, struct str help,
                           const uint64_t numbers[2][PERIMETER_CLASSES])
{
    metric_write_head(out, name, "counter", help);
    for (unsigned way = 0; way < 2; way++)
        for (unsigned class = 0; class < FILTER_CLASS_COUNT; class ++) {
            buf_printf(out, "polder_%s{direction=\"%s\",class=\"%s\"} ", name, ways[way],
                       filter_class_word(class));
            buf_u64(out, numbers[way][class]);
            buf_char(out, '\n');
        }
}

void observer_packets_write_metrics(const struct observer *o, struct buf *out)
{
    struct perimeter_packets p;
    if (!look(o, &p))
        return;
    metric_write_head(out, "packets_mode", "gauge", STR("1 for the way in which packets are filtered."));
    for (unsigned mode = PERIMETER_OFF; mode <= PERIMETER_FAILED; mode++)
        buf_printf(out, "polder_packets_mode{mode=\"%s\"} %d\n", modes[mode], mode == p.mode);
    if (p.mode != PERIMETER_PROGRAMS)
        return;
    write_by_reason(out, "packets_total", STR("Packets by what became of them, and why."), p.packets);
    write_by_reason(out, "packets_dry_total", STR("Packets that would have been dropped but for a dry run."),
                    p.dry);
    write_by_class(out, "packets_passed_total", STR("Packets that passed, by class of the peer."), p.passed);
    write_by_class(out, "packets_dropped_total", STR("Packets that were dropped, by class of the peer."),
                   p.dropped);
    metric_write_head(out, "packets_samples_lost_total", "counter", STR("Samples that found no room."));
    BUF_LIT(out, "polder_packets_samples_lost_total ");
    buf_u64(out, p.samples_lost);
    buf_char(out, '\n');
}

/* ---- the event log: the way packets are filtered, when it changes */

void observer_packets_watch(struct observer *o)
{
    struct perimeter_packets p;
    if (!look(o, &p) || p.at_us == 0 || (p.mode == o->packets_mode && o->has_packets_mode))
        return;
    bool is_news = o->has_packets_mode || p.mode == PERIMETER_NFTABLES || p.mode == PERIMETER_FAILED;
    o->packets_mode = p.mode;
    o->has_packets_mode = true;
    struct str mode = mode_word(&p);
    if (is_news)
        observer_say(o, EVENT_packets_mode, "the packet filter works by: %.*s%s%s", STR_ARG(mode),
                     p.why[0] ? ". " : "", p.why);
}
