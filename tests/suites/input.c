#include "input.h"

/* UTF-8 of U+0000..U+00FF to bytes. */
static struct str bytes_of(struct input *in, uint32_t node)
{
    if (node == JSON_NONE)
        return STR_NONE;
    struct str text = json_string(&in->tape, node, in->arena);
    char *out = arena_bytes(in->arena, text.n);
    size_t n = 0;
    for (size_t i = 0; out && i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c >= 0xc0 && i + 1 < text.n)
            c = (uint8_t)(c << 6 | ((uint8_t)text.p[++i] & 0x3f));
        out[n++] = (char)c;
    }
    return (struct str){out, n};
}

struct str input_member(struct input *in, uint32_t object, const char *name)
{
    return bytes_of(in, json_get(&in->tape, object, str_of(name)));
}

struct waf_field *input_fields(struct input *in, uint32_t object, size_t *ret_count)
{
    uint32_t list = json_get(&in->tape, object, STR("fields"));
    size_t count = list == JSON_NONE ? 0 : json_count(&in->tape, list);
    struct waf_field *fields = arena_alloc(in->arena, (count + 1) * sizeof *fields);
    uint32_t node = count ? json_first(&in->tape, list) : 0;
    for (size_t i = 0; fields && i < count; i++, node = json_next(&in->tape, node)) {
        uint32_t name = json_first(&in->tape, node);
        fields[i] = (struct waf_field){bytes_of(in, name), bytes_of(in, json_next(&in->tape, name))};
    }
    *ret_count = count;
    return fields;
}
