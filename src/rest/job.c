#include "rest/job.h"

#include "base/cursor.h"

enum { JOB_BYTES = 512, TOUCHED_BYTES = 32 };

/* The fields that change what an interaction does. */
static const char *const steering[] = {
    "if-match", "if-none-match", "if-modified-since", "if-none-exist", "prefer", "accept", "content-type",
};

/* Who asks: the owner decides for itself what that one may do. The gate's word only where the gate spoke. */
static bool is_identity(const struct rest_http *http, struct str name)
{
    return str_eq_nocase(name, STR("authorization")) ||
           (http->is_behind_gate && (str_eq_nocase(name, STR("x-polder-client-verified")) ||
                                     str_eq_nocase(name, STR("x-polder-client-subject"))));
}

static bool is_steering(const struct rest_http *http, struct str name)
{
    if (is_identity(http, name))
        return true;
    for (size_t i = 0; i < sizeof steering / sizeof *steering; i++)
        if (str_eq_nocase(name, str_of(steering[i])))
            return true;
    return false;
}

/* ---- bytes */

static void put_uint(struct buf *b, uint64_t value, unsigned bytes)
{
    buf_add(b, &value, bytes); /* little endian, as everything between processes */
}

static void put_text(struct buf *b, struct str text)
{
    put_uint(b, text.n, 4);
    buf_str(b, text);
}

static struct str get_text(struct cursor *c)
{
    size_t n = cursor_uint(c, 4);
    const uint8_t *p = cursor_bytes(c, n);
    return p ? (struct str){(const char *)p, n} : STR_NONE;
}

/* ---- jobs */

static unsigned count_fields(const struct rest_http *http)
{
    unsigned n = 0;
    for (unsigned i = 0; i < http->field_count; i++)
        n += is_steering(http, http->fields[i].name);
    return n < REST_JOB_FIELDS_MAX ? n : REST_JOB_FIELDS_MAX;
}

static void put_fields(struct buf *b, const struct rest_http *http)
{
    unsigned left = count_fields(http);
    put_uint(b, left, 1);
    for (unsigned i = 0; i < http->field_count && left; i++) {
        if (!is_steering(http, http->fields[i].name))
            continue;
        put_text(b, http->fields[i].name);
        put_text(b, http->fields[i].value);
        left--;
    }
}

static void put_caller(struct buf *b, const struct rest_caller *c)
{
    struct rest_caller copy = *c;
    struct str *all[REST_CALLER_TEXTS];
    rest_caller_texts(&copy, all);
    for (size_t i = 0; i < REST_CALLER_TEXTS; i++)
        put_text(b, *all[i]);
}

static size_t caller_bytes(const struct rest_caller *c)
{
    struct rest_caller copy = *c;
    struct str *all[REST_CALLER_TEXTS];
    size_t n = 0;
    rest_caller_texts(&copy, all);
    for (size_t i = 0; i < REST_CALLER_TEXTS; i++)
        n += 4 + all[i]->n;
    return n;
}

static size_t bytes_of(const struct rest_job *job)
{
    size_t n = JOB_BYTES + job->http.path.n + job->http.query.n + caller_bytes(&job->caller) + job->notice.n;
    for (unsigned i = 0; i < job->http.field_count; i++)
        n += job->http.fields[i].name.n + job->http.fields[i].value.n + 8;
    return n;
}

