/* isolation/notice.c - the notice in three forms and three languages, see notice.h. */
#include "isolation/notice.h"
#include "isolation/moment.h"

#include "json/writer.h"

enum text {
#define NOTICE_TEXT(name, nl, en, fy) TEXT_##name,
#include "isolation/notice_texts.def"
#undef NOTICE_TEXT
    TEXT_COUNT
};

static const struct str texts[TEXT_COUNT][ISOLATION_LANGUAGES] = {
#define NOTICE_TEXT(name, nl, en, fy)                                                                        \
    {[ISOLATION_NL] = STR(nl), [ISOLATION_EN] = STR(en), [ISOLATION_FY] = STR(fy)},
#include "isolation/notice_texts.def"
#undef NOTICE_TEXT
};

/* #1b1b1b on #fff: 17.2:1; #003d7a on #fff: 10.9:1; the border of `main` means nothing. */
static const struct str style_head =
    STR("html{color:#1b1b1b;background:#fff;font:1.125rem/1.6 system-ui,sans-serif}"
        "body{margin:0 auto;padding:1rem;max-width:40rem}h1{font-size:1.7rem;line-height:1.25}"
        "h2{font-size:1.25rem;margin-top:2rem}a{color:#003d7a;display:inline-block;min-height:44px;line-"
        "height:44px}"
        "a:focus-visible{outline:3px solid #003d7a;outline-offset:2px}"
        "main{border-top:4px solid #003d7a}.phone{font-size:1.5rem;font-weight:700}"
        "ul{padding:0;list-style:none;display:flex;gap:1.5rem;flex-wrap:wrap}"
        ".late{font-weight:700}"
        "@keyframes late{to{visibility:visible}}.later{visibility:hidden;animation:late 0s linear forwards;"
        "animation-delay:");

struct page {
    struct buf *out;
    const struct isolation_notice *n;
    int64_t now_us;
};

static struct str text_of(const struct page *p, enum text text)
{
    return texts[text][p->n->language];
}

static void add_escaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        switch (c) {
        case '&':
            BUF_LIT(out, "&amp;");
            break;
        case '<':
            BUF_LIT(out, "&lt;");
            break;
        case '>':
            BUF_LIT(out, "&gt;");
            break;
        case '"':
            BUF_LIT(out, "&quot;");
            break;
        case '\'':
            BUF_LIT(out, "&#39;");
            break;
        default:
            buf_char(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
        }
    }
}

