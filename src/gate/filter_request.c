/* gate/filter_request.c - an order about isolation, read from JSON that somebody at the control socket wrote.
 *
 *   {"ask": "order", "event": "isolate", "level": "closed", "cluster": "noord", "reason": "...", "name":
 * "jan", "for_ms": 28800000 | "until_us": 1..., "confirm_ms": 300000, "partners_back": true, "dry_run": true,
 *    "except": [{"partner": "mcl", "direction": "in", "port_from": 443, "port_to": 443, "network":
 * "192.0.2.0/25", "for_ms": ... | "until_us": ...}], "partner": "mcl", "rate": 10, "proposal": 7}
 *
 * Members that are not known, or of another type, count as not there. Whether the order makes sense is
 * isolation_apply's question; here it only becomes one. */
#include "gate/filter_request.h"

/* ---- members of the request */

static uint32_t member(const struct request *r, const char *name, enum json_type type)
{
    uint32_t node = json_get(r->tape, 0, str_of(name));
    return node != JSON_NONE && json_type(r->tape, node) == type ? node : JSON_NONE;
}

bool request_flag(const struct request *r, const char *name)
{
    return member(r, name, JSON_TRUE) != JSON_NONE;
}

static struct str text_of(const struct request *r, uint32_t object, const char *name)
{
    uint32_t node = json_get(r->tape, object, str_of(name));
    return node != JSON_NONE && json_type(r->tape, node) == JSON_STRING ? json_string(r->tape, node, r->arena)
                                                                        : STR_NONE;
}

struct str request_text(const struct request *r, const char *name)
{
    return text_of(r, 0, name);
}

static uint64_t number_of(const struct request *r, uint32_t object, const char *name)
{
    uint64_t value = 0;
    uint32_t node = json_get(r->tape, object, str_of(name));
    return node != JSON_NONE && json_get_u64(r->tape, node, &value) ? value : 0;
}

uint64_t request_number(const struct request *r, const char *name)
{
    return number_of(r, 0, name);
}

/* ---- an order */

/* A moment `ms` from now, or the one that is named; 0: neither. What is out of all range is refused as too
 * far by the machine. */
static int64_t moment_of(const struct request *r, uint32_t object, const char *ms_name, const char *us_name)
{
    static const uint64_t far_ms = UINT64_C(1000) * 86'400'000;
    uint64_t ms = number_of(r, object, ms_name), us = us_name ? number_of(r, object, us_name) : 0;
    if (us)
        return us < INT64_MAX / 2 ? (int64_t)us : INT64_MAX / 2;
    return ms ? r->now_us + (int64_t)(ms < far_ms ? ms : far_ms) * 1000 : 0;
}

static bool read_exception(const struct request *r, int64_t longest_us, const struct isolation_order *o,
                           uint32_t object, struct isolation_exception *ret, struct str *ret_why)
{
    struct str network = text_of(r, object, "network"), direction = text_of(r, object, "direction");
    uint64_t from = number_of(r, object, "port_from"), to = number_of(r, object, "port_to");
    *ret = (struct isolation_exception){.direction = str_eq(direction, STR("in"))    ? ISOLATION_IN
                                                     : str_eq(direction, STR("out")) ? ISOLATION_OUT
                                                                                     : ISOLATION_BOTH,
                                        .port_from = (uint16_t)from,
                                        .port_to = to ? (uint16_t)to : 65535,
                                        .has_prefix = network.n > 0};
    *ret_why = STR("a port is a number from 1 to 65535");
    if (from > 65535 || to > 65535)
        return false;
    *ret_why = STR("a network is written like 192.0.2.0/24");
    if (network.n && !addr_parse_prefix(network, &ret->prefix))
        return false;
    *ret_why = STR("a partner's name has at most 63 bytes");
    ret->until_us = moment_of(r, object, "for_ms", "until_us");
    if (!ret->until_us) /* as long as the level, or as long as the house allows */
        ret->until_us = o->until_us ? o->until_us : r->now_us + longest_us;
    return isolation_name_set(&ret->partner, text_of(r, object, "partner"));
}

static bool read_exceptions(const struct request *r, int64_t longest_us, struct isolation_order *o,
                            struct str *ret_why)
{
    uint32_t list = member(r, "except", JSON_ARRAY);
    if (list == JSON_NONE)
        return true;
    *ret_why = STR("at most 16 exceptions go into one order");
    uint32_t at = json_first(r->tape, list), count = json_count(r->tape, list);
    if (count > ISOLATION_ASKED)
        return false;
    for (; o->asked_count < count; at = json_next(r->tape, at)) {
        if (json_type(r->tape, at) != JSON_OBJECT ||
            !read_exception(r, longest_us, o, at, &o->asked[o->asked_count], ret_why))
            return false;
        o->asked_count++;
    }
    return true;
}

static bool read_texts(const struct request *r, struct isolation_order *o, struct str *ret_why)
{
    char memory[32];
    struct buf who = buf_over(memory, sizeof memory);
    buf_printf(&who, "uid %u", r->uid);
    *ret_why = STR("the reason must be text on one line, of at most 255 bytes");
    if (!isolation_reason_set(&o->reason, request_text(r, "reason")))
        return false;
    *ret_why = STR("names must be text of at most 63 bytes");
    return isolation_name_set(&o->who, buf_text(&who)) &&
           isolation_name_set(&o->role, request_text(r, "name")) &&
           isolation_name_set(&o->cluster, request_text(r, "cluster")) &&
           isolation_name_set(&o->partner, request_text(r, "partner"));
}

bool request_order(const struct request *r, int64_t longest_us, struct isolation_order *ret,
                   struct str *ret_why)
{
    uint64_t rate = request_number(r, "rate");
    *ret = (struct isolation_order){.partners_back = request_flag(r, "partners_back"),
                                    .until_us = moment_of(r, 0, "for_ms", "until_us"),
                                    .confirm_by_us = moment_of(r, 0, "confirm_ms", NULL),
                                    .rate_per_s = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX,
                                    .proposal = request_number(r, "proposal")};
    *ret_why = STR("there is no such order");
    if (!isolation_event_of(request_text(r, "event"), &ret->event))
        return false;
    *ret_why = isolation_refusal_text(ISOLATION_REFUSED_LEVEL, ISOLATION_EN);
    if (ret->event == ISOLATION_EVENT_ISOLATE && !isolation_level_of(request_text(r, "level"), &ret->level))
        return false;
    return read_texts(r, ret, ret_why) && read_exceptions(r, longest_us, ret, ret_why);
}
