/* config/schema.c - keys.def as a JSON Schema (draft 2020-12), for editors that complete and check. */
#include "config/table.h"

static void write_string(struct buf *b, const char *z)
{
    buf_char(b, '"');
    for (; *z; z++) {
        if (*z == '"' || *z == '\\')
            buf_char(b, '\\');
        buf_char(b, *z);
    }
    buf_char(b, '"');
}

static void write_ref(struct buf *b, unsigned section)
{
    BUF_LIT(b, "{\"$ref\": \"#/$defs/");
    for (const char *z = config_section(section)->id; *z; z++)
        buf_char(b, ascii_lower(*z));
    BUF_LIT(b, "\"}");
}

static void write_choices(struct buf *b, unsigned set)
{
    unsigned count;
    const struct config_choice *all = config_choices(&count);
    const char *comma = "\"enum\": [";
    for (unsigned i = 0; i < count; i++)
        if (all[i].set == set) {
            buf_str(b, str_of(comma));
            write_string(b, all[i].word);
            comma = ", ";
            if (strcmp(all[i].word, "off") == 0)
                BUF_LIT(b, ", false"); /* what YAML 1.1 makes of a bare off */
        }
    buf_char(b, ']');
}

static void write_list(struct buf *b, const struct config_key *key)
{
    BUF_LIT(b, "\"type\": \"array\", \"items\": ");
    if (config_section(key->of)->shorthand)
        BUF_LIT(b, "{\"anyOf\": [{\"type\": \"string\"}, ");
    write_ref(b, key->of);
    if (config_section(key->of)->shorthand)
        BUF_LIT(b, "]}");
    buf_printf(b, ", \"minItems\": %u, \"maxItems\": %u", (unsigned)key->min, (unsigned)key->max);
}

static void write_many(struct buf *b, const struct config_key *key, const char *schema)
{
    BUF_LIT(b, "\"anyOf\": [{");
    buf_str(b, str_of(schema));
    BUF_LIT(b, "}, {\"type\": \"array\", \"minItems\": 1, \"items\": {");
    buf_str(b, str_of(schema));
    BUF_LIT(b, "}}]");
}

static void write_type(struct buf *b, const struct config_key *key)
{
    const struct config_kind_info *kind = config_kind_info(key->kind);
    if (key->kind == KIND_LIST)
        write_list(b, key);
    else if (kind->shape == SHAPE_INNER) {
        BUF_LIT(b, "\"anyOf\": [");
        write_ref(b, key->of);
        BUF_LIT(b, ", {\"type\": \"null\"}]");
    } else if (key->kind == KIND_CHOICE)
        write_choices(b, key->of);
    else if (kind->shape == SHAPE_MANY)
        write_many(b, key, kind->schema);
    else
        buf_str(b, str_of(kind->schema));
    if (key->kind == KIND_COUNT || key->kind == KIND_SIZE)
        buf_printf(b, ", \"minimum\": %llu, \"maximum\": %llu", (unsigned long long)key->min,
                   (unsigned long long)key->max);
    else if (kind->shape == SHAPE_WORD && key->max >= key->min && key->max && key->kind != KIND_STATUS_RANGE)
        buf_printf(b, ", \"maxLength\": %u", (unsigned)key->max);
}

static void write_standard(struct buf *b, const struct config_key *key)
{
    if (!key_has_standard(key))
        return;
    BUF_LIT(b, ", \"default\": ");
    if (key->kind == KIND_COUNT || key->kind == KIND_BOOL)
        buf_str(b, str_of(key->standard));
    else
        write_string(b, key->standard);
}

static void write_key(struct buf *b, const struct config_key *key)
{
    BUF_LIT(b, "\n      ");
    write_string(b, key->name);
    BUF_LIT(b, ": {\"description\": ");
    write_string(b, key->help);
    BUF_LIT(b, ", ");
    write_type(b, key);
    write_standard(b, key);
    buf_char(b, '}');
}

static void write_required(struct buf *b, unsigned section, const struct config_key *keys, unsigned count)
{
    bool is_root = section == SECTION_ROOT; /* a gate, or the records without one */
    const char *comma = is_root ? ",\n    \"anyOf\": [{\"required\": [\"records\"]}, {\"required\": ["
                                : ",\n    \"required\": [";
    for (unsigned i = 0; i < count; i++)
        if (key_is_required(&keys[i])) {
            buf_str(b, str_of(comma));
            write_string(b, keys[i].name);
            comma = ", ";
        }
    if (comma[1] == ' ')
        buf_str(b, is_root ? STR("]}]") : STR("]"));
}

static void write_object(struct buf *b, unsigned section)
{
    unsigned count;
    const struct config_key *keys = config_keys(section, &count);
    BUF_LIT(b, "\"type\": \"object\",\n    \"description\": ");
    write_string(b, config_section(section)->help);
    BUF_LIT(b, ",\n    \"properties\": {");
    for (unsigned i = 0; i < count; i++) {
        buf_str(b, i ? STR(",") : STR(""));
        write_key(b, &keys[i]);
    }
    BUF_LIT(b, "\n    }");
    write_required(b, section, keys, count);
    BUF_LIT(b, ",\n    \"additionalProperties\": false");
}

void config_schema_write(struct buf *b)
{
    BUF_LIT(b, "{\n    \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n    \"title\": "
               "\"polder.yaml\",\n    ");
    write_object(b, SECTION_ROOT);
    BUF_LIT(b, ",\n    \"$defs\": {\n    \"header_values\": {\"type\": \"object\", \"additionalProperties\": "
               "{\"type\": [\"string\", \"number\", \"boolean\"]}}");
    for (unsigned i = SECTION_ROOT + 1; i < SECTION_END; i++) {
        BUF_LIT(b, ",\n    \"");
        for (const char *z = config_section(i)->id; *z; z++)
            buf_char(b, ascii_lower(*z));
        BUF_LIT(b, "\": {");
        write_object(b, i);
        buf_char(b, '}');
    }
    BUF_LIT(b, "\n    }\n}\n");
}
