/* gate/filter_ask.c - questions and orders of people about packets: {"filter": "show" | "class" | "block" |
 * "unblock" | "capture", ...}. The answer is JSON; {"error": ...} says in a sentence why not. */
#include "gate/filter_packets.h"

#include "json/tape.h"
#include "json/writer.h"

#include <stdlib.h>
#include <string.h>

enum { NODES = 256, DEPTH = 4, SCRATCH_BYTES = 16 << 10, CAPTURE_BYTES = 3 << 20 };

struct asked {
    struct packets *packets;
    const struct json_tape *tape;
    struct arena *arena;
    uint32_t uid;
    struct json_writer w;
};

static struct str member(const struct asked *a, struct str name)
{
    uint32_t node = json_get(a->tape, 0, name);
    return node != JSON_NONE && json_type(a->tape, node) == JSON_STRING ? json_string(a->tape, node, a->arena)
                                                                        : STR_NONE;
}

static uint64_t number(const struct asked *a, struct str name)
{
    uint64_t n = 0;
    uint32_t node = json_get(a->tape, 0, name);
    return node != JSON_NONE && json_get_u64(a->tape, node, &n) ? n : 0;
}

static void say(struct json_writer *w, const char *key, struct str value)
{
    json_key(w, str_of(key));
    json_str(w, value);
}

static void count(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, str_of(key));
    json_u64(w, value);
}

static bool refuse(struct asked *a, struct str why)
{
    say(&a->w, "error", why);
    return false;
}

static void say_address(struct json_writer *w, const struct addr *address)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    addr_write_ip(&b, address);
    say(w, "address", buf_text(&b));
}

/* ---- show */

static const char *mode_word(const struct packets *p)
{
    static const char *const words[] = {[PERIMETER_OFF] = "off",
                                        [PERIMETER_PROGRAMS] = "programs",
                                        [PERIMETER_NFTABLES] = "nftables",
                                        [PERIMETER_FAILED] = "failed"};
    return p->config && !p->config->filter.interface_count ? "off" : words[p->mode];
}

static void show_interfaces(struct asked *a)
{
    static const char *const in[] = {"none", "native", "generic"}, *const out[] = {"none", "tcx", "clsact"};
    const struct packets *p = a->packets;
    json_key(&a->w, STR("interfaces"));
    json_array_begin(&a->w);
    for (unsigned i = 0; i < p->outside_count; i++) {
        const struct outside *o = &p->outside[i];
        json_object_begin(&a->w);
        say(&a->w, "name", str_of(o->name));
        say(&a->w, "in", str_of(o->is_attached ? in[o->how.ingress] : "none"));
        say(&a->w, "out", str_of(o->is_attached ? out[o->how.egress] : "none"));
        json_object_end(&a->w);
    }
    json_array_end(&a->w);
}

static void show_reasons(struct asked *a, const struct filter_counts *c)
{
    json_key(&a->w, STR("reasons"));
    json_array_begin(&a->w);
    for (unsigned r = 0; r < FILTER_REASON_COUNT; r++) {
        if (!(c->packets[0][r] | c->packets[1][r] | c->dry[0][r] | c->dry[1][r]))
            continue;
        json_object_begin(&a->w);
        say(&a->w, "name", str_of(filter_reason_name(r)));
        say(&a->w, "text", str_of(filter_reason_text(r)));
        count(&a->w, "in", c->packets[FILTER_IN][r]);
        count(&a->w, "out", c->packets[FILTER_OUT][r]);
        count(&a->w, "dry_in", c->dry[FILTER_IN][r]);
        count(&a->w, "dry_out", c->dry[FILTER_OUT][r]);
        json_object_end(&a->w);
    }
    json_array_end(&a->w);
}

static void show_classes(struct asked *a, const struct filter_counts *c)
{
    json_key(&a->w, STR("classes"));
    json_array_begin(&a->w);
    for (unsigned class = 0; class < FILTER_CLASS_COUNT; class ++) {
        json_object_begin(&a->w);
        say(&a->w, "class", str_of(filter_class_word(class)));
        count(&a->w, "passed_in", c->class_passed[FILTER_IN][class]);
        count(&a->w, "dropped_in", c->class_dropped[FILTER_IN][class]);
        count(&a->w, "passed_out", c->class_passed[FILTER_OUT][class]);
        count(&a->w, "dropped_out", c->class_dropped[FILTER_OUT][class]);
        json_object_end(&a->w);
    }
    json_array_end(&a->w);
}

