#include "waf/chains.h"

bool transformation_ignores_case(enum transformation t)
{
    switch (t) {
    case TRANSFORM_cmd_line:
    case TRANSFORM_compress_whitespace:
    case TRANSFORM_css_decode:
    case TRANSFORM_html_entity_decode:
    case TRANSFORM_length:
    case TRANSFORM_lowercase:
    case TRANSFORM_normalize_path:
    case TRANSFORM_normalize_path_win:
    case TRANSFORM_remove_comments_char:
    case TRANSFORM_remove_nulls:
    case TRANSFORM_remove_whitespace:
    case TRANSFORM_replace_comments:
    case TRANSFORM_url_decode:
    case TRANSFORM_url_decode_uni:
    case TRANSFORM_utf8_to_unicode:
        return true;
    case TRANSFORM_base64_decode: /* these look at each byte, or at a letter's case */
    case TRANSFORM_escape_seq_decode:
    case TRANSFORM_hex_encode:
    case TRANSFORM_js_decode:
    case TRANSFORM_sha1:
    case TRANSFORMATION_COUNT:
        break;
    }
    return false;
}

static bool may_ignore_case(const struct transformations *list, size_t from)
{
    for (size_t i = from; i < list->count; i++) {
        if (!transformation_ignores_case((enum transformation)list->items[i]))
            return false;
    }
    return true;
}

static void add_step(struct chain_form *form, uint8_t t, byte_kinds telling)
{
    form->steps[form->n++] = (struct chain_step){t, transformation_kinds(t)};
    form->kinds |= telling;
}

/* Where letters only become small, the text is shown as it is; so only what else the list does counts. */
static void add_scan_step(struct chain *chain, const struct transformations *list, size_t i)
{
    uint8_t t = list->items[i];
    bool makes_small = t == TRANSFORM_lowercase || t == TRANSFORM_cmd_line;
    bool is_left_out = makes_small && may_ignore_case(list, i + 1);
    chain->is_caseless |= makes_small;
    if (!makes_small)
        add_step(&chain->scan, t, transformation_kinds(t));
    else if (t == TRANSFORM_cmd_line)
        add_step(&chain->scan, is_left_out ? TEXT_CMD_LINE_NOCASE : t,
                 transformation_kinds(TEXT_CMD_LINE_NOCASE));
    else if (!is_left_out)
        add_step(&chain->scan, t, 0);
}

void chain_make(struct chain *chain, const struct transformations *list)
{
    *chain = (struct chain){.is_caseless = false};
    for (size_t i = 0; i < list->count; i++) {
        add_step(&chain->whole, list->items[i], transformation_kinds(list->items[i]));
        add_scan_step(chain, list, i);
    }
}
