/* What a rule looks at: "ARGS|REQUEST_HEADERS:/^X-/|!REQUEST_HEADERS:Cookie|&TX:score", and macros, which
 * name values the same way. */
#include "waf/load.h"

#include "waf/text.h"

static bool regexes_grow(struct loader *l)
{
    struct regexes *list = l->regexes;
    if (list->count < list->cap)
        return true;
    size_t cap = list->cap ? list->cap * 2 : 64;
    struct regex *items = arena_alloc(l->arena, cap * sizeof *items);
    if (!items)
        return false;
    if (list->count)
        memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    list->cap = cap;
    return true;
}

/* Rules that were changed a little have their patterns in the same order: looked for behind the last one. */
static struct rx *find_alike(struct loader *l, struct str pattern, enum rx_kind kind)
{
    const struct regexes *like = l->like;
    for (size_t i = 0; like && i < like->count; i++) {
        size_t at = (l->like_next + i) % like->count;
        const struct regex *r = &like->items[at];
        if (r->kind != kind || !str_eq(r->pattern, pattern))
            continue;
        l->like_next = at + 1;
        return r->rx;
    }
    return NULL;
}

bool load_regex(struct loader *l, struct token pattern, enum rx_kind kind, struct rx **ret)
{
    struct rx_problem problem = {.at = 0};
    if (!regexes_grow(l))
        return load_no_memory(l);
    struct rx *had = find_alike(l, pattern.text, kind);
    struct rx *rx = had ? had : rx_new(pattern.text, kind, &problem);
    if (!rx) {
        size_t at = problem.at < pattern.text.n ? problem.at : pattern.text.n;
        return load_problem(l, pattern.at[at], "regular expression: %s", problem.text);
    }
    l->regexes->items[l->regexes->count++] =
        (struct regex){rx, arena_copy(l->arena, pattern.text), kind, had != NULL};
    *ret = rx;
    return true;
}

static bool load_xpath(struct loader *l, struct token path, struct target *ret)
{
    if (str_eq(path.text, STR("/*")))
        ret->selector = SELECT_XML_TEXT;
    else if (str_eq(path.text, STR("//@*")))
        ret->selector = SELECT_XML_ATTRIBUTES;
    else
        return load_problem(l, path.at[0], "XML takes only the paths /* and //@*, not \"%.*s\"",
                            STR_ARG(path.text));
    return true;
}

/* An overlay adds nothing to the rules: what it names and they do not is found by name. */
uint32_t load_slot(struct loader *l, struct str name)
{
    return l->overlay ? SLOT_NONE : slots_add(&l->rules->slots, l->rules->arena, name);
}

static bool load_selector(struct loader *l, struct token selector, struct target *ret)
{
    struct str s = selector.text;
    struct rx *rx = NULL;
    ret->name = arena_copy(l->arena, s);
    if (variable_kind(ret->variable) == KIND_XPATH)
        return load_xpath(l, selector, ret);
    if (variable_kind(ret->variable) == KIND_ONE)
        return load_problem(l, selector.at[0], "%.*s is a single value and takes no name",
                            STR_ARG(variable_name(ret->variable)));
    ret->selector = SELECT_NAME;
    ret->slot = ret->variable == VAR_TX ? load_slot(l, s) : SLOT_NONE;
    if (s.n < 2 || s.p[0] != '/' || s.p[s.n - 1] != '/')
        return true;
    ret->selector = SELECT_REGEX;
    ret->slot = SLOT_NONE;
    if (!load_regex(l, token_take(token_skip(selector, 1), s.n - 2), RX_SELECTOR, &rx))
        return false;
    ret->rx = rx;
    return true;
}

static bool load_target_item(struct loader *l, struct list_item *item, struct target *ret)
{
    *ret = (struct target){.is_count = item->name.text.n && item->name.text.p[0] == '&'};
    struct token name = token_skip(item->name, ret->is_count);
    if (!variable_find(name.text, &ret->variable))
        return load_problem(l, name.at[0], "unknown variable \"%.*s\"", STR_ARG(name.text));
    if (!item->has_value && variable_kind(ret->variable) == KIND_XPATH)
        return load_problem(l, name.at[0], "XML needs a path: XML:/* or XML://@*");
    return !item->has_value || load_selector(l, item->value, ret);
}