static void show_addresses(struct asked *a)
{
    const struct config *c = a->packets->config;
    json_key(&a->w, STR("addresses"));
    json_array_begin(&a->w);
    for (unsigned i = 0; i < c->filter.address_count; i++) {
        struct filter_own_counts own;
        if (filter_own_counts_read(a->packets->filter, (uint16_t)(i + 1), &own) != 0)
            continue;
        json_object_begin(&a->w);
        say_address(&a->w, &c->filter.addresses[i].address);
        say(&a->w, "cluster", c->filter.addresses[i].cluster);
        count(&a->w, "passed_in", own.passed[FILTER_IN]);
        count(&a->w, "dropped_in", own.dropped[FILTER_IN]);
        count(&a->w, "passed_out", own.passed[FILTER_OUT]);
        count(&a->w, "dropped_out", own.dropped[FILTER_OUT]);
        json_object_end(&a->w);
    }
    json_array_end(&a->w);
}

static void show_blocks(struct asked *a)
{
    const struct packets *p = a->packets;
    int64_t now_us = packets_wall_us();
    json_key(&a->w, STR("blocks"));
    json_array_begin(&a->w);
    for (unsigned i = 0; i < p->block_count; i++) {
        const struct ordered_block *b = &p->blocks[i];
        if (b->until_us <= now_us)
            continue;
        json_object_begin(&a->w);
        say_address(&a->w, &b->address);
        count(&a->w, "seconds_left", (uint64_t)(b->until_us - now_us) / 1'000'000);
        count(&a->w, "uid", b->uid);
        say(&a->w, "reason", str_of(b->reason));
        json_object_end(&a->w);
    }
    json_array_end(&a->w);
}

static bool show(struct asked *a)
{
    const struct packets *p = a->packets;
    struct filter_counts counts = {0};
    say(&a->w, "mode", str_of(mode_word(p)));
    say(&a->w, "notice", str_of(p->why));
    say(&a->w, "level", str_of(filter_level_word(p->filter ? filter_level(p->filter, 0) : p->level)));
    json_key(&a->w, STR("accept_queues"));
    json_bool(&a->w, p->filter && filter_accepts(p->filter));
    count(&a->w, "reports_ignored", p->ignored);
    show_interfaces(a);
    if (!p->filter || !p->config)
        return true;
    if (filter_counts_read(p->filter, &counts) == 0) {
        show_reasons(a, &counts);
        show_classes(a, &counts);
        count(&a->w, "samples_lost", counts.samples_lost);
    }
    show_addresses(a);
    show_blocks(a);
    return true;
}

/* ---- one address */

static bool address_of(struct asked *a, struct addr *ret)
{
    if (!a->packets->filter || !a->packets->is_configured)
        return refuse(
            a, STR("no packet programs run here: filter.interfaces is empty, or nftables filters in their "
                   "place; `polder filter show` says which"));
    return addr_parse_ip(member(a, STR("address")), ret) ||
           refuse(a, STR("that is no IP address; a network can be blocked in the configuration only"));
}

