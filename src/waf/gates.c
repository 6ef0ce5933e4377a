#include "waf/gates.h"

/* libinjection's @detectXSS finds an attack in a tag, a comment, a doctype, or an attribute with a value; in
 * a text without '<' and '=' there is none of them. */
byte_kinds gate_kinds(const struct rule *link)
{
    switch (link->op) {
    case OP_DETECT_XSS:
        return KIND(LESS) | KIND(EQUALS);
    case OP_VALIDATE_BYTE_RANGE:
        return link->plan.bad_kinds;
    case OP_VALIDATE_URL_ENCODING:
        return KIND(PERCENT);
    case OP_VALIDATE_UTF8_ENCODING:
        return KIND(CONTINUATION) | KIND(NO_BREAK) | KIND(LEADING);
    default:
        return KINDS_ANY;
    }
}

/* libinjection's @detectSQLi compares the kinds of a text's first tokens with a list of its own. Numbers,
 * dots, colons, commas and arithmetic alone are on it nowhere; two dashes begin a comment. */
bool gate_may_be_sqli(struct str s, byte_kinds kinds)
{
    static const byte_kinds harmless = KIND(DIGIT) | KIND(DOT) | KIND(COLON) | KIND(COMMA) | KIND(PLUS) |
                                       KIND(DASH) | KIND(SLASH) | KIND(SPACE);
    return (kinds & ~harmless) || ((kinds & KIND(DASH)) && text_find(s, STR("--")) >= 0);
}

static bool run(struct waf_tx *tx, const struct rule *link, struct str argument, uint32_t id,
                struct operator_outcome *ret)
{
    struct str text = texts_str(&tx->room->texts, id);
    tx_work(tx, text.n * 2 + 150);
    return operator_run(link->op, &link->compiled, tx->rules->room, argument, text, tx->scratch, ret);
}

/* A hit is found again each time, for what it captures. */
static bool run_once(struct waf_tx *tx, const struct rule *link, uint32_t id, struct operator_outcome *ret)
{
    bool is_sqli = link->op == OP_DETECT_SQLI;
    const struct text *text = &tx->room->texts.items[id];
    if ((is_sqli ? text->sqli : text->xss) == FINDING_CLEAN)
        return false;
    bool may_hold = !is_sqli || gate_may_be_sqli(texts_str(&tx->room->texts, id), text->kinds);
    bool holds = may_hold && run(tx, link, STR_NONE, id, ret);
    uint8_t *remember = is_sqli ? &tx->room->texts.items[id].sqli : &tx->room->texts.items[id].xss;
    *remember = holds ? FINDING_HIT : FINDING_CLEAN;
    return holds;
}

bool gated_run(struct waf_tx *tx, const struct rule *link, struct str argument, uint32_t id,
               struct operator_outcome *ret)
{
    byte_kinds gate = gate_kinds(link);
    ret->capture_count = 0;
    ret->hit_limit = false;
    if (gate != KINDS_ANY && !(tx->room->texts.items[id].kinds & gate))
        return false;
    if (link->op == OP_DETECT_SQLI || link->op == OP_DETECT_XSS)
        return run_once(tx, link, id, ret);
    return run(tx, link, argument, id, ret);
}
