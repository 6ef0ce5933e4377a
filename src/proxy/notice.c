/* proxy/notice.c - the notice (isolation/notice.h) as an answer: which language, which form, and the fields
 * around it.
 *
 * It is made from the configuration and the state in this process's memory: no upstream, no file, no other
 * process. Nobody may keep it, and nothing may be fetched or run from it. */
#include "proxy/guard.h"

#include "base/utc.h"
#include "isolation/notice.h"
#include "proxy/error_page.h"

#include <openssl/evp.h>

_Static_assert(ISOLATION_NL == 0 && ISOLATION_EN == 1 && ISOLATION_FY == 2, "as config_notice.message");

static struct str field_of(const struct exchange *ex, enum http_field_id id)
{
    const struct http_field *f = http_find(ex->req.fields, ex->req.field_count, id);
    return f ? f->value : STR_NONE;
}

static struct str named_field(const struct exchange *ex, struct str name)
{
    for (unsigned i = 0; i < ex->req.field_count; i++)
        if (str_eq_nocase(ex->req.fields[i].name, name))
            return ex->req.fields[i].value;
    return STR_NONE;
}

/* ---- which language */

static uint8_t offered_languages(const struct config_notice *c)
{
    enum isolation_language language;
    uint8_t bits = 0;
    for (unsigned i = 0; i < c->language_count; i++)
        if (isolation_language_of(c->languages[i], &language))
            bits |= (uint8_t)(1 << language);
    return bits ? bits : (1 << ISOLATION_LANGUAGES) - 1;
}

static bool asked_language(struct str query, enum isolation_language *ret)
{
    while (query.n) {
        struct str value = str_cut(&query, '&'), name = str_cut(&value, '=');
        if (str_eq(name, STR("lang")))
            return isolation_language_of(value, ret);
    }
    return false;
}

/* A link first, then what the browser prefers, then what the house does. */
static enum isolation_language language_of(const struct exchange *ex, const struct config_notice *c,
                                           uint8_t offered)
{
    struct str accept = named_field(ex, STR("accept-language"));
    enum isolation_language language;
    if (asked_language(ex->req.query, &language) && offered & 1 << language)
        return language;
    language = isolation_notice_language(accept);
    bool is_asked = language != ISOLATION_NL || (accept.n && memmem(accept.p, accept.n, "nl", 2));
    if (is_asked && offered & 1 << language)
        return language;
    return c->language_count && isolation_language_of(c->languages[0], &language) ? language : ISOLATION_NL;
}

/* ---- which form */

static enum isolation_notice_form form_of(const struct exchange *ex)
{
    static const struct {
        struct str type;
        enum isolation_notice_form form;
    } known[] = {{STR("text/html"), ISOLATION_NOTICE_HTML},
                 {STR("application/xhtml+xml"), ISOLATION_NOTICE_HTML},
                 {STR("text/plain"), ISOLATION_NOTICE_TEXT},
                 {STR("application/fhir+json"), ISOLATION_NOTICE_FHIR},
                 {STR("application/json+fhir"), ISOLATION_NOTICE_FHIR},
                 {STR("application/json"), ISOLATION_NOTICE_FHIR}};
    struct str accept = field_of(ex, FIELD_ACCEPT);
    enum isolation_notice_form best = ISOLATION_NOTICE_HTML;
    unsigned best_weight = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        unsigned weight = error_page_weight(accept, known[i].type);
        if (weight > best_weight) {
            best = known[i].form;
            best_weight = weight;
        }
    }
    return best;
}

/* ---- what it says */

static const struct isolation_scope *scope_of(const struct isolation_state *s, struct str cluster)
{
    for (unsigned i = 1; cluster.n && i < s->scope_count; i++)
        if (str_eq(ISOLATION_STR(s->scope[i].cluster), cluster))
            return &s->scope[i];
    return NULL;
}

static const struct isolation_layer *layer_of(const struct isolation_scope *scope)
{
    return &scope->now.layer[scope->now.depth - 1];
}

static bool keeps_out(const struct isolation_scope *scope)
{
    return scope && layer_of(scope)->level >= ISOLATION_PARTNERS;
}

