/* From the text of an expression to nodes: a lexer of one token ahead and a parser by precedence
 * (http://hl7.org/fhirpath/N1/#operator-precedence). A node's depth is bounded when it is made, so that
 * nobody who walks the tree has to count. */
#include "fhir/chars.h"
#include "fhir/path_internal.h"
#include "json/utf8.h"

enum token_type { T_END, T_NAME, T_STRING, T_NUMBER, T_MOMENT, T_SYMBOL, T_DOLLAR, T_PERCENT, T_BAD };

struct token {
    enum token_type type;
    struct str text; /* of a string or a quoted name: what it says; of % and $: the name */
    size_t at;
    bool is_quoted; /* a name between backticks is no operator */
};

struct compiler {
    struct str source;
    size_t at;
    struct token token;
    unsigned flags, open; /* brackets */
    struct arena *arena;
    struct path_node *nodes;
    uint32_t count, room;
    struct fhir_path_error error;
    bool has_failed;
};

static uint32_t fail_at(struct compiler *c, size_t at, const char *what)
{
    if (!c->has_failed)
        c->error = (struct fhir_path_error){at, str_of(what)};
    c->has_failed = true;
    c->token.type = T_END;
    return PATH_NO_NODE;
}

static uint32_t fail(struct compiler *c, const char *what)
{
    return fail_at(c, c->token.at, what);
}

/* ---- tokens */

static char peek(const struct compiler *c, size_t ahead)
{
    return c->at + ahead < c->source.n ? c->source.p[c->at + ahead] : 0;
}

static bool skip_comment(struct compiler *c)
{
    struct str rest = str_skip(c->source, c->at);
    if (str_starts(rest, STR("//"))) {
        ptrdiff_t end = str_find_char(rest, '\n');
        c->at += end < 0 ? rest.n : (size_t)end;
        return true;
    }
    if (!str_starts(rest, STR("/*")))
        return false;
    ptrdiff_t end = str_find(str_skip(rest, 2), STR("*/"));
    if (end < 0)
        fail_at(c, c->at, "this comment does not end");
    c->at = end < 0 ? c->source.n : c->at + (size_t)end + 4;
    return true;
}

