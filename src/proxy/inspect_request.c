/* proxy/inspect_request.c - a request and its answer as the rules see them.
 *
 * It is the canonical request, the one that is forwarded (waf_describe). Its fields are those that came, also
 * the hop-by-hop ones and those that are dropped on the way: rules look for contradictions among them, such
 * as Transfer-Encoding beside Content-Length. */
#include "proxy/inspect_parts.h"

#include "waf/offline.h"

static struct str server_ip_of(const struct inspection *in)
{
    char text[46];
    struct buf b = buf_over(text, sizeof text);
    addr_write_ip(&b, &in->ex->client->listener->config->address);
    return arena_copy(in->arena, buf_text(&b));
}

bool inspect_describe_request(struct inspection *in)
{
    const struct exchange *ex = in->ex;
    const struct client *c = ex->client;
    char id[32];
    struct buf b = buf_over(id, sizeof id);
    uint64_t big_endian[2] = {__builtin_bswap64(ex->id[0]), __builtin_bswap64(ex->id[1])};
    buf_hex(&b, big_endian, sizeof big_endian);
    if (!waf_describe(&ex->req, in->arena, &in->request))
        return false;
    in->request.client_ip = (struct str){c->ip_text, c->ip_text_n};
    in->request.client_port = c->peer.port;
    in->request.server_ip = server_ip_of(in);
    in->request.server_port = c->listener->config->address.port;
    in->request.unique_id = arena_copy(in->arena, buf_text(&b));
    in->request.now_s = loop_wall_us(ex->proxy->loop) / 1'000'000;
    return !arena_overflowed(in->arena);
}

bool inspect_describe_answer(struct inspection *in)
{
    const struct http_response *r = &in->ex->resp;
    struct waf_field *fields = arena_alloc(in->arena, (r->field_count + 1) * sizeof *fields);
    if (!fields)
        return false;
    for (unsigned i = 0; i < r->field_count; i++)
        fields[i] = (struct waf_field){arena_copy(in->arena, r->fields[i].name),
                                       arena_copy(in->arena, r->fields[i].value)};
    in->response = (struct waf_response){
        .status = r->status, .protocol = STR("HTTP/1.1"), .fields = fields, .field_count = r->field_count};
    return !arena_overflowed(in->arena);
}

/* Files may be larger than what is parsed; in what else a body may be, all of it is. */
uint64_t inspect_body_limit(const struct inspection *in)
{
    const struct exchange *ex = in->ex;
    const struct waf_limits rules = waf_rules_limits(inspect_rules_of(ex->snapshot->rules));
    const struct http_field *type = NULL;
    for (unsigned i = 0; i < ex->req.field_count && !type; i++)
        if (str_eq_nocase(ex->req.fields[i].name, STR("content-type")))
            type = &ex->req.fields[i];
    struct str rest = type ? type->value : STR_NONE;
    bool has_files = str_eq_nocase(str_trim(str_cut(&rest, ';')), STR("multipart/form-data"));
    uint64_t limit = has_files ? rules.request_body_bytes : rules.request_body_no_files_bytes;
    if (limit > rules.request_body_bytes)
        limit = rules.request_body_bytes;
    return ex->route->waf.body_bytes && ex->route->waf.body_bytes < limit ? ex->route->waf.body_bytes : limit;
}
