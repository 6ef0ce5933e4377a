/* Actions of a rule: "id:1,phase:2,block,t:none,msg:'...',setvar:'tx.score=+5'". */
#include "waf/load.h"

#include "waf/text.h"

enum action {
#define ACTION(symbol, name, value, where) ACTION_##symbol,
#include "waf/actions.def"
#undef ACTION
    ACTION_COUNT
};

enum action_value { VALUE_BARE, VALUE_VALUE, VALUE_OPTIONAL };
enum action_where { WHERE_ANY, WHERE_HEAD };

static const struct {
    struct str name;
    enum action_value value;
    enum action_where where;
} table[ACTION_COUNT] = {
#define ACTION(symbol, text, value, where) {{text, sizeof(text) - 1}, VALUE_##value, WHERE_##where},
#include "waf/actions.def"
#undef ACTION
};

enum { TRANSFORMATIONS_MAX = 32, STEPS_MAX = 256, TAGS_MAX = 64 };

/* A list of actions while it is read. */
struct draft {
    struct loader *l;
    struct rule *rule; /* what has one place in a rule goes there at once */
    bool is_link;      /* not the first of its chain */
    bool has_id, has_phase, has_log, has_audit, has_chain;
    bool forgets_defaults; /* t:none was there: the default transformations do not come first */
    uint8_t transformations[TRANSFORMATIONS_MAX];
    size_t transformation_count;
    struct step *steps;
    size_t step_count;
    struct str *tags;
};

static bool find_action(struct str name, enum action *ret)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (str_eq_nocase(name, table[i].name)) {
            *ret = (enum action)i;
            return true;
        }
    }
    return false;
}

static bool load_number(struct loader *l, struct token text, uint64_t min, uint64_t max, uint64_t *ret)
{
    if (str_parse_u64(text.text, ret) && *ret >= min && *ret <= max)
        return true;
    return load_problem(l, text.at[0], "\"%.*s\" is not a number from %llu to %llu", STR_ARG(text.text),
                        (unsigned long long)min, (unsigned long long)max);
}

static bool load_phase(struct draft *d, struct token value)
{
    uint64_t phase = 2;
    d->has_phase = true;
    if (str_eq_nocase(value.text, STR("logging")))
        phase = 5;
    else if (str_eq_nocase(value.text, STR("response")))
        phase = 4;
    else if (!str_eq_nocase(value.text, STR("request")) && !load_number(d->l, value, 1, PHASES, &phase))
        return false;
    d->rule->phase = (uint8_t)phase;
    return true;
}

static bool load_severity(struct draft *d, struct token value)
{
    static const char *const names[] = {"EMERGENCY", "ALERT",  "CRITICAL", "ERROR",
                                        "WARNING",   "NOTICE", "INFO",     "DEBUG"};
    uint64_t number;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_eq_nocase(value.text, str_of(names[i]))) {
            d->rule->severity = (uint8_t)i;
            return true;
        }
    }
    if (!load_number(d->l, value, 0, 7, &number))
        return false;
    d->rule->severity = (uint8_t)number;
    return true;
}

static bool load_transformation(struct draft *d, struct token value)
{
    enum transformation t;
    if (str_eq_nocase(value.text, STR("none"))) {
        d->transformation_count = 0;
        d->forgets_defaults = true;
        return true;
    }
    if (!transformation_find(value.text, &t))
        return load_problem(d->l, value.at[0], "unknown transformation \"%.*s\"", STR_ARG(value.text));
    if (d->transformation_count == TRANSFORMATIONS_MAX)
        return load_problem(d->l, value.at[0], "too many transformations");
    d->transformations[d->transformation_count++] = (uint8_t)t;
    return true;
}

/* NULL: reported. */
static struct step *add_step(struct draft *d, uint32_t at)
{
    if (d->step_count < STEPS_MAX)
        return &d->steps[d->step_count++];
    load_problem(d->l, at, "too many setvar, expirevar, initcol and ctl actions");
    return NULL;
}

