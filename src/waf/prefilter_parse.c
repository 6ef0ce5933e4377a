/* A pattern of PCRE2 as a tree that matches at least what the pattern does.
 *
 * The claim, construct by construct: if PCRE2 takes a part of a value for some part of the pattern, then the
 * part's tree takes the same bytes where they stand in the joined text.
 *
 *   literals, classes, '.', \d \w \s \h \v \N \R, POSIX classes, (?i) (?s) (?-i) ...
 *       look at no byte but their own, so neighbours do not matter. Bytes, not characters; case and classes
 * are ASCII's, as PCRE2 has them without tables, UTF and UCP. Negated classes have '\n' in them. sequences,
 * alternatives, groups of any name, {n,m}, greedy or not as they are: a backtracking match is one of the ways
 * a tree can match. possessive quantifiers, (?>...) only forbid ways to match: plain ones. lookahead,
 * lookbehind, \K take no byte: the empty text. What stands inside is read, but not kept. backreferences any
 * bytes. ^ and \A, \G the start of the value, which is the start of the text or follows a '\n': the start of
 * a line. With (?m) also behind any '\n': the start of a line. $ and \z the end of the value, which is the
 * end of the text or precedes a '\n': the end of a line. With (?m), and \Z, also before a '\n': the end of a
 * line. \b and \B a value has a border to nothing at its ends, the text to nothing or '\n': neither is a
 * word's byte.
 *
 * Not understood, and so refused: verbs (*...), conditions, recursion and subroutines, callouts, comments,
 * \p, \P, \X, \g, \k, \o, \N{...}, (?x), references with more than one digit, and braces that another version
 * of PCRE2 might take for a quantifier, such as {,5}. */
#include "waf/prefilter_parse.h"

#include "waf/text.h"

enum { PATTERN_BYTES_MAX = 64 << 10, REPEAT_MAX = 65535 };

static struct tree *fail(struct parser *p)
{
    p->failed = true;
    return NULL;
}

static struct tree *new_tree(struct parser *p, enum tree_kind kind)
{
    struct tree *tree = tree_new(p->arena, kind);
    return tree ? tree : fail(p);
}

static struct tree *new_bytes(struct parser *p, const struct bytes *set)
{
    struct tree *tree = new_tree(p, TREE_BYTE);
    if (tree)
        tree->bytes = *set;
    return tree;
}

static struct tree *new_border(struct parser *p, enum tree_border border)
{
    struct tree *tree = new_tree(p, TREE_BORDER);
    if (tree)
        tree->border = border;
    return tree;
}

static struct tree *new_byte(struct parser *p, uint8_t c)
{
    struct bytes set = {0};
    bytes_put(&set, c);
    if (p->is_caseless)
        bytes_ignore_case(&set);
    return new_bytes(p, &set);
}

static struct tree *parse_class(struct parser *p)
{
    struct bytes set;
    return parser_class(p, &set) ? new_bytes(p, &set) : NULL;
}

/* ---- escapes outside classes */

static struct tree *any_bytes(struct parser *p)
{
    struct bytes all = {0};
    bytes_invert(&all);
    struct tree *one = new_bytes(p, &all);
    struct tree *tree = one ? tree_repeat(p->arena, one, 0, TREE_NO_LIMIT) : NULL;
    return tree ? tree : fail(p);
}

static struct tree *parse_quoted(struct parser *p)
{
    ptrdiff_t end = str_find(p->rest, STR("\\E"));
    struct str text = end < 0 ? p->rest : str_take(p->rest, (size_t)end);
    p->rest = str_skip(p->rest, end < 0 ? text.n : text.n + 2);
    if (!text.n)
        return fail(p); /* a quantifier behind it would belong to what stands before it */
    struct tree *tree = tree_text(p->arena, text, p->is_caseless);
    return tree ? tree : fail(p);
}

static struct tree *parse_line_break(struct parser *p)
{
    struct bytes set = {0};
    struct tree *tree = new_tree(p, TREE_ANY);
    struct tree *two = tree_text(p->arena, STR("\r\n"), false);
    (void)parser_class_of_escape('v', &set);
    struct tree *one = new_bytes(p, &set);
    if (!tree || !one || !two)
        return fail(p);
    tree_add(tree, two);
    tree_add(tree, one);
    return tree;
}

static struct tree *parse_reference(struct parser *p)
{
    return p->rest.n && is_digit(p->rest.p[0]) ? fail(p) : any_bytes(p);
}

