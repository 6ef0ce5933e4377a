/* multipart/form-data (RFC 7578, RFC 2046 5.1), strictly: where another parser might read something else, a
 * flag is raised or the body is refused.
 *
 *     preamble -> header lines -> data -> (boundary) header lines -> ... -> (last boundary) epilogue */
#include "waf/tx.h"

enum { BOUNDARY_MAX = 256, HEADER_MAX = 4096, CONTENT_TYPE_MAX = 1024 };

enum place { IN_PREAMBLE, IN_HEADERS, IN_DATA, IN_EPILOGUE };

struct part {
    struct str name, filename, disposition;
    bool has_name, has_filename, has_disposition;
    struct pairs fields; /* in the order they came */
    const char *data;
};

struct reader {
    const struct body_input *in;
    struct body *body;
    struct str boundary;
    enum place place;
    struct part part;
    uint64_t text_bytes; /* of parts that are no files */
};

static bool fail(struct reader *r, const char *what)
{
    r->body->multipart |= MULTIPART_BROKEN;
    body_fail(r->body, r->in, what);
    return false;
}

static void flag(struct reader *r, enum multipart_flag f)
{
    r->body->multipart |= f;
}

/* ---- Content-Type */

static ptrdiff_t find_nocase(struct str s, struct str what)
{
    for (size_t i = 0; i + what.n <= s.n; i++) {
        if (text_starts_nocase(str_skip(s, i), what))
            return (ptrdiff_t)i;
    }
    return -1;
}

/* "boundary" with a "=" somewhere after it: a parser might take it for the parameter. */
static bool names_boundary(struct str s)
{
    ptrdiff_t at = find_nocase(s, STR("boundary"));
    return at >= 0 && str_find_char(str_skip(s, (size_t)at), '=') >= 0;
}

static bool is_boundary_char(char c)
{
    return is_alnum(c) || (c && strchr("'()+_,-./:=?", c));
}

/* Between the type and the parameter one semicolon may stand, and blanks. */
static bool check_before(struct reader *r, struct str between)
{
    unsigned semicolons = 0;
    for (size_t i = 0; i < between.n; i++) {
        semicolons += between.p[i] == ';';
        if (semicolons > 1 || (between.p[i] != ';' && !is_space(between.p[i])))
            return fail(r, "Multipart: something stands before the boundary in the Content-Type");
    }
    if (!semicolons)
        flag(r, MULTIPART_MISSING_SEMICOLON);
    return true;
}

static bool take_boundary_value(struct reader *r, struct str value)
{
    if (value.n && is_space(value.p[0]))
        flag(r, MULTIPART_BOUNDARY_WHITESPACE);
    bool opens = value.n && value.p[0] == '"', closes = value.n > 1 && value.p[value.n - 1] == '"';
    if (opens != closes)
        return fail(r, "Multipart: the boundary has one quote");
    if (opens) {
        flag(r, MULTIPART_BOUNDARY_QUOTED);
        value = (struct str){value.p + 1, value.n - 2};
    }
    if (!value.n || value.n > BOUNDARY_MAX || names_boundary(value))
        return fail(r, "Multipart: the boundary is empty, too long or names itself");
    for (size_t i = 0; i < value.n; i++) {
        if (!is_boundary_char(value.p[i]))
            return fail(r, "Multipart: the boundary has characters it may not have");
    }
    r->boundary = value;
    return true;
}

static bool take_boundary(struct reader *r)
{
    const struct str type = STR("multipart/form-data"), parameter = STR("boundary");
    struct str text = r->in->content_type;
    if (text.n > CONTENT_TYPE_MAX)
        return fail(r, "Multipart: the Content-Type is too long");
    if (!text_starts_nocase(text, type))
        return fail(r, "Multipart: the Content-Type is another");
    struct str rest = str_skip(text, type.n);
    ptrdiff_t at = str_find(rest, parameter);
    if (at < 0)
        return fail(r, "Multipart: the Content-Type has no boundary");
    struct str after = str_skip(rest, (size_t)at + parameter.n);
    ptrdiff_t equals = str_find_char(after, '=');
    if (equals < 0)
        return fail(r, "Multipart: the boundary has no value");
    if (names_boundary(str_skip(after, (size_t)equals + 1)) ||
        find_nocase(str_take(rest, (size_t)at), parameter) >= 0)
        return fail(r, "Multipart: the Content-Type has more than one boundary");
    if (!check_before(r, str_take(rest, (size_t)at)))
        return false;
    for (ptrdiff_t i = 0; i < equals; i++) {
        if (!is_space(after.p[i]))
            return fail(r, "Multipart: the boundary parameter is misspelt");
        flag(r, MULTIPART_BOUNDARY_WHITESPACE);
    }
    return take_boundary_value(r, str_skip(after, (size_t)equals + 1));
}

