/* The SecLang compiler: files, directives, rules and markers in order. */
#include "waf/load.h"

#include "base/must.h"
#include "waf/plan.h"
#include "waf/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RULES_BYTES = 256 << 20,
    SCRATCH_BYTES = 64 << 20,
    INCLUDE_DEPTH_MAX = 16,
    MATCH_LIMIT_DEFAULT = 100'000,
    BODY_LIMIT_DEFAULT = 13'107'200, /* modsecurity.conf-recommended */
    NO_FILES_LIMIT_DEFAULT = 131'072,
    RESPONSE_LIMIT_DEFAULT = 524'288,
    DEPTH_DEFAULT = 512,
    ARGUMENTS_DEFAULT = 1000,
    COLLECTION_TIMEOUT_DEFAULT = 3600,
};

/* ---- problems */

static void place_of(struct str text, uint32_t at, struct waf_problem *ret)
{
    ret->line = 1;
    ret->column = 1;
    for (uint32_t i = 0; i < at && i < text.n; i++) {
        ret->column = text.p[i] == '\n' ? 1 : ret->column + 1;
        ret->line += text.p[i] == '\n';
    }
}

bool load_problem(struct loader *l, uint32_t at, const char *format, ...)
{
    struct waf_problems *problems = l->problems;
    if (problems->count++ >= WAF_PROBLEMS_MAX)
        return false;
    struct waf_problem *problem = &problems->items[problems->count - 1];
    *problem = (struct waf_problem){0};
    if (l->source) {
        struct str name = str_take(l->source->name, sizeof problem->file - 1);
        if (name.n)
            memcpy(problem->file, name.p, name.n);
        place_of(l->source->text, at, problem);
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem->what, sizeof problem->what, format, args);
    va_end(args);
    return false;
}

bool load_no_memory(struct loader *l)
{
    return load_problem(l, l->at, "the rules take more memory than they may");
}

/* ---- includes */

/* The file has a scratch of its own: the words of the Include that names it lie in ours. */
static bool include_one(struct loader *l, struct str path)
{
    const struct source *outer = l->source;
    struct arena *scratch = l->scratch;
    uint32_t at = l->at;
    struct source inner = {.name = path};
    if (!l->files->read(l->files->context, outer->name, path, l->arena, &inner.text))
        return load_problem(l, at, "cannot read the file \"%.*s\"", STR_ARG(path));
    l->scratch = arena_new(SCRATCH_BYTES);
    l->depth++;
    bool fine = l->scratch ? load_text(l, &inner) : load_no_memory(l);
    l->depth--;
    arena_free(l->scratch);
    l->scratch = scratch;
    l->source = outer;
    l->at = at;
    return fine;
}

static bool include_all(struct loader *l, struct token pattern, bool is_optional)
{
    struct str *paths = NULL, text = arena_copy(l->arena, pattern.text);
    size_t count = 0;
    bool fine = true;
    if (l->depth == INCLUDE_DEPTH_MAX)
        return load_problem(l, pattern.at[0], "files include one another too deeply");
    if (!l->files->list(l->files->context, l->source->name, text, l->arena, &paths, &count) && !is_optional)
        return load_problem(l, pattern.at[0], "no file matches \"%.*s\"", STR_ARG(text));
    for (size_t i = 0; i < count; i++)
        fine = include_one(l, paths[i]) && fine;
    return fine;
}

bool directive_include(struct loader *l, const struct token *t, size_t)
{
    return include_all(l, t[1], false);
}

bool directive_include_optional(struct loader *l, const struct token *t, size_t)
{
    return include_all(l, t[1], true);
}

/* ---- rules */

bool load_add_item(struct loader *l, struct rule *rule)
{
    struct waf_rules *rules = l->rules;
    if (rules->count == rules->cap) {
        size_t cap = rules->cap ? rules->cap * 2 : 1024;
        struct rule **items = arena_alloc(rules->arena, cap * sizeof(struct rule *));
        if (!items)
            return load_no_memory(l);
        if (rules->count)
            memcpy(items, rules->items, rules->count * sizeof(struct rule *));
        rules->items = items;
        rules->cap = cap;
    }
    rules->items[rules->count++] = rule;
    return true;
}

static unsigned line_of_directive(struct loader *l)
{
    const char *text = l->source->text.p;
    if (l->counted.text != text || l->counted.at > l->at) {
        l->counted.text = text;
        l->counted.at = 0;
        l->counted.line = 1;
    }
    for (; l->counted.at < l->at; l->counted.at++)
        l->counted.line += text[l->counted.at] == '\n';
    return l->counted.line;
}

static struct rule *new_rule(struct loader *l)
{
    struct rule *rule = arena_alloc(l->arena, sizeof *rule);
    if (!rule)
        return NULL;
    rule->file = l->source->name;
    rule->line = line_of_directive(l);
    return rule;
}