static void skip_blanks(struct compiler *c)
{
    do {
        while (c->at < c->source.n && is_space(c->source.p[c->at]))
            c->at++;
    } while (skip_comment(c));
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
static bool take_escape(struct compiler *c, struct buf *out)
{
    static const char letters[] = "rntf", codes[] = "\r\n\t\f";
    char letter = peek(c, 0), text[4];
    const char *found = letter ? strchr(letters, letter) : NULL;
    uint32_t code;
    c->at++;
    if (letter == 'u') {
        unsigned digits = hex_code(str_skip(c->source, c->at), &code);
        if (!digits || (code >= 0xd800 && code <= 0xdfff))
            return false;
        c->at += digits;
        buf_add(out, text, utf8_encode(code, text));
        return true;
    }
    buf_char(out, found ? codes[found - letters] : letter);
    return letter != 0;
}

static void take_quoted(struct compiler *c, char quote, enum token_type type)
{
    size_t from = ++c->at;
    char *memory = arena_bytes(c->arena, c->source.n - from + 1);
    struct buf out = buf_over(memory, memory ? c->source.n - from + 1 : 0);
    while (c->at < c->source.n && c->source.p[c->at] != quote) {
        char letter = c->source.p[c->at++];
        if (letter != '\\')
            buf_char(&out, letter);
        else if (!take_escape(c, &out))
            break;
    }
    if (peek(c, 0) != quote) {
        fail_at(c, from - 1, "this text does not end, or has an escape that does not exist");
        return;
    }
    c->at++;
    c->token.type = type;
    c->token.text = buf_text(&out);
    c->token.is_quoted = true;
}

static void take_number(struct compiler *c)
{
    size_t from = c->at;
    while (is_digit(peek(c, 0)))
        c->at++;
    if (peek(c, 0) == '.' && is_digit(peek(c, 1))) {
        c->at++;
        while (is_digit(peek(c, 0)))
            c->at++;
    }
    c->token.type = T_NUMBER;
    c->token.text = (struct str){c->source.p + from, c->at - from};
}

/* '@' and what dates are made of; signs, points and colons only before a digit. */
static void take_moment(struct compiler *c)
{
    size_t from = ++c->at;
    for (;;) {
        char letter = peek(c, 0);
        bool is_joint = letter && strchr("-+.:", letter) && is_digit(peek(c, 1));
        if (!is_digit(letter) && letter != 'T' && letter != 'Z' && !is_joint)
            break;
        c->at++;
    }
    c->token.type = T_MOMENT;
    c->token.text = (struct str){c->source.p + from, c->at - from};
}

static bool is_name_char(char letter, bool is_first)
{
    return is_letter(letter) || letter == '_' || (!is_first && is_digit(letter));
}

static struct str take_word(struct compiler *c)
{
    size_t from = c->at;
    while (is_name_char(peek(c, 0), c->at == from))
        c->at++;
    return (struct str){c->source.p + from, c->at - from};
}

/* %name, %`name`, %'name', and as old expressions have it: %vs-name */
static void take_percent(struct compiler *c)
{
    char quote = peek(c, 1);
    c->at++;
    if (quote == '`' || quote == '\'' || quote == '"') {
        take_quoted(c, quote, T_PERCENT);
        return;
    }
    size_t from = c->at;
    while (is_name_char(peek(c, 0), c->at == from) || (peek(c, 0) == '-' && is_letter(peek(c, 1))))
        c->at++;
    c->token.type = c->at > from ? T_PERCENT : T_BAD;
    c->token.text = (struct str){c->source.p + from, c->at - from};
}

static void take_symbol(struct compiler *c)
{
    static const char *const pairs[] = {"<=", ">=", "!=", "!~"};
    struct str rest = str_skip(c->source, c->at);
    size_t n = 1;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        n = str_starts(rest, str_of(pairs[i])) ? 2 : n;
    c->token.type = strchr("()[]{}.,+-*/&|<>=~", rest.p[0]) || n == 2 ? T_SYMBOL : T_BAD;
    c->token.text = str_take(rest, n);
    c->at += n;
}

static void next(struct compiler *c)
{
    skip_blanks(c);
    c->token = (struct token){.at = c->at};
    char letter = peek(c, 0);
    if (c->has_failed || c->at >= c->source.n)
        return;
    if (letter == '\'')
        take_quoted(c, letter, T_STRING);
    else if (letter == '`' || letter == '"')
        take_quoted(c, letter, T_NAME);
    else if (is_digit(letter))
        take_number(c);
    else if (letter == '@')
        take_moment(c);
    else if (letter == '%')
        take_percent(c);
    else if (letter == '$' || is_name_char(letter, true)) {
        c->token.type = letter == '$' ? T_DOLLAR : T_NAME;
        c->at += letter == '$';
        c->token.text = take_word(c);
    } else if (letter == 0)
        c->token.type = T_BAD;
    else
        take_symbol(c);
}

static bool is_symbol(const struct compiler *c, const char *symbol)
{
    return c->token.type == T_SYMBOL && str_eq(c->token.text, str_of(symbol));
}

static bool take(struct compiler *c, const char *symbol)
{
    bool is_there = is_symbol(c, symbol);
    if (is_there)
        next(c);
    return is_there;
}

/* ---- nodes */

static unsigned depth_of(const struct compiler *c, uint32_t node)
{
    return node == PATH_NO_NODE ? 0 : c->nodes[node].depth;
}

static uint32_t add(struct compiler *c, enum path_op op, uint32_t left, uint32_t right)
{
    if (c->has_failed)
        return PATH_NO_NODE;
    unsigned depth = depth_of(c, left) > depth_of(c, right) ? depth_of(c, left) : depth_of(c, right);
    if (c->count == c->room || depth >= FHIR_PATH_DEPTH_MAX)
        return fail(c, "the expression is too large");
    c->nodes[c->count] = (struct path_node){.op = (uint8_t)op,
                                            .depth = (uint16_t)(depth + 1),
                                            .left = left,
                                            .right = right,
                                            .next = PATH_NO_NODE};
    return c->count++;
}

static uint32_t add_constant(struct compiler *c, struct fhir_item item)
{
    struct fhir_item *constant = arena_alloc(c->arena, sizeof *constant);
    uint32_t node = add(c, PATH_CONSTANT, PATH_NO_NODE, PATH_NO_NODE);
    if (!constant || node == PATH_NO_NODE)
        return fail(c, "no memory");
    *constant = item;
    c->nodes[node].constant = constant;
    return node;
}

static uint32_t add_string(struct compiler *c, struct str text)
{
    return add_constant(c, (struct fhir_item){.kind = FHIR_ITEM_STRING, .string = text});
}

/* ---- types */

static int system_kind(struct str name, enum fhir_moment_kind *ret_moment)
{
    static const struct {
        const char *name;
        enum fhir_item_kind kind;
        enum fhir_moment_kind moment;
    } rows[] = {
        {"Boolean", FHIR_ITEM_BOOLEAN, 0},
        {"Integer", FHIR_ITEM_INTEGER, 0},
        {"Decimal", FHIR_ITEM_DECIMAL, 0},
        {"String", FHIR_ITEM_STRING, 0},
        {"Quantity", FHIR_ITEM_QUANTITY, 0},
        {"Date", FHIR_ITEM_MOMENT, FHIR_MOMENT_DATE},
        {"DateTime", FHIR_ITEM_MOMENT, FHIR_MOMENT_DATE_TIME},
        {"Time", FHIR_ITEM_MOMENT, FHIR_MOMENT_TIME},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(name, str_of(rows[i].name))) {
            *ret_moment = rows[i].moment;
            return (int)rows[i].kind;
        }
    }
    return -1;
}