/* ---- Content-Disposition (RFC 6266 4, RFC 7578 4.2) */

struct disposition {
    struct str text;
    size_t at;
};

static void skip_blanks(struct disposition *d)
{
    while (d->at < d->text.n && (d->text.p[d->at] == ' ' || d->text.p[d->at] == '\t'))
        d->at++;
}

static bool at_end(const struct disposition *d)
{
    return d->at == d->text.n;
}

static bool is_token_char(char c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static struct str take_token(struct disposition *d)
{
    size_t begin = d->at;
    while (!at_end(d) && is_token_char(d->text.p[d->at]))
        d->at++;
    return (struct str){d->text.p + begin, d->at - begin};
}

static bool take_quoted(struct reader *r, struct disposition *d, struct str *ret)
{
    char quote = d->text.p[d->at++], *out = arena_bytes(r->in->arena, d->text.n);
    struct buf value = buf_over(out, out ? d->text.n : 0);
    if (quote == '\'')
        flag(r, MULTIPART_INVALID_QUOTING);
    for (; !at_end(d) && d->text.p[d->at] != quote; d->at++) {
        bool escapes = d->text.p[d->at] == '\\' && d->at + 1 < d->text.n &&
                       (d->text.p[d->at + 1] == quote || d->text.p[d->at + 1] == '\\');
        d->at += escapes;
        buf_char(&value, d->text.p[d->at]);
    }
    if (at_end(d))
        return fail(r, "Multipart: a quote in Content-Disposition is not closed");
    d->at++;
    *ret = buf_text(&value);
    return true;
}

static bool take_value(struct reader *r, struct disposition *d, struct str *ret)
{
    if (at_end(d))
        return fail(r, "Multipart: Content-Disposition ends too early");
    if (d->text.p[d->at] == '"' || d->text.p[d->at] == '\'')
        return take_quoted(r, d, ret);
    *ret = take_token(d);
    if (str_find_char(*ret, '\'') >= 0)
        flag(r, MULTIPART_INVALID_QUOTING);
    return true;
}

static bool store_parameter(struct reader *r, struct str name, struct str value)
{
    struct part *part = &r->part;
    bool is_filename = str_eq_nocase(name, STR("filename"));
    if (!is_filename && !str_eq_nocase(name, STR("name")))
        return fail(r, "Multipart: Content-Disposition has a parameter other than name and filename");
    if (is_filename ? part->has_filename : part->has_name)
        return fail(r, "Multipart: Content-Disposition repeats a parameter");
    if (is_filename) {
        part->filename = value;
        part->has_filename = true;
    } else {
        part->name = value;
        part->has_name = true;
    }
    return true;
}

static bool take_parameter(struct reader *r, struct disposition *d)
{
    struct str value = STR_NONE, name;
    skip_blanks(d);
    if (at_end(d))
        return true; /* a semicolon at the end */
    name = take_token(d);
    skip_blanks(d);
    if (at_end(d) || d->text.p[d->at] != '=')
        return fail(r, "Multipart: a parameter of Content-Disposition has no value");
    d->at++;
    skip_blanks(d);
    if (!take_value(r, d, &value) || !store_parameter(r, name, value))
        return false;
    skip_blanks(d);
    if (at_end(d))
        return true;
    if (d->text.p[d->at] == ';')
        return true;
    if (d->text.p[d->at - 1] == '"' || d->text.p[d->at - 1] == '\'')
        flag(r, MULTIPART_INVALID_QUOTING);
    return fail(r, "Multipart: something follows a parameter of Content-Disposition");
}

static bool read_disposition(struct reader *r)
{
    struct disposition d = {.text = r->part.disposition};
    if (!r->part.has_disposition)
        return fail(r, "Multipart: a part has no Content-Disposition");
    skip_blanks(&d);
    if (!str_eq_nocase(take_token(&d), STR("form-data")))
        return fail(r, "Multipart: Content-Disposition is not form-data");
    skip_blanks(&d);
    while (!at_end(&d)) {
        if (d.text.p[d.at++] != ';')
            return fail(r, "Multipart: Content-Disposition lacks a semicolon");
        if (!take_parameter(r, &d))
            return false;
    }
    if (r->part.has_name && !r->part.name.n)
        flag(r, MULTIPART_INVALID_PART);
    return r->part.has_name || fail(r, "Multipart: Content-Disposition has no name");
}

/* ---- lines */

static bool is_field_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
            return false;
    }
    return name.n > 0;
}

