#include "rest/bundle.h"

#include "rest/document.h"
#include "json/writer.h"

static size_t bytes_of(const struct rest_call *call, const struct rest_bundle *bundle)
{
    size_t n = 1024 + 6 * (bundle->self.n + bundle->next.n) + 2 * call->site->base_url.n;
    for (size_t i = 0; i < bundle->n; i++)
        n += bundle->entries[i].body.n + call->site->base_url.n + 700;
    return n;
}

static void put_url(const struct rest_call *call, struct json_writer *w, const struct store_record *r,
                    bool is_full)
{
    json_str_begin(w);
    if (is_full) {
        json_str_part(w, call->site->base_url);
        json_str_part(w, STR("/"));
    }
    json_str_part(w, fhir_type_name(r->type));
    json_str_part(w, STR("/"));
    json_str_part(w, r->id);
    json_str_end(w);
}

static void put_instant(struct json_writer *w, struct str key, int64_t time_us)
{
    char memory[40];
    struct buf b = buf_over(memory, sizeof memory);
    rest_instant_write(&b, time_us);
    json_put_str(w, key, buf_text(&b));
}

/* Which request made a version, and how it was answered. */
static void put_version(const struct rest_call *call, struct json_writer *w, const struct store_record *r)
{
    static const struct str methods[] = {
        [STORE_CREATE] = STR("POST"), [STORE_UPDATE] = STR("PUT"), [STORE_DELETE] = STR("DELETE")};
    char memory[40];
    struct buf etag = buf_over(memory, sizeof memory);
    buf_printf(&etag, "W/\"%llu\"", (unsigned long long)r->version);
    json_put_object(w, STR("request"));
    json_put_str(w, STR("method"), methods[r->verb]);
    json_key(w, STR("url"));
    if (r->verb == STORE_CREATE)
        json_str(w, fhir_type_name(r->type));
    else
        put_url(call, w, r, false);
    json_object_end(w);
    json_put_object(w, STR("response"));
    json_put_str(w, STR("status"),
                 r->verb == STORE_DELETE ? STR("204")
                 : r->version == 1       ? STR("201")
                                         : STR("200"));
    json_put_str(w, STR("etag"), buf_text(&etag));
    put_instant(w, STR("lastModified"), r->time_us);
    json_object_end(w);
}

static void put_entry(const struct rest_call *call, struct json_writer *w, const struct rest_entry *e)
{
    static const struct str modes[] = {[REST_ENTRY_MATCH] = STR("match"),
                                       [REST_ENTRY_INCLUDE] = STR("include"),
                                       [REST_ENTRY_OUTCOME] = STR("outcome")};
    json_object_begin(w);
    if (e->record) {
        json_key(w, STR("fullUrl"));
        put_url(call, w, e->record, true);
    }
    if (e->body.n) {
        json_key(w, STR("resource"));
        json_raw(w, e->body);
    }
    if (e->mode == REST_ENTRY_VERSION) {
        put_version(call, w, e->record);
    } else {
        json_put_object(w, STR("search"));
        json_put_str(w, STR("mode"), modes[e->mode]);
        json_object_end(w);
    }
    json_object_end(w);
}

static void put_link(const struct rest_call *call, struct json_writer *w, struct str relation,
                     struct str where)
{
    json_object_begin(w);
    json_put_str(w, STR("relation"), relation);
    json_key(w, STR("url"));
    json_str_begin(w);
    json_str_part(w, call->site->base_url);
    json_str_part(w, STR("/"));
    json_str_part(w, where);
    json_str_end(w);
    json_object_end(w);
}

struct str rest_bundle_write(const struct rest_call *call, const struct rest_bundle *bundle)
{
    size_t cap = bytes_of(call, bundle);
    char *memory = arena_bytes(call->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("Bundle"));
    json_put_str(&w, STR("type"), str_of(bundle->type));
    if (bundle->has_total)
        json_put_u64(&w, STR("total"), bundle->total);
    json_put_array(&w, STR("link"));
    put_link(call, &w, STR("self"), bundle->self);
    if (bundle->next.n)
        put_link(call, &w, STR("next"), bundle->next);
    json_array_end(&w);
    if (bundle->n) { /* FHIR has no empty arrays */
        json_put_array(&w, STR("entry"));
        for (size_t i = 0; i < bundle->n; i++)
            put_entry(call, &w, &bundle->entries[i]);
        json_array_end(&w);
    }
    json_object_end(&w);
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}