static bool is_collection(enum variable v)
{
    return v == VAR_TX || v == VAR_IP || v == VAR_GLOBAL || v == VAR_SESSION || v == VAR_USER ||
           v == VAR_RESOURCE;
}

/* "tx.name" */
static bool load_place(struct loader *l, struct token text, struct step *step)
{
    ptrdiff_t dot = str_find_char(text.text, '.');
    struct token collection = token_take(text, dot < 0 ? text.text.n : (size_t)dot);
    if (dot <= 0 || !variable_find(collection.text, &step->collection) || !is_collection(step->collection))
        return load_problem(l, text.at[0], "\"%.*s\" is no collection.name that can be set",
                            STR_ARG(text.text));
    if (!load_macro(l, token_skip(text, (size_t)dot + 1), &step->name))
        return false;
    if (step->collection == VAR_TX && !step->name.count)
        step->slot = load_slot(l, step->name.source);
    return true;
}

static bool load_setvar(struct draft *d, struct token text)
{
    struct step *step = add_step(d, text.at[0]);
    ptrdiff_t equals = str_find_char(text.text, '=');
    if (!step)
        return false;
    step->kind = STEP_SET;
    step->value.source = STR("1");
    if (str_starts(text.text, STR("!"))) {
        step->kind = STEP_UNSET;
        return load_place(d->l, token_skip(text, 1), step);
    }
    if (equals < 0)
        return load_place(d->l, text, step);
    struct token value = token_skip(text, (size_t)equals + 1);
    if (str_starts(value.text, STR("+")) || str_starts(value.text, STR("-")))
        step->kind = STEP_ADD;
    if (!load_place(d->l, token_take(text, (size_t)equals), step) || !load_macro(d->l, value, &step->value))
        return false;
    int64_t number = text_number(str_skip(value.text, step->kind == STEP_ADD));
    step->number = step->kind == STEP_ADD && value.text.p[0] == '-' ? -number : number;
    return true;
}

static bool load_expirevar(struct draft *d, struct token text)
{
    struct step *step = add_step(d, text.at[0]);
    ptrdiff_t equals = str_find_char(text.text, '=');
    if (equals < 0)
        return load_problem(d->l, text.at[0], "expirevar needs collection.name=seconds");
    if (!step)
        return false;
    step->kind = STEP_EXPIRE;
    return load_place(d->l, token_take(text, (size_t)equals), step) &&
           load_macro(d->l, token_skip(text, (size_t)equals + 1), &step->value);
}

static bool load_initcol(struct draft *d, struct token text)
{
    struct step *step = add_step(d, text.at[0]);
    ptrdiff_t equals = str_find_char(text.text, '=');
    struct token name = token_take(text, equals < 0 ? text.text.n : (size_t)equals);
    if (!step)
        return false;
    step->kind = STEP_OPEN_COLLECTION;
    if (equals < 0 || !variable_find(name.text, &step->collection) || !is_collection(step->collection) ||
        step->collection == VAR_TX)
        return load_problem(d->l, text.at[0], "initcol needs ip=, global=, resource=, session= or user=");
    return load_macro(d->l, token_skip(text, (size_t)equals + 1), &step->value);
}

static bool load_ctl_action(struct draft *d, struct token value)
{
    struct step *step = add_step(d, value.at[0]);
    return step && load_ctl(d->l, value, step);
}

static bool load_tag(struct draft *d, struct token value)
{
    if (d->rule->tag_count == TAGS_MAX)
        return load_problem(d->l, value.at[0], "too many tags");
    d->tags[d->rule->tag_count++] = arena_copy(d->l->arena, value.text);
    return true;
}

static bool load_allow(struct draft *d, struct list_item *item)
{
    d->rule->decision = DECIDE_ALLOW;
    if (!item->has_value)
        return true;
    if (str_eq_nocase(item->value.text, STR("phase")))
        d->rule->decision = DECIDE_ALLOW_PHASE;
    else if (str_eq_nocase(item->value.text, STR("request")))
        d->rule->decision = DECIDE_ALLOW_REQUEST;
    else
        return load_problem(d->l, item->value.at[0], "allow takes phase or request");
    return true;
}