static struct tree *parse_escape(struct parser *p)
{
    struct bytes set = {0};
    uint8_t byte;
    char c = parser_next(p);
    if (p->failed)
        return NULL;
    if (c >= '1' && c <= '9')
        return parse_reference(p);
    if (parser_class_of_escape(c, &set))
        return new_bytes(p, &set);
    if (parser_byte_of_escape(p, c, &byte))
        return p->failed ? NULL : new_byte(p, byte);
    switch (c) {
    case 'b':
        return new_border(p, BORDER_WORD);
    case 'B':
        return new_border(p, BORDER_NO_WORD);
    case 'A':
    case 'G':
        return new_border(p, BORDER_LINE_START);
    case 'z':
    case 'Z':
        return new_border(p, BORDER_LINE_END);
    case 'K':
        return new_tree(p, TREE_EACH);
    case 'Q':
        return parse_quoted(p);
    case 'R':
        return parse_line_break(p);
    case 'N':
        bytes_put(&set, '\n');
        [[fallthrough]];
    case 'C':
        bytes_invert(&set);
        return parser_is_at(p, '{') ? fail(p) : new_bytes(p, &set);
    default:
        return fail(p);
    }
}

/* ---- groups */

static struct tree *parse_alternatives(struct parser *p);

static struct tree *parse_inside(struct parser *p)
{
    bool is_caseless = p->is_caseless, dot_takes_newline = p->dot_takes_newline;
    if (p->depth == TREE_DEPTH_MAX)
        return fail(p);
    p->depth++;
    struct tree *tree = parse_alternatives(p);
    p->depth--;
    p->is_caseless = is_caseless;
    p->dot_takes_newline = dot_takes_newline;
    p->failed |= !parser_take(p, STR(")"));
    return p->failed ? NULL : tree;
}

static struct tree *parse_named(struct parser *p, char end)
{
    ptrdiff_t n = str_find_char(p->rest, end);
    if (n < 0)
        return fail(p);
    p->rest = str_skip(p->rest, (size_t)n + 1);
    return parse_inside(p);
}

/* What is looked at and not taken: the empty text. */
static struct tree *parse_look(struct parser *p)
{
    return parse_inside(p) ? new_tree(p, TREE_EACH) : NULL;
}

/* (?i) holds until its group ends; (?i:...) inside. */
static struct tree *parse_options(struct parser *p)
{
    bool is_caseless = p->is_caseless, dot_takes_newline = p->dot_takes_newline, on = true;
    while (!p->failed && !parser_is_at(p, ')') && !parser_is_at(p, ':')) {
        char c = parser_next(p);
        if (c == '-' && on)
            on = false;
        else if (c == 'i')
            p->is_caseless = on;
        else if (c == 's')
            p->dot_takes_newline = on;
        else if (c != 'm' && c != 'n' && c != 'J' && c != 'U')
            p->failed = true;
    }
    if (parser_take(p, STR(")")))
        return new_tree(p, TREE_EACH);
    if (!parser_take(p, STR(":")))
        return fail(p);
    struct tree *tree = parse_inside(p);
    p->is_caseless = is_caseless;
    p->dot_takes_newline = dot_takes_newline;
    return tree;
}

static struct tree *parse_group(struct parser *p)
{
    if (parser_is_at(p, '*'))
        return fail(p);
    if (!parser_take(p, STR("?")))
        return parse_inside(p);
    if (parser_take(p, STR("=")) || parser_take(p, STR("!")) || parser_take(p, STR("<=")) ||
        parser_take(p, STR("<!")))
        return parse_look(p);
    if (parser_take(p, STR(":")) || parser_take(p, STR("|")) || parser_take(p, STR(">")))
        return parse_inside(p);
    if (str_starts(p->rest, STR("<*")))
        return fail(p);
    if (parser_take(p, STR("P<")) || parser_take(p, STR("<")))
        return parse_named(p, '>');
    if (parser_take(p, STR("'")))
        return parse_named(p, '\'');
    return parse_options(p);
}

/* ---- quantifiers */

static bool take_number(struct str *s, uint32_t *ret)
{
    size_t n = 0;
    uint64_t value;
    while (n < s->n && is_digit(s->p[n]))
        n++;
    if (!str_parse_u64(str_take(*s, n), &value) || value > REPEAT_MAX)
        return false;
    *s = str_skip(*s, n);
    *ret = (uint32_t)value;
    return true;
}