struct str rest_job_encode(const struct rest_job *job, struct arena *arena)
{
    size_t cap = bytes_of(job);
    char *memory = arena_bytes(arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    put_uint(&b, job->id, 8);
    put_uint(&b, job->cluster, 4);
    put_uint(&b, job->http.method, 1);
    put_text(&b, job->http.path);
    put_text(&b, job->http.query);
    put_caller(&b, &job->caller);
    put_text(&b, job->notice);
    put_fields(&b, &job->http);
    put_uint(&b, job->http.body.n, 4);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static void get_fields(struct cursor *c, struct arena *arena, struct rest_http *http)
{
    unsigned n = (unsigned)cursor_uint(c, 1);
    struct http_field *fields =
        n <= REST_JOB_FIELDS_MAX ? arena_alloc(arena, (n + 1) * sizeof *fields) : NULL;
    if (!fields) {
        c->failed = true;
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        fields[i].name = get_text(c);
        fields[i].value = get_text(c);
    }
    http->fields = fields;
    http->field_count = n;
}

static void get_caller(struct cursor *c, struct rest_caller *ret)
{
    struct str *all[REST_CALLER_TEXTS];
    rest_caller_texts(ret, all);
    for (size_t i = 0; i < REST_CALLER_TEXTS; i++)
        *all[i] = get_text(c);
}

bool rest_job_decode(struct str bytes, struct arena *arena, struct rest_job *ret)
{
    struct cursor c = cursor_over(bytes.p, bytes.n);
    struct rest_job job = {.id = cursor_uint(&c, 8), .cluster = (uint32_t)cursor_uint(&c, 4)};
    job.http.method = (enum http_method)cursor_uint(&c, 1);
    job.http.path = get_text(&c);
    job.http.query = get_text(&c);
    get_caller(&c, &job.caller);
    job.notice = get_text(&c);
    job.http.is_behind_gate = true; /* of who asks only what the gate wrote comes this way */
    get_fields(&c, arena, &job.http);
    job.http.body = get_text(&c);
    if (!cursor_consumed(&c))
        return false;
    *ret = job;
    return true;
}

/* ---- answers */

static void put_touched(struct buf *b, const struct rest_answer *a)
{
    put_uint(b, a->touched_count, 4);
    for (const struct rest_touched *t = a->touched; t; t = t->next) {
        put_uint(b, fhir_type_index(t->type), 4);
        put_uint(b, t->version, 8);
        put_text(b, t->id);
        put_text(b, t->patient);
    }
}

struct str rest_answer_encode(uint64_t id, const struct rest_answer *a, struct arena *arena)
{
    size_t cap = JOB_BYTES + a->location.n + a->allow.n + a->challenge.n + a->progress.n;
    for (const struct rest_touched *t = a->touched; t; t = t->next)
        cap += TOUCHED_BYTES + t->id.n + t->patient.n;
    char *memory = arena_bytes(arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    put_uint(&b, id, 8);
    put_uint(&b, a->status, 2);
    put_uint(&b, a->version, 8);
    put_uint(&b, (uint64_t)a->modified_us, 8);
    put_uint(&b, a->retry_later, 1);
    put_text(&b, a->location);
    put_text(&b, a->allow);
    put_text(&b, a->challenge);
    put_text(&b, a->progress);
    put_touched(&b, a);
    put_uint(&b, a->body.n, 4);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static void get_touched(struct cursor *c, struct arena *arena, struct rest_answer *a)
{
    uint32_t n = (uint32_t)cursor_uint(c, 4);
    for (uint32_t i = 0; i < n && cursor_ok(c); i++) {
        struct rest_touched *t = arena_alloc(arena, sizeof *t);
        uint32_t type = (uint32_t)cursor_uint(c, 4);
        if (!t || type >= fhir_type_count()) {
            c->failed = true;
            return;
        }
        *t = (struct rest_touched){
            .next = a->touched, .type = fhir_type_at(type), .version = cursor_uint(c, 8)};
        t->id = get_text(c);
        t->patient = get_text(c);
        a->touched = t;
        a->touched_count++;
    }
}

bool rest_answer_decode(struct str bytes, struct arena *arena, uint64_t *ret_id, struct rest_answer *ret)
{
    struct cursor c = cursor_over(bytes.p, bytes.n);
    struct rest_answer a = {0};
    uint64_t id = cursor_uint(&c, 8);
    a.status = (uint16_t)cursor_uint(&c, 2);
    a.version = cursor_uint(&c, 8);
    a.modified_us = (int64_t)cursor_uint(&c, 8);
    a.retry_later = cursor_uint(&c, 1) != 0;
    a.location = get_text(&c);
    a.allow = get_text(&c);
    a.challenge = get_text(&c);
    a.progress = get_text(&c);
    get_touched(&c, arena, &a);
    a.body = get_text(&c);
    if (!cursor_consumed(&c) || a.status < 200 || a.status > 599)
        return false;
    *ret_id = id;
    *ret = a;
    return true;
}