static bool load_status(struct draft *d, struct token value)
{
    uint64_t status;
    if (!load_number(d->l, value, 100, 599, &status))
        return false;
    d->rule->status = (unsigned)status;
    return true;
}

static bool set_log(struct draft *d, bool is_logged)
{
    d->has_log = true;
    d->rule->is_logged = is_logged;
    if (!d->has_audit)
        d->rule->is_audited = is_logged; /* log implies auditlog, nolog implies noauditlog */
    return true;
}

static bool set_audit(struct draft *d, bool is_audited)
{
    d->has_audit = true;
    d->rule->is_audited = is_audited;
    return true;
}

static bool decide(struct draft *d, enum decision decision)
{
    d->rule->decision = decision;
    return true;
}

static bool load_with_value(struct draft *d, enum action action, struct token value)
{
    switch (action) {
    case ACTION_CTL:
        return load_ctl_action(d, value);
    case ACTION_EXPIREVAR:
        return load_expirevar(d, value);
    case ACTION_ID:
        d->has_id = true;
        return load_number(d->l, value, 1, INT64_MAX, &d->rule->id);
    case ACTION_INITCOL:
        return load_initcol(d, value);
    case ACTION_LOGDATA:
        return load_macro(d->l, value, &d->rule->data);
    case ACTION_MSG:
        return load_macro(d->l, value, &d->rule->message);
    case ACTION_PHASE:
        return load_phase(d, value);
    case ACTION_SETVAR:
        return load_setvar(d, value);
    case ACTION_SEVERITY:
        return load_severity(d, value);
    case ACTION_SKIP_AFTER:
        d->rule->marker = arena_copy(d->l->arena, value.text);
        return true;
    case ACTION_STATUS:
        return load_status(d, value);
    case ACTION_T:
        return load_transformation(d, value);
    case ACTION_TAG:
        return load_tag(d, value);
    default: /* maturity, accuracy, rev, ver: for the reader */
        return true;
    }
}

static bool load_bare(struct draft *d, enum action action, struct list_item *item)
{
    switch (action) {
    case ACTION_ALLOW:
        return load_allow(d, item);
    case ACTION_AUDITLOG:
        return set_audit(d, true);
    case ACTION_BLOCK:
        return decide(d, DECIDE_BLOCK);
    case ACTION_CAPTURE:
        return d->rule->has_capture = true;
    case ACTION_CHAIN:
        return d->has_chain = true;
    case ACTION_DENY:
        return decide(d, DECIDE_DENY);
    case ACTION_DROP:
        return decide(d, DECIDE_DROP);
    case ACTION_LOG:
        return set_log(d, true);
    case ACTION_MULTI_MATCH:
        return d->rule->has_multi_match = true;
    case ACTION_NOAUDITLOG:
        return set_audit(d, false);
    case ACTION_NOLOG:
        return set_log(d, false);
    default:
        return decide(d, DECIDE_PASS);
    }
}

static bool load_action(struct draft *d, struct list_item *item)
{
    enum action action;
    struct str name = item->name.text;
    uint32_t at = item->name.at[0];
    if (!find_action(name, &action))
        return load_problem(d->l, at, "unknown action \"%.*s\"", STR_ARG(name));
    if (table[action].where == WHERE_HEAD && d->is_link)
        return load_problem(d->l, at, "%.*s may only stand in the first rule of a chain", STR_ARG(name));
    if (table[action].value == VALUE_VALUE && !item->has_value)
        return load_problem(d->l, at, "%.*s needs a value", STR_ARG(name));
    if (table[action].value == VALUE_BARE && item->has_value)
        return load_problem(d->l, at, "%.*s takes no value", STR_ARG(name));
    return table[action].value == VALUE_VALUE ? load_with_value(d, action, item->value)
                                              : load_bare(d, action, item);
}

static bool read_list(struct draft *d, struct token text)
{
    struct list_item item;
    bool fine = true;
    d->steps = arena_alloc(d->l->scratch, STEPS_MAX * sizeof *d->steps);
    d->tags = arena_alloc(d->l->scratch, TAGS_MAX * sizeof *d->tags);
    if (!d->steps || !d->tags)
        return load_no_memory(d->l);
    while (lex_list_item(d->l, &text, ",", &item, &fine)) {
        if (!load_action(d, &item))
            return false;
    }
    return fine;
}

