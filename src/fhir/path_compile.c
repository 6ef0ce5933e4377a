/* From the text of an expression to nodes: a parser by precedence, one token ahead
 * (http://hl7.org/fhirpath/N1/#operator-precedence). A node's depth is bounded when it is made, so that
 * nobody who walks the tree has to count. */
#include "fhir/chars.h"
#include "fhir/path_internal.h"
#include "fhir/path_lex.h"
#include "json/utf8.h"

struct compiler {
    struct path_lexer lex;
    unsigned flags, open; /* brackets */
    struct arena *arena;
    struct path_node *nodes;
    uint32_t count, room;
};

static uint32_t fail_at(struct compiler *c, size_t at, const char *what)
{
    path_lex_fail(&c->lex, at, what);
    return PATH_NO_NODE;
}

static uint32_t fail(struct compiler *c, const char *what)
{
    return fail_at(c, c->lex.token.at, what);
}

static bool is_symbol(const struct compiler *c, const char *symbol)
{
    return c->lex.token.type == T_SYMBOL && str_eq(c->lex.token.text, str_of(symbol));
}

static bool take(struct compiler *c, const char *symbol)
{
    bool is_there = is_symbol(c, symbol);
    if (is_there)
        path_lex_next(&c->lex);
    return is_there;
}

/* ---- nodes */

static unsigned depth_of(const struct compiler *c, uint32_t node)
{
    return node == PATH_NO_NODE ? 0 : c->nodes[node].depth;
}

