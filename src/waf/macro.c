#include "waf/tx.h"

static struct str part_value(struct waf_tx *tx, const struct macro_part *part)
{
    struct str value;
    if (!part->is_value)
        return part->text;
    if (part->slot) {
        struct var *var = vars_at(&tx->vars, part->slot);
        return var ? var_text(&tx->vars, var) : STR_NONE;
    }
    return collect_one(tx, part->variable, part->has_selector ? part->text : STR_NONE, &value) ? value
                                                                                               : STR_NONE;
}

struct str macro_put_in(struct waf_tx *tx, const struct macro *macro, struct arena *arena, size_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < macro->count; i++)
        n += part_value(tx, &macro->parts[i]).n;
    n = n < most ? n : most;
    char *memory = arena_bytes(arena, n);
    struct buf out = buf_over(memory, memory ? n : 0);
    for (size_t i = 0; i < macro->count; i++)
        buf_str(&out, str_take(part_value(tx, &macro->parts[i]), out.cap - out.n));
    return buf_text(&out);
}