/* {n} {n,} {n,m}; anything else is just a brace. */
static bool take_counts(struct str *rest, uint32_t *ret_least, uint32_t *ret_most)
{
    struct str s = str_skip(*rest, 1);
    uint32_t least, most;
    if (!take_number(&s, &least))
        return false;
    most = least;
    if (s.n && s.p[0] == ',') {
        s = str_skip(s, 1);
        most = TREE_NO_LIMIT;
        if (s.n && s.p[0] != '}' && !take_number(&s, &most))
            return false;
    }
    if (!s.n || s.p[0] != '}')
        return false;
    *rest = str_skip(s, 1);
    *ret_least = least;
    *ret_most = most;
    return true;
}

static bool looks_like_counts(struct str s)
{
    size_t n = 1;
    bool has_digit = false;
    for (; n < s.n && (is_digit(s.p[n]) || s.p[n] == ',' || is_space(s.p[n])); n++)
        has_digit |= is_digit(s.p[n]);
    return has_digit && n < s.n && s.p[n] == '}';
}

static bool take_quantifier(struct parser *p, uint32_t *ret_least, uint32_t *ret_most)
{
    *ret_least = parser_is_at(p, '+');
    *ret_most = parser_is_at(p, '?') ? 1 : TREE_NO_LIMIT;
    if (parser_take(p, STR("*")) || parser_take(p, STR("+")) || parser_take(p, STR("?")))
        return true;
    if (!parser_is_at(p, '{'))
        return false;
    if (take_counts(&p->rest, ret_least, ret_most))
        return true;
    p->failed |= looks_like_counts(p->rest);
    return false;
}

static struct tree *parse_quantifiers(struct parser *p, struct tree *tree)
{
    uint32_t least, most;
    unsigned count = 0;
    while (tree && !p->failed && take_quantifier(p, &least, &most)) {
        if (!parser_take(p, STR("?")))
            (void)parser_take(p, STR("+"));
        if (most < least || ++count > 8)
            return fail(p);
        tree = tree_repeat(p->arena, tree, least, most);
    }
    return tree ? tree : fail(p);
}

static struct tree *parse_one(struct parser *p)
{
    struct bytes set = {0};
    char c = parser_next(p);
    switch (c) {
    case '(':
        return parse_group(p);
    case '[':
        return parse_class(p);
    case '\\':
        return parse_escape(p);
    case '^':
        return new_border(p, BORDER_LINE_START);
    case '$':
        return new_border(p, BORDER_LINE_END);
    case '.':
        if (!p->dot_takes_newline)
            bytes_put(&set, '\n');
        bytes_invert(&set);
        return new_bytes(p, &set);
    case '*':
    case '+':
    case '?':
        return fail(p);
    default:
        return new_byte(p, (uint8_t)c);
    }
}

/* In \Q...\E a quantifier belongs to the last byte only. */
static struct tree *last_of_quoted(struct parser *p, struct tree *sequence, struct tree *quoted)
{
    struct tree *child = quoted->first;
    while (child && child->next) {
        struct tree *following = child->next;
        tree_add(sequence, child);
        child = following;
    }
    return child ? child : new_tree(p, TREE_EACH);
}

static struct tree *parse_sequence(struct parser *p)
{
    struct tree *sequence = new_tree(p, TREE_EACH);
    while (!p->failed && p->rest.n && !parser_is_at(p, '|') && !parser_is_at(p, ')')) {
        bool is_quoted = str_starts(p->rest, STR("\\Q"));
        struct tree *one = parse_one(p);
        if (one && is_quoted)
            one = last_of_quoted(p, sequence, one);
        if (one)
            one = parse_quantifiers(p, one);
        if (one)
            tree_add(sequence, one);
    }
    return p->failed ? NULL : sequence;
}

static struct tree *parse_alternatives(struct parser *p)
{
    struct tree *first = parse_sequence(p);
    if (!first || !parser_is_at(p, '|'))
        return first;
    struct tree *any = new_tree(p, TREE_ANY);
    while (any && first) {
        tree_add(any, first);
        if (!parser_take(p, STR("|")))
            return any;
        first = parse_sequence(p);
    }
    return NULL;
}

struct tree *tree_parse(struct arena *arena, struct str pattern)
{
    struct parser p = {.arena = arena, .rest = pattern, .dot_takes_newline = true};
    if (pattern.n > PATTERN_BYTES_MAX)
        return NULL;
    struct tree *tree = parse_alternatives(&p);
    return p.failed || p.rest.n ? NULL : tree;
}
