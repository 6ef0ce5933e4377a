/* Words of a directive, as Apache httpd reads them: quotes of both kinds, a backslash before the quote or
 * another backslash, lines continued by a backslash at their end (comments too). */
#include "waf/load.h"

#include "waf/text.h"

struct lexer {
    struct str text; /* the file */
    size_t at;
    char *out;
    uint32_t *where;
    size_t n, cap;
};

/* Moves over backslash and line end. */
static void join_lines(struct lexer *l)
{
    while (l->at < l->text.n && l->text.p[l->at] == '\\') {
        struct str rest = str_skip(l->text, l->at + 1);
        if (str_starts(rest, STR("\n")))
            l->at += 2;
        else if (str_starts(rest, STR("\r\n")))
            l->at += 3;
        else
            return;
    }
}

/* The byte at the reader, 0 at the end of the logical line. */
static char peek(struct lexer *l)
{
    join_lines(l);
    if (l->at >= l->text.n || l->text.p[l->at] == '\n')
        return 0;
    return l->text.p[l->at];
}

static void keep(struct lexer *l)
{
    if (l->n < l->cap) {
        l->out[l->n] = l->text.p[l->at];
        l->where[l->n] = (uint32_t)l->at;
        l->n++;
    }
    l->at++;
}

static void skip_blanks(struct lexer *l)
{
    char c;
    while ((c = peek(l)) && is_space(c))
        l->at++;
}

static void take_quoted(struct lexer *l, char quote, bool *ret_closed)
{
    char c;
    l->at++;
    while ((c = peek(l)) && c != quote) {
        if (c == '\\' && l->at + 1 < l->text.n &&
            (l->text.p[l->at + 1] == quote || l->text.p[l->at + 1] == '\\'))
            l->at++;
        keep(l);
    }
    *ret_closed = c == quote;
    l->at += c == quote;
}

static bool take_word(struct loader *loader, struct lexer *l, struct token *ret)
{
    uint32_t begin = (uint32_t)l->at;
    size_t n = l->n;
    bool is_closed = true;
    char c = peek(l);
    if (c == '"' || c == '\'') {
        take_quoted(l, c, &is_closed);
    } else {
        while ((c = peek(l)) && !is_space(c)) {
            if (c == '\\' && l->at + 1 < l->text.n && l->text.p[l->at + 1] == '\\')
                l->at++;
            keep(l);
        }
    }
    *ret = (struct token){{l->out + n, l->n - n}, l->where + n};
    if (!is_closed)
        return load_problem(loader, begin, "the quote that begins here is not closed");
    if (l->n >= l->cap)
        return load_no_memory(loader);
    l->where[l->n++] = (uint32_t)(l->at > begin && ret->text.n ? l->at - 1 : begin); /* the word's end */
    return true;
}

static void skip_line(struct lexer *l)
{
    while (peek(l))
        l->at++;
    l->at += l->at < l->text.n;
}

/* How many bytes the logical line takes, at most: what its words need. */
static size_t line_bytes(struct lexer l)
{
    size_t begin = l.at;
    skip_line(&l);
    return l.at - begin;
}

size_t lex_directive(struct loader *loader, size_t at, struct token *tokens, size_t *ret_count,
                     bool *ret_fine)
{
    struct lexer l = {.text = loader->source->text, .at = at};
    *ret_count = 0;
    *ret_fine = true;
    skip_blanks(&l);
    if (!peek(&l) || peek(&l) == '#') {
        skip_line(&l);
        return l.at;
    }
    l.cap = line_bytes(l) * 2 + 2; /* every word has an end of its own */
    l.out = arena_bytes(loader->scratch, l.cap);
    l.where = arena_alloc(loader->scratch, l.cap * sizeof *l.where);
    if (!l.out || !l.where)
        *ret_fine = load_no_memory(loader);
    while (*ret_fine && peek(&l)) {
        if (*ret_count == TOKENS_MAX) {
            *ret_fine = load_problem(loader, (uint32_t)l.at, "too many words");
            break;
        }
        *ret_fine = take_word(loader, &l, &tokens[(*ret_count)++]);
        skip_blanks(&l);
    }
    skip_line(&l);
    return l.at;
}

