/* The names of variables, and what a selector takes. */
#include "waf/rules.h"

static const struct {
    struct str name;
    enum variable_kind kind;
} table[VARIABLE_COUNT] = {
#define VARIABLE(symbol, text, kind) {{text, sizeof(text) - 1}, KIND_##kind},
#include "waf/variables.def"
#undef VARIABLE
};

bool variable_find(struct str name, enum variable *ret)
{
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        if (str_eq_nocase(name, table[i].name)) {
            *ret = (enum variable)i;
            return true;
        }
    }
    return false;
}

struct str variable_name(enum variable v)
{
    return table[v].name;
}

enum variable_kind variable_kind(enum variable v)
{
    return table[v].kind;
}

bool target_names(const struct target *target, struct str name, struct rx_room *room)
{
    switch (target->selector) {
    case SELECT_NAME:
        return str_eq_nocase(target->name, name);
    case SELECT_REGEX:
        return rx_match(target->rx, room, name, NULL, NULL) == RX_HIT;
    case SELECT_XML_TEXT:
    case SELECT_XML_ATTRIBUTES:
        return str_eq(target->name, name);
    case SELECT_ALL:
        break;
    }
    return true;
}

bool rule_selected(const struct rule *rule, const struct rule_selection *selection, struct rx_room *room)
{
    if (rule->is_marker)
        return false;
    if (selection->by == BY_ID)
        return rule->id >= selection->first && rule->id <= selection->last;
    if (selection->by == BY_MESSAGE)
        return rx_match(selection->rx, room, rule->message.source, NULL, NULL) == RX_HIT;
    for (size_t i = 0; i < rule->tag_count; i++) {
        if (rx_match(selection->rx, room, rule->tags[i], NULL, NULL) == RX_HIT)
            return true;
    }
    return false;
}

bool rule_set_init(struct rule_set *set, const struct waf_rules *rules, struct arena *arena)
{
    set->bits = arena_alloc(arena, (rules->count / 64 + 1) * sizeof *set->bits);
    return set->bits != NULL;
}

void rule_set_select(struct rule_set *set, const struct waf_rules *rules,
                     const struct rule_selection *selection)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rule_selected(rules->items[i], selection, rules->room))
            rule_set_put(set, i);
    }
}
