/* "!@name argument": the operator, with whatever can be compiled beforehand. Without @name it is @rx. */
#include "waf/load.h"

#include "waf/text.h"

static struct token trim(struct token t)
{
    while (t.text.n && is_space(t.text.p[0]))
        t = token_skip(t, 1);
    while (t.text.n && is_space(t.text.p[t.text.n - 1]))
        t.text.n--;
    return t;
}

/* The next word; false: none. */
static bool next_word(struct token *rest, struct token *ret, bool (*ends)(char))
{
    size_t n = 0;
    while (rest->text.n && ends(rest->text.p[0]))
        *rest = token_skip(*rest, 1);
    while (n < rest->text.n && !ends(rest->text.p[n]))
        n++;
    *ret = token_take(*rest, n);
    *rest = token_skip(*rest, n);
    return n > 0;
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_comma_or_space(char c)
{
    return c == ',' || is_space(c);
}

/* ---- words */

static bool build_words(struct loader *l, struct token text, bool (*ends)(char), bool are_lines,
                        struct pm **ret)
{
    size_t words = 0;
    struct token word;
    struct token rest = text;
    while (next_word(&rest, &word, ends))
        words++;
    struct pm *pm = pm_new(l->arena, words, text.text.n);
    if (!pm)
        return load_no_memory(l);
    for (rest = text; next_word(&rest, &word, ends);) {
        word = trim(word);
        if (!are_lines || (word.text.n && word.text.p[0] != '#'))
            pm_add(pm, word.text);
    }
    *ret = pm;
    return pm_build(pm, l->scratch) || load_no_memory(l);
}

static bool load_words(struct loader *l, struct token argument, struct rule *rule)
{
    struct token copy = {arena_copy(l->arena, argument.text), argument.at};
    if (!copy.text.n)
        return load_problem(l, argument.at[0], "@pm needs words");
    return build_words(l, copy, is_space, false, &rule->compiled.pm);
}

static bool load_word_files(struct loader *l, struct token argument, struct rule *rule)
{
    struct str all = STR_NONE;
    struct token name, rest = argument;
    while (next_word(&rest, &name, is_space)) {
        struct str text;
        if (!l->files->read(l->files->context, l->source->name, name.text, l->arena, &text))
            return load_problem(l, name.at[0], "cannot read the file \"%.*s\"", STR_ARG(name.text));
        all = all.n ? arena_printf(l->arena, "%.*s\n%.*s", STR_ARG(all), STR_ARG(text)) : text;
    }
    if (!all.n)
        return load_problem(l, argument.at[0], "@pmFromFile needs a file that is not empty");
    uint32_t *where = arena_alloc(l->scratch, (all.n + 1) * sizeof *where);
    if (!where)
        return load_no_memory(l);
    return build_words(l, (struct token){all, where}, is_line_end, true, &rule->compiled.pm);
}

/* ---- networks and bytes */

static bool parse_network(struct str text, struct addr_prefix *ret)
{
    struct addr addr;
    if (addr_parse_prefix(text, ret))
        return true;
    if (!addr_parse_ip(text, &addr))
        return false;
    memcpy(ret->ip, addr.ip, sizeof ret->ip);
    ret->bits = 128;
    return true;
}

static bool load_networks(struct loader *l, struct token argument, struct rule *rule)
{
    struct token word, rest = argument;
    size_t count = 0;
    while (next_word(&rest, &word, is_comma_or_space))
        count++;
    struct addr_prefix *networks = arena_alloc(l->arena, (count + 1) * sizeof *networks);
    if (!networks)
        return load_no_memory(l);
    rule->compiled.networks = networks;
    for (rest = argument; next_word(&rest, &word, is_comma_or_space);) {
        if (!parse_network(word.text, &networks[rule->compiled.network_count++]))
            return load_problem(l, word.at[0], "\"%.*s\" is neither an address nor a network",
                                STR_ARG(word.text));
    }
    return count || load_problem(l, argument.at[0], "@ipMatch needs addresses or networks");
}

static bool load_bytes(struct loader *l, struct token argument, struct rule *rule)
{
    struct token word, rest = argument;
    uint8_t *allowed = arena_alloc(l->arena, 256);
    if (!allowed)
        return load_no_memory(l);
    rule->compiled.allowed = allowed;
    while (next_word(&rest, &word, is_comma_or_space)) {
        struct str last = word.text, first = str_cut(&last, '-');
        uint64_t from, to;
        if (!str_parse_u64(first, &from) || !str_parse_u64(last.p ? last : first, &to) || from > to ||
            to > 255)
            return load_problem(l, word.at[0], "\"%.*s\" is no byte or range of bytes", STR_ARG(word.text));
        memset(allowed + from, 1, to - from + 1);
    }
    return true;
}

static bool load_pattern(struct loader *l, struct token argument, struct rule *rule)
{
    if (!load_macro(l, argument, &rule->argument))
        return false;
    return rule->argument.count || load_regex(l, argument, RX_OPERATOR, &rule->compiled.rx);
}

static bool load_argument(struct loader *l, struct token argument, struct rule *rule)
{
    switch (operator_argument(rule->op)) {
    case ARGUMENT_NONE:
        return !argument.text.n || rule->op == OP_VALIDATE_UTF8_ENCODING ||
               load_problem(l, argument.at[0], "@%.*s takes no argument", STR_ARG(operator_name(rule->op)));
    case ARGUMENT_TEXT:
        return load_macro(l, argument, &rule->argument);
    case ARGUMENT_REGEX:
        return load_pattern(l, argument, rule);
    case ARGUMENT_WORDS:
        return load_words(l, argument, rule);
    case ARGUMENT_WORD_FILES:
        return load_word_files(l, argument, rule);
    case ARGUMENT_NETWORKS:
        return load_networks(l, argument, rule);
    case ARGUMENT_BYTES:
        return load_bytes(l, argument, rule);
    }
    return false;
}

bool load_operator(struct loader *l, struct token text, struct rule *rule)
{
    size_t n = 1;
    rule->is_negated = text.text.n && text.text.p[0] == '!';
    text = token_skip(text, rule->is_negated);
    if (!text.text.n || text.text.p[0] != '@') {
        rule->op = OP_RX;
        return load_pattern(l, text, rule);
    }
    while (n < text.text.n && !is_space(text.text.p[n]))
        n++;
    struct token name = token_take(token_skip(text, 1), n - 1), argument = token_skip(text, n);
    if (!operator_find(name.text, &rule->op))
        return load_problem(l, name.at[0], "unknown operator \"@%.*s\"", STR_ARG(name.text));
    while (argument.text.n && is_space(argument.text.p[0]))
        argument = token_skip(argument, 1);
    rule->argument.source = arena_copy(l->arena, argument.text);
    return load_argument(l, argument, rule);
}
