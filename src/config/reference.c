/* config/reference.c - keys.def for people: polder.yaml(5) in mdoc, and a file with every key. */
#include "config/table.h"
#include "config/value.h"

/* ---- the manual page */

/* Text where mdoc sees no macro and no escape. */
static void write_text(struct buf *b, const char *z)
{
    for (; *z; z++) {
        if (*z == '\\')
            BUF_LIT(b, "\\e");
        else if (*z == '-')
            BUF_LIT(b, "\\-");
        else if (z[0] == '.' && z[1] == ' ') { /* mdoc: a new sentence on a new line */
            BUF_LIT(b, ".\n");
            z++;
        } else
            buf_char(b, *z);
    }
}

static void write_number(struct buf *b, const struct config_key *key, uint64_t value)
{
    if (key->kind == KIND_SIZE)
        value_write_size(b, value);
    else if (key->kind == KIND_DURATION || key->kind == KIND_SECONDS)
        value_write_duration(b, key->kind == KIND_SECONDS ? value * 1000 : value);
    else
        buf_u64(b, value);
    if (key->kind == KIND_PERCENT)
        buf_char(b, '%');
}

static void write_choices(struct buf *b, unsigned set)
{
    unsigned count;
    const struct config_choice *all = config_choices(&count);
    for (unsigned i = 0; i < count; i++)
        if (all[i].set == set) {
            buf_char(b, ' ');
            write_text(b, all[i].word);
        }
}

static void write_facts(struct buf *b, const struct config_key *key)
{
    const struct config_kind_info *kind = config_kind_info(key->kind);
    write_text(b, kind->words);
    if (key->kind == KIND_CHOICE)
        write_choices(b, key->of);
    if (kind->shape == SHAPE_NUMBER) {
        BUF_LIT(b, ", from ");
        write_number(b, key, key->min);
        BUF_LIT(b, " to ");
        write_number(b, key, key->max);
    }
    BUF_LIT(b, "; ");
    if (key_is_required(key))
        BUF_LIT(b, "required");
    else if (key_has_standard(key)) {
        BUF_LIT(b, "default ");
        write_text(b, key->standard);
    } else
        BUF_LIT(b, "optional");
}

static void write_item(struct buf *b, const struct config_key *key)
{
    buf_printf(b, ".It Sy %s\n", key->name);
    write_text(b, key->help);
    BUF_LIT(b, "\n.br\n(");
    write_facts(b, key);
    BUF_LIT(b, ")\n");
}

static void write_section(struct buf *b, unsigned id)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    buf_printf(b, ".Ss %s\n", config_section(id)->title);
    write_text(b, config_section(id)->help);
    BUF_LIT(b, "\n.Bl -tag -width Ds\n");
    for (unsigned i = 0; i < count; i++)
        write_item(b, &keys[i]);
    BUF_LIT(b, ".El\n");
}

void config_reference_write(struct buf *b)
{
    BUF_LIT(b, ".\\\" Made from src/config/keys.def.\n"
               ".Dd November 21, 2026\n.Dt POLDER.YAML 5\n.Os\n"
               ".Sh NAME\n.Nm polder.yaml\n.Nd configuration of the polder access gateway\n"
               ".Sh DESCRIPTION\n"
               "The gate reads one YAML file.\nRelative paths in it are taken from the folder it lies in.\n"
               ".Xr polder 1\ncan check a file and tells every mistake with its place in one run.\n"
               "A reload takes the whole file or nothing of it.\n.Pp\n"
               "Sizes are numbers of bytes, or end in k, m or g, in steps of 1024.\n"
               "Times end in ms, s, m, h, d or y (365 days).\n"
               "Where a list of words is asked for, one word may stand alone.\n"
               "Anchors, aliases, tags, merge keys and further documents are refused.\n"
               ".Sh KEYS\n");
    for (unsigned i = 0; i < SECTION_END; i++)
        write_section(b, i);
    BUF_LIT(b, ".Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/polder/polder.yaml\nThe configuration.\n.El\n"
               ".Sh SEE ALSO\n.Xr polder 1 ,\n.Xr polder-gate 8\n");
}

/* ---- the file with every key */

struct example {
    struct buf *out;
    unsigned depth;
    bool is_off; /* inside a section that is commented out */
};

static void write_indent(struct example *e, bool is_comment)
{
    for (unsigned i = 0; i < e->depth; i++)
        BUF_LIT(e->out, "  ");
    if (is_comment || e->is_off)
        buf_char(e->out, '#');
}

static void write_help(struct example *e, const char *help)
{
    struct str rest = str_of(help);
    while (rest.n) {
        size_t width = 100 - 2 * (size_t)e->depth, n = rest.n <= width ? rest.n : width;
        while (n < rest.n && n > 0 && rest.p[n] != ' ')
            n--;
        write_indent(e, true);
        buf_char(e->out, ' ');
        buf_str(e->out, str_take(rest, n));
        buf_char(e->out, '\n');
        rest = str_trim(str_skip(rest, n));
    }
}

/* A section is written out live when something in it must be given, or when it stands for itself; a list,
 * unless it is a choice that needs other keys too: then it has one entry at least. */
static bool section_is_live(const struct config_key *key)
{
    unsigned count;
    if (key->kind == KIND_LIST)
        return key_is_required(key) || key->min == 0;
    const struct config_key *keys = config_keys(key->of, &count);
    bool has_required = false;
    for (unsigned i = 0; i < count; i++)
        has_required = has_required || key_is_required(&keys[i]);
    return has_required || !key->where.size;
}

static void write_value(struct buf *b, const struct config_key *key)
{
    const char *value = key_has_standard(key) ? key->standard : key->example;
    bool is_bare_dash = strcmp(value, "-") == 0; /* YAML would begin a list */
    buf_str(b, is_bare_dash ? STR("\"-\"") : str_of(value));
}

static void write_example_keys(struct example *e, unsigned section);

static void write_example_section(struct example *e, const struct config_key *key)
{
    bool was_off = e->is_off;
    e->is_off = e->is_off || (key->kind != KIND_STRUCT && !section_is_live(key));
    write_indent(e, false);
    buf_printf(e->out, key->kind == KIND_OVERRIDE ? "%s: {}\n" : "%s:\n", key->name);
    e->depth++;
    if (key->kind == KIND_LIST) {
        write_indent(e, false);
        BUF_LIT(e->out, "-\n");
        e->depth++;
    }
    if (key->kind != KIND_OVERRIDE)
        write_example_keys(e, key->of);
    e->depth -= key->kind == KIND_LIST ? 2 : 1;
    e->is_off = was_off;
}

static void write_example_keys(struct example *e, unsigned section)
{
    unsigned count;
    const struct config_key *keys = config_keys(section, &count);
    for (unsigned i = 0; i < count; i++) {
        write_help(e, keys[i].help);
        if (config_kind_info(keys[i].kind)->shape == SHAPE_INNER) {
            write_example_section(e, &keys[i]);
        } else {
            write_indent(e, !key_is_required(&keys[i]) && !e->is_off);
            buf_str(e->out, str_of(keys[i].name));
            BUF_LIT(e->out, ": ");
            write_value(e->out, &keys[i]);
            buf_char(e->out, '\n');
        }
        if (section == SECTION_ROOT)
            buf_char(e->out, '\n');
    }
}

void config_example_write(struct buf *b)
{
    struct example e = {.out = b};
    BUF_LIT(
        b,
        "# Every key of polder.yaml. Lines that begin with # show the default, or an example where there is\n"
        "# none. See polder.yaml(5).\n\n");
    write_example_keys(&e, SECTION_ROOT);
}
