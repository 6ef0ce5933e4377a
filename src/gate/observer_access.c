/* gate/observer_access.c - one access log line: JSON with the field names of the Elastic Common Schema 8.11,
 * and what that has no name for under "polder.". Pure. */
#include "gate/observer.h"

#include "base/mask.h"

/* ---- names */

struct access_names access_names_of(const struct observed_config *observed, const struct access_event *e)
{
    struct access_names names = {0};
    if (!observed)
        return names;
    const struct config *config = observed->config;
    if (e->cluster < config->cluster_count) {
        const struct config_cluster *cluster = &config->clusters[e->cluster];
        names.cluster = cluster->name;
        if (e->route < cluster->route_count)
            names.route = cluster->routes[e->route].path;
    }
    if (e->listener < config->listener_count)
        names.listener = config->listeners[e->listener].name;
    if (e->endpoint < config->endpoint_count) {
        names.upstream = observed->endpoints[e->endpoint].upstream->name;
        names.endpoint_host = observed->endpoints[e->endpoint].endpoint->host;
        names.endpoint_port = observed->endpoints[e->endpoint].endpoint->port;
    }
    return names;
}

/* ---- the line */

static struct str version_text(uint8_t version)
{
    switch (version) {
    case HTTP_1_0:
        return STR("1.0");
    case HTTP_1_1:
        return STR("1.1");
    case HTTP_2:
        return STR("2");
    default:
        return STR("");
    }
}

static void put_text(struct json_writer *w, struct str key, struct str value) /* unless it is empty */
{
    if (value.n)
        json_put_str(w, key, value);
}

static void put_flag(struct json_writer *w, struct str key, bool value) /* unless it is false */
{
    if (value)
        json_put_bool(w, key, true);
}

static void write_request(struct json_writer *w, const struct access_event *e)
{
    char masked[sizeof e->path], id[32];
    struct buf id_text = buf_over(id, sizeof id);
    for (unsigned half = 0; half < 2; half++) {
        uint64_t big_endian = __builtin_bswap64(e->request_id[half]);
        buf_hex(&id_text, &big_endian, sizeof big_endian);
    }
    json_put_str(w, STR("http.request.id"), buf_text(&id_text));
    put_text(w, STR("http.version"), version_text(e->version));
    put_text(w, STR("http.request.method"), (struct str){e->method, e->method_len});
    put_text(w, STR("url.domain"), (struct str){e->host, e->host_len});
    put_text(w, STR("url.path"),
             mask_citizen_numbers((struct str){e->path, e->path_len}, e->path_len == sizeof e->path, masked));
    if (e->status)
        json_put_u64(w, STR("http.response.status_code"), e->status);
    json_put_u64(w, STR("http.request.body.bytes"), e->bytes_in);
    json_put_u64(w, STR("http.response.body.bytes"), e->bytes_out);
    put_text(w, STR("user_agent.original"), (struct str){e->agent, e->agent_len});
}

static void write_client(struct json_writer *w, const struct access_event *e)
{
    char text[ADDR_TEXT_MAX];
    struct buf ip = buf_over(text, sizeof text);
    addr_write_ip(&ip, &e->client);
    json_put_str(w, STR("source.ip"), buf_text(&ip));
    json_put_u64(w, STR("source.port"), e->client.port);
    if (e->flags & ACCESS_TLS) {
        json_put_str(w, STR("tls.version_protocol"), STR("tls"));
        put_text(w, STR("tls.version"),
                 e->tls_version == 4   ? STR("1.3")
                 : e->tls_version == 3 ? STR("1.2")
                                       : STR(""));
        put_flag(w, STR("tls.resumed"), e->flags & ACCESS_RESUMED);
        put_flag(w, STR("polder.client_certificate"), e->flags & ACCESS_CLIENT_CERT);
    }
}

static void write_way(struct json_writer *w, const struct access_event *e, const struct access_names *names)
{
    put_text(w, STR("polder.listener"), names->listener);
    put_text(w, STR("polder.cluster"), names->cluster);
    put_text(w, STR("polder.route"), names->route);
    put_text(w, STR("polder.upstream"), names->upstream);
    if (names->endpoint_host.n) {
        json_put_str(w, STR("polder.endpoint.address"), names->endpoint_host);
        json_put_u64(w, STR("polder.endpoint.port"), names->endpoint_port);
        json_put_u64(w, STR("polder.upstream_duration"), (uint64_t)e->upstream_us * 1000);
    }
    if (e->retries)
        json_put_u64(w, STR("polder.retries"), e->retries);
    if (e->refusal != REFUSAL_NONE && e->refusal < REFUSAL_COUNT)
        json_put_str(w, STR("polder.refusal"), http_refusal_name((enum http_refusal)e->refusal));
    put_flag(w, STR("polder.by_gate"), e->flags & ACCESS_BY_GATE);
    put_flag(w, STR("polder.aborted"), e->flags & ACCESS_CLIENT_ABORT);
    put_flag(w, STR("polder.upstream_reused"), e->flags & ACCESS_UPSTREAM_REUSED);
    put_flag(w, STR("polder.tunnel"), e->flags & ACCESS_TUNNEL);
    put_flag(w, STR("polder.has_query"), e->flags & ACCESS_HAS_QUERY);
}

void access_line_write(struct buf *out, const struct access_event *e, const struct access_names *names)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_key(&w, STR("@timestamp"));
    json_str_begin(&w);
    time_write_utc(out, e->at_us);
    json_str_end(&w);
    json_put_str(&w, STR("ecs.version"), STR("8.11"));
    json_put_str(&w, STR("event.dataset"), STR("polder.access"));
    json_put_u64(&w, STR("event.duration"), (uint64_t)e->duration_us * 1000); /* nanoseconds */
    write_request(&w, e);
    write_client(&w, e);
    write_way(&w, e, names);
    json_object_end(&w);
    buf_char(out, '\n');
}