struct token token_skip(struct token t, size_t n)
{
    n = n < t.text.n ? n : t.text.n;
    return (struct token){{t.text.p + n, t.text.n - n}, t.at + n};
}

struct token token_take(struct token t, size_t n)
{
    t.text.n = n < t.text.n ? n : t.text.n;
    return t;
}

/* A value in single quotes, where a backslash may only stand before a quote or a backslash. */
static bool take_list_quoted(struct loader *loader, struct token *rest, struct token *ret)
{
    uint32_t begin = rest->at[0];
    char *out = arena_bytes(loader->scratch, rest->text.n);
    uint32_t *where = arena_alloc(loader->scratch, (rest->text.n + 1) * sizeof *where);
    size_t n = 0, i = 1;
    if (!out || !where)
        return load_no_memory(loader);
    for (; i < rest->text.n && rest->text.p[i] != '\''; i++) {
        if (rest->text.p[i] == '\\') {
            if (i + 1 == rest->text.n || !strchr("'\\", rest->text.p[i + 1]))
                return load_problem(loader, rest->at[i], "a backslash here may only stand before ' or \\");
            i++;
        }
        out[n] = rest->text.p[i];
        where[n++] = rest->at[i];
    }
    if (i == rest->text.n)
        return load_problem(loader, begin, "the quote that begins here is not closed");
    where[n] = rest->at[i];
    *ret = (struct token){{out, n}, where};
    *rest = token_skip(*rest, i + 1);
    return true;
}

/* A selector by regular expression, /.../ : separators may stand in it. 0: it is not closed. */
static size_t slashed(struct str s, const char *separators)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '/' && (i + 1 == s.n || strchr(separators, s.p[i + 1])))
            return i + 1;
    }
    return 0;
}

static bool take_list_value(struct loader *loader, struct token *rest, const char *separators,
                            struct token *ret)
{
    if (rest->text.n && rest->text.p[0] == '\'')
        return take_list_quoted(loader, rest, ret);
    bool may_be_regex = strchr(separators, '|') && str_starts(rest->text, STR("/")) &&
                        !str_starts(rest->text, STR("/*")) &&
                        !str_starts(rest->text, STR("//")); /* those: XML */
    size_t n = may_be_regex ? slashed(rest->text, separators) : 0;
    while (n < rest->text.n && !strchr(separators, rest->text.p[n]) && !is_space(rest->text.p[n]))
        n++;
    *ret = token_take(*rest, n);
    *rest = token_skip(*rest, n);
    return true;
}

bool lex_list_item(struct loader *loader, struct token *rest, const char *separators, struct list_item *ret,
                   bool *ret_fine)
{
    size_t n = 0;
    *ret_fine = true;
    *ret = (struct list_item){0};
    while (rest->text.n && (is_space(rest->text.p[0]) || strchr(separators, rest->text.p[0])))
        *rest = token_skip(*rest, 1);
    if (!rest->text.n)
        return false;
    while (n < rest->text.n && rest->text.p[n] != ':' && !strchr(separators, rest->text.p[n]) &&
           !is_space(rest->text.p[n]))
        n++;
    ret->name = token_take(*rest, n);
    ret->value = token_skip(ret->name, n);
    *rest = token_skip(*rest, n);
    if (rest->text.n && rest->text.p[0] == ':') {
        ret->has_value = true;
        *rest = token_skip(*rest, 1);
        *ret_fine = take_list_value(loader, rest, separators, &ret->value);
    }
    if (*ret_fine && rest->text.n && !is_space(rest->text.p[0]) && !strchr(separators, rest->text.p[0]))
        *ret_fine =
            load_problem(loader, rest->at[0], "expected a separator after \"%.*s\"", STR_ARG(ret->name.text));
    return *ret_fine;
}
