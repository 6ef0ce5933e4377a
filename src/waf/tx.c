/* A transaction from request to log: what the phases look at is parsed here, once. */
#include "waf/room.h"

#include <stdlib.h>

enum { SCRATCH_BYTES = 64 << 20 };

static struct str field(const struct pairs *fields, const char *name)
{
    const struct pair *pair = pairs_find(fields, str_of(name));
    return pair ? pair->value : STR_NONE;
}

/* Netscape's cookies: pairs between semicolons, nothing decoded; those without a name are no cookies. */
static void read_cookies(struct waf_tx *tx, struct str text)
{
    while (text.p) {
        struct str value = str_cut(&text, ';'), name = str_cut(&value, '=');
        name = text_trim(name);
        if (name.n)
            (void)pairs_add(&tx->cookies, tx->arena, name, value);
    }
}

/* As a server looks a file up: encodings undone, '+' left alone. */
static struct str decode_path(struct str path, struct arena *arena)
{
    char *memory = arena_bytes(arena, path.n);
    struct buf out = buf_over(memory, memory ? path.n : 0);
    for (size_t i = 0; i < path.n; i++) {
        bool is_encoded =
            path.p[i] == '%' && path.n - i > 2 && is_hex(path.p[i + 1]) && is_hex(path.p[i + 2]);
        buf_char(&out, is_encoded ? hex_byte(path.p + i + 1) : path.p[i]);
        i += is_encoded ? 2 : 0;
    }
    return buf_text(&out);
}

/* "/path?query#fragment" or with scheme and authority before it. Only REQUEST_FILENAME is decoded. */
static void read_target(struct waf_tx *tx)
{
    struct str rest = tx->request->target, uri = rest;
    ptrdiff_t scheme = str_find(rest, STR("://"));
    if (rest.n && rest.p[0] != '/' && scheme > 0) {
        uri = str_skip(rest, (size_t)scheme + 3);
        while (uri.n && uri.p[0] != '/' && uri.p[0] != '?')
            uri = str_skip(uri, 1);
    }
    uri = str_cut(&uri, '#');
    tx->uri = uri;
    tx->query = uri;
    struct str path = str_cut(&tx->query, '?');
    tx->has_query = tx->query.p != NULL;
    tx->path = decode_path(path, tx->arena);
    size_t n = path.n;
    while (n && path.p[n - 1] != '/' && path.p[n - 1] != '\\')
        n--;
    tx->basename = str_skip(path, n);
    tx->has_basename = path.n > 0;
}

static enum body_processor processor_of(const struct waf_tx *tx, struct str content_type)
{
    bool is_fhir = tx->overlay->options.profile == WAF_PROFILE_FHIR;
    if (is_fhir && fhir_is_json_type(content_type))
        return PROCESSOR_JSON;
    if (is_fhir && fhir_is_xml_type(content_type))
        return PROCESSOR_XML;
    if (text_starts_nocase(content_type, STR("application/x-www-form-urlencoded")))
        return PROCESSOR_URLENCODED;
    return text_starts_nocase(content_type, STR("multipart/form-data")) ? PROCESSOR_MULTIPART
                                                                        : PROCESSOR_NONE;
}

static struct body_input body_input(struct waf_tx *tx, struct str bytes)
{
    return (struct body_input){.bytes = bytes,
                               .content_type = field(&tx->fields, "Content-Type"),
                               .limits = &tx->rules->limits,
                               .args_before = tx->query_body.args.n,
                               .profile = tx->overlay->options.profile,
                               .types = tx->overlay->options.types,
                               .arena = tx->arena};
}

static void note_limit(struct waf_tx *tx, enum waf_limit limit)
{
    if (tx->verdict.limit == WAF_WITHIN_LIMITS)
        tx->verdict.limit = limit;
}

static void read_head(struct waf_tx *tx)
{
    for (size_t i = 0; i < tx->request->field_count; i++) {
        const struct waf_field *f = &tx->request->fields[i];
        (void)pairs_add(&tx->fields, tx->arena, f->name, f->value);
        if (str_eq_nocase(f->name, STR("Cookie")))
            read_cookies(tx, f->value);
    }
    read_target(tx);
    tx->wanted_processor = processor_of(tx, field(&tx->fields, "Content-Type"));
    struct body_input in = body_input(tx, tx->query);
    form_parse(&in, &tx->query_body, tx->query);
    if (in.profile == WAF_PROFILE_FHIR)
        fhir_type_search(&tx->query_body, tx->path, tx->arena);
    note_limit(tx, tx->query_body.limit);
}

/* Whoever chooses the names of variables does not know what the gate calls his request. */
static struct hash_key names_key(const struct waf_request *request)
{
    static const struct hash_key fixed = {0x706f6c6465722d77, 0x61662d6e616d6573};
    uint64_t h = hash_bytes(&fixed, request->unique_id.n ? request->unique_id.p : "", request->unique_id.n);
    return (struct hash_key){h, hash_mix(h)};
}

