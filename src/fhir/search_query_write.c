/* What was understood of a query as text again, for the self link. */
#include "fhir/chars.h"
#include "fhir/search_query.h"

static void write_encoded(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF", plain[] = "-._~,:|$/*";
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = (uint8_t)text.p[i];
        if (is_alnum(text.p[i]) || (byte && strchr(plain, text.p[i]))) {
            buf_char(out, text.p[i]);
            continue;
        }
        buf_char(out, '%');
        buf_char(out, digits[byte >> 4]);
        buf_char(out, digits[byte & 15]);
    }
}

static void write_name(struct buf *out, size_t start, struct str name)
{
    if (out->n > start)
        buf_char(out, '&');
    write_encoded(out, name);
    buf_char(out, '=');
}

static void write_pair(struct buf *out, size_t start, const char *name, struct str value)
{
    write_name(out, start, str_of(name));
    write_encoded(out, value);
}

static void write_sorts(struct buf *out, size_t start, const struct fhir_search_query *q)
{
    for (uint32_t i = 0; i < q->sort_count; i++) {
        if (i == 0)
            write_name(out, start, STR("_sort"));
        buf_str(out, i ? STR(",") : STR(""));
        buf_str(out, q->sorts[i].is_descending ? STR("-") : STR(""));
        write_encoded(out, fhir_search_code(q->sorts[i].parameter));
    }
}

static void write_types(struct buf *out, size_t start, const struct fhir_search_query *q)
{
    for (uint32_t i = 0; i < q->type_count; i++) {
        if (i == 0)
            write_name(out, start, STR("_type"));
        buf_str(out, i ? STR(",") : STR(""));
        write_encoded(out, fhir_type_name(q->types[i]));
    }
}

static void write_elements(struct buf *out, size_t start, const struct fhir_search_query *q)
{
    for (uint32_t i = 0; i < q->element_count; i++) {
        if (i == 0)
            write_name(out, start, STR("_elements"));
        buf_str(out, i ? STR(",") : STR(""));
        write_encoded(out, q->elements[i]);
    }
}

static void write_include(struct buf *out, size_t start, const char *name,
                          const struct fhir_query_include *include)
{
    write_name(out, start, str_of(name));
    if (include->is_iterated) {
        out->n -= !buf_overflowed(out); /* the '=' */
        BUF_LIT(out, ":iterate=");
    }
    if (!include->source) {
        buf_char(out, '*');
        return;
    }
    write_encoded(out, fhir_type_name(include->source));
    buf_char(out, ':');
    write_encoded(out, include->parameter ? fhir_search_code(include->parameter) : STR("*"));
    if (include->target) {
        buf_char(out, ':');
        write_encoded(out, fhir_type_name(include->target));
    }
}

static void write_words(struct buf *out, size_t start, const struct fhir_search_query *q)
{
    static const char *const totals[] = {"", "none", "estimate", "accurate"};
    static const char *const summaries[] = {"false", "true", "text", "data", "count"};
    if (q->has_summary)
        write_pair(out, start, "_summary", str_of(summaries[q->summary]));
    if (q->total != FHIR_TOTAL_UNSAID)
        write_pair(out, start, "_total", str_of(totals[q->total]));
    if (q->has_count) {
        write_name(out, start, STR("_count"));
        buf_u64(out, q->count);
    }
    if (q->format.n)
        write_pair(out, start, "_format", q->format);
    if (q->has_pretty)
        write_pair(out, start, "_pretty", q->is_pretty ? STR("true") : STR("false"));
}

void fhir_search_query_write(const struct fhir_search_query *q, struct buf *out)
{
    size_t start = out->n;
    for (uint32_t i = 0; i < q->criterion_count; i++) {
        write_name(out, start, q->criteria[i].name);
        write_encoded(out, q->criteria[i].text);
    }
    if (q->is_type_said)
        write_types(out, start, q);
    write_sorts(out, start, q);
    for (uint32_t i = 0; i < q->include_count; i++)
        write_include(out, start, "_include", &q->includes[i]);
    for (uint32_t i = 0; i < q->revinclude_count; i++)
        write_include(out, start, "_revinclude", &q->revincludes[i]);
    write_elements(out, start, q);
    write_words(out, start, q);
}