/* Not through the middle of a UTF-8 sequence. */
static struct str cut_at(struct str s, size_t most)
{
    size_t n = s.n < most ? s.n : most;
    while (n < s.n && n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_take(s, n);
}

static struct str name_of(const struct page *p)
{
    return cut_at(p->n->name, 200);
}

static struct str phone_of(const struct page *p)
{
    return cut_at(p->n->phone, 60);
}

static bool is_late(const struct page *p)
{
    return p->n->next_us && p->now_us >= p->n->next_us;
}

static bool has_partners(const struct page *p)
{
    return p->n->level == ISOLATION_PARTNERS;
}

/* ---- HTML */

static void add_tag(const struct page *p, const char *tag, enum text text)
{
    buf_printf(p->out, "<%s>", tag);
    buf_str(p->out, text_of(p, text));
    buf_printf(p->out, "</%s>\n", tag);
}

static void add_time(const struct page *p, int64_t us)
{
    BUF_LIT(p->out, "<time datetime=\"");
    moment_write_utc(p->out, us);
    BUF_LIT(p->out, "\">");
    moment_write(p->out, us, p->n->offset_minutes, p->n->language);
    BUF_LIT(p->out, "</time>");
}

static struct str add_style(const struct page *p)
{
    int64_t left_us = p->n->next_us > p->now_us ? p->n->next_us - p->now_us : 0;
    BUF_LIT(p->out, "<style>");
    size_t begin = p->out->n;
    buf_str(p->out, style_head);
    buf_u64(p->out, (uint64_t)(left_us / 1'000'000) + 1);
    BUF_LIT(p->out, "s}");
    struct str style = {p->out->p + begin, p->out->n - begin};
    BUF_LIT(p->out, "</style>\n");
    return style;
}

static struct str add_head(const struct page *p)
{
    BUF_LIT(p->out, "<!DOCTYPE html>\n<html lang=\"");
    buf_str(p->out, text_of(p, TEXT_TAG));
    BUF_LIT(p->out, "\"><head><meta charset=\"utf-8\"><title>");
    buf_str(p->out, text_of(p, TEXT_TITLE));
    if (name_of(p).n)
        BUF_LIT(p->out, " \xe2\x80\x93 ");
    add_escaped(p->out, name_of(p));
    BUF_LIT(p->out, "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"robots\" content=\"noindex\">\n");
    struct str style = add_style(p);
    BUF_LIT(p->out, "</head>\n<body>\n<header><h1>");
    buf_str(p->out, text_of(p, TEXT_TITLE));
    BUF_LIT(p->out, "</h1></header>\n<main>\n");
    return style;
}

static void add_what(const struct page *p)
{
    static const struct str nameless[] = {STR("De zorgverlener"), STR("The care provider"),
                                          STR("De soarchferliener")};
    add_tag(p, "h2", TEXT_WHAT_HEAD);
    BUF_LIT(p->out, "<p>");
    add_escaped(p->out, name_of(p).n ? name_of(p) : nameless[p->n->language]);
    buf_char(p->out, ' ');
    buf_str(p->out, text_of(p, TEXT_WHAT));
    if (has_partners(p)) {
        buf_char(p->out, ' ');
        buf_str(p->out, text_of(p, TEXT_WHAT_PARTNERS));
    }
    BUF_LIT(p->out, "</p>\n<p>");
    buf_str(p->out, text_of(p, TEXT_SINCE));
    buf_char(p->out, ' ');
    add_time(p, p->n->since_us);
    BUF_LIT(p->out, ".</p>\n");
    if (p->n->message.n) {
        BUF_LIT(p->out, "<p>");
        add_escaped(p->out, cut_at(p->n->message, ISOLATION_MESSAGE_MAX));
        BUF_LIT(p->out, "</p>\n");
    }
}

/* What a telephone understands of a number as people write it: "+31 (0)58 - 286 66 66" is +31582866666. */
static void add_dialled(struct buf *out, struct str phone)
{
    for (size_t i = 0; i < phone.n; i++) {
        if (str_starts(str_skip(phone, i), STR("(0)")))
            i += 2;
        else if ((phone.p[i] >= '0' && phone.p[i] <= '9') || (phone.p[i] == '+' && i == 0))
            buf_char(out, phone.p[i]);
    }
}

static void add_phone(const struct page *p)
{
    BUF_LIT(p->out, "<p>");
    if (!phone_of(p).n) {
        buf_str(p->out, text_of(p, TEXT_DO_NO_PHONE));
    } else {
        buf_str(p->out, text_of(p, TEXT_DO_CALL));
        BUF_LIT(p->out, "<br><a class=\"phone\" href=\"tel:");
        add_dialled(p->out, phone_of(p));
        BUF_LIT(p->out, "\">");
        add_escaped(p->out, phone_of(p));
        BUF_LIT(p->out, "</a>");
    }
    BUF_LIT(p->out, "</p>\n");
}

static void add_do(const struct page *p)
{
    add_tag(p, "h2", TEXT_DO_HEAD);
    add_tag(p, "p", TEXT_DO_URGENT);
    add_phone(p);
    add_tag(p, "p", TEXT_DO_KEEP);
}

static void add_link(const struct page *p, enum isolation_language language, struct str words)
{
    buf_printf(p->out, "<a href=\"");
    add_escaped(p->out, cut_at(p->n->path, 200));
    buf_printf(p->out, "?lang=%.2s\" hreflang=\"%.2s\" lang=\"%.2s\">", texts[TEXT_TAG][language].p,
               texts[TEXT_TAG][language].p, texts[TEXT_TAG][language].p);
    buf_str(p->out, words);
    BUF_LIT(p->out, "</a>");
}

static void add_next(const struct page *p)
{
    add_tag(p, "h2", TEXT_NEXT_HEAD);
    if (!p->n->next_us) {
        add_tag(p, "p", TEXT_NEXT_NONE);
    } else {
        BUF_LIT(p->out, "<p>");
        buf_str(p->out, text_of(p, TEXT_NEXT));
        buf_char(p->out, ' ');
        add_time(p, p->n->next_us);
        buf_str(p->out,
                is_late(p) ? STR(".</p>\n<p class=\"late\">") : STR(".</p>\n<p class=\"late later\">"));
        buf_str(p->out, text_of(p, TEXT_LATE));
        BUF_LIT(p->out, "</p>\n");
    }
    BUF_LIT(p->out, "<p>");
    add_link(p, p->n->language, text_of(p, TEXT_AGAIN));
    BUF_LIT(p->out, "</p>\n</main>\n");
}

static void add_foot(const struct page *p)
{
    BUF_LIT(p->out, "<footer><nav aria-label=\"");
    buf_str(p->out, text_of(p, TEXT_LANGUAGES));
    BUF_LIT(p->out, "\"><ul>");
    for (unsigned l = 0; l < ISOLATION_LANGUAGES; l++) {
        if (l == (unsigned)p->n->language || (p->n->offered && !(p->n->offered & 1 << l)))
            continue;
        BUF_LIT(p->out, "<li>");
        add_link(p, (enum isolation_language)l, texts[TEXT_OWN][l]);
        BUF_LIT(p->out, "</li>");
    }
    BUF_LIT(p->out, "</ul></nav>\n<p>");
    buf_str(p->out, text_of(p, TEXT_MADE));
    buf_char(p->out, ' ');
    add_time(p, p->now_us);
    BUF_LIT(p->out, ".</p></footer>\n</body></html>\n");
}

/* ---- plain text and FHIR */

static void add_line(const struct page *p, enum text text)
{
    buf_str(p->out, text_of(p, text));
    buf_char(p->out, '\n');
}

static void add_plain(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_char(out, (uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i]);
}

static void add_text_next(const struct page *p)
{
    if (!p->n->next_us) {
        add_line(p, TEXT_NEXT_NONE);
        return;
    }
    buf_str(p->out, text_of(p, TEXT_NEXT));
    buf_char(p->out, ' ');
    moment_write(p->out, p->n->next_us, p->n->offset_minutes, p->n->language);
    BUF_LIT(p->out, ".\n");
    if (is_late(p))
        add_line(p, TEXT_LATE);
}

static void write_text(const struct page *p)
{
    add_line(p, TEXT_TITLE);
    add_plain(p->out, name_of(p));
    buf_char(p->out, '\n');
    buf_str(p->out, text_of(p, TEXT_SINCE));
    buf_char(p->out, ' ');
    moment_write(p->out, p->n->since_us, p->n->offset_minutes, p->n->language);
    BUF_LIT(p->out, ".\n");
    if (has_partners(p))
        add_line(p, TEXT_WHAT_PARTNERS);
    if (p->n->message.n) {
        add_plain(p->out, cut_at(p->n->message, ISOLATION_MESSAGE_MAX));
        buf_char(p->out, '\n');
    }
    add_line(p, TEXT_DO_URGENT);
    if (phone_of(p).n) {
        buf_str(p->out, text_of(p, TEXT_DO_CALL));
        buf_char(p->out, ' ');
        add_plain(p->out, phone_of(p));
        BUF_LIT(p->out, ".\n");
    } else {
        add_line(p, TEXT_DO_NO_PHONE);
    }
    add_line(p, TEXT_DO_KEEP);
    add_text_next(p);
}

/* FHIR R4 OperationOutcome; the issue code is `transient` of http://hl7.org/fhir/issue-type: it may work
 * later. */
static void write_fhir(const struct page *p)
{
    char memory[ISOLATION_MESSAGE_MAX + 4096];
    struct buf words = buf_over(memory, sizeof memory);
    const struct page in_words = {&words, p->n, p->now_us};
    struct json_writer w = json_writer_over(p->out);
    write_text(&in_words);
    json_object_begin(&w);
    json_put_str(&w, STR("resourceType"), STR("OperationOutcome"));
    json_put_str(&w, STR("language"), text_of(p, TEXT_TAG));
    json_put_array(&w, STR("issue"));
    json_object_begin(&w);
    json_put_str(&w, STR("severity"), STR("error"));
    json_put_str(&w, STR("code"), STR("transient"));
    json_put_object(&w, STR("details"));
    json_put_str(&w, STR("text"), text_of(p, TEXT_TITLE));
    json_object_end(&w);
    json_put_str(&w, STR("diagnostics"), str_take(buf_text(&words), words.n - 1));
    json_object_end(&w);
    json_array_end(&w);
    json_object_end(&w);
    buf_char(p->out, '\n');
}

/* An hour when nothing was promised, and never sooner than a minute: everybody would come at once. */
static uint32_t retry_after_s(const struct page *p)
{
    int64_t left_s = p->n->next_us ? (p->n->next_us - p->now_us) / 1'000'000 : 3600;
    return left_s < 60 ? 60 : left_s > 86'400 ? 86'400 : (uint32_t)left_s;
}

void isolation_notice_write(struct buf *out, const struct isolation_notice *n,
                            enum isolation_notice_form form, int64_t now_us,
                            struct isolation_notice_answer *ret)
{
    const struct page p = {out, n, now_us};
    *ret = (struct isolation_notice_answer){.retry_after_s = retry_after_s(&p)};
    switch (form) {
    case ISOLATION_NOTICE_HTML:
        ret->style = add_head(&p);
        add_what(&p);
        add_do(&p);
        add_next(&p);
        add_foot(&p);
        break;
    case ISOLATION_NOTICE_TEXT:
        write_text(&p);
        break;
    case ISOLATION_NOTICE_FHIR:
        write_fhir(&p);
        break;
    }
}

/* ---- the language */

bool isolation_language_of(struct str tag, enum isolation_language *ret)
{
    for (unsigned l = 0; l < ISOLATION_LANGUAGES; l++)
        if (str_eq_nocase(tag, texts[TEXT_TAG][l])) {
            *ret = (enum isolation_language)l;
            return true;
        }
    return false;
}

/* The weight of a range, times 1000: "fy;q=0.8" is 800. What cannot be read weighs nothing. */
static unsigned weight_of(struct str params)
{
    params = str_trim(params);
    if (!params.n)
        return 1000;
    if (!str_starts(params, STR("q=")) && !str_starts(params, STR("Q=")))
        return 0;
    struct str q = str_skip(params, 2);
    unsigned weight = q.n && q.p[0] == '1' ? 1000 : 0, scale = 100;
    for (size_t i = 2; i < q.n && i < 5 && weight < 1000 && q.p[i] >= '0' && q.p[i] <= '9'; i++, scale /= 10)
        weight += (unsigned)(q.p[i] - '0') * scale;
    return weight;
}

enum isolation_language isolation_notice_language(struct str accept)
{
    enum isolation_language best = ISOLATION_NL, language;
    unsigned best_weight = 0;
    while (accept.n) {
        struct str params = str_cut(&accept, ',');
        struct str range = str_trim(str_cut(&params, ';'));
        struct str tag = str_cut(&range, '-');
        unsigned weight = weight_of(params);
        if (weight > best_weight && isolation_language_of(tag, &language)) {
            best = language;
            best_weight = weight;
        }
    }
    return best;
}
