#include "config/table.h"

const char config_required[] = "";

#define OPTIONAL NULL
#define REQUIRED config_required
#define NOWHERE                                                                                              \
    {                                                                                                        \
        0, 0, 0                                                                                              \
    }
#define FIELD_SIZE(type, field) sizeof(((struct type *)NULL)->field)
#define AT(type, field)                                                                                      \
    {                                                                                                        \
        offsetof(struct type, field), FIELD_SIZE(type, field), 0                                             \
    }
#define AT2(type, field, field2)                                                                             \
    {                                                                                                        \
        offsetof(struct type, field), FIELD_SIZE(type, field), offsetof(struct type, field2)                 \
    }

static const struct config_kind_info kinds[] = {
#define KIND(id, shape, reader, schema, words) [KIND_##id] = {SHAPE_##shape, reader, schema, words},
#include "config/kinds.def"
};

static const struct config_section sections[] = {
#define CHOICE(...)
#define KEY(...)
#define SECTION(id, title, noun, type, shorthand, begin, end, help)                                          \
    [SECTION_##id] = {#id, title, noun, sizeof(struct type), shorthand, begin, end, help},
#include "config/keys.def"
};

static const struct config_key keys[] = {
#define CHOICE(...)
#define SECTION(...)
#define KEY(section, name, kind, where, standard, min, max, of, example, help)                               \
    {SECTION_##section, KIND_##kind, name, where, standard, min, max, example, help, of},
#include "config/keys.def"
};

static const struct config_choice choices[] = {
#define KEY(...)
#define SECTION(...)
#define CHOICE(set, word, value) {word, CHOICES_##set, value},
#include "config/keys.def"
};

enum { KEY_COUNT = sizeof keys / sizeof *keys };

const struct config_kind_info *config_kind_info(enum config_kind kind)
{
    return &kinds[kind];
}

const struct config_section *config_section(enum config_section_id id)
{
    return &sections[id];
}

const struct config_key *config_keys(enum config_section_id id, unsigned *ret_count)
{
    unsigned first = 0;
    while (first < KEY_COUNT && keys[first].section != id)
        first++;
    unsigned end = first;
    while (end < KEY_COUNT && keys[end].section == id)
        end++;
    *ret_count = end - first;
    return keys + first;
}

const struct config_choice *config_choices(unsigned *ret_count)
{
    *ret_count = sizeof choices / sizeof *choices;
    return choices;
}
