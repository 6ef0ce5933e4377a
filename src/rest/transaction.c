/* rest/transaction.c - batch and transaction (https://hl7.org/fhir/R4/http.html#transaction).
 *
 * A transaction: entries become requests; conditions are looked up and ids given, so that each entry has its
 * address; references to other entries (urn:uuid) and conditional references are written as addresses; then
 * all writes are applied as one, deletions first, then creations, then updates; at last what only reads is
 * read. One refusal refuses all. A batch: each entry by itself, in order. */
#include "rest/transaction.h"

#include "rest/outcome.h"
#include "rest/read.h"
#include "json/writer.h"

struct str bundle_text(struct bundle_run *run, uint32_t object, const char *name)
{
    return fhir_member_text(&run->tape, object, str_of(name), run->call->arena);
}

/* ---- refusals */

/* The refusal of an entry is that of the transaction: the same words, with the place. */
bool bundle_refuse_entry(struct bundle_run *run, const struct bundle_entry *e, const struct rest_answer *why)
{
    struct json_tape t;
    struct str code = STR("processing"), text = STR("it could not be carried out"), where = STR_NONE;
    unsigned index = (unsigned)(e - run->entries);
    if (rest_json_parse(why->body, run->call->arena, &t, NULL) == JSON_FINE) {
        uint32_t issues = fhir_member(&t, 0, STR("issue"));
        uint32_t issue = issues != JSON_NONE && json_count(&t, issues) ? json_first(&t, issues) : JSON_NONE;
        uint32_t places = fhir_member(&t, issue, STR("expression"));
        code = fhir_member_text(&t, issue, STR("code"), run->call->arena);
        text = fhir_member_text(&t, issue, STR("diagnostics"), run->call->arena);
        if (places != JSON_NONE && json_count(&t, places))
            where = json_string(&t, json_first(&t, places), run->call->arena);
    }
    bool has_place = where.n && !str_starts(where, STR("http."));
    struct str expression =
        arena_printf(run->call->arena, "Bundle.entry[%u]%s%.*s", index, has_place ? "." : "",
                     has_place ? (int)where.n : 0, has_place ? where.p : "");
    char word[40];
    struct buf b = buf_over(word, sizeof word - 1);
    buf_str(&b, str_take(code, sizeof word - 1));
    word[b.n] = '\0';
    return rest_refuse(run->call, run->answer, why->status, word, expression, "entry %u: %.*s", index,
                       STR_ARG(text));
}

/* ---- writing */

static bool pend_entry(struct bundle_run *run, struct bundle_entry *e)
{
    struct rest_edits edits = {0};
    struct rest_source source = {&run->tape, e->resource, &edits};
    if (e->request.interaction == REST_PATCH) {
        source = (struct rest_source){&e->patched, 0, &edits};
        return rest_patch_make(run->call, &e->request, e->id, &e->patched, &e->answer) &&
               rest_pend(run->call, &e->pending, STORE_UPDATE, e->request.type, e->id, e->expected, &source,
                         &e->answer);
    }
    if (e->verb != STORE_DELETE && !bundle_rewrite(run, e, e->resource, &edits))
        return false;
    return rest_pend(run->call, &e->pending, e->verb, e->request.type, e->id, e->expected, &source,
                     &e->answer);
}

/* Deletions, creations, updates: the order FHIR prescribes. */
static unsigned rank_of(const struct bundle_entry *e)
{
    return e->request.interaction == REST_DELETE ? 0 : e->request.interaction == REST_CREATE ? 1 : 2;
}

static unsigned in_order(struct bundle_run *run, struct bundle_entry **ret)
{
    unsigned n = 0;
    for (unsigned rank = 0; rank < 3; rank++)
        for (unsigned i = 0; i < run->n; i++)
            if (run->entries[i].is_write && !run->entries[i].is_settled && rank_of(&run->entries[i]) == rank)
                ret[n++] = &run->entries[i];
    return n;
}

static const struct str *new_patients(struct bundle_run *run, struct bundle_entry **order, unsigned n,
                                      unsigned *ret_count)
{
    struct str *ids = arena_alloc(run->call->arena, (n + 1) * sizeof *ids);
    *ret_count = 0;
    for (unsigned i = 0; ids && i < n; i++)
        if (order[i]->verb == STORE_CREATE && str_eq(fhir_type_name(order[i]->request.type), STR("Patient")))
            ids[(*ret_count)++] = order[i]->id;
    return ids;
}

