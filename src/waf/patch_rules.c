/* waf/patch_rules.c - the rules of a virtual patch: compiled by themselves, and held to what a patch may do.
 * It decides with its own rules and changes nothing about others. */
#include "waf/patch_parts.h"
#include "waf/rules.h"

#include <stdlib.h>

static bool no_file(void *context, struct str from, struct str path, struct arena *arena,
                    struct str *ret_text)
{
    return false;
}

static bool no_list(void *context, struct str from, struct str pattern, struct arena *arena,
                    struct str **ret_paths, size_t *ret_count)
{
    return false;
}

static bool is_allowed_directive(struct str word)
{
    static const char *const allowed[] = {"SecRule", "SecAction", "SecMarker"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (str_eq_nocase(word, str_of(allowed[i])))
            return true;
    return false;
}

static struct str first_word(struct str line)
{
    line = str_trim(line);
    size_t n = 0;
    while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
        n++;
    return str_take(line, n);
}

/* Directives that would reach beyond the patch, found by their lines: a line that does not go on from the one
 * before begins with a directive. */
static bool check_directives(struct problems *ps, struct str rules)
{
    bool goes_on = false, is_fine = true;
    for (unsigned number = 1; rules.n; number++) {
        struct str line = str_cut(&rules, '\n'), word = first_word(line);
        bool is_text = word.n && word.p[0] != '#';
        if (!goes_on && is_text && !is_allowed_directive(word)) {
            problem_error(ps, (struct place){number, 0}, STR("use SecRule, SecAction and SecMarker"),
                          "%s has no place in a virtual patch", problem_quote(ps, word));
            is_fine = false;
        }
        goes_on = (goes_on || is_text) && str_ends(str_trim(line), STR("\\"));
    }
    return is_fine;
}

static bool is_blocking(const struct rule *r)
{
    return r->decision == DECIDE_DENY || r->decision == DECIDE_DROP;
}

static bool changes_engine(const struct rule *head)
{
    for (const struct rule *r = head; r; r = r->next)
        for (size_t i = 0; i < r->step_count; i++)
            if (r->steps[i].kind == STEP_CTL)
                return true;
    return false;
}

static void check_rule(struct problems *ps, struct waf_patch *patch, const struct rule *r)
{
    struct place at = {r->line, 0};
    if (r->id < WAF_PATCH_FIRST_RULE || r->id > WAF_PATCH_LAST_RULE)
        problem_error(ps, at, STR("take one from 8800000 to 8899999"),
                      "rule id %llu is not one of virtual patches", (unsigned long long)r->id);
    if (r->decision == DECIDE_ALLOW || r->decision == DECIDE_ALLOW_PHASE ||
        r->decision == DECIDE_ALLOW_REQUEST)
        problem_error(ps, at, STR("use deny or pass"), "a virtual patch may not let requests by other rules");
    if (changes_engine(r))
        problem_error(ps, at, STR("leave ctl out"),
                      "a virtual patch may not switch other rules or the engine");
    if (is_blocking(r) && (!r->is_logged || !r->message.source.n))
        problem_error(ps, at, STR("add log and msg:'...'"),
                      "a rule that blocks must say so: it needs a message that is logged");
    if (patch->rule_count == WAF_PATCH_RULES_MAX) {
        problem_error(ps, at, STR("split the patch"), "more than 100 rules");
        return;
    }
    patch->rule_ids[patch->rule_count++] = r->id;
}

static int by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void check_compiled(struct problems *ps, struct waf_patch *patch, const struct waf_rules *rules,
                           struct place at)
{
    unsigned blocking = 0, listed = ps->error_count;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *r = rules->items[i];
        if (r->is_marker)
            continue;
        blocking += is_blocking(r);
        if (ps->error_count < listed + PROBLEMS_MAX)
            check_rule(ps, patch, r);
    }
    if (blocking == 0)
        problem_error(ps, at, STR("give a rule the action deny"), "no rule of the patch blocks anything");
    qsort(patch->rule_ids, patch->rule_count, sizeof *patch->rule_ids, by_id);
}

void patch_rules_check(struct problems *ps, struct waf_patch *patch, struct place at)
{
    static const struct waf_files nowhere = {.read = no_file, .list = no_list};
    struct waf_problems found;
    if (!check_directives(ps, patch->rules))
        return;
    struct waf_rules *rules = waf_rules_load(patch->path, patch->rules, &nowhere, &found);
    for (size_t i = 0; !rules && i < found.count && i < WAF_PROBLEMS_MAX; i++)
        problem_error(ps, (struct place){found.items[i].line, found.items[i].column}, STR_NONE, "%s",
                      found.items[i].what);
    if (rules)
        check_compiled(ps, patch, rules, at);
    waf_rules_free(rules);
}