/* A name, or a namespace and a name: FHIR.Patient, System.String. */
static const struct path_type *parse_type(struct compiler *c)
{
    struct path_type type = {.system = -1, .is_loose = c->flags & FHIR_PATH_LOOSE_TYPES};
    struct str name = c->token.text, space = STR_NONE;
    size_t at = c->token.at;
    if (c->token.type != T_NAME) {
        fail(c, "the name of a type is missing here");
        return NULL;
    }
    next(c);
    if (take(c, ".")) {
        space = name;
        name = c->token.text;
        next(c);
    }
    if (!str_eq(space, STR("FHIR")))
        type.system = system_kind(name, &type.moment);
    if (!str_eq(space, STR("System")))
        type.fhir = fhir_type_find(name);
    if (space.p)
        type.is_loose = false;
    struct path_type *kept = arena_alloc(c->arena, sizeof *kept);
    if (!kept || (type.system < 0 && !type.fhir && !str_eq(space, STR("System")))) {
        fail_at(c, at, kept ? "there is no such type" : "no memory");
        return NULL;
    }
    *kept = type;
    return kept;
}

/* ---- terms */

static uint32_t parse_expression(struct compiler *, unsigned least);

static bool is_word(const struct compiler *c, const char *word)
{
    return c->token.type == T_NAME && !c->token.is_quoted && str_eq(c->token.text, str_of(word));
}

static bool is_time_unit(const struct compiler *c)
{
    static const char *const units[] = {
        "year", "years", "month",  "months",  "week",   "weeks",   "day",         "days",
        "hour", "hours", "minute", "minutes", "second", "seconds", "millisecond", "milliseconds"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (is_word(c, units[i]))
            return true;
    }
    return false;
}

static uint32_t parse_quantity(struct compiler *c, struct fhir_decimal value)
{
    struct fhir_decimal *kept = arena_alloc(c->arena, sizeof *kept);
    struct fhir_item item = {.kind = FHIR_ITEM_QUANTITY, .quantity = {kept, c->token.text}};
    if (!kept)
        return fail(c, "no memory");
    *kept = value;
    next(c);
    return add_constant(c, item);
}

static uint32_t parse_number(struct compiler *c)
{
    struct fhir_item item = {.kind = FHIR_ITEM_DECIMAL};
    struct str text = c->token.text;
    bool is_decimal = str_find_char(text, '.') >= 0;
    while (text.n > 1 && text.p[0] == '0' && is_digit(text.p[1])) /* FHIRPath takes 01 */
        text = str_skip(text, 1);
    if (!fhir_decimal_parse(text, &item.decimal))
        return fail(c, "this is not a number");
    struct fhir_decimal value = item.decimal;
    next(c);
    if (c->token.type == T_STRING || is_time_unit(c))
        return parse_quantity(c, value);
    if (is_decimal)
        return add_constant(c, item);
    item.kind = FHIR_ITEM_INTEGER;
    if (!fhir_decimal_to_i64(value, &item.integer))
        return fail(c, "this number is too large");
    return add_constant(c, item);
}