static bool class_is(struct asked *a)
{
    struct addr address;
    struct filter_standing s;
    const char *why = NULL;
    if (!address_of(a, &address))
        return false;
    filter_standing_of(a->packets->filter, &address, &s);
    (void)classes_is_needed(a->packets, &address, &why);
    say_address(&a->w, &address);
    say(&a->w, "class", str_of(filter_class_word(s.class)));
    say(&a->w, "why",
        why                                ? str_of(why)
        : s.is_ordered                     ? STR("a person ordered it")
        : s.left_ns                        ? STR("earned, or lost, by what it did")
        : s.listed == FILTER_CLASS_BLOCKED ? STR("it stands in filter.block of the configuration")
                                           : STR("nothing is known of it"));
    if (s.left_ns)
        count(&a->w, "seconds_left", s.left_ns / 1'000'000'000u);
    json_key(&a->w, STR("has_rules"));
    json_bool(&a->w, s.has_rules);
    return true;
}

static bool block(struct asked *a)
{
    struct addr address;
    const char *why = "";
    if (!address_of(a, &address))
        return false;
    if (!classes_block(a->packets, a->uid, &address, number(a, STR("seconds")), member(a, STR("reason")),
                       &why))
        return refuse(a, str_of(why));
    say_address(&a->w, &address);
    say(&a->w, "done", STR("blocked"));
    return true;
}

static bool unblock(struct asked *a)
{
    struct addr address;
    const char *why = "";
    if (!address_of(a, &address))
        return false;
    if (!classes_unblock(a->packets, &address, &why))
        return refuse(a, str_of(why));
    say_address(&a->w, &address);
    say(&a->w, "done", STR("not blocked any more"));
    return true;
}

/* ---- samples */

static void write_hex(struct json_writer *w, struct str bytes, struct arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_bytes(arena, bytes.n * 2);
    for (size_t i = 0; text && i < bytes.n; i++) {
        text[2 * i] = digits[(uint8_t)bytes.p[i] >> 4];
        text[2 * i + 1] = digits[bytes.p[i] & 15];
    }
    json_str(w, text ? (struct str){text, bytes.n * 2} : STR(""));
}

static bool capture(struct asked *a)
{
    struct packets *p = a->packets;
    uint64_t from = number(a, STR("from"));
    struct arena *arena = arena_new(4 * CAPTURE_BYTES);
    char *memory = arena ? arena_bytes(arena, CAPTURE_BYTES) : NULL;
    struct buf b = buf_over(memory, memory ? CAPTURE_BYTES : 0);
    int64_t boot_ns = packets_wall_us() * 1000 - (int64_t)packets_boot_ns();
    bool ok = p->filter && p->samples && memory;
    samples_take(p);
    uint64_t first = p->sample_end > PACKETS_SAMPLES_MAX ? p->sample_end - PACKETS_SAMPLES_MAX : 0;
    if (!from)
        filter_pcapng_begin(&b);
    for (uint64_t i = from > first ? from : first; ok && i < p->sample_end; i++)
        filter_pcapng_add(&b, &p->samples[i % PACKETS_SAMPLES_MAX], boot_ns);
    if (ok) {
        count(&a->w, "next", p->sample_end ? p->sample_end : 1);
        count(&a->w, "missed", from && from < first ? first - from : 0);
        json_key(&a->w, STR("pcapng"));
        write_hex(&a->w, buf_text(&b), arena);
    } else {
        refuse(a, STR("no packet programs run here, so no packets were kept"));
    }
    arena_free(arena);
    return ok;
}

/* ---- which one */

static bool parse(struct str request, struct json_node *nodes, struct json_tape *ret)
{
    return json_parse(request, DEPTH, nodes, NODES, ret, NULL) == JSON_FINE && ret->count &&
           json_type(ret, 0) == JSON_OBJECT;
}

bool packets_is_asked(struct str request)
{
    struct json_node nodes[NODES];
    struct json_tape tape;
    return parse(request, nodes, &tape) && json_get(&tape, 0, STR("filter")) != JSON_NONE;
}

bool packets_ask(struct packets *p, uint32_t uid, struct str request, struct buf *answer)
{
    static const struct {
        struct str word;
        bool (*answer)(struct asked *);
    } kinds[] = {{STR("show"), show},
                 {STR("class"), class_is},
                 {STR("block"), block},
                 {STR("unblock"), unblock},
                 {STR("capture"), capture}};
    struct json_node nodes[NODES];
    struct json_tape tape = {0};
    struct asked a = {p, &tape, arena_new(SCRATCH_BYTES), uid, json_writer_over(answer)};
    bool ok = false, is_known = false;
    json_object_begin(&a.w);
    struct str word = a.arena && parse(request, nodes, &tape) ? member(&a, STR("filter")) : STR_NONE;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(word, kinds[i].word)) {
            is_known = true;
            ok = kinds[i].answer(&a);
        }
    if (!is_known)
        refuse(&a, STR("the filter answers show, class, block, unblock and capture"));
    json_object_end(&a.w);
    arena_free(a.arena);
    return ok;
}
