#include "desk.h"

#include "base/must.h"
#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_BYTES = 256 << 20, FIELDS_MAX = 8 };

struct desk *desk_open(void)
{
    struct desk *d = calloc(1, sizeof *d);
    must(d);
    snprintf(d->folder, sizeof d->folder, "%s", "/tmp/polder-rest-XXXXXX");
    must(mkdtemp(d->folder) && rest_engine_init(&d->engine, (struct hash_key){3, 4}));
    struct store_options options = {
        .role = STORE_WRITER, .cluster = STR("noord"), .indexer = d->engine.indexer, .may_create = true};
    must(store_open(str_of(d->folder), &options, &d->site.store) == STORE_FINE);
    d->site.engine = &d->engine;
    d->site.name = STR("noord");
    d->site.base_url = STR("https://noord.example/fhir");
    d->site.page_entries = 100;
    d->site.page_entries_max = 1'000;
    d->ids.key = (struct hash_key){5, 6};
    d->arena = arena_new(ARENA_BYTES);
    d->scratch = arena_new(ARENA_BYTES);
    d->now_us = INT64_C(1'790'000'000'000'000);
    must(d->arena && d->scratch);
    return d;
}

void desk_close(struct desk *d)
{
    static const char *const files[] = {"records.db", "records.db-wal", "records.db-shm", "lock"};
    char path[128];
    store_close(d->site.store);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", d->folder, files[i]);
        unlink(path);
    }
    rmdir(d->folder);
    rest_engine_done(&d->engine);
    arena_free(d->arena);
    arena_free(d->scratch);
    free(d);
}

struct rest_call desk_call(struct desk *d)
{
    return (struct rest_call){.site = &d->site,
                              .caller = &d->caller,
                              .arena = d->arena,
                              .scratch = d->scratch,
                              .now_us = d->now_us,
                              .ids = &d->ids};
}

static unsigned read_fields(struct str text, struct http_field *fields)
{
    unsigned n = 0;
    while (text.n && n < FIELDS_MAX) {
        struct str value = str_cut(&text, '\n');
        struct str name = str_cut(&value, ':');
        fields[n++] = (struct http_field){name, str_trim(value), http_field_id(name)};
    }
    return n;
}

static void write_group(struct desk *d, struct rest_call *call, struct rest_answer *answer)
{
    must(store_begin(d->site.store, d->now_us, &call->now_us) == STORE_FINE);
    must(rest_answer_write(call, &d->request, answer) == REST_ANSWERED);
    must(store_commit(d->site.store) == STORE_FINE);
}

struct rest_answer desk_ask(struct desk *d, const char *what, const char *fields, const char *body)
{
    struct http_field list[FIELDS_MAX];
    struct rest_answer answer = {0};
    struct rest_http http = {0};
    struct str target = str_of(what);
    arena_reset(d->arena);
    struct rest_call call = desk_call(d);
    http.method = http_method_of(str_cut(&target, ' '));
    struct str query = target, path = str_cut(&query, '?');
    struct str rooted = arena_printf(d->arena, "/%.*s", STR_ARG(path));
    must(url_canonical_path(rooted, d->arena, &http.path) == REFUSAL_NONE);
    must(url_canonical_query(query, d->arena, &http.query) == REFUSAL_NONE);
    http.fields = list;
    http.field_count = read_fields(str_of(fields), list);
    if (body && !fields) {
        list[0] = (struct http_field){STR("content-type"), STR("application/fhir+json"), FIELD_CONTENT_TYPE};
        http.field_count = 1;
    }
    http.body = str_of(body);
    d->now_us += 1'000'000;
    call.now_us = d->now_us;
    if (!rest_request_parse(&call, &http, &d->request, &answer))
        return answer;
    if (!d->request.writes)
        rest_answer_read(&call, &d->request, &answer);
    else if (rest_prepare(&call, &d->request, &answer))
        write_group(d, &call, &answer);
    return answer;
}

struct str desk_text(struct desk *d, struct str json, const char *path)
{
    struct json_tape t;
    struct str left = str_of(path);
    uint32_t at = 0;
    must(rest_json_parse(json, d->arena, &t, NULL) == JSON_FINE);
    while (left.n && at != JSON_NONE) {
        struct str name = str_cut(&left, '.');
        uint64_t index;
        if (json_type(&t, at) != JSON_ARRAY) {
            at = json_get(&t, at, name);
            continue;
        }
        if (!str_parse_u64(name, &index) || index >= json_count(&t, at))
            return STR_NONE;
        for (at = json_first(&t, at); index; index--)
            at = json_next(&t, at);
    }
    if (at == JSON_NONE)
        return STR_NONE;
    return json_type(&t, at) == JSON_STRING ? json_string(&t, at, d->arena) : json_source(&t, at);
}
