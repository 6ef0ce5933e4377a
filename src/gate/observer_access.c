/* gate/observer_access.c - one access log line: JSON with the field names of the Elastic Common Schema 8.11,
 * and what that has no name for under "polder.". Pure. */
#include "gate/observer.h"

/* ---- time */

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar: eras of 400 years that begin on 1
 * March, so that the leap day is the last one (E. M. Reingold and N. Dershowitz, "Calendrical Calculations").
 */
static void civil_from_days(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t shifted = days + 719'468; /* days since 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
    unsigned day_of_era = (unsigned)(shifted - era * 146'097);
    unsigned year = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    unsigned day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* from March */
    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(year + era * 400) + (*ret_month <= 2);
}

int64_t time_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t days =
        era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

static void write_digits(struct buf *out, unsigned value, unsigned digits)
{
    char text[8];
    for (unsigned i = digits; i > 0; i--, value /= 10)
        text[i - 1] = (char)('0' + value % 10);
    buf_add(out, text, digits);
}

void time_write_utc(struct buf *out, int64_t unix_us)
{
    int64_t seconds = unix_us / 1'000'000, us = unix_us % 1'000'000;
    int year;
    unsigned month, day;
    if (unix_us < 0 ||
        seconds > 253'402'300'799) /* what stands there is no time: 9999-12-31 is the last RFC 3339 has */
        seconds = us = 0;
    civil_from_days(seconds / 86'400, &year, &month, &day);
    unsigned of_day = (unsigned)(seconds % 86'400);
    const unsigned parts[] = {(unsigned)year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60};
    static const char after[] = "--T::.";
    for (unsigned i = 0; i < 6; i++) {
        write_digits(out, parts[i], i == 0 ? 4 : 2);
        buf_char(out, after[i]);
    }
    write_digits(out, (unsigned)us, 6);
    buf_char(out, 'Z');
}

/* ---- masking */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The eleven-test of the BSN: weights 9, 8, ... 2 and -1; eight digits are nine with a zero in front. */
static bool passes_eleven_test(const char *digits, size_t n)
{
    int sum = 0;
    bool is_zero = true;
    if (n != 8 && n != 9)
        return false;
    for (size_t i = 0; i < n; i++) {
        int weight = (int)(n - i);
        sum += (digits[i] - '0') * (weight == 1 ? -1 : weight);
        is_zero = is_zero && digits[i] == '0';
    }
    return sum % 11 == 0 && !is_zero;
}

struct str access_path_mask(struct str path, bool is_cut, char *out)
{
    enum { CUT_DIGITS = 5 }; /* at a cut end, that much of a number already tells too much */
    if (path.n)
        memcpy(out, path.p, path.n);
    for (size_t at = 0; at < path.n;) {
        size_t end = at;
        while (end < path.n && is_digit(path.p[end]))
            end++;
        bool is_cut_number = is_cut && end == path.n && end - at >= CUT_DIGITS;
        if (is_cut_number || passes_eleven_test(path.p + at, end - at))
            memset(out + at, '*', end - at);
        at = end + 1;
    }
    return (struct str){out, path.n};
}

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
             access_path_mask((struct str){e->path, e->path_len}, e->path_len == sizeof e->path, masked));
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
