/* What rules set, by collection and name: TX, and the collections of the store. */
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

void tx_pin(struct waf_tx *tx)
{
    for (size_t i = 0; i < PINS; i++) {
        struct str name = str_of(pins[i].name);
        struct var *var = pin_value(tx, i) ? vars_place(&tx->vars, SLOT_NONE, name) : NULL;
        if (!var)
            continue;
        var_set_number(&tx->vars, var, name, pin_value(tx, i));
        var->is_pinned = true;
    }
}

static void set_in_tx(struct waf_tx *tx, struct str name, struct str value)
{
    struct var *var = vars_place(&tx->vars, SLOT_NONE, name);
    if (!var || var->is_pinned)
        return;
    if (!var->is_set && !str_eq(var->name, name))
        name = arena_copy(tx->arena, name);
    else
        name = var->name;
    var_set_text(&tx->vars, var, name, value, false);
}

void tx_set(struct waf_tx *tx, enum variable variable, struct str name, struct str value)
{
    struct collection *collection = find_collection(tx, variable);
    if (variable == VAR_TX)
        set_in_tx(tx, name, value);
    else if (collection)
        (void)store_set(collection->record, name, value);
}

void tx_unset(struct waf_tx *tx, enum variable variable, struct str name)
{
    struct collection *collection = find_collection(tx, variable);
    struct var *var = variable == VAR_TX ? vars_find(&tx->vars, name) : NULL;
    if (var)
        var_unset(var);
    else if (collection)
        store_unset(collection->record, name);
}

void tx_expire(struct waf_tx *tx, enum variable variable, struct str name, int64_t seconds)
{
    struct collection *collection = find_collection(tx, variable);
    if (collection)
        store_expire(collection->record, name, tx->request->now_s + seconds);
}

struct choice {
    const struct waf_tx *tx;
    const struct target *target;
};

static bool takes(const void *context, uint32_t slot, struct str name)
{
    const struct choice *choice = context;
    const struct slots *slots = &choice->tx->rules->slots;
    if (slot && choice->target->taken && str_eq(slots->names[slot], name))
        return choice->target->taken[slot / 64] >> (slot % 64) & 1;
    return target_names(choice->target, name, choice->tx->rules->room);
}

struct pairs tx_list(struct waf_tx *tx, const struct target *target)
{
    struct choice choice = {tx, target};
    if (target->variable == VAR_TX)
        return vars_list(&tx->vars, tx->scratch, takes, &choice);
    struct collection *collection = find_collection(tx, target->variable);
    return collection ? *store_vars(collection->record) : (struct pairs){0};
}

int64_t tx_number(struct waf_tx *tx, enum variable variable, struct str name)
{
    if (variable == VAR_TX) {
        struct var *var = vars_find(&tx->vars, name);
        return var ? var_number(var) : 0;
    }
    struct collection *collection = find_collection(tx, variable);
    const struct pair *pair = collection ? pairs_find(store_vars(collection->record), name) : NULL;
    return pair ? text_number(pair->value) : 0;
}

/* Only the first initcol for a collection counts. */
void tx_open_collection(struct waf_tx *tx, enum variable variable, struct str key)
{
    if (!tx->store || find_collection(tx, variable))
        return;
    for (size_t i = 0; i < COLLECTIONS; i++) {
        struct collection *free_one = &tx->collections[i];
        if (free_one->record)
            continue;
        *free_one =
            (struct collection){variable, waf_record_open(tx->store, variable, key, tx->request->now_s,
                                                          tx->rules->collection_timeout_s)};
        return;
    }
}
