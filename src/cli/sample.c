#include "cli/sample.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- processor time: /proc/PID/stat (proc(5)), fields 14 and 15. 0 when this user may not see it. */

static uint64_t cpu_ticks(uint64_t pid)
{
    char path[64], text[1024];
    struct buf name = buf_over(path, sizeof path);
    buf_printf(&name, "/proc/%llu/stat%c", (unsigned long long)pid, 0);
    int fd = buf_overflowed(&name) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    uint64_t ticks = 0, value;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    struct str rest = {text, (size_t)n};
    for (ptrdiff_t close_at;
         (close_at = str_find_char(rest, ')')) >= 0;) /* the name may hold brackets: the last one */
        rest = str_skip(rest, (size_t)close_at + 1);
    rest = str_skip(rest, 1);
    for (unsigned field = 3; field <= 15; field++) {
        struct str word = str_cut(&rest, ' ');
        if (field >= 14 && str_parse_u64(word, &value))
            ticks += value;
    }
    return ticks;
}

/* ---- reading the answer */

static void read_latency(const struct document *d, uint32_t object, struct cluster_sample *ret)
{
    uint32_t count, item = document_list(d, object, "latency", &count);
    for (; count >= 2; count -= 2) {
        uint64_t bucket = LATENCY_BUCKETS, n = 0;
        json_get_u64(&d->tape, item, &bucket);
        item = json_next(&d->tape, item);
        json_get_u64(&d->tape, item, &n);
        item = json_next(&d->tape, item);
        if (bucket < LATENCY_BUCKETS)
            ret->latency[bucket] = n;
    }
}

static void read_cluster(const struct document *d, uint32_t object, struct cluster_sample *ret)
{
    uint32_t count, item = document_list(d, object, "status", &count);
    for (unsigned i = 0; i < 6 && i < count; i++, item = json_next(&d->tape, item))
        json_get_u64(&d->tape, item, &ret->status[i]);
    ret->name = document_text(d, object, "name");
    ret->requests = document_number(d, object, "requests");
    ret->bytes_out = document_number(d, object, "bytes_out");
    read_latency(d, object, ret);
}

static void read_endpoint(const struct document *d, uint32_t object, struct endpoint_sample *ret)
{
    *ret = (struct endpoint_sample){
        .upstream = document_text(d, object, "upstream"),
        .host = document_text(d, object, "host"),
        .health = document_text(d, object, "health"),
        .port = document_number(d, object, "port"),
        .active = document_number(d, object, "active"),
        .connections = document_number(d, object, "connections"),
        .requests = document_number(d, object, "requests"),
        .failures = document_number(d, object, "failures"),
    };
}

static void read_role(const struct document *d, uint32_t object, struct role_sample *ret)
{
    *ret = (struct role_sample){
        .role = document_text(d, object, "role"),
        .state = document_text(d, object, "state"),
        .slot = document_number(d, object, "slot"),
        .pid = document_number(d, object, "pid"),
        .uptime_s = document_number(d, object, "uptime_s"),
        .restarts = document_number(d, object, "restarts"),
    };
    ret->cpu_ticks = cpu_ticks(ret->pid);
}

static void *room_for(const struct document *d, const char *name, size_t size, uint32_t *ret_first,
                      unsigned *ret_count)
{
    uint32_t count;
    *ret_first = document_list(d, 0, name, &count);
    *ret_count = count;
    return arena_alloc(d->arena, (count + 1) * size);
}

bool sample_open(struct sample *s, struct document take)
{
    uint32_t clusters, endpoints, roles;
    *s = (struct sample){.document = take};
    const struct document *d = &s->document;
    s->at_us = document_number(d, 0, "now_us");
    s->clusters = room_for(d, "clusters", sizeof *s->clusters, &clusters, &s->cluster_count);
    s->endpoints = room_for(d, "endpoints", sizeof *s->endpoints, &endpoints, &s->endpoint_count);
    s->roles = room_for(d, "roles", sizeof *s->roles, &roles, &s->role_count);
    if (!s->at_us || !s->clusters || !s->endpoints || !s->roles) {
        sample_close(s);
        return false;
    }
    for (unsigned i = 0; i < s->cluster_count; i++, clusters = json_next(&d->tape, clusters))
        read_cluster(d, clusters, &s->clusters[i]);
    for (unsigned i = 0; i < s->endpoint_count; i++, endpoints = json_next(&d->tape, endpoints))
        read_endpoint(d, endpoints, &s->endpoints[i]);
    for (unsigned i = 0; i < s->role_count; i++, roles = json_next(&d->tape, roles))
        read_role(d, roles, &s->roles[i]);
    return true;
}

void sample_close(struct sample *s)
{
    document_close(&s->document);
    *s = (struct sample){0};
}

uint64_t sample_total(const struct sample *s, const char *counter)
{
    return document_number(&s->document, json_get(&s->document.tape, 0, STR("totals")), counter);
}

/* ---- finding the same again */

const struct cluster_sample *sample_cluster(const struct sample *s, const struct cluster_sample *like)
{
    for (unsigned i = 0; i < s->cluster_count; i++)
        if (str_eq(s->clusters[i].name, like->name))
            return &s->clusters[i];
    return NULL;
}

const struct endpoint_sample *sample_endpoint(const struct sample *s, const struct endpoint_sample *like)
{
    for (unsigned i = 0; i < s->endpoint_count; i++) {
        const struct endpoint_sample *e = &s->endpoints[i];
        if (e->port == like->port && str_eq(e->host, like->host) && str_eq(e->upstream, like->upstream))
            return e;
    }
    return NULL;
}

const struct role_sample *sample_role(const struct sample *s, const struct role_sample *like)
{
    for (unsigned i = 0; i < s->role_count; i++)
        if (s->roles[i].pid == like->pid && s->roles[i].slot == like->slot &&
            str_eq(s->roles[i].role, like->role))
            return &s->roles[i];
    return NULL;
}

uint64_t rate_x10(uint64_t before, uint64_t now, uint64_t elapsed_us)
{
    uint64_t by = now >= before ? now - before : now;
    return elapsed_us ? (uint64_t)((double)by * 10e6 / (double)elapsed_us + 0.5) : 0;
}

uint64_t role_cpu_permille(const struct role_sample *before, const struct role_sample *now,
                           uint64_t elapsed_us)
{
    uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
    if (!before || now->cpu_ticks < before->cpu_ticks || elapsed_us == 0)
        return 0;
    return (now->cpu_ticks - before->cpu_ticks) * UINT64_C(1'000'000'000) / ticks_per_s / elapsed_us;
}