static enum rest_written apply(struct bundle_run *run, const struct rest_call *call)
{
    struct bundle_entry **order = arena_alloc(call->arena, (run->n + 1) * sizeof(struct bundle_entry *));
    struct store_write *writes = arena_alloc(call->arena, (run->n + 1) * sizeof *writes);
    size_t failed = 0;
    if (!order || !writes) {
        rest_refuse_store(call, run->answer, STORE_NO_MEMORY);
        return REST_ANSWERED;
    }
    unsigned n = in_order(run, order);
    struct rest_call with = *call; /* files that this transaction itself begins are open to it */
    with.new_patients = new_patients(run, order, n, &with.new_patient_count);
    run->call = &with;
    for (unsigned i = 0; i < n; i++) {
        if (!pend_entry(run, order[i])) {
            bundle_refuse_entry(run, order[i], &order[i]->answer);
            return REST_ANSWERED;
        }
        writes[i] = order[i]->pending.write;
    }
    enum store_result result = n ? store_apply(call->site->store, writes, n, &failed) : STORE_FINE;
    if (result != STORE_FINE) {
        struct bundle_entry *e = order[failed < n ? failed : 0];
        enum rest_written written = rest_refuse_write(call, &e->answer, &e->pending.write, result);
        bundle_refuse_entry(run, e, &e->answer);
        return written;
    }
    for (unsigned i = 0; i < n; i++) {
        order[i]->pending.write = writes[i];
        rest_answer_pending(call, &order[i]->request, &order[i]->pending, &order[i]->answer);
    }
    return REST_ANSWERED;
}

static enum rest_written apply_all(struct bundle_run *run)
{
    const struct rest_call *call = run->call;
    enum rest_written written = apply(run, call);
    run->call = call;
    return written;
}

/* ---- the answer */

static void put_response(struct bundle_run *run, struct json_writer *w, const struct rest_answer *a)
{
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    struct str reason = http_reason(a->status);
    json_object_begin(w);
    if (a->body.n && a->status < 400) {
        json_key(w, STR("resource"));
        json_raw(w, a->body);
    }
    json_put_object(w, STR("response"));
    buf_printf(&b, "%u %.*s", a->status, STR_ARG(reason));
    json_put_str(w, STR("status"), buf_text(&b));
    if (a->location.n)
        json_put_str(w, STR("location"), a->location);
    if (a->version) {
        b.n = 0;
        buf_printf(&b, "W/\"%llu\"", (unsigned long long)a->version);
        json_put_str(w, STR("etag"), buf_text(&b));
    }
    if (a->modified_us != INT64_MIN) {
        b.n = 0;
        rest_instant_write(&b, a->modified_us);
        json_put_str(w, STR("lastModified"), buf_text(&b));
    }
    if (a->body.n && a->status >= 400) {
        json_key(w, STR("outcome"));
        json_raw(w, a->body);
    }
    json_object_end(w);
    json_object_end(w);
}

/* What all entries touched together is what the request touched. */
static void gather(struct bundle_run *run)
{
    for (unsigned i = 0; i < run->n; i++) {
        struct rest_answer *a = &run->entries[i].answer;
        struct rest_touched *last = a->touched;
        if (!last)
            continue;
        while (last->next)
            last = last->next;
        last->next = run->answer->touched;
        run->answer->touched = a->touched;
        run->answer->touched_count += a->touched_count;
    }
}

static void answer_all(struct bundle_run *run)
{
    size_t cap = 256;
    for (unsigned i = 0; i < run->n; i++)
        cap += run->entries[i].answer.body.n + 512;
    char *memory = arena_bytes(run->call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Bundle"));
    json_put_str(&w, STR("type"), run->is_transaction ? STR("transaction-response") : STR("batch-response"));
    if (run->n) {
        json_put_array(&w, STR("entry"));
        for (unsigned i = 0; i < run->n; i++)
            put_response(run, &w, &run->entries[i].answer);
        json_array_end(&w);
    }
    json_object_end(&w);
    gather(run);
    run->answer->status = 200;
    run->answer->body = buf_text(&b);
    if (buf_overflowed(&b))
        rest_refuse_store(run->call, run->answer, STORE_NO_MEMORY);
}

/* ---- both */

static enum rest_written transact(struct bundle_run *run)
{
    if (!bundle_settle(run))
        return REST_ANSWERED;
    enum rest_written written = apply_all(run);
    if (run->answer->status)
        return written;
    for (unsigned i = 0; i < run->n; i++)
        if (!run->entries[i].is_write)
            rest_answer_read(run->call, &run->entries[i].request, &run->entries[i].answer);
    answer_all(run);
    return REST_ANSWERED;
}

static enum rest_written do_each(struct bundle_run *run)
{
    for (unsigned i = 0; i < run->n; i++) {
        struct bundle_entry *e = &run->entries[i];
        if (e->answer.status) /* refused already */
            continue;
        if (!e->is_write)
            rest_answer_read(run->call, &e->request, &e->answer);
        else if (rest_answer_write(run->call, &e->request, &e->answer) == REST_GROUP_LOST) {
            *run->answer = e->answer;
            return REST_GROUP_LOST;
        }
    }
    answer_all(run);
    return REST_ANSWERED;
}

enum rest_written rest_bundle_execute(const struct rest_call *call, const struct rest_request *r,
                                      struct rest_answer *answer)
{
    struct bundle_run run = {.call = call, .request = r, .answer = answer};
    struct fhir_value bundle;
    if (!rest_resource_parse(call, r->body, &run.tape, &bundle, answer))
        return REST_ANSWERED;
    run.is_transaction = str_eq(bundle_text(&run, 0, "type"), STR("transaction"));
    if (!bundle_read(&run))
        return REST_ANSWERED;
    return run.is_transaction ? transact(&run) : do_each(&run);
}