static bool place_rule(struct loader *l, struct rule *rule, bool wants_link)
{
    if (l->chain)
        l->chain->next = rule;
    else if (load_add_item(l, rule))
        l->chain_head = rule;
    else
        return false;
    l->chain = wants_link ? rule : NULL;
    return true;
}

bool directive_rule(struct loader *l, const struct token *t, size_t count)
{
    bool wants_link = false;
    static const uint32_t nowhere[1];
    struct token none = {STR_NONE, nowhere};
    struct rule *rule = new_rule(l);
    if (!rule)
        return load_no_memory(l);
    if (count < 4 && !l->chain)
        return load_problem(l, l->at, "a rule needs actions, at least an id");
    if (!load_targets(l, t[1], &rule->targets, &rule->excluded) || !load_operator(l, t[2], rule) ||
        !load_actions(l, count < 4 ? none : t[3], rule, &wants_link))
        return false;
    if (!rule->targets.count)
        return load_problem(l, t[1].at[0], "a rule needs something to look at");
    return place_rule(l, rule, wants_link);
}

bool directive_action(struct loader *l, const struct token *t, size_t)
{
    static const struct target anything = {.variable = VAR_REMOTE_ADDR};
    bool wants_link = false;
    struct rule *rule = new_rule(l);
    if (!rule)
        return load_no_memory(l);
    rule->op = OP_UNCONDITIONAL_MATCH;
    rule->is_unconditional = true;
    rule->targets = (struct targets){&anything, 1};
    return load_actions(l, t[1], rule, &wants_link) && place_rule(l, rule, wants_link);
}

bool directive_marker(struct loader *l, const struct token *t, size_t)
{
    struct rule *rule = new_rule(l);
    if (!rule)
        return load_no_memory(l);
    rule->is_marker = true;
    rule->marker = arena_copy(l->arena, t[1].text);
    return load_add_item(l, rule);
}

bool directive_default(struct loader *l, const struct token *t, size_t)
{
    return load_default_action(l, t[1]);
}

bool directive_remove_by_id(struct loader *l, const struct token *t, size_t count)
{
    bool fine = true;
    for (size_t i = 1; i < count; i++)
        fine = load_remove(l, t[i], BY_ID) && fine;
    return fine;
}

bool directive_remove_by_tag(struct loader *l, const struct token *t, size_t)
{
    return load_remove(l, t[1], BY_TAG);
}

bool directive_remove_by_message(struct loader *l, const struct token *t, size_t)
{
    return load_remove(l, t[1], BY_MESSAGE);
}

bool directive_update_by_id(struct loader *l, const struct token *t, size_t)
{
    return load_update(l, t[1], t[2], BY_ID);
}

bool directive_update_by_tag(struct loader *l, const struct token *t, size_t)
{
    return load_update(l, t[1], t[2], BY_TAG);
}

bool directive_update_by_message(struct loader *l, const struct token *t, size_t)
{
    return load_update(l, t[1], t[2], BY_MESSAGE);
}

/* ---- directives */

static const struct {
    struct str name;
    directive_fn *load;
    size_t min, max;
} table[] = {
#define DIRECTIVE(text, function, least, most) {{text, sizeof(text) - 1}, directive_##function, least, most},
#include "waf/directives.def"
#undef DIRECTIVE
};

static bool may_overlay(struct str name)
{
    return text_starts_nocase(name, STR("SecRuleRemove")) || text_starts_nocase(name, STR("SecRuleUpdate"));
}

static bool continues_chain(struct str name)
{
    return str_eq_nocase(name, STR("SecRule")) || str_eq_nocase(name, STR("SecAction"));
}

static bool run_directive(struct loader *l, const struct token *t, size_t count)
{
    struct str name = t[0].text;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!str_eq_nocase(name, table[i].name))
            continue;
        if (count - 1 < table[i].min || count - 1 > table[i].max)
            return load_problem(l, t[0].at[0], "%.*s takes %zu to %zu words", STR_ARG(name), table[i].min,
                                table[i].max);
        if (l->overlay && !may_overlay(name))
            return load_problem(l, t[0].at[0], "%.*s cannot stand among a cluster's exclusions",
                                STR_ARG(name));
        if (l->chain && !continues_chain(name)) {
            l->chain = NULL;
            return load_problem(l, t[0].at[0], "the rule before this wants another in its chain");
        }
        return table[i].load(l, t, count);
    }
    return load_problem(l, t[0].at[0], "unknown directive \"%.*s\"", STR_ARG(name));
}