static uint32_t add(struct compiler *c, enum path_op op, uint32_t left, uint32_t right)
{
    if (c->lex.has_failed)
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
    struct str name = c->lex.token.text, space = STR_NONE;
    size_t at = c->lex.token.at;
    if (c->lex.token.type != T_NAME) {
        fail(c, "the name of a type is missing here");
        return NULL;
    }
    path_lex_next(&c->lex);
    if (take(c, ".")) {
        space = name;
        name = c->lex.token.text;
        path_lex_next(&c->lex);
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
    return c->lex.token.type == T_NAME && !c->lex.token.is_quoted && str_eq(c->lex.token.text, str_of(word));
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
    struct fhir_item item = {.kind = FHIR_ITEM_QUANTITY, .quantity = {kept, c->lex.token.text}};
    if (!kept)
        return fail(c, "no memory");
    *kept = value;
    path_lex_next(&c->lex);
    return add_constant(c, item);
}

static uint32_t parse_number(struct compiler *c)
{
    struct fhir_item item = {.kind = FHIR_ITEM_DECIMAL};
    struct str text = c->lex.token.text;
    bool is_decimal = str_find_char(text, '.') >= 0;
    while (text.n > 1 && text.p[0] == '0' && is_digit(text.p[1])) /* FHIRPath takes 01 */
        text = str_skip(text, 1);
    if (!fhir_decimal_parse(text, &item.decimal))
        return fail(c, "this is not a number");
    struct fhir_decimal value = item.decimal;
    path_lex_next(&c->lex);
    if (c->lex.token.type == T_STRING || is_time_unit(c))
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
    struct str text = c->lex.token.text;
    bool is_time = text.n && text.p[0] == 'T';
    if (!(is_time ? fhir_time_parse(str_skip(text, 1), &item.moment) : fhir_moment_parse(text, &item.moment)))
        return fail(c, "this is not a date or time");
    path_lex_next(&c->lex);
    return add_constant(c, item);
}

static uint32_t parse_dollar(struct compiler *c)
{
    static const struct {
        const char *name;
        enum path_op op;
    } rows[] = {{"this", PATH_THIS}, {"index", PATH_INDEX}, {"total", PATH_TOTAL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_eq(c->lex.token.text, str_of(rows[i].name))) {
            path_lex_next(&c->lex);
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
    struct str name = c->lex.token.text, text;
    path_lex_next(&c->lex);
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
    while (!c->lex.has_failed && !is_symbol(c, ")")) {
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
    if (call == PATH_NO_NODE || c->lex.has_failed)
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
    struct str name = c->lex.token.text;
    size_t at = c->lex.token.at;
    if (c->lex.token.type != T_NAME)
        return fail(c, "the name of an element or a function is missing here");
    bool is_quoted = c->lex.token.is_quoted;
    path_lex_next(&c->lex);
    if (!is_quoted && take(c, "("))
        return parse_call(c, left, name, at);
    uint32_t node = add(c, PATH_MEMBER, left, PATH_NO_NODE);
    if (node != PATH_NO_NODE)
        c->nodes[node].name = name;
    return node;
}

static uint32_t parse_brackets(struct compiler *c)
{
    path_lex_next(&c->lex);
    uint32_t node = parse_expression(c, 0);
    return take(c, ")") ? node : fail(c, "')' is missing here");
}

static uint32_t parse_term(struct compiler *c)
{
    struct token token = c->lex.token;
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
        path_lex_next(&c->lex);
        return add_string(c, token.text);
    case T_NAME:
        if (is_word(c, "true") || is_word(c, "false")) {
            path_lex_next(&c->lex);
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
    while (!c->lex.has_failed) {
        if (take(c, ".")) {
            node = c->lex.token.type == T_DOLLAR || c->lex.token.type == T_PERCENT
                       ? fail(c, "a name is missing here")
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
    if ((c->lex.token.type != T_NAME && c->lex.token.type != T_SYMBOL) || c->lex.token.is_quoted)
        return NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (str_eq(c->lex.token.text, str_of(operators[i].text)))
            return &operators[i];
    }
    return NULL;
}

static uint32_t parse_unary(struct compiler *c)
{
    bool is_minus = is_symbol(c, "-");
    if (!is_minus && !is_symbol(c, "+"))
        return parse_postfix(c);
    path_lex_next(&c->lex);
    uint32_t operand = parse_expression(c, UNARY_LEVEL);
    return is_minus ? add(c, PATH_NEGATE, operand, PATH_NO_NODE) : operand;
}

static uint32_t parse_right(struct compiler *c, const struct operator_row *row, uint32_t left)
{
    path_lex_next(&c->lex);
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
    while (!c->lex.has_failed && (row = operator_here(c)) && row->level >= least)
        left = parse_right(c, row, left);
    c->open--;
    return c->lex.has_failed ? PATH_NO_NODE : left;
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

const struct fhir_path *fhir_path_compile(struct str expression, unsigned flags, struct arena *arena,
                                          struct fhir_path_error *ret)
{
    struct compiler c = {
        .lex = {.source = arena_copy(arena, expression), .arena = arena}, .flags = flags, .arena = arena};
    struct fhir_path *path = arena_alloc(arena, sizeof *path);
    c.room = path_lex_count(expression, FHIR_PATH_NODES_MAX); /* a node takes a token of its own */
    c.nodes = arena_alloc(arena, c.room * sizeof *c.nodes);
    if (expression.n > FHIR_PATH_BYTES_MAX)
        fail_at(&c, FHIR_PATH_BYTES_MAX, "the expression is too long");
    else if (!is_utf8(expression))
        fail_at(&c, 0, "the expression is not UTF-8");
    else if (!path || !c.nodes)
        fail_at(&c, 0, "no memory");
    path_lex_next(&c.lex);
    uint32_t root = parse_expression(&c, 0);
    if (!c.lex.has_failed && c.lex.token.type != T_END)
        fail(&c, "this cannot stand here");
    if (!c.lex.has_failed && arena_overflowed(arena))
        fail_at(&c, 0, "no memory");
    if (c.lex.has_failed) {
        *ret = c.lex.error;
        return NULL;
    }
    *path = (struct fhir_path){c.nodes, c.count, root};
    return path;
}