static bool fold_line(struct reader *r, struct str line)
{
    struct pairs *fields = &r->part.fields;
    flag(r, MULTIPART_HEADER_FOLDING);
    if (line.p[0] != ' ' && line.p[0] != '\t')
        flag(r, MULTIPART_INVALID_HEADER_FOLDING);
    if (!fields->n)
        return fail(r, "Multipart: a part begins with a folded header");
    struct pair *last = &fields->items[fields->n - 1];
    last->value = arena_printf(r->in->arena, "%.*s %.*s", STR_ARG(last->value), STR_ARG(text_trim(line)));
    return last->value.n <= HEADER_MAX || fail(r, "Multipart: a part's header is too long");
}

static bool header_line(struct reader *r, struct str line)
{
    if (is_space(line.p[0]))
        return fold_line(r, line);
    struct str value = line, name = str_cut(&value, ':');
    if (!value.p)
        return fail(r, "Multipart: a part's header has no colon");
    if (!is_field_name(name)) /* these words are ModSecurity's: logs are searched for them */
        return fail(r, "Multipart: Invalid part header (contains invalid character)");
    if (line.n > HEADER_MAX || memchr(line.p, 0, line.n))
        return fail(r, "Multipart: a part's header is too long or has a NUL");
    if (pairs_find(&r->part.fields, name))
        return fail(r, "Multipart: a part's header is repeated");
    return pairs_add(&r->part.fields, r->in->arena, name, text_trim(value)) ||
           fail(r, "Multipart: no memory");
}

static bool headers_end(struct reader *r, const char *data)
{
    struct pair *disposition = pairs_find(&r->part.fields, STR("Content-Disposition"));
    if (disposition) {
        r->part.disposition = disposition->value;
        r->part.has_disposition = true;
    }
    r->part.data = data;
    r->place = IN_DATA;
    return read_disposition(r);
}

static bool publish_headers(struct reader *r)
{
    for (size_t i = 0; i < r->part.fields.n; i++) {
        struct pair *field = &r->part.fields.items[i];
        struct str line =
            arena_printf(r->in->arena, "%.*s: %.*s", STR_ARG(field->name), STR_ARG(field->value));
        if (!pairs_add(&r->body->part_fields, r->in->arena, r->part.name, line))
            return fail(r, "Multipart: no memory");
    }
    return true;
}

/* A part that is no file counts against a limit of its own, as a form would. */
static bool add_text(struct reader *r, struct str data)
{
    r->text_bytes += data.n;
    if (r->text_bytes > r->in->limits->request_body_no_files_bytes) {
        r->body->limit = WAF_LIMIT_BODY;
        return fail(r, "Multipart: more than SecRequestBodyNoFilesLimit outside files");
    }
    return body_add_arg(r->in, r->body, r->part.name, data);
}