bool load_text(struct loader *l, const struct source *source)
{
    bool fine = true;
    struct token *tokens = malloc(TOKENS_MAX * sizeof *tokens);
    if (!tokens)
        return load_no_memory(l);
    l->source = source;
    if (source->text.n > UINT32_MAX / 4)
        fine = load_problem(l, 0, "the file is too large");
    for (size_t at = 0; at < source->text.n && source->text.n <= UINT32_MAX / 4;) {
        size_t count;
        bool is_read;
        size_t next = lex_directive(l, at, tokens, &count, &is_read);
        l->at = count ? tokens[0].at[0] : (uint32_t)at;
        fine = is_read && (!count || run_directive(l, tokens, count)) && fine;
        at = next;
        arena_reset(l->scratch);
    }
    if (l->chain) {
        l->chain = NULL;
        fine = load_problem(l, l->at, "the last rule wants another in its chain");
    }
    free(tokens);
    return fine;
}

/* The captures come first (slots.h). */
static bool add_slots(struct waf_rules *rules)
{
    static const char digits[RX_CAPTURES] = "0123456789";
    for (uint32_t i = 0; i < RX_CAPTURES; i++) {
        if (slots_add(&rules->slots, rules->arena, (struct str){&digits[i], 1}) != SLOT_CAPTURES + i)
            return false;
    }
    return true;
}

static void set_defaults(struct waf_rules *rules)
{
    rules->mode = WAF_BLOCK;
    rules->match_limit = MATCH_LIMIT_DEFAULT;
    rules->collection_timeout_s = COLLECTION_TIMEOUT_DEFAULT;
    rules->limits = (struct waf_limits){
        .request_body_bytes = BODY_LIMIT_DEFAULT,
        .request_body_no_files_bytes = NO_FILES_LIMIT_DEFAULT,
        .response_body_bytes = RESPONSE_LIMIT_DEFAULT,
        .arguments = ARGUMENTS_DEFAULT,
        .json_depth = DEPTH_DEFAULT,
    };
}

void regexes_free(struct regexes *regexes)
{
    for (size_t i = 0; i < regexes->count; i++)
        if (!regexes->items[i].is_borrowed)
            rx_free(regexes->items[i].rx);
}

static bool compile(struct waf_rules *rules, const struct source *source, const struct waf_files *files,
                    const struct waf_rules *like, struct waf_problems *problems)
{
    static const struct rule_defaults by_itself = {
        .is_set = true, .is_logged = true, .is_audited = true, .decision = DECIDE_PASS, .status = 403};
    struct loader loader = {.rules = rules,
                            .files = files,
                            .problems = problems,
                            .arena = rules->arena,
                            .regexes = &rules->regexes,
                            .like = like ? &like->regexes : NULL,
                            .scratch = arena_new(SCRATCH_BYTES)};
    loader.defaults[0] = by_itself;
    bool fine = loader.scratch ? load_text(&loader, source) && load_finish(&loader) : load_no_memory(&loader);
    if (fine && arena_overflowed(rules->arena))
        fine = load_no_memory(&loader);
    arena_free(loader.scratch);
    return fine;
}

struct waf_rules *waf_rules_load(struct str name, struct str text, const struct waf_files *files,
                                 struct waf_problems *ret_problems)
{
    return waf_rules_load_like(NULL, name, text, files, ret_problems);
}

struct waf_rules *waf_rules_load_like(const struct waf_rules *like, struct str name, struct str text,
                                      const struct waf_files *files, struct waf_problems *ret_problems)
{
    struct waf_rules *rules = calloc(1, sizeof *rules);
    ret_problems->count = 0;
    if (!rules)
        return NULL;
    set_defaults(rules);
    rules->arena = arena_new(RULES_BYTES);
    rules->room = rx_room_new(MATCH_LIMIT_DEFAULT);
    struct source source = {arena_copy(rules->arena, name), arena_copy(rules->arena, text)};
    if (rules->arena && rules->room && add_slots(rules) &&
        compile(rules, &source, files, like, ret_problems) && plan_make(rules))
        return rules;
    waf_rules_free(rules);
    return NULL;
}

void waf_rules_make_code(struct waf_rules *rules)
{
    for (size_t i = 0; i < rules->regexes.count; i++)
        if (!rules->regexes.items[i].is_borrowed)
            rx_make_code(rules->regexes.items[i].rx);
}

void waf_rules_free(struct waf_rules *rules)
{
    if (!rules)
        return;
    plan_done(rules);
    regexes_free(&rules->regexes);
    rx_room_free(rules->room);
    arena_free(rules->arena);
    free(rules);
}

size_t waf_rules_count(const struct waf_rules *rules)
{
    return rules->count;
}

struct waf_rule_info waf_rules_info(const struct waf_rules *rules, size_t index)
{
    must(index < rules->count);
    const struct rule *rule = rules->items[index];
    return (struct waf_rule_info){.id = rule->id,
                                  .phase = rule->phase,
                                  .message = rule->message.source,
                                  .file = rule->file,
                                  .line = rule->line,
                                  .tags = rule->tags,
                                  .tag_count = rule->tag_count};
}

struct waf_limits waf_rules_limits(const struct waf_rules *rules)
{
    return rules->limits;
}
