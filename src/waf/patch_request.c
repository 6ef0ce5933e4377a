/* waf/patch_request.c - the requests of a virtual patch, from the file's text to the bytes that are sent. A
 * text that passed patch_request_check is one that waf_patch_request_write can write. */
#include "waf/patch.h"
#include "waf/patch_parts.h"

enum { HOST_MAX = 253 };

/* "[[host]]" or "[[TEXT*COUNT]]" at the beginning of rest: its inner part. */
static bool take_placeholder(struct str *rest, struct str *ret_inner)
{
    if (!str_starts(*rest, STR("[[")))
        return false;
    ptrdiff_t end = str_find(*rest, STR("]]"));
    if (end < 0)
        return false;
    *ret_inner = str_take(str_skip(*rest, 2), (size_t)end - 2);
    *rest = str_skip(*rest, (size_t)end + 2);
    return true;
}

static bool split_repeat(struct str inner, struct str *ret_text, uint64_t *ret_count)
{
    size_t star = inner.n;
    while (star && inner.p[star - 1] != '*')
        star--;
    if (star < 2 || !str_parse_u64(str_skip(inner, star), ret_count))
        return false;
    *ret_text = str_take(inner, star - 1);
    return *ret_count > 0 && *ret_count <= WAF_PATCH_SENT_MAX;
}

static bool write_placeholder(struct buf *out, struct str inner, struct str host)
{
    struct str text;
    uint64_t count;
    if (str_eq(inner, STR("host"))) {
        buf_str(out, str_take(host, HOST_MAX));
        return true;
    }
    if (!split_repeat(inner, &text, &count))
        return false;
    for (uint64_t i = 0; i < count && !buf_overflowed(out); i++)
        buf_str(out, text);
    return true;
}

/* Placeholders filled in; *ret_bad: the first that is none. */
static bool expand(struct buf *out, struct str text, struct str host, struct str *ret_bad)
{
    while (text.n) {
        struct str inner;
        if (!take_placeholder(&text, &inner)) {
            buf_char(out, text.p[0]);
            text = str_skip(text, 1);
        } else if (!write_placeholder(out, inner, host)) {
            *ret_bad = inner;
            return false;
        }
    }
    return true;
}

/* Cuts text behind its first empty line; *ret_has_body: there is one, and something behind it. */
static struct str cut_head(struct str *text, bool *ret_has_body)
{
    struct str all = *text;
    while (text->n) {
        const char *begin = text->p;
        struct str line = str_cut(text, '\n');
        if (line.n == 0) {
            *ret_has_body = text->n > 0;
            return str_take(all, (size_t)(begin - all.p));
        }
    }
    *ret_has_body = false;
    return all;
}

static bool has_field(struct str head, struct str name)
{
    (void)str_cut(&head, '\n');
    while (head.n) {
        struct str line = str_cut(&head, '\n');
        if (str_eq_nocase(str_cut(&line, ':'), name))
            return true;
    }
    return false;
}

/* How long expand() makes it; false: a placeholder is none, or it is longer than any request may be. */
static bool expanded_bytes(struct str text, struct str host, uint64_t *ret, struct str *ret_bad)
{
    uint64_t total = 0, count;
    while (text.n && total <= WAF_PATCH_SENT_MAX) {
        struct str inner, piece;
        if (!take_placeholder(&text, &inner)) {
            total++;
            text = str_skip(text, 1);
        } else if (str_eq(inner, STR("host"))) {
            total += host.n;
        } else if (split_repeat(inner, &piece, &count)) {
            total += piece.n * count; /* at most 60 KiB times 60 KiB */
        } else {
            *ret_bad = inner;
            return false;
        }
    }
    *ret = total;
    return total <= WAF_PATCH_SENT_MAX;
}

static struct str body_of(struct str text, bool has_body)
{
    if (!has_body)
        return STR("");
    return text.p[text.n - 1] == '\n' ? str_take(text, text.n - 1) : text;
}

bool waf_patch_request_write(struct buf *out, const struct waf_patch_request *request, struct str host)
{
    struct str body = request->text, bad;
    bool has_body;
    uint64_t length;
    struct str head = cut_head(&body, &has_body);
    body = body_of(body, has_body);
    host = str_take(host, HOST_MAX);
    for (struct str rest = head; rest.n;) {
        if (!expand(out, str_cut(&rest, '\n'), host, &bad))
            return false;
        BUF_LIT(out, "\r\n");
    }
    if (has_body && !has_field(head, STR("Content-Length"))) {
        if (!expanded_bytes(body, host, &length, &bad))
            return false;
        buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    }
    BUF_LIT(out, "\r\n");
    return expand(out, body, host, &bad) && !buf_overflowed(out);
}

/* ---- checking */

static bool is_request_line(struct str line)
{
    struct str method = str_cut(&line, ' ');
    return method.n > 0 && str_ends(line, STR(" HTTP/1.1")) && line.n > sizeof " HTTP/1.1" - 1;
}

static void complain_length(struct problems *ps, struct place at, struct str bad)
{
    if (bad.p)
        problem_error(ps, at, STR("write [[host]] or, to repeat a text, [[TEXT*COUNT]]"),
                      "[[%s]] is not known", problem_quote(ps, bad));
    else
        problem_error(ps, at, STR_NONE, "the request is longer than 60 KiB");
}

static void check_fields(struct problems *ps, struct str head, unsigned line, bool has_body)
{
    for (unsigned number = line + 1; head.n; number++) {
        struct str field = str_cut(&head, '\n');
        if (str_find_char(field, ':') < 1)
            problem_error(ps, (struct place){number, 0},
                          STR("write NAME: VALUE; the body stands behind an empty line"),
                          "%s is no header field", problem_quote(ps, field));
        else if (has_body && str_eq_nocase(str_cut(&field, ':'), STR("Transfer-Encoding")))
            problem_error(ps, (struct place){number, 0}, STR("leave the field out"),
                          "a body is sent with its length, not in chunks");
    }
}

void patch_request_check(struct problems *ps, const struct waf_patch_request *request)
{
    struct str body = request->text, bad = STR_NONE;
    struct place at = {request->line, 0};
    bool has_body;
    uint64_t length;
    struct str head = cut_head(&body, &has_body), fields = head, line = str_cut(&fields, '\n');
    if (!expanded_bytes(request->text, STR(""), &length, &bad))
        complain_length(ps, at, bad);
    if (!is_request_line(line))
        problem_error(ps, at, STR("write it as METHOD TARGET HTTP/1.1"), "%s is no request line",
                      problem_quote(ps, line));
    if (!has_field(head, STR("Host")))
        problem_error(ps, at, STR("add the line Host: [[host]]"), "the request has no Host field");
    check_fields(ps, fields, request->line, has_body);
}
