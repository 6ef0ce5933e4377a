/* FHIR bodies, searches and values; the first byte chooses.
 *
 * Body: it ends; the limits hold; an error has words. Of JSON that was read to the end every scalar is in one
 * list and none is lost. Value: what is harmless has none of the characters attacks are written in. */
#include "base/must.h"
#include "waf/tx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ARENA_BYTES = 256 << 20, KINDS = WAF_KIND_XHTML + 1 };

static const struct waf_limits limits = {
    .arguments = 100, .json_depth = 20, .request_body_no_files_bytes = 1 << 14};

static size_t counted(const struct body *body)
{
    const struct fhir_values *fhir = &body->fhir;
    return body->args.n + fhir->text.n + fhir->names.n + fhir->errors.n;
}

/* Scalars that say something, and how many of them may be a narrative. */
static size_t scalars(struct str text, size_t *ret_divs)
{
    struct json_tape tape;
    size_t room = json_nodes_max(text.n), n = 0;
    struct json_node *nodes = malloc(room * sizeof *nodes);
    must(nodes && json_parse(text, 20, nodes, room, &tape, NULL) == JSON_FINE);
    *ret_divs = 0;
    for (uint32_t i = 0; i < tape.count; i++) {
        enum json_type type = json_type(&tape, i);
        n += type > JSON_NULL && type < JSON_ARRAY;
        if (type == JSON_OBJECT)
            n -= json_count(&tape, i); /* the names */
        *ret_divs += json_string_is(&tape, i, STR("div"));
    }
    free(nodes);
    return n;
}

static void check_body(const struct body_input *in, bool is_xml)
{
    struct body body = {0};
    if (is_xml)
        body_parse_xml(in, &body);
    else
        body_parse_json(in, &body);
    must(in->args_before + counted(&body) <= limits.arguments);
    must(body.has_error == (body.error.n > 0));
    must(body.limit == WAF_WITHIN_LIMITS || body.has_error);
    if (is_xml || !body.fhir.was_read || body.has_error)
        return;
    size_t divs, all = scalars(in->bytes, &divs);
    size_t listed = body.fhir.typed.n + body.args.n + body.fhir.text.n;
    must(listed <= all && listed + all * (divs > 0) >= all);
}

static void check_value(enum waf_kind kind, struct str value)
{
    enum fhir_finding finding = fhir_check(kind, value);
    for (size_t i = 0; finding == FHIR_HARMLESS && i < value.n; i++) {
        char c = value.p[i];
        bool is_sign = kind == WAF_KIND_CODE && c && strchr(value.n <= 2 ? "<>=!*%[]{}" : "*%[]{}; ", c);
        bool is_plain = is_alnum(c) || is_sign || (c && strchr("-_.:+/#|=%*", c));
        must(is_plain || (kind == WAF_KIND_BASE64 && is_space(c)));
    }
    must(finding != FHIR_HARMLESS || kind == WAF_KIND_BASE64 || str_find(value, STR("..")) < 0);
    must(finding != FHIR_HARMLESS || kind == WAF_KIND_BASE64 || str_find(value, STR("--")) < 0);
}

static void check_search(const struct body_input *in)
{
    struct body body = {0};
    form_parse(in, &body, in->bytes);
    size_t n = body.args.n;
    fhir_type_search(&body, STR("/fhir/Patient"), in->arena);
    must(body.args.n + body.fhir.typed.n == n);
    for (size_t i = 0; i < body.fhir.typed.n; i++) {
        struct str value = body.fhir.typed.items[i].value;
        for (size_t j = 0; j < value.n; j++)
            must(is_alnum(value.p[j]) || strchr("-_.:+/#|,$", value.p[j]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    struct body_input in = {.bytes = {(const char *)data + 1, size - 1},
                            .limits = &limits,
                            .args_before = 3,
                            .profile = WAF_PROFILE_FHIR,
                            .arena = arena};
    if (data[0] < 'a')
        check_body(&in, data[0] == 'X');
    else if (data[0] == 's')
        check_search(&in);
    else
        check_value((enum waf_kind)((unsigned)(data[0] - 'a') % KINDS), in.bytes);
    arena_free(arena);
    return 0;
}