static uint32_t parse_moment(struct compiler *c)
{
    struct fhir_item item = {.kind = FHIR_ITEM_MOMENT};
    struct str text = c->token.text;
    bool is_time = text.n && text.p[0] == 'T';
    if (!(is_time ? fhir_time_parse(str_skip(text, 1), &item.moment) : fhir_moment_parse(text, &item.moment)))
        return fail(c, "this is not a date or time");
    next(c);
    return add_constant(c, item);
}

static uint32_t parse_dollar(struct compiler *c)
{
    static const struct {
        const char *name;
        enum path_op op;
    } rows[] = {{"this", PATH_THIS}, {"index", PATH_INDEX}, {"total", PATH_TOTAL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(c->token.text, str_of(rows[i].name))) {
            next(c);
            return add(c, rows[i].op, PATH_NO_NODE, PATH_NO_NODE);
        }
    }
    return fail(c, "after $ only this, index and total can stand");
}

/* Variables that are always the same: http://hl7.org/fhir/R4/fhirpath.html#variables */
static bool fixed_variable(struct compiler *c, struct str name, struct str *ret)
{
    static const char *const rows[][2] = {{"ucum", "http://unitsofmeasure.org"},
                                          {"sct", "http://snomed.info/sct"},
                                          {"loinc", "http://loinc.org"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(name, str_of(rows[i][0]))) {
            *ret = str_of(rows[i][1]);
            return true;
        }
    }
    bool is_set = str_starts(name, STR("vs-"));
    if (!is_set && !str_starts(name, STR("ext-")))
        return false;
    *ret = arena_printf(c->arena, "http://hl7.org/fhir/%s/%.*s", is_set ? "ValueSet" : "StructureDefinition",
                        STR_ARG(str_skip(name, is_set ? 3 : 4)));
    return true;
}

static uint32_t parse_percent(struct compiler *c)
{
    struct str name = c->token.text, text;
    next(c);
    if (fixed_variable(c, name, &text))
        return add_string(c, text);
    uint32_t node = add(c, PATH_VARIABLE, PATH_NO_NODE, PATH_NO_NODE);
    if (node != PATH_NO_NODE)
        c->nodes[node].name = name;
    return node;
}

/* ---- calls */

static int find_function(struct str name)
{
    for (unsigned i = 0; i < path_function_count; i++) {
        if (str_eq(name, path_functions[i].name))
            return (int)i;
    }
    return -1;
}

static bool takes_type(const struct path_function_row *f)
{
    return f->run == path_filter_type || f->run == path_as_type || f->run == path_is_type;
}

static bool takes_pattern(const struct path_function_row *f)
{
    return f->run == path_matches || f->run == path_replace_matches;
}

/* The arguments, chained by next; *ret_depth: the deepest. */
static uint32_t parse_arguments(struct compiler *c, unsigned *ret_count, uint32_t *ret_deepest)
{
    uint32_t first = PATH_NO_NODE, last = PATH_NO_NODE;
    *ret_count = 0;
    *ret_deepest = PATH_NO_NODE;
    while (!c->has_failed && !is_symbol(c, ")")) {
        if (*ret_count && !take(c, ","))
            return fail(c, "a comma or ')' is missing here");
        uint32_t node = parse_expression(c, 0);
        if (node == PATH_NO_NODE)
            return node;
        if (first == PATH_NO_NODE)
            first = node;
        else
            c->nodes[last].next = node;
        last = node;
        if (depth_of(c, node) > depth_of(c, *ret_deepest))
            *ret_deepest = node;
        ++*ret_count;
    }
    return first;
}

static bool compile_pattern(struct compiler *c, uint32_t call)
{
    const struct path_node *pattern = &c->nodes[c->nodes[call].right];
    if (pattern->op != PATH_CONSTANT || pattern->constant->kind != FHIR_ITEM_STRING)
        return true;
    c->nodes[call].regex = path_regex_compile(pattern->constant->string, c->arena);
    if (!c->nodes[call].regex)
        fail(c, "this is not a regular expression");
    return c->nodes[call].regex;
}

