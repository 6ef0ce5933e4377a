/* Each body parser, chosen by the first byte: it ends; it keeps the limits; what it gives is no more than the
 * body had; an error has words, and no error without them. */
#include "base/must.h"
#include "waf/tx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 15, ARENA_BYTES = 64 << 20 };

static const struct waf_limits limits = {
    .arguments = 100, .json_depth = 20, .request_body_no_files_bytes = 1 << 14};

static size_t bytes_of(const struct pairs *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->items[i].value.n;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(const struct body_input *, struct body *) = {
        body_parse_urlencoded, body_parse_multipart, body_parse_json, body_parse_xml};
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    unsigned which = data[0] % 4;
    struct body_input in = {.bytes = {(const char *)data + 1, size - 1},
                            .content_type = STR("multipart/form-data; boundary=B"),
                            .limits = &limits,
                            .args_before = 3,
                            .arena = arena};
    struct body body = {0};
    must(arena);
    parsers[which](&in, &body);
    must(in.args_before + body.args.n <= limits.arguments);
    must(body.has_error == (body.error.n > 0));
    must(body.limit == WAF_WITHIN_LIMITS || body.has_error);
    must(bytes_of(&body.args) + body.file_bytes <=
         in.bytes.n + (which == 3 ? 0 : 4 * body.args.n)); /* false, null */
    must(body.xml_text.n <= in.bytes.n * 2);
    must(body.files.n == body.file_sizes.n);
    arena_free(arena);
    return 0;
}
