/* Variables that rules set: TX, and the collections of the store. */
#include "waf/tx.h"

static struct collection *find_collection(struct waf_tx *tx, enum variable variable)
{
    for (size_t i = 0; i < COLLECTIONS; i++) {
        if (tx->collections[i].record && tx->collections[i].variable == variable)
            return &tx->collections[i];
    }
    return NULL;
}

/* The names under which CRS 3 and 4 know what a cluster sets. */
static const struct {
    const char *name;
    enum { PIN_PARANOIA, PIN_INBOUND, PIN_OUTBOUND } is;
} pins[] = {
    {"paranoia_level", PIN_PARANOIA},
    {"executing_paranoia_level", PIN_PARANOIA},
    {"blocking_paranoia_level", PIN_PARANOIA},
    {"detection_paranoia_level", PIN_PARANOIA},
    {"inbound_anomaly_score_threshold", PIN_INBOUND},
    {"outbound_anomaly_score_threshold", PIN_OUTBOUND},
};

enum { PINS = sizeof pins / sizeof *pins };

static unsigned pin_value(const struct waf_tx *tx, size_t pin)
{
    const struct waf_overlay_options *options = &tx->overlay->options;
    return pins[pin].is == PIN_PARANOIA  ? options->paranoia
           : pins[pin].is == PIN_INBOUND ? options->inbound_threshold
                                         : options->outbound_threshold;
}

bool vars_is_pinned(const struct waf_tx *tx, struct str name)
{
    for (size_t i = 0; i < PINS; i++) {
        if (pin_value(tx, i) && str_eq_nocase(name, str_of(pins[i].name)))
            return true;
    }
    return false;
}

void vars_pin(struct waf_tx *tx)
{
    for (size_t i = 0; i < PINS; i++) {
        if (pin_value(tx, i))
            (void)pairs_add(&tx->vars, tx->arena, str_of(pins[i].name),
                            text_of_number(tx->arena, pin_value(tx, i)));
    }
}

void vars_set(struct waf_tx *tx, enum variable variable, struct str name, struct str value)
{
    if (variable != VAR_TX) {
        struct collection *collection = find_collection(tx, variable);
        if (collection)
            (void)store_set(collection->record, name, value);
        return;
    }
    if (vars_is_pinned(tx, name))
        return;
    struct pair *pair = pairs_find(&tx->vars, name);
    if (pair)
        pair->value = arena_copy(tx->arena, value);
    else
        (void)pairs_add(&tx->vars, tx->arena, arena_copy(tx->arena, name), arena_copy(tx->arena, value));
}

void vars_unset(struct waf_tx *tx, enum variable variable, struct str name)
{
    struct collection *collection = find_collection(tx, variable);
    if (variable == VAR_TX && !vars_is_pinned(tx, name))
        pairs_remove(&tx->vars, name);
    else if (collection)
        store_unset(collection->record, name);
}

void vars_expire(struct waf_tx *tx, enum variable variable, struct str name, int64_t seconds)
{
    struct collection *collection = find_collection(tx, variable);
    if (collection)
        store_expire(collection->record, name, tx->request->now_s + seconds);
}

const struct pairs *vars_of(struct waf_tx *tx, enum variable variable)
{
    struct collection *collection = find_collection(tx, variable);
    return variable == VAR_TX ? &tx->vars : collection ? store_vars(collection->record) : NULL;
}

/* Only the first initcol for a collection counts. */
void vars_open(struct waf_tx *tx, enum variable variable, struct str key)
{
    if (!tx->store || find_collection(tx, variable))
        return;
    for (size_t i = 0; i < COLLECTIONS; i++) {
        struct collection *free_one = &tx->collections[i];
        if (free_one->record)
            continue;
        *free_one = (struct collection){variable, store_open(tx->store, variable, key, tx->request->now_s,
                                                             tx->rules->collection_timeout_s)};
        return;
    }
}