static void *copy_items(struct loader *l, const void *items, size_t bytes)
{
    void *copy = arena_alloc(l->arena, bytes ? bytes : 1);
    if (copy && bytes)
        memcpy(copy, items, bytes);
    return copy;
}

static bool store_lists(struct draft *d, const struct rule_defaults *defaults)
{
    struct rule *rule = d->rule;
    const struct transformations *before = &defaults->transformations;
    size_t inherited = d->forgets_defaults ? 0 : before->count;
    uint8_t *t = arena_alloc(d->l->arena, inherited + d->transformation_count + 1);
    rule->steps = copy_items(d->l, d->steps, d->step_count * sizeof *d->steps);
    rule->step_count = d->step_count;
    rule->tags = copy_items(d->l, d->tags, rule->tag_count * sizeof *d->tags);
    if (!t || !rule->steps || !rule->tags)
        return load_no_memory(d->l);
    if (inherited)
        memcpy(t, before->items, inherited);
    memcpy(t + inherited, d->transformations, d->transformation_count);
    rule->transformations = (struct transformations){t, inherited + d->transformation_count};
    return true;
}

/* What the rule leaves open its phase's SecDefaultAction says; "block" is always what that says. */
static void fill_in(struct draft *d, const struct rule_defaults *defaults)
{
    struct rule *rule = d->rule;
    if (!d->has_log)
        rule->is_logged = defaults->is_logged;
    if (!d->has_audit && !d->has_log)
        rule->is_audited = defaults->is_audited;
    if (rule->decision == DECIDE_UNSET || rule->decision == DECIDE_BLOCK)
        rule->decision = defaults->decision;
    if (!rule->status)
        rule->status = defaults->status;
}

static bool check_head(struct draft *d, uint32_t at)
{
    if (!d->has_id)
        return load_problem(d->l, at, "a rule needs an id");
    for (size_t i = 0; i < d->l->rules->count; i++) {
        const struct rule *other = d->l->rules->items[i];
        if (!other->is_marker && other->id == d->rule->id)
            return load_problem(d->l, at, "there is a rule %llu already, in %.*s line %u",
                                (unsigned long long)other->id, STR_ARG(other->file), other->line);
    }
    return true;
}

bool load_actions(struct loader *l, struct token text, struct rule *rule, bool *ret_chain)
{
    struct draft d = {.l = l, .rule = rule, .is_link = l->chain != NULL};
    rule->phase = d.is_link ? l->chain_head->phase : 2;
    rule->severity = UINT8_MAX;
    if (!read_list(&d, text))
        return false;
    const struct rule_defaults *defaults = &l->defaults[rule->phase];
    if (!defaults->is_set)
        defaults = &l->defaults[0];
    if (!store_lists(&d, defaults))
        return false;
    *ret_chain = d.has_chain;
    if (d.is_link)
        return true;
    fill_in(&d, defaults);
    return check_head(&d, l->at);
}

bool load_default_action(struct loader *l, struct token text)
{
    struct rule rule = {0};
    struct draft d = {.l = l, .rule = &rule};
    rule.decision = DECIDE_PASS;
    if (!read_list(&d, text))
        return false;
    if (!d.has_phase || d.has_id || d.has_chain || d.step_count || rule.marker.n ||
        rule.decision == DECIDE_BLOCK)
        return load_problem(l, text.at[0],
                            "SecDefaultAction needs a phase and may not have id, chain, block, "
                            "skipAfter, setvar or ctl");
    if (!store_lists(&d, &l->defaults[0]))
        return false;
    l->defaults[rule.phase] = (struct rule_defaults){
        .is_set = true,
        .is_logged = rule.is_logged,
        .is_audited = rule.is_audited,
        .decision = rule.decision,
        .status = rule.status ? rule.status : 403,
        .transformations = rule.transformations,
    };
    return true;
}