bool load_target(struct loader *l, struct token text, struct target *ret)
{
    struct list_item item;
    bool fine;
    uint32_t at = text.at[0];
    if (!lex_list_item(l, &text, "|,", &item, &fine))
        return fine ? load_problem(l, at, "a target is missing") : false;
    if (!load_target_item(l, &item, ret))
        return false;
    return text.text.n == 0 || load_problem(l, text.at[0], "only one target may stand here");
}

bool load_targets(struct loader *l, struct token text, struct targets *ret, struct targets *ret_excluded)
{
    size_t room = 2;
    struct list_item item;
    bool fine;
    for (size_t i = 0; i < text.text.n; i++)
        room += text.text.p[i] == '|' || text.text.p[i] == ',';
    struct target *items = arena_alloc(l->arena, room * sizeof *items);
    struct target *excluded = arena_alloc(l->arena, room * sizeof *excluded);
    *ret = (struct targets){items, 0};
    *ret_excluded = (struct targets){excluded, 0};
    if (!items || !excluded)
        return load_no_memory(l);
    while (lex_list_item(l, &text, "|,", &item, &fine)) {
        bool is_excluded = item.name.text.n && item.name.text.p[0] == '!';
        item.name = token_skip(item.name, is_excluded);
        if (!load_target_item(l, &item, is_excluded ? &excluded[ret_excluded->count] : &items[ret->count]))
            return false;
        ret->count += !is_excluded;
        ret_excluded->count += is_excluded;
    }
    return fine;
}

/* ---- macros */

static bool load_macro_value(struct loader *l, struct token inside, struct macro_part *ret)
{
    struct str name = inside.text;
    size_t n = 0;
    while (n < name.n && name.p[n] != '.' && name.p[n] != ':')
        n++;
    ret->has_selector = n < name.n;
    struct str selector = str_skip(name, n + 1);
    name.n = n;
    ret->is_value = true;
    ret->text = arena_copy(l->arena, selector);
    ret->slot = SLOT_NONE;
    if (!variable_find(name, &ret->variable))
        return load_problem(l, inside.at[0], "unknown variable \"%.*s\" in a macro", STR_ARG(name));
    bool wants_selector = variable_kind(ret->variable) == KIND_MANY;
    if (ret->variable == VAR_TX && ret->has_selector)
        ret->slot = load_slot(l, selector);
    if (ret->has_selector != wants_selector)
        return load_problem(l, inside.at[0], "%.*s %s", STR_ARG(name),
                            wants_selector ? "needs a name: %{NAME.name}" : "takes no name in a macro");
    return true;
}

static size_t count_macros(struct str s)
{
    size_t n = 0;
    for (ptrdiff_t at; (at = str_find(s, STR("%{"))) >= 0; n++)
        s = str_skip(s, (size_t)at + 2);
    return n;
}

bool load_macro(struct loader *l, struct token text, struct macro *ret)
{
    size_t room = count_macros(text.text) * 2 + 1;
    *ret = (struct macro){.source = arena_copy(l->arena, text.text)};
    if (room == 1)
        return true;
    struct macro_part *parts = arena_alloc(l->arena, room * sizeof *parts);
    if (!parts)
        return load_no_memory(l);
    ret->parts = parts;
    for (struct token rest = text; rest.text.n;) {
        ptrdiff_t begin = str_find(rest.text, STR("%{"));
        ptrdiff_t end = begin < 0 ? -1 : str_find_char(str_skip(rest.text, (size_t)begin), '}');
        size_t plain = end < 0 ? rest.text.n : (size_t)begin;
        if (plain)
            parts[ret->count++].text = arena_copy(l->arena, str_take(rest.text, plain));
        if (end < 0)
            break;
        if (!load_macro_value(l, token_take(token_skip(rest, plain + 2), (size_t)end - 2),
                              &parts[ret->count++]))
            return false;
        rest = token_skip(rest, plain + (size_t)end + 1);
    }
    return true;
}
