/* rest/encoding.c - bodies that came compressed. What is unpacked is bounded twice: by the size any body may
 * have, and by how many times larger than itself one may become. */
#include "http/inflate.h"
#include "rest/binary.h"
#include "rest/outcome.h"

enum { RATIO_MAX = 200 };

static bool refuse(const struct rest_call *call, struct rest_answer *answer, enum http_inflate_result result)
{
    static const struct str where = STR("http.content-encoding");
    if (result == INFLATE_TOO_LARGE)
        return rest_refuse(
            call, answer, 413, "too-long", where,
            "unpacked, the body is larger than this service takes, or more than %u times larger "
            "than it came",
            RATIO_MAX);
    if (result == INFLATE_NO_MEMORY)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    return rest_refuse(call, answer, 400, "structure", where, "%s",
                       result == INFLATE_AMBIGUOUS
                           ? "the compressed body can be read in two ways, or something follows it"
                           : "the body cannot be unpacked: it is damaged, or broken off");
}

bool rest_body_decode(const struct rest_call *call, struct rest_http *http, size_t bytes_max,
                      struct rest_answer *answer)
{
    const struct http_inflate_limits limits = {bytes_max, RATIO_MAX};
    struct http_field *fields = NULL;
    struct http_codings codings = {0};
    unsigned n = 0;
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, STR("content-encoding")) &&
            !http_codings_add(&codings, http->fields[i].value))
            return rest_refuse(call, answer, 415, "not-supported", STR("http.content-encoding"),
                               "bodies are taken as they are, or in gzip or deflate");
    if (!codings.count || !http->body.n)
        return true;
    enum http_inflate_result result = http_inflate(&codings, http->body, &limits, call->arena, &http->body);
    if (result != INFLATE_DONE)
        return refuse(call, answer, result);
    if (!(fields = arena_alloc(call->arena, (http->field_count + 1) * sizeof *fields)))
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    for (unsigned i = 0; i < http->field_count; i++)
        if (!str_eq_nocase(http->fields[i].name, STR("content-encoding")))
            fields[n++] = http->fields[i];
    http->fields = fields;
    http->field_count = n;
    return true;
}
