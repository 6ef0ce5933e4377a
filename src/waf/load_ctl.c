/* ctl actions, and which rules an exclusion is about. */
#include "waf/load.h"

#include "waf/text.h"

enum ctl_value {
    VALUE_SWITCH,
    VALUE_TEXT,
    VALUE_ENGINE,
    VALUE_PROCESSOR,
    VALUE_IDS,
    VALUE_TAG,
    VALUE_MESSAGE,
    VALUE_IDS_TARGET,
    VALUE_TAG_TARGET,
    VALUE_MESSAGE_TARGET,
};

static const struct {
    struct str name;
    enum ctl_value value;
} table[CTL_COUNT] = {
#define CTL(symbol, text, value) {{text, sizeof(text) - 1}, VALUE_##value},
#include "waf/ctl.def"
#undef CTL
};

struct word {
    const char *text;
    int is;
};

static bool load_word(struct loader *l, struct token value, const struct word *words, size_t count, int *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq_nocase(value.text, str_of(words[i].text))) {
            *ret = words[i].is;
            return true;
        }
    }
    return load_problem(l, value.at[0], "\"%.*s\" cannot stand here", STR_ARG(value.text));
}

#define LOAD_WORD(l, value, words, ret)                                                                      \
    load_word((l), (value), (words), sizeof(words) / sizeof *(words), (ret))

static bool load_ids(struct loader *l, struct token text, struct rule_selection *ret)
{
    struct str last = text.text, first = str_cut(&last, '-');
    if (!str_parse_u64(str_trim(first), &ret->first) ||
        !str_parse_u64(str_trim(last.p ? last : first), &ret->last) || ret->first > ret->last)
        return load_problem(l, text.at[0], "\"%.*s\" is no id or range of ids", STR_ARG(text.text));
    return true;
}

bool load_selection(struct loader *l, struct token text, enum rule_choice by, struct rule_selection *ret)
{
    struct rx *rx = NULL;
    *ret = (struct rule_selection){.by = by};
    if (by == BY_ID)
        return load_ids(l, text, ret);
    if (!load_regex(l, text, RX_SELECTOR, &rx))
        return false;
    ret->rx = rx;
    return true;
}

/* "942100;ARGS:password" */
static bool load_exclusion(struct loader *l, struct token value, enum rule_choice by, struct step *step)
{
    ptrdiff_t semicolon = str_find_char(value.text, ';');
    if (semicolon < 0)
        return load_problem(l, value.at[0], "expected \";\" and a target after what chooses the rules");
    return load_selection(l, token_take(value, (size_t)semicolon), by, &step->selection) &&
           load_target(l, token_skip(value, (size_t)semicolon + 1), &step->exclusion.target);
}

static bool load_value(struct loader *l, struct token value, struct step *step)
{
    static const struct word switches[] = {{"on", true}, {"off", false}, {"relevantonly", true}};
    static const struct word engines[] = {{"on", WAF_BLOCK}, {"off", WAF_OFF}, {"detectiononly", WAF_DETECT}};
    static const struct word processors[] = {{"urlencoded", PROCESSOR_URLENCODED},
                                             {"multipart", PROCESSOR_MULTIPART},
                                             {"json", PROCESSOR_JSON},
                                             {"xml", PROCESSOR_XML}};
    switch (table[step->ctl].value) {
    case VALUE_SWITCH:
        return LOAD_WORD(l, value, switches, &step->setting);
    case VALUE_TEXT:
        return true;
    case VALUE_ENGINE:
        return LOAD_WORD(l, value, engines, &step->setting);
    case VALUE_PROCESSOR:
        return LOAD_WORD(l, value, processors, &step->setting);
    case VALUE_IDS:
        return load_selection(l, value, BY_ID, &step->selection);
    case VALUE_TAG:
        return load_selection(l, value, BY_TAG, &step->selection);
    case VALUE_MESSAGE:
        return load_selection(l, value, BY_MESSAGE, &step->selection);
    case VALUE_IDS_TARGET:
        return load_exclusion(l, value, BY_ID, step);
    case VALUE_TAG_TARGET:
        return load_exclusion(l, value, BY_TAG, step);
    case VALUE_MESSAGE_TARGET:
        return load_exclusion(l, value, BY_MESSAGE, step);
    }
    return false;
}

bool load_ctl(struct loader *l, struct token text, struct step *ret)
{
    ptrdiff_t equals = str_find_char(text.text, '=');
    struct token name = token_take(text, equals < 0 ? text.text.n : (size_t)equals);
    if (equals < 0)
        return load_problem(l, text.at[0], "ctl needs name=value");
    ret->kind = STEP_CTL;
    for (size_t i = 0; i < CTL_COUNT; i++) {
        if (!str_eq_nocase(name.text, table[i].name))
            continue;
        ret->ctl = (enum ctl)i;
        return load_value(l, token_skip(text, (size_t)equals + 1), ret);
    }
    return load_problem(l, name.at[0], "unknown ctl \"%.*s\"", STR_ARG(name.text));
}
