/* From the text of an expression to tokens, one at a time (http://hl7.org/fhirpath/N1/#lexical-elements).
 * After an error there is only the end. */
#include "fhir/path_lex.h"

#include "base/buf.h"
#include "fhir/chars.h"
#include "json/utf8.h"

void path_lex_fail(struct path_lexer *lex, size_t at, const char *what)
{
    if (!lex->has_failed)
        lex->error = (struct fhir_path_error){at, str_of(what)};
    lex->has_failed = true;
    lex->token.type = T_END;
}

static char peek(const struct path_lexer *lex, size_t ahead)
{
    return lex->at + ahead < lex->source.n ? lex->source.p[lex->at + ahead] : 0;
}

static bool skip_comment(struct path_lexer *lex)
{
    struct str rest = str_skip(lex->source, lex->at);
    if (str_starts(rest, STR("//"))) {
        ptrdiff_t end = str_find_char(rest, '\n');
        lex->at += end < 0 ? rest.n : (size_t)end;
        return true;
    }
    if (!str_starts(rest, STR("/*")))
        return false;
    ptrdiff_t end = str_find(str_skip(rest, 2), STR("*/"));
    if (end < 0)
        path_lex_fail(lex, lex->at, "this comment does not end");
    lex->at = end < 0 ? lex->source.n : lex->at + (size_t)end + 4;
    return true;
}

static void skip_blanks(struct path_lexer *lex)
{
    do {
        while (lex->at < lex->source.n && is_space(lex->source.p[lex->at]))
            lex->at++;
    } while (skip_comment(lex));
}

static unsigned hex_code(struct str digits, uint32_t *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i >= digits.n || !is_hex(digits.p[i]))
            return 0;
        char d = ascii_lower(digits.p[i]);
        *ret = *ret << 4 | (uint32_t)(d <= '9' ? d - '0' : d - 'a' + 10);
    }
    return 4;
}

/* After a backslash; anything that is no escape stands for itself, as HL7's own expressions have it. */
static bool take_escape(struct path_lexer *lex, struct buf *out)
{
    static const char letters[] = "rntf", codes[] = "\r\n\t\f";
    char letter = peek(lex, 0), text[4];
    const char *found = letter ? strchr(letters, letter) : NULL;
    uint32_t code;
    lex->at++;
    if (letter == 'u') {
        unsigned digits = hex_code(str_skip(lex->source, lex->at), &code);
        if (!digits || (code >= 0xd800 && code <= 0xdfff))
            return false;
        lex->at += digits;
        buf_add(out, text, utf8_encode(code, text));
        return true;
    }
    buf_char(out, found ? codes[found - letters] : letter);
    return letter != 0;
}

static void take_quoted(struct path_lexer *lex, char quote, enum token_type type)
{
    size_t from = ++lex->at;
    char *memory = arena_bytes(lex->arena, lex->source.n - from + 1);
    struct buf out = buf_over(memory, memory ? lex->source.n - from + 1 : 0);
    while (lex->at < lex->source.n && lex->source.p[lex->at] != quote) {
        char letter = lex->source.p[lex->at++];
        if (letter != '\\')
            buf_char(&out, letter);
        else if (!take_escape(lex, &out))
            break;
    }
    if (peek(lex, 0) != quote) {
        path_lex_fail(lex, from - 1, "this text does not end, or has an escape that does not exist");
        return;
    }
    lex->at++;
    lex->token.type = type;
    lex->token.text = buf_text(&out);
    lex->token.is_quoted = true;
}

static void take_number(struct path_lexer *lex)
{
    size_t from = lex->at;
    while (is_digit(peek(lex, 0)))
        lex->at++;
    if (peek(lex, 0) == '.' && is_digit(peek(lex, 1))) {
        lex->at++;
        while (is_digit(peek(lex, 0)))
            lex->at++;
    }
    lex->token.type = T_NUMBER;
    lex->token.text = (struct str){lex->source.p + from, lex->at - from};
}

/* '@' and what dates are made of; signs, points and colons only before a digit. */
static void take_moment(struct path_lexer *lex)
{
    size_t from = ++lex->at;
    for (;;) {
        char letter = peek(lex, 0);
        bool is_joint = letter && strchr("-+.:", letter) && is_digit(peek(lex, 1));
        if (!is_digit(letter) && letter != 'T' && letter != 'Z' && !is_joint)
            break;
        lex->at++;
    }
    lex->token.type = T_MOMENT;
    lex->token.text = (struct str){lex->source.p + from, lex->at - from};
}

static bool is_name_char(char letter, bool is_first)
{
    return is_letter(letter) || letter == '_' || (!is_first && is_digit(letter));
}

static struct str take_word(struct path_lexer *lex)
{
    size_t from = lex->at;
    while (is_name_char(peek(lex, 0), lex->at == from))
        lex->at++;
    return (struct str){lex->source.p + from, lex->at - from};
}

/* %name, %`name`, %'name', and as old expressions have it: %vs-name */
static void take_percent(struct path_lexer *lex)
{
    char quote = peek(lex, 1);
    lex->at++;
    if (quote == '`' || quote == '\'' || quote == '"') {
        take_quoted(lex, quote, T_PERCENT);
        return;
    }
    size_t from = lex->at;
    while (is_name_char(peek(lex, 0), lex->at == from) || (peek(lex, 0) == '-' && is_letter(peek(lex, 1))))
        lex->at++;
    lex->token.type = lex->at > from ? T_PERCENT : T_BAD;
    lex->token.text = (struct str){lex->source.p + from, lex->at - from};
}

static void take_symbol(struct path_lexer *lex)
{
    static const char *const pairs[] = {"<=", ">=", "!=", "!~"};
    struct str rest = str_skip(lex->source, lex->at);
    size_t n = 1;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        n = str_starts(rest, str_of(pairs[i])) ? 2 : n;
    lex->token.type = strchr("()[]{}.,+-*/&|<>=~", rest.p[0]) || n == 2 ? T_SYMBOL : T_BAD;
    lex->token.text = str_take(rest, n);
    lex->at += n;
}

void path_lex_next(struct path_lexer *lex)
{
    skip_blanks(lex);
    lex->token = (struct token){.at = lex->at};
    char letter = peek(lex, 0);
    if (lex->has_failed || lex->at >= lex->source.n)
        return;
    if (letter == '\'')
        take_quoted(lex, letter, T_STRING);
    else if (letter == '`' || letter == '"')
        take_quoted(lex, letter, T_NAME);
    else if (is_digit(letter))
        take_number(lex);
    else if (letter == '@')
        take_moment(lex);
    else if (letter == '%')
        take_percent(lex);
    else if (letter == '$' || is_name_char(letter, true)) {
        lex->token.type = letter == '$' ? T_DOLLAR : T_NAME;
        lex->at += letter == '$';
        lex->token.text = take_word(lex);
    } else if (letter == 0)
        lex->token.type = T_BAD;
    else
        take_symbol(lex);
}

/* A token begins with a word or is a sign. */
uint32_t path_lex_count(struct str source, uint32_t max)
{
    uint32_t n = 0;
    bool in_word = false;
    for (size_t i = 0; i < source.n && n < max; i++) {
        bool is_part = is_name_char(source.p[i], false);
        n += !is_space(source.p[i]) && !(is_part && in_word);
        in_word = is_part;
    }
    return n;
}
