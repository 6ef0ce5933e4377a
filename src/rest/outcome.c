#include "rest/outcome.h"

#include "json/writer.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 2048, ISSUE_BYTES = 6 * TEXT_MAX };

static void begin(struct json_writer *w)
{
    json_object_begin(w);
    json_put_str(w, STR("resourceType"), STR("OperationOutcome"));
    json_put_array(w, STR("issue"));
}

static void end(struct json_writer *w)
{
    json_array_end(w);
    json_object_end(w);
}

static void put_issue(struct json_writer *w, struct str severity, struct str code, struct str text,
                      struct str rule, struct str expression)
{
    json_object_begin(w);
    json_put_str(w, STR("severity"), severity);
    json_put_str(w, STR("code"), code);
    if (rule.n) {
        json_put_object(w, STR("details"));
        json_put_str(w, STR("text"), rule);
        json_object_end(w);
    }
    json_put_str(w, STR("diagnostics"), text);
    if (expression.n) {
        json_put_array(w, STR("expression"));
        json_str(w, expression);
        json_array_end(w);
    }
    json_object_end(w);
}

static struct str one_issue(const struct rest_call *call, struct str severity, struct str code,
                            struct str text, struct str expression)
{
    expression = str_take(expression, TEXT_MAX);
    char *memory = arena_bytes(call->arena, ISSUE_BYTES + 6 * expression.n);
    struct buf b = buf_over(memory, memory ? ISSUE_BYTES + 6 * expression.n : 0);
    struct json_writer w = json_writer_over(&b);
    begin(&w);
    put_issue(&w, severity, code, str_take(text, TEXT_MAX - 1), STR_NONE, expression);
    end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static void set(struct rest_answer *answer, uint16_t status, struct str body)
{
    answer->status = status;
    answer->body = body;
    answer->location = STR_NONE;
    answer->version = 0;
    answer->modified_us = INT64_MIN;
}

bool rest_refuse(const struct rest_call *call, struct rest_answer *answer, uint16_t status, const char *code,
                 struct str expression, const char *format, ...)
{
    char text[TEXT_MAX] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* what does not fit is cut off */
    va_end(args);
    set(answer, status, one_issue(call, STR("error"), str_of(code), str_of(text), expression));
    return false;
}

struct str rest_outcome_fine(const struct rest_call *call, struct str text)
{
    return one_issue(call, STR("information"), STR("informational"), text, STR_NONE);
}

/* ---- the store */

static const struct {
    enum store_result result;
    uint16_t status;
    const char *code, *text;
} store_words[] = {
    {STORE_NOT_FOUND, 404, "not-found", "there is no such resource"},
    {STORE_DELETED, 410, "deleted", "the resource was deleted"},
    {STORE_CONFLICT, 409, "conflict",
     "somebody else has changed the resource meanwhile: read it and try again"},
    {STORE_EXISTS, 409, "duplicate", "a resource of that id is there already"},
    {STORE_BAD_POSITION, 400, "invalid",
     "this is no page of that search: take the link of the page before, unchanged"},
    {STORE_NOT_INDEXED, 501, "not-supported", "this search needs an index that is not kept here"},
    {STORE_TOO_COSTLY, 403, "too-costly",
     "this search looks at too many resources: add a parameter that narrows it, such as patient"},
    {STORE_TOO_LARGE, 413, "too-long", "this is too large to be stored"},
    {STORE_NO_MEMORY, 503, "throttled", "there is no memory left for this request; try again later"},
    {STORE_NO_SPACE, 507, "no-store", "the disk is full: nothing was stored"},
    {STORE_BUSY, 503, "lock-error", "the store is busy; try again in a moment"},
    {STORE_CORRUPT, 500, "exception",
     "what is stored here was damaged and is not given out; the operator has been told"},
};

bool rest_refuse_store(const struct rest_call *call, struct rest_answer *answer, enum store_result result)
{
    answer->failure = result;
    for (size_t i = 0; i < sizeof store_words / sizeof *store_words; i++)
        if (store_words[i].result == result) {
            rest_refuse(call, answer, store_words[i].status, store_words[i].code, STR_NONE, "%s",
                        store_words[i].text);
            answer->retry_later = store_words[i].status == 503;
            return false;
        }
    rest_refuse(call, answer, 500, "exception", STR_NONE,
                "the store cannot be used at the moment (%.*s); it is not known whether anything was stored",
                STR_ARG(store_result_text(result)));
    return false;
}

/* ---- validations */

static size_t bytes_of(const struct fhir_validation *v)
{
    size_t n = 512;
    for (size_t i = 0; i < v->n; i++)
        n += 128 + 6 * (v->issues[i].location.n + v->issues[i].text.n + v->issues[i].rule.n);
    return n;
}

struct str rest_outcome_of(const struct rest_call *call, const struct fhir_validation *v)
{
    if (v->n == 0)
        return rest_outcome_fine(call, STR("no problems were found"));
    size_t cap = bytes_of(v);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    begin(&w);
    for (size_t i = 0; i < v->n; i++)
        put_issue(&w, v->issues[i].is_error ? STR("error") : STR("warning"),
                  fhir_issue_code_text(v->issues[i].code), v->issues[i].text, v->issues[i].rule,
                  v->issues[i].location);
    end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

bool rest_refuse_invalid(const struct rest_call *call, struct rest_answer *answer, uint16_t status,
                         const struct fhir_validation *v)
{
    set(answer, status, rest_outcome_of(call, v));
    return false;
}

/* ---- queries */

static struct str fault_code(enum fhir_query_fault fault)
{
    switch (fault) {
    case FHIR_QUERY_UNKNOWN:
    case FHIR_QUERY_NOT_SUPPORTED:
        return STR("not-supported");
    case FHIR_QUERY_TOO_MUCH:
        return STR("too-costly");
    case FHIR_QUERY_BAD_MODIFIER:
    case FHIR_QUERY_BAD_VALUE:
    case FHIR_QUERY_BAD_TEXT:
        break;
    }
    return STR("invalid");
}

static struct str problems_outcome(const struct rest_call *call, const struct fhir_query_problems *problems,
                                   struct str severity)
{
    size_t cap = 512;
    for (uint32_t i = 0; i < problems->n; i++)
        cap += 256 + 12 * (problems->at[i].name.n + problems->at[i].what.n + problems->at[i].hint.n);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    begin(&w);
    for (uint32_t i = 0; i < problems->n; i++) {
        const struct fhir_query_problem *p = &problems->at[i];
        struct str text =
            p->hint.n ? arena_printf(call->arena, "%.*s: %.*s", STR_ARG(p->what), STR_ARG(p->hint)) : p->what;
        struct str where = p->name.n ? arena_printf(call->arena, "http.%.*s", STR_ARG(p->name)) : STR_NONE;
        put_issue(&w, severity, fault_code(p->fault), text, STR_NONE, where);
    }
    end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

/* Unknown parameters are the client's mistake like any other: 400 (strict by default). */
bool rest_refuse_query(const struct rest_call *call, struct rest_answer *answer,
                       const struct fhir_query_problems *problems)
{
    set(answer, 400, problems_outcome(call, problems, STR("error")));
    return false;
}

struct str rest_outcome_ignored(const struct rest_call *call, const struct fhir_query_problems *problems)
{
    return problems->n ? problems_outcome(call, problems, STR("warning")) : STR_NONE;
}
