#include "waf/tx.h"

static struct str part_value(struct waf_tx *tx, const struct macro_part *part)
{
    struct str value;
    if (!part->is_value)
        return part->text;
    return collect_one(tx, part->variable, part->has_selector ? part->text : STR_NONE, &value) ? value
                                                                                               : STR_NONE;
}

struct str macro_expand(struct waf_tx *tx, const struct macro *macro, struct arena *arena)
{
    size_t n = 0;
    if (!macro->count)
        return macro->source;
    for (size_t i = 0; i < macro->count; i++)
        n += part_value(tx, &macro->parts[i]).n;
    char *memory = arena_bytes(arena, n);
    struct buf out = buf_over(memory, memory ? n : 0);
    for (size_t i = 0; i < macro->count; i++)
        buf_str(&out, part_value(tx, &macro->parts[i]));
    return buf_text(&out);
}