static uint32_t finish_call(struct compiler *c, uint32_t call, const struct path_function_row *f, size_t at,
                            unsigned count)
{
    if (call == PATH_NO_NODE || c->has_failed)
        return PATH_NO_NODE;
    if (count < f->least || count > f->most)
        return fail_at(c, at, "this function takes another number of arguments");
    c->nodes[call].function = (uint8_t)(f - path_functions);
    c->nodes[call].arguments = (uint8_t)count;
    if (takes_pattern(f) && !compile_pattern(c, call))
        return PATH_NO_NODE;
    return take(c, ")") ? call : fail(c, "')' is missing here");
}

/* The bracket after the name has been taken. */
static uint32_t parse_call(struct compiler *c, uint32_t left, struct str name, size_t at)
{
    int function = find_function(name);
    if (function < 0)
        return fail_at(c, at, "there is no such function");
    const struct path_function_row *f = &path_functions[function];
    if (!f->run)
        return fail_at(c, at, "this function is not supported");
    if (takes_type(f)) {
        const struct path_type *type = parse_type(c);
        uint32_t call = add(c, PATH_CALL, left, PATH_NO_NODE);
        if (call != PATH_NO_NODE)
            c->nodes[call].type = type;
        return finish_call(c, call, f, at, 1);
    }
    unsigned count;
    uint32_t deepest, first = parse_arguments(c, &count, &deepest);
    uint32_t call = add(c, PATH_CALL, left, deepest);
    if (call != PATH_NO_NODE)
        c->nodes[call].right = first;
    return finish_call(c, call, f, at, count);
}

/* A name, or a call when a bracket follows. */
static uint32_t parse_name(struct compiler *c, uint32_t left)
{
    struct str name = c->token.text;
    size_t at = c->token.at;
    if (c->token.type != T_NAME)
        return fail(c, "the name of an element or a function is missing here");
    bool is_quoted = c->token.is_quoted;
    next(c);
    if (!is_quoted && take(c, "("))
        return parse_call(c, left, name, at);
    uint32_t node = add(c, PATH_MEMBER, left, PATH_NO_NODE);
    if (node != PATH_NO_NODE)
        c->nodes[node].name = name;
    return node;
}

static uint32_t parse_brackets(struct compiler *c)
{
    next(c);
    uint32_t node = parse_expression(c, 0);
    return take(c, ")") ? node : fail(c, "')' is missing here");
}

static uint32_t parse_term(struct compiler *c)
{
    struct token token = c->token;
    switch (token.type) {
    case T_NUMBER:
        return parse_number(c);
    case T_MOMENT:
        return parse_moment(c);
    case T_DOLLAR:
        return parse_dollar(c);
    case T_PERCENT:
        return parse_percent(c);
    case T_STRING:
        next(c);
        return add_string(c, token.text);
    case T_NAME:
        if (is_word(c, "true") || is_word(c, "false")) {
            next(c);
            return add_constant(
                c, (struct fhir_item){.kind = FHIR_ITEM_BOOLEAN, .boolean = token.text.p[0] == 't'});
        }
        return parse_name(c, PATH_NO_NODE);
    default:
        break;
    }
    if (is_symbol(c, "("))
        return parse_brackets(c);
    if (!take(c, "{") || !take(c, "}"))
        return fail(c, token.type == T_END ? "the expression ends too early" : "this cannot stand here");
    return add(c, PATH_NOTHING, PATH_NO_NODE, PATH_NO_NODE);
}

static uint32_t parse_postfix(struct compiler *c)
{
    uint32_t node = parse_term(c);
    while (!c->has_failed) {
        if (take(c, ".")) {
            node = c->token.type == T_DOLLAR || c->token.type == T_PERCENT ? fail(c, "a name is missing here")
                                                                           : parse_name(c, node);
        } else if (take(c, "[")) {
            uint32_t index = parse_expression(c, 0);
            node = take(c, "]") ? add(c, PATH_AT, node, index) : fail(c, "']' is missing here");
        } else {
            break;
        }
    }
    return node;
}

/* ---- operators */

enum { UNARY_LEVEL = 11, BRACKETS_MAX = 100 };

