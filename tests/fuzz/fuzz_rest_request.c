/* The way of a request, as far as no store is needed: method, path, query, fields and body of a stranger.
 * Property: whatever is refused is refused by a valid OperationOutcome; a job that was encoded decodes to the
 * same; XML and JSON bodies never harm. The first byte chooses the method, lines follow: path?query, fields,
 * an empty line, body. */
#include "rest/binary.h"
#include "rest/format.h"
#include "rest/job.h"
#include "rest/outcome.h"
#include "rest/subscription.h"
#include "rest/write.h"

#include "base/must.h"
#include "http/url.h"

enum { ARENA_BYTES = 256 << 20, FIELDS_MAX = 12 };

static struct rest_engine engine;
static struct rest_site site;

static void make_once(void)
{
    if (engine.arena)
        return;
    must(rest_engine_init(&engine, (struct hash_key){1, 2}));
    site = (struct rest_site){.engine = &engine,
                              .name = STR("noord"),
                              .base_url = STR("https://noord.example/fhir"),
                              .page_entries = 100,
                              .page_entries_max = 1'000};
}

static struct str cut_line(struct str *s)
{
    return str_cut(s, '\n');
}

static unsigned read_fields(struct str *text, struct http_field *fields)
{
    unsigned n = 0;
    while (text->n && n < FIELDS_MAX) {
        struct str value = cut_line(text);
        if (!value.n)
            break;
        struct str name = str_cut(&value, ':');
        fields[n++] = (struct http_field){name, str_trim(value), http_field_id(name)};
    }
    return n;
}

static bool read_target(struct str target, struct arena *arena, struct rest_http *http)
{
    struct str query = target;
    struct str path = str_cut(&query, '?');
    return url_canonical_path(path, arena, &http->path) == REFUSAL_NONE &&
           url_canonical_query(query, arena, &http->query) == REFUSAL_NONE;
}

static void check_refusal(const struct rest_call *call, const struct rest_answer *answer)
{
    struct json_tape t;
    struct fhir_value outcome;
    must(answer->status >= 400 && answer->status < 600);
    if (arena_overflowed(call->arena))
        return;
    must(rest_json_parse(answer->body, call->arena, &t, NULL) == JSON_FINE);
    must(fhir_value_of_resource(&t, 0, &outcome) &&
         str_eq(fhir_type_name(outcome.type), STR("OperationOutcome")));
}

static void check_job(const struct rest_http *http, struct arena *arena)
{
    struct rest_job job = {.id = 7, .cluster = 3, .http = *http}, back;
    struct str head = rest_job_encode(&job, arena);
    must(head.n);
    char *bytes = arena_bytes(arena, head.n + http->body.n);
    must(bytes);
    memcpy(bytes, head.p, head.n);
    if (http->body.n)
        memcpy(bytes + head.n, http->body.p, http->body.n);
    struct str all = {bytes, head.n + http->body.n};
    must(rest_job_decode(all, arena, &back) && back.id == 7 && back.cluster == 3);
    must(str_eq(back.http.path, http->path) && str_eq(back.http.query, http->query) &&
         str_eq(back.http.body, http->body));
    must(!rest_job_decode(str_take(all, all.n - 1), arena, &back));
}

/* Bytes that never were a job or an answer. */
static void decode_anything(struct str bytes, struct arena *arena)
{
    struct rest_job job;
    struct rest_answer answer;
    uint64_t id;
    if (rest_job_decode(bytes, arena, &job))
        must(job.http.field_count <= REST_JOB_FIELDS_MAX);
    if (rest_answer_decode(bytes, arena, &id, &answer))
        must(answer.status >= 200 && answer.status < 600);
}

/* The content of a Binary comes out as it went in, and nothing of its type can end a header. */
static void check_content(const struct rest_call *call, struct str resource, struct str content)
{
    struct str type, got;
    must(rest_binary_content(call, resource, &type, &got));
    must(str_eq(got, content) && str_find_char(type, '\n') < 0 && str_find_char(type, '\r') < 0);
}

/* What a Subscription asks for is within its bounds, or refused in words. */
static void read_subscription(const struct rest_call *call, struct str body)
{
    struct json_tape tape;
    struct fhir_value value;
    struct rest_subscription read;
    struct rest_answer refused = {0};
    if (!rest_resource_parse(call, body, &tape, &value, &refused))
        return;
    if (rest_subscription_read(call, &tape, 0, &read, &refused))
        must(read.topic.n && read.filter_count <= 20 && read.payload <= REST_PAYLOAD_FULL);
    else
        check_refusal(call, &refused);
}

static void run(const struct rest_call *call, struct str input)
{
    static const enum http_method methods[] = {METHOD_GET,   METHOD_POST, METHOD_PUT,    METHOD_DELETE,
                                               METHOD_PATCH, METHOD_HEAD, METHOD_OPTIONS};
    struct http_field fields[FIELDS_MAX];
    struct rest_http http = {.method = methods[(unsigned char)input.p[0] % 7]};
    struct rest_request request;
    struct rest_answer answer = {0};
    input = str_skip(input, 1);
    decode_anything(input, call->arena);
    if (!read_target(cut_line(&input), call->arena, &http))
        return;
    http.fields = fields;
    http.field_count = read_fields(&input, fields);
    http.body = input;
    bool is_parsed = rest_request_parse(call, &http, &request, &answer);
    bool is_content = is_parsed && request.is_content;
    if (is_parsed && request.type && str_eq(fhir_type_name(request.type), STR("Subscription")))
        read_subscription(call, input);
    bool is_fine = is_parsed && rest_body_to_json(call, &request, &http, &answer);
    if (is_fine && is_content)
        check_content(call, request.body, input);
    if (!is_fine || (request.writes && !rest_prepare(call, &request, &answer))) {
        check_refusal(call, &answer);
        return;
    }
    check_job(&http, call->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_once();
    struct rest_caller caller = {0};
    struct arena *arena = arena_new(ARENA_BYTES), *scratch = arena_new(ARENA_BYTES);
    struct rest_call call = {.site = &site,
                             .caller = &caller,
                             .arena = arena,
                             .scratch = scratch,
                             .now_us = 1'700'000'000'000'000};
    must(arena && scratch);
    if (size > 1)
        run(&call, (struct str){(const char *)data, size});
    arena_free(arena);
    arena_free(scratch);
    return 0;
}
