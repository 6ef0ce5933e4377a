#include "proxy/error_page.h"

#include "proxy/client.h"

enum { REFERENCE_DIGITS = 32, TEMPLATE_GROWTH = 512 };

/* The weight (times 1000) a media range of Accept carries; ranges without q weigh 1000. */
static unsigned range_weight(struct str params)
{
    while (params.n) {
        struct str param = str_trim(str_cut(&params, ';'));
        if (!str_starts(param, STR("q=")) && !str_starts(param, STR("Q=")))
            continue;
        struct str q = str_skip(param, 2);
        unsigned weight = q.n && q.p[0] == '1' ? 1000 : 0;
        unsigned scale = 100;
        for (size_t i = 2; i < q.n && i < 5 && weight < 1000 && q.p[i] >= '0' && q.p[i] <= '9';
             i++, scale /= 10)
            weight += (unsigned)(q.p[i] - '0') * scale;
        return weight;
    }
    return 1000;
}

enum error_format error_page_format(struct str accept)
{
    static const struct {
        struct str type;
        enum error_format format;
    } known[] = {
        {STR("text/html"), ERROR_HTML},
        {STR("application/xhtml+xml"), ERROR_HTML},
        {STR("application/fhir+json"), ERROR_FHIR},
        {STR("application/json+fhir"), ERROR_FHIR},
        {STR("application/json"), ERROR_JSON},
        {STR("application/problem+json"), ERROR_JSON},
    };
    enum error_format best = ERROR_HTML;
    unsigned best_weight = 0;
    while (accept.n) {
        struct str params = str_cut(&accept, ',');
        struct str type = str_trim(str_cut(&params, ';'));
        unsigned weight = range_weight(params);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (weight > best_weight && str_eq_nocase(type, known[i].type)) {
                best = known[i].format;
                best_weight = weight;
            }
    }
    return best;
}

unsigned error_page_weight(struct str accept, struct str type)
{
    while (accept.n) {
        struct str params = str_cut(&accept, ',');
        if (str_eq_nocase(str_trim(str_cut(&params, ';')), type))
            return range_weight(params);
    }
    return 0;
}

static const struct config_error_page *own_page(const struct exchange *ex, uint16_t status)
{
    for (unsigned i = 0; ex->cluster && i < ex->cluster->error_page_count; i++)
        if (ex->cluster->error_pages[i].status == status)
            return &ex->cluster->error_pages[i];
    return NULL;
}

struct page_values {
    struct str status, reason, text, dutch, reference, cluster, contact;
};

/* Replaces $name by its value. Values are the gate's own and need no escaping but for what stands in the
 * configuration, which is escaped here. */
static void add_escaped(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '&':
            BUF_LIT(b, "&amp;");
            break;
        case '<':
            BUF_LIT(b, "&lt;");
            break;
        case '>':
            BUF_LIT(b, "&gt;");
            break;
        case '"':
            BUF_LIT(b, "&quot;");
            break;
        default:
            buf_char(b, s.p[i]);
        }
    }
}

static struct str fill_template(struct arena *arena, struct str html, const struct page_values *v)
{
    const struct {
        struct str name, value;
    } names[] = {{STR("$status"), v->status},       {STR("$reason"), v->reason},
                 {STR("$text"), v->text},           {STR("$dutch"), v->dutch},
                 {STR("$reference"), v->reference}, {STR("$cluster"), v->cluster},
                 {STR("$contact"), v->contact}};
    size_t cap = html.n + 8 * (v->cluster.n + v->contact.n) + 8 * TEMPLATE_GROWTH;
    struct buf b = buf_over(arena_bytes(arena, cap), cap);
    if (!b.p)
        return STR_NONE;
    while (html.n) {
        bool replaced = false;
        for (size_t i = 0; html.p[0] == '$' && !replaced && i < sizeof names / sizeof *names; i++) {
            if (!str_starts(html, names[i].name))
                continue;
            add_escaped(&b, names[i].value);
            html = str_skip(html, names[i].name.n);
            replaced = true;
        }
        if (!replaced) {
            buf_char(&b, html.p[0]);
            html = str_skip(html, 1);
        }
    }
    return buf_overflowed(&b) ? STR_NONE : buf_text(&b);
}