static bool part_ends(struct reader *r, const char *end)
{
    struct part *part = &r->part;
    struct body *body = r->body;
    struct arena *arena = r->in->arena;
    struct str data = {part->data, end > part->data ? (size_t)(end - part->data) : 0};
    if (!publish_headers(r))
        return false;
    body->multipart_name = part->name;
    if (!part->has_filename)
        return add_text(r, data);
    body->multipart_filename = part->filename;
    body->file_bytes += data.n;
    return (pairs_add(&body->files, arena, part->name, part->filename) &&
            pairs_add(&body->file_sizes, arena, part->name, text_of_number(arena, (int64_t)data.n))) ||
           fail(r, "Multipart: no memory");
}

/* What precedes a boundary's line belongs to it: CR LF, or LF. */
static const char *before_line_end(const char *begin, const char *line)
{
    if (line > begin && line[-1] == '\n')
        line--;
    if (line > begin && line[-1] == '\r')
        line--;
    return line;
}

static bool boundary_line(struct reader *r, const char *line, bool is_last)
{
    if (r->place == IN_EPILOGUE) {
        flag(r, MULTIPART_DATA_AFTER);
        return true;
    }
    if (r->place == IN_HEADERS) {
        flag(r, MULTIPART_INVALID_PART);
        return fail(r, "Multipart: a part ends within its headers");
    }
    if (r->place == IN_DATA && !part_ends(r, before_line_end(r->part.data, line)))
        return false;
    r->part = (struct part){0};
    r->place = is_last ? IN_EPILOGUE : IN_HEADERS;
    return true;
}

/* It begins with two dashes but is no boundary of ours. */
static bool like_boundary(struct reader *r, struct str after)
{
    if (str_starts(str_skip(after, 1), r->boundary) && (after.p[0] == '"' || after.p[0] == '\''))
        return fail(r, "Multipart: a boundary is quoted");
    if (after.n && is_space(after.p[0]) && str_starts(text_trim(after), r->boundary))
        return fail(r, "Multipart: a boundary has white space before it");
    if (r->place == IN_DATA)
        flag(r, MULTIPART_UNMATCHED_BOUNDARY);
    return true;
}

static void note_line_end(struct reader *r, bool has_cr)
{
    flag(r, has_cr ? MULTIPART_CRLF_LINE : MULTIPART_LF_LINE);
}

static bool plain_line(struct reader *r, struct str line, const char *next)
{
    switch (r->place) {
    case IN_PREAMBLE:
        flag(r, MULTIPART_DATA_BEFORE);
        return true;
    case IN_HEADERS:
        return line.n ? header_line(r, line) : headers_end(r, next);
    case IN_EPILOGUE:
        if (line.n)
            flag(r, MULTIPART_DATA_AFTER);
        return true;
    case IN_DATA:
        break;
    }
    return true;
}

static bool take_line(struct reader *r, struct str line, const char *next, bool has_lf, bool has_cr)
{
    struct str after = str_skip(line, 2);
    bool has_dashes = str_starts(line, STR("--"));
    if (has_dashes && str_starts(after, r->boundary)) {
        struct str end = str_skip(after, r->boundary.n);
        bool is_last = str_eq(end, STR("--"));
        if (end.n && !is_last)
            return fail(r, "Multipart: something follows a boundary");
        if (has_lf)
            note_line_end(r, has_cr);
        return boundary_line(r, line.p, is_last);
    }
    if (has_dashes && !like_boundary(r, after))
        return false;
    if (r->place == IN_HEADERS && has_lf)
        note_line_end(r, has_cr);
    return plain_line(r, line, next);
}

static void read_lines(struct reader *r)
{
    struct str rest = r->in->bytes;
    while (rest.n) {
        const char *begin = rest.p, *lf = memchr(rest.p, '\n', rest.n);
        size_t taken = lf ? (size_t)(lf - begin) + 1 : rest.n;
        struct str line = {begin, lf ? taken - 1 : taken};
        bool has_cr = lf && line.n && line.p[line.n - 1] == '\r';
        line.n -= has_cr;
        rest = str_skip(rest, taken);
        if (!take_line(r, line, begin + taken, lf != NULL, has_cr))
            return;
    }
    if (r->place != IN_EPILOGUE)
        fail(r, "Multipart: the last boundary is missing");
}

void body_parse_multipart(const struct body_input *in, struct body *body)
{
    struct reader r = {.in = in, .body = body};
    if (take_boundary(&r))
        read_lines(&r);
}
