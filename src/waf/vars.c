#include "waf/vars.h"

#include "base/must.h"

bool vars_init(struct vars *vars, const struct slots *slots, struct arena *arena, struct hash_key key)
{
    *vars = (struct vars){.slots = slots, .arena = arena, .key = key};
    vars->cap = vars->n = slots->count + 1;
    vars->items = arena_alloc(arena, vars->cap * sizeof *vars->items);
    return vars->items != NULL;
}

/* ---- names without a slot */

static uint64_t hash_nocase(const struct vars *vars, struct str name)
{
    char small[256];
    uint64_t h = 0;
    for (size_t at = 0; at < name.n || at == 0; at += sizeof small) {
        struct str part = str_take(str_skip(name, at), sizeof small);
        for (size_t i = 0; i < part.n; i++)
            small[i] = ascii_lower(part.p[i]);
        h = hash_mix(h ^ hash_bytes(&vars->key, small, part.n));
    }
    return h;
}

static uint32_t *place_in_table(const struct vars *vars, struct str name)
{
    uint32_t mask = vars->table_size - 1, i = (uint32_t)hash_nocase(vars, name) & mask;
    while (vars->table[i] && !str_eq_nocase(vars->items[vars->table[i]].name, name))
        i = (i + 1) & mask;
    return &vars->table[i];
}

/* The table is at most half full. */
static bool grow_table(struct vars *vars)
{
    uint32_t slots = vars->slots->count + 1, size = vars->table_size ? vars->table_size * 2 : 64;
    uint32_t *table = arena_alloc(vars->arena, size * sizeof *table);
    if (!table)
        return false;
    vars->table = table;
    vars->table_size = size;
    for (uint32_t i = slots; i < vars->n; i++)
        *place_in_table(vars, vars->items[i].name) = i;
    return true;
}

static bool grow_items(struct vars *vars)
{
    uint32_t cap = vars->cap + vars->cap / 2 + 16;
    struct var *items = arena_alloc(vars->arena, cap * sizeof *items);
    if (!items)
        return false;
    memcpy(items, vars->items, vars->n * sizeof *items);
    vars->items = items;
    vars->cap = cap;
    return true;
}

static struct var *add(struct vars *vars, struct str name)
{
    uint32_t without_slot = vars->n - (vars->slots->count + 1);
    if (vars->n == vars->cap && !grow_items(vars))
        return NULL;
    if (2 * (without_slot + 1) > vars->table_size && !grow_table(vars))
        return NULL;
    name = arena_copy(vars->arena, name);
    if (!name.p)
        return NULL;
    uint32_t i = vars->n++;
    vars->items[i] = (struct var){.name = name};
    *place_in_table(vars, name) = i;
    return &vars->items[i];
}

struct var *vars_find(struct vars *vars, struct str name)
{
    uint32_t i = slots_find(vars->slots, name);
    if (i == SLOT_NONE && vars->table_size)
        i = *place_in_table(vars, name);
    return i ? vars_at(vars, i) : NULL;
}

struct var *vars_place(struct vars *vars, uint32_t slot, struct str name)
{
    if (slot == SLOT_NONE)
        slot = slots_find(vars->slots, name);
    if (slot == SLOT_NONE && vars->table_size)
        slot = *place_in_table(vars, name);
    return slot ? &vars->items[slot] : add(vars, name);
}

/* ---- order */

static void compact_order(struct vars *vars)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < vars->order_n; i++) {
        const struct var *var = &vars->items[vars->order[i].var];
        if (var->is_set && var->turn == vars->order[i].turn)
            vars->order[kept++] = vars->order[i];
    }
    vars->order_n = kept;
}

/* There is always room afterwards, or no memory. */
static bool make_order_room(struct vars *vars)
{
    if (vars->order_n < vars->order_cap)
        return true;
    compact_order(vars);
    if (vars->order_n < vars->order_cap / 2)
        return true;
    uint32_t cap = vars->order_cap ? vars->order_cap * 2 : 256;
    void *order = arena_alloc(vars->arena, cap * sizeof *vars->order);
    if (!order)
        return false;
    if (vars->order_n)
        memcpy(order, vars->order, vars->order_n * sizeof *vars->order);
    vars->order = order;
    vars->order_cap = cap;
    return true;
}

/* The spelling follows whoever sets a variable that was not set. */
static bool begin(struct vars *vars, struct var *var, struct str name)
{
    if (var->is_set)
        return true;
    if (!make_order_room(vars))
        return false;
    var->is_set = true;
    var->turn = ++vars->turns;
    vars->order[vars->order_n].var = (uint32_t)(var - vars->items);
    vars->order[vars->order_n++].turn = var->turn;
    var->name = name;
    return true;
}

struct pairs vars_list(struct vars *vars, struct arena *arena, vars_filter *takes, const void *context)
{
    struct pairs list = {0};
    compact_order(vars);
    for (uint32_t i = 0; i < vars->order_n; i++) {
        struct var *var = &vars->items[vars->order[i].var];
        uint32_t slot = vars->order[i].var <= vars->slots->count ? vars->order[i].var : SLOT_NONE;
        if (!takes || takes(context, slot, var->name))
            (void)pairs_add(&list, arena, var->name, arena_copy(arena, var_text(vars, var)));
    }
    return list;
}

/* ---- values */

static char *room(struct vars *vars, struct var *var, size_t n)
{
    enum { LEAST = 24 }; /* any number */
    if (n <= var->own_cap && var->own)
        return var->own;
    size_t cap = n + n / 2 < LEAST ? LEAST : n + n / 2;
    char *own = cap > UINT32_MAX ? NULL : arena_bytes(vars->arena, cap);
    if (!own)
        return NULL;
    var->own = own;
    var->own_cap = (uint32_t)cap;
    return own;
}

void var_set_text(struct vars *vars, struct var *var, struct str name, struct str text, bool lasts)
{
    if (var->is_pinned || !begin(vars, var, name))
        return;
    if (!lasts) {
        char *own = room(vars, var, text.n);
        if (!own)
            text = STR_NONE; /* the arena remembers, and the transaction is refused */
        else if (text.n)
            memmove(own, text.p, text.n);
        text.p = own;
    }
    var->text = text.p;
    var->n = (uint32_t)text.n;
    var->has_text = true;
    var->has_number = false;
}

void var_set_number(struct vars *vars, struct var *var, struct str name, int64_t number)
{
    if (var->is_pinned || !begin(vars, var, name))
        return;
    var->number = number;
    var->has_number = true;
    var->has_text = false;
}

void var_unset(struct var *var)
{
    if (!var->is_pinned)
        var->is_set = false;
}

struct str var_text(struct vars *vars, struct var *var)
{
    must(var->is_set);
    if (!var->has_text) {
        enum { DIGITS_MAX = 24 };
        char *own = room(vars, var, DIGITS_MAX);
        struct buf out = buf_over(own, own ? DIGITS_MAX : 0);
        if (var->number < 0)
            buf_char(&out, '-');
        buf_u64(&out, var->number < 0 ? 0 - (uint64_t)var->number : (uint64_t)var->number);
        var->text = out.p;
        var->n = (uint32_t)out.n;
        var->has_text = own != NULL;
    }
    return (struct str){var->text, var->n};
}

int64_t var_number(struct var *var)
{
    if (!var->has_number) {
        var->number = text_number((struct str){var->text, var->n});
        var->has_number = true;
    }
    return var->number > INT32_MAX ? INT32_MAX : var->number < -INT32_MAX ? -INT32_MAX : var->number;
}