/* Since when, and until when by order: of site and cluster what keeps out for longer. */
static void moments(const struct isolation_state *s, struct str cluster, struct isolation_notice *n)
{
    const struct isolation_scope *scopes[] = {&s->scope[0], scope_of(s, cluster)};
    bool has_end = false, has_no_end = false;
    for (unsigned i = 0; i < 2; i++) {
        if (!keeps_out(scopes[i]))
            continue;
        int64_t since = scopes[i]->since_us, until = layer_of(scopes[i])->until_us;
        n->since_us = n->since_us && n->since_us < since ? n->since_us : since;
        has_no_end |= until == 0;
        has_end |= until != 0;
        n->next_us = until > n->next_us ? until : n->next_us;
    }
    if (has_no_end || !has_end)
        n->next_us = 0;
    if (!n->since_us) /* a partner cut off by itself */
        n->since_us = s->at_us;
}

static struct isolation_notice content_of(const struct exchange *ex, const struct config_notice *c,
                                          int64_t now_us)
{
    const struct isolation_state *state = guard_state(ex->proxy);
    struct str cluster = ex->cluster ? ex->cluster->name : STR_NONE;
    struct isolation_notice n = {.offered = offered_languages(c), .name = c->name, .phone = c->phone};
    n.language = language_of(ex, c, n.offered);
    n.message = str_trim(c->message[n.language].text);
    n.level = isolation_level(state, cluster);
    n.offset_minutes = time_offset_minutes(ex->snapshot->config->isolation.time_zone, now_us);
    moments(state, cluster, &n);
    if (c->next_us > n.since_us)
        n.next_us = c->next_us;
    return n;
}

/* ---- as an answer */

static void add_field(struct notice_page *page, struct str name, struct str value)
{
    page->fields[page->field_count++] = (struct http_field){name, value, FIELD_OTHER};
}

/* The hash of what stands between <style> and </style> (CSP 3, 8.4); "" when there is no style. */
static struct str policy_of(struct arena *arena, struct str style)
{
    unsigned char digest[32], text[48] = "";
    if (style.n && EVP_Digest(style.p, style.n, digest, NULL, EVP_sha256(), NULL))
        EVP_EncodeBlock(text, digest, sizeof digest);
    return arena_printf(
        arena,
        "default-src 'none'; style-src %s%s%s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        text[0] ? "'sha256-" : "'none'", (const char *)text, text[0] ? "'" : "");
}

void notice_make(struct exchange *ex, struct notice_page *ret)
{
    static const struct str types[] = {STR("text/html; charset=utf-8"), STR("text/plain; charset=utf-8"),
                                       STR("application/fhir+json; charset=utf-8")};
    static const struct str tags[] = {STR("nl"), STR("en"), STR("fy")};
    const struct config_notice *c = ex->cluster ? &ex->cluster->notice : &ex->snapshot->config->notice;
    int64_t now_us = loop_wall_us(ex->proxy->loop);
    const struct isolation_notice notice = content_of(ex, c, now_us);
    enum isolation_notice_form form = form_of(ex);
    struct buf b = buf_over(arena_bytes(ex->arena, ISOLATION_NOTICE_MAX), ISOLATION_NOTICE_MAX);
    struct isolation_notice_answer made = {.retry_after_s = 3600};
    *ret = (struct notice_page){0};
    if (!b.p)
        b.cap = 0;
    else
        isolation_notice_write(&b, &notice, form, now_us, &made);
    ret->body = buf_overflowed(&b) ? STR_NONE : buf_text(&b);
    add_field(ret, STR("Content-Type"), types[form]);
    add_field(ret, STR("Content-Language"), tags[notice.language]);
    add_field(ret, STR("Cache-Control"), STR("no-store"));
    add_field(ret, STR("Vary"), STR("Accept, Accept-Language"));
    add_field(ret, STR("Retry-After"), arena_printf(ex->arena, "%u", made.retry_after_s));
    add_field(ret, STR("Content-Security-Policy"), policy_of(ex->arena, made.style));
    add_field(ret, STR("X-Content-Type-Options"), STR("nosniff"));
    add_field(ret, STR("Referrer-Policy"), STR("no-referrer"));
}