static const struct operator_row {
    const char *text;
    uint8_t level;
    uint8_t op;
} operators[] = {
    {"implies", 1, PATH_IMPLIES}, {"or", 2, PATH_OR},           {"xor", 2, PATH_XOR},
    {"and", 3, PATH_AND},         {"in", 4, PATH_IN},           {"contains", 4, PATH_CONTAINS},
    {"=", 5, PATH_EQUAL},         {"!=", 5, PATH_NOT_EQUAL},    {"~", 5, PATH_ALIKE},
    {"!~", 5, PATH_NOT_ALIKE},    {"<", 6, PATH_LESS},          {"<=", 6, PATH_LESS_OR_SAME},
    {">", 6, PATH_MORE},          {">=", 6, PATH_MORE_OR_SAME}, {"|", 7, PATH_UNION},
    {"is", 8, PATH_IS},           {"as", 8, PATH_AS},           {"+", 9, PATH_PLUS},
    {"-", 9, PATH_MINUS},         {"&", 9, PATH_JOIN},          {"*", 10, PATH_MULTIPLY},
    {"/", 10, PATH_DIVIDE},       {"div", 10, PATH_DIV},        {"mod", 10, PATH_MOD},
};

static const struct operator_row *operator_here(const struct compiler *c)
{
    if ((c->token.type != T_NAME && c->token.type != T_SYMBOL) || c->token.is_quoted)
        return NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (str_eq(c->token.text, str_of(operators[i].text)))
            return &operators[i];
    }
    return NULL;
}

static uint32_t parse_unary(struct compiler *c)
{
    bool is_minus = is_symbol(c, "-");
    if (!is_minus && !is_symbol(c, "+"))
        return parse_postfix(c);
    next(c);
    uint32_t operand = parse_expression(c, UNARY_LEVEL);
    return is_minus ? add(c, PATH_NEGATE, operand, PATH_NO_NODE) : operand;
}

static uint32_t parse_right(struct compiler *c, const struct operator_row *row, uint32_t left)
{
    next(c);
    if (row->op != PATH_IS && row->op != PATH_AS)
        return add(c, row->op, left, parse_expression(c, row->level + 1U));
    const struct path_type *type = parse_type(c);
    uint32_t node = add(c, row->op, left, PATH_NO_NODE);
    if (node != PATH_NO_NODE)
        c->nodes[node].type = type;
    return node;
}

/* Operators of at least that level, those of one level from left to right. */
static uint32_t parse_expression(struct compiler *c, unsigned least)
{
    if (c->open == BRACKETS_MAX)
        return fail(c, "brackets are nested too deeply");
    c->open++;
    uint32_t left = parse_unary(c);
    const struct operator_row *row;
    while (!c->has_failed && (row = operator_here(c)) && row->level >= least)
        left = parse_right(c, row, left);
    c->open--;
    return c->has_failed ? PATH_NO_NODE : left;
}

static bool is_utf8(struct str s)
{
    unsigned length, bad;
    for (; s.n; s = str_skip(s, length)) {
        length = utf8_sequence(s.p, s.n, &bad);
        if (!length)
            return false;
    }
    return true;
}

/* A node takes a token of its own, and a token begins with a word or is a sign. */
static uint32_t count_tokens(struct str source)
{
    uint32_t n = 0;
    bool in_word = false;
    for (size_t i = 0; i < source.n && n < FHIR_PATH_NODES_MAX; i++) {
        bool is_part = is_name_char(source.p[i], false);
        n += !is_space(source.p[i]) && !(is_part && in_word);
        in_word = is_part;
    }
    return n;
}

const struct fhir_path *fhir_path_compile(struct str expression, unsigned flags, struct arena *arena,
                                          struct fhir_path_error *ret)
{
    struct compiler c = {.source = arena_copy(arena, expression), .flags = flags, .arena = arena};
    struct fhir_path *path = arena_alloc(arena, sizeof *path);
    c.room = count_tokens(expression);
    c.nodes = arena_alloc(arena, c.room * sizeof *c.nodes);
    if (expression.n > FHIR_PATH_BYTES_MAX)
        fail_at(&c, FHIR_PATH_BYTES_MAX, "the expression is too long");
    else if (!is_utf8(expression))
        fail_at(&c, 0, "the expression is not UTF-8");
    else if (!path || !c.nodes)
        fail_at(&c, 0, "no memory");
    next(&c);
    uint32_t root = parse_expression(&c, 0);
    if (!c.has_failed && c.token.type != T_END)
        fail(&c, "this cannot stand here");
    if (!c.has_failed && arena_overflowed(arena))
        fail_at(&c, 0, "no memory");
    if (c.has_failed) {
        *ret = c.error;
        return NULL;
    }
    *path = (struct fhir_path){c.nodes, c.count, root};
    return path;
}