static const char standard_html[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>$status $reason</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:38em;margin:3em auto;padding:0 "
    "1em;color:#1b1b1b;"
    "background:#fff}small{color:#555}</style></head>\n"
    "<body><h1>$status $reason</h1>\n<p>$text</p>\n<p lang=\"nl\">$dutch</p>\n<p>$contact</p>\n"
    "<p><small>Reference / referentie: <code>$reference</code></small></p></body></html>\n";

/* One sentence in Dutch and in English for each kind of answer: what it means and what to do. */
static void sentences(uint16_t status, enum http_refusal why, struct str *ret_english, struct str *ret_dutch)
{
    if (why == REFUSAL_WAF_BLOCKED || why == REFUSAL_WAF_ANSWER) {
        *ret_english = http_refusal_text(why);
        *ret_dutch =
            why == REFUSAL_WAF_ANSWER
                ? STR("Het antwoord van de applicatie is tegengehouden, omdat het gegevens zou prijsgeven.")
                : STR("Dit verzoek lijkt op een aanval en is tegengehouden. Klopt dat niet? Geef dan de "
                      "referentie door aan wie deze applicatie beheert.");
        return;
    }
    if (why == REFUSAL_OVERLOAD) {
        *ret_english =
            STR("It is very busy now, and the care application cannot answer in time. Try again in a "
                "moment; if it is urgent, call your care provider.");
        *ret_dutch = STR("Het is nu erg druk; de zorgapplicatie kan niet op tijd antwoorden. Probeer het zo "
                         "opnieuw; is het dringend, bel dan uw zorgverlener.");
        return;
    }
    if (why == REFUSAL_ISOLATION_OUT) {
        *ret_english = http_refusal_text(why);
        *ret_dutch = STR("De zorgverlener die hierop antwoordt, is voorlopig afgesloten.");
        return;
    }
    if (why == REFUSAL_ISOLATION_READ_ONLY || why == REFUSAL_ISOLATION_RATE) {
        *ret_english = http_refusal_text(why);
        *ret_dutch = why == REFUSAL_ISOLATION_RATE
                         ? STR("Er kwamen meer verzoeken dan er nu mogen komen. Probeer het over enkele "
                               "seconden opnieuw.")
                         : STR("Vanaf hier kan voorlopig alleen worden gelezen: er is niets opgeslagen.");
        return;
    }
    if (status >= 500 && status != 505) {
        *ret_english =
            STR("The care application cannot be reached right now. Try again in a moment; if it is urgent, "
                "call your care provider.");
        *ret_dutch = STR(
            "De zorgapplicatie is nu niet bereikbaar. Probeer het zo opnieuw; is het dringend, bel dan uw "
            "zorgverlener.");
        return;
    }
    *ret_english = why != REFUSAL_NONE ? http_refusal_text(why) : STR("The request was not accepted.");
    *ret_dutch = status == 404   ? STR("Op dit adres staat niets.")
                 : status == 403 ? STR("U heeft hier geen toegang.")
                 : status == 413 ? STR("Wat u verstuurde is te groot.")
                                 : STR("Het verzoek kon niet worden aangenomen.");
}

static struct str make_json(struct exchange *ex, const struct page_values *v)
{
    return arena_printf(ex->arena,
                        "{\"status\":%.*s,\"title\":\"%.*s\",\"detail\":\"%.*s\",\"reference\":\"%.*s\"}\n",
                        STR_ARG(v->status), STR_ARG(v->reason), STR_ARG(v->text), STR_ARG(v->reference));
}

/* FHIR R4 OperationOutcome; issue codes of http://hl7.org/fhir/issue-type. */
static struct str make_fhir(struct exchange *ex, uint16_t status, enum http_refusal why,
                            const struct page_values *v)
{
    const char *code = why == REFUSAL_OVERLOAD ? "throttled"
                       : status == 404         ? "not-found"
                       : status == 403         ? "forbidden"
                       : status == 413         ? "too-long"
                       : status == 504         ? "timeout"
                       : status >= 500         ? "transient"
                                               : "invalid";
    return arena_printf(
        ex->arena,
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"%s\","
        "\"diagnostics\":\"%.*s Reference: %.*s\"}]}\n",
        code, STR_ARG(v->text), STR_ARG(v->reference));
}

static void add_field(struct error_page *page, struct str name, struct str value)
{
    page->fields[page->field_count++] = (struct http_field){name, value, FIELD_OTHER};
}

void error_page_make(struct exchange *ex, uint16_t status, enum http_refusal why, struct error_page *ret)
{
    static const struct str types[] = {STR("text/html; charset=utf-8"), STR("application/problem+json"),
                                       STR("application/fhir+json")};
    const struct http_field *accept = http_find(ex->req.fields, ex->req.field_count, FIELD_ACCEPT);
    enum error_format format = error_page_format(accept ? accept->value : STR_NONE);
    const struct config_error_page *own = format == ERROR_HTML ? own_page(ex, status) : NULL;
    struct page_values v = {.reason = http_reason(status)};
    *ret = (struct error_page){0};
    v.status = arena_printf(ex->arena, "%u", status);
    v.reference = arena_printf(ex->arena, "%016llx%016llx", (unsigned long long)ex->id[0],
                               (unsigned long long)ex->id[1]);
    v.cluster = ex->cluster ? ex->cluster->name : STR_NONE;
    v.contact = ex->cluster ? ex->cluster->contact : STR_NONE;
    sentences(status, why, &v.text, &v.dutch);
    ret->body = own                    ? fill_template(ex->arena, own->html, &v)
                : format == ERROR_HTML ? fill_template(ex->arena, STR(standard_html), &v)
                : format == ERROR_JSON ? make_json(ex, &v)
                                       : make_fhir(ex, status, why, &v);
    add_field(ret, STR("Content-Type"), types[format]);
    add_field(ret, STR("Cache-Control"), STR("no-store"));
    if (status == 503 || status == 502 || status == 504 || status == 429)
        add_field(ret, STR("Retry-After"),
                  ex->admit.retry_after_s ? arena_printf(ex->arena, "%u", ex->admit.retry_after_s)
                                          : STR("5"));
}