struct waf_tx *waf_tx_new(const struct waf_overlay *overlay, const struct waf_request *request,
                          struct waf_store *store, struct arena *arena)
{
    struct waf_tx *tx = arena_alloc(arena, sizeof *tx);
    if (!tx)
        return NULL;
    tx->rules = overlay->rules;
    tx->overlay = overlay;
    tx->request = request;
    tx->store = store;
    tx->arena = arena;
    tx->scratch = arena_new(SCRATCH_BYTES);
    if (!tx->scratch || !rule_set_init(&tx->removed, tx->rules, arena) ||
        !vars_init(&tx->vars, &tx->rules->slots, arena, names_key(request))) {
        arena_free(tx->scratch);
        return NULL;
    }
    tx->mode = overlay->options.mode == WAF_AS_RULES_SAY ? tx->rules->mode : overlay->options.mode;
    tx->request_body_access = tx->rules->limits.request_body;
    tx->response_body_access = tx->rules->limits.response_body;
    tx->highest_severity = 255;
    tx_pin(tx);
    read_head(tx);
    return tx;
}

void waf_tx_free(struct waf_tx *tx)
{
    if (!tx)
        return;
    for (size_t i = 0; i < COLLECTIONS; i++)
        waf_record_close(tx->collections[i].record);
    room_give_back(tx);
    arena_free(tx->scratch);
    free(tx->kept);
    if (tx->held.p)
        tx->held.release(tx->held.p);
}

void waf_tx_set_pause(struct waf_tx *tx, waf_pause_fn *pause, void *context)
{
    tx->pause = pause;
    tx->pause_context = context;
}

static void run_phase(struct waf_tx *tx, uint8_t phase)
{
    if (tx->overlay->options.engine == WAF_ENGINE_FAST && !tx->room)
        tx->room = room_take(tx);
    if (tx->room) /* without memory for it the reference does as well */
        fast_run_phase(tx, phase);
    else
        reference_run_phase(tx, phase);
}

static enum waf_action finish_phase(struct waf_tx *tx)
{
    if (arena_overflowed(tx->arena))
        note_limit(tx, WAF_LIMIT_MEMORY);
    return tx->verdict.action;
}

enum waf_action waf_tx_request_head(struct waf_tx *tx)
{
    run_phase(tx, 1);
    return finish_phase(tx);
}

static void parse_body(struct waf_tx *tx, struct str bytes)
{
    struct body_input in = body_input(tx, bytes);
    struct body *body = &tx->body;
    body->processor = tx->wanted_processor;
    in.tx = tx;
    switch (body->processor) {
    case PROCESSOR_URLENCODED:
        body_parse_urlencoded(&in, body);
        if (in.profile == WAF_PROFILE_FHIR)
            fhir_type_search(body, tx->path, tx->arena);
        break;
    case PROCESSOR_MULTIPART:
        body_parse_multipart(&in, body);
        break;
    case PROCESSOR_JSON:
        body_parse_json(&in, body);
        break;
    case PROCESSOR_XML:
        body_parse_xml(&in, body);
        break;
    case PROCESSOR_NONE:
        break;
    }
    note_limit(tx, body->limit);
    bool is_plain = body->processor == PROCESSOR_URLENCODED ||
                    (body->processor == PROCESSOR_NONE && tx->force_request_body);
    tx->request_bytes = bytes;
    tx->has_request_bytes = is_plain;
}

static void take_body(struct waf_tx *tx, struct str bytes)
{
    const struct waf_limits *limits = &tx->rules->limits;
    tx->body_length = bytes.n;
    if (!tx->request_body_access || !bytes.n)
        return;
    uint64_t most = tx->wanted_processor == PROCESSOR_MULTIPART ? limits->request_body_bytes
                                                                : limits->request_body_no_files_bytes;
    if (bytes.n > limits->request_body_bytes || bytes.n > most) {
        note_limit(tx, WAF_LIMIT_BODY);
        struct body_input in = body_input(tx, bytes);
        body_fail(&tx->body, &in, "the request body is larger than the limit");
        return;
    }
    parse_body(tx, bytes);
}

enum waf_action waf_tx_request_body(struct waf_tx *tx, struct str body)
{
    if (tx->mode != WAF_OFF)
        take_body(tx, body);
    run_phase(tx, 2);
    return finish_phase(tx);
}

enum waf_action waf_tx_response_head(struct waf_tx *tx, const struct waf_response *response)
{
    tx->response = response;
    for (size_t i = 0; i < response->field_count; i++)
        (void)pairs_add(&tx->response_fields, tx->arena, response->fields[i].name, response->fields[i].value);
    struct str type = field(&tx->response_fields, "Content-Type");
    tx->response_type = str_trim(str_cut(&type, ';'));
    run_phase(tx, 3);
    return finish_phase(tx);
}

bool waf_tx_wants_response_body(const struct waf_tx *tx)
{
    if (!tx->response_body_access || tx->mode == WAF_OFF)
        return false;
    for (size_t i = 0; i < tx->rules->response_type_count; i++) {
        if (str_eq_nocase(tx->rules->response_types[i], tx->response_type))
            return true;
    }
    return false;
}

enum waf_action waf_tx_response_body(struct waf_tx *tx, struct str body)
{
    uint64_t most = tx->rules->limits.response_body_bytes;
    if (waf_tx_wants_response_body(tx)) {
        if (body.n > most && !tx->rules->limit_is_partial)
            note_limit(tx, WAF_LIMIT_BODY);
        tx->response_bytes = str_take(body, most);
        tx->has_response_bytes = true;
    }
    run_phase(tx, 4);
    return finish_phase(tx);
}

void waf_tx_logging(struct waf_tx *tx, uint64_t duration_us)
{
    tx->duration_us = duration_us;
    run_phase(tx, 5);
}

struct waf_verdict waf_tx_verdict(const struct waf_tx *tx)
{
    return tx->verdict;
}
