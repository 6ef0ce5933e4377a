#include "config/reader.h"

#include "base/must.h"

#include <stdlib.h>

/* ---- what a value may look like */

static const char *node_words(struct reader *r, const struct node *node)
{
    if (node->type == NODE_SEQUENCE)
        return "a list";
    return node->type == NODE_MAPPING ? "a section" : problem_quote(r->problems, node->text);
}

/* "off, optional or required" */
static const char *choice_words(struct reader *r, unsigned set)
{
    char text[128];
    struct buf b = buf_over(text, sizeof text - 1);
    unsigned count, left = 0;
    const struct config_choice *all = config_choices(&count);
    for (unsigned i = 0; i < count; i++)
        left += all[i].set == set;
    for (unsigned i = 0; i < count; i++)
        if (all[i].set == set) {
            buf_str(&b, str_of(all[i].word));
            left--;
            buf_str(&b, left > 1 ? STR(", ") : left ? STR(" or ") : STR(""));
        }
    const char *z = arena_copy_z(r->scratch, buf_text(&b));
    return z ? z : "";
}

void reader_complain(struct reader *r, const struct config_key *key, const struct node *value)
{
    const char *words =
        key->kind == KIND_CHOICE ? choice_words(r, key->of) : config_kind_info(key->kind)->words;
    struct str hint = key->example[0]
                          ? arena_printf(r->problems->arena, "for example `%s: %s`", key->name, key->example)
                          : STR_NONE;
    problem_error(r->problems, value->at, hint, "'%s' must be %s, not %s", key->name, words,
                  node_words(r, value));
}

bool reader_word(struct reader *r, const struct config_key *key, const struct node *value, struct str *ret)
{
    if (value->type != NODE_SCALAR) {
        reader_complain(r, key, value);
        return false;
    }
    if (node_is_null(value) || value->text.n == 0) {
        problem_error(r->problems, value->at, STR("give it a value or remove the line"), "'%s' has no value",
                      key->name);
        return false;
    }
    if (value->is_block) {
        problem_error(r->problems, value->at, STR("write it on one line"), "'%s' is no text of several lines",
                      key->name);
        return false;
    }
    *ret = value->text;
    return true;
}

/* ---- files */

struct read_file_node {
    struct read_file_node *next;
    struct str path, bytes;
    bool is_good;
};

void reader_digest(struct reader *r, struct str bytes)
{
    uint64_t n = bytes.n; /* in front, so that no two lists of texts digest alike */
    must(EVP_DigestUpdate(r->digest, &n, sizeof n) == 1);
    must(EVP_DigestUpdate(r->digest, bytes.p, bytes.n) == 1);
}

static bool holds_private_key(struct str bytes)
{
    return bytes.n && memmem(bytes.p, bytes.n, "PRIVATE KEY-----", 16);
}

static bool load_file(struct reader *r, const struct config_key *key, struct str path, struct place at,
                      struct str *ret_bytes)
{
    struct str bytes = STR_NONE, error = STR_NONE;
    if (!r->files || !r->files->read(r->files->self, path, &bytes, &error)) {
        problem_error(r->problems, at, STR("paths are taken from the folder of the configuration file"),
                      "'%s' cannot be read from %s: %.*s", key->name, problem_quote(r->problems, path),
                      STR_ARG(error));
    } else if (bytes.n == 0 || bytes.n > FILE_BYTES_MAX) {
        problem_error(r->problems, at, STR_NONE, "the file %s for '%s' %s", problem_quote(r->problems, path),
                      key->name, bytes.n ? "is larger than 16 MiB" : "is empty");
    } else if (holds_private_key(bytes)) {
        problem_error(r->problems, at, STR("keep the key in a file of its own and name it with `key`"),
                      "the file %s for '%s' holds a private key, which no worker may see",
                      problem_quote(r->problems, path), key->name);
    } else {
        *ret_bytes = arena_copy(r->arena, bytes);
        return true;
    }
    return false;
}

bool reader_file(struct reader *r, const struct config_key *key, struct str path, struct place at,
                 struct str *ret_bytes)
{
    for (const struct read_file_node *f = r->read_files; f; f = f->next)
        if (str_eq(f->path, path)) {
            *ret_bytes = f->bytes;
            return f->is_good;
        }
    struct read_file_node *f = arena_alloc(r->scratch, sizeof *f);
    if (!f)
        return false;
    *f = (struct read_file_node){.next = r->read_files, .path = path};
    f->is_good = load_file(r, key, path, at, &f->bytes);
    r->read_files = f;
    reader_digest(r, path);
    reader_digest(r, f->bytes);
    *ret_bytes = f->bytes;
    return f->is_good;
}

/* ---- claims */

void reader_claim(struct reader *r, enum claim_kind kind, uint64_t scope, struct str text, struct place at)
{
    if (r->claim_count == r->claim_cap) {
        unsigned cap = r->claim_cap ? r->claim_cap * 2 : 256;
        struct claim *more = arena_alloc(r->scratch, cap * sizeof *more);
        if (!more)
            return; /* the scratch arena's overflow is an error of its own */
        if (r->claim_count)
            memcpy(more, r->claims, r->claim_count * sizeof *more);
        r->claims = more;
        r->claim_cap = cap;
    }
    r->claims[r->claim_count++] = (struct claim){kind, scope, text, at};
}

static int compare_claims(const struct claim *a, const struct claim *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    return str_compare(a->text, b->text);
}

static int by_claim(const void *pa, const void *pb)
{
    const struct claim *a = pa, *b = pb;
    int order = compare_claims(a, b);
    if (order)
        return order;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    return a->at.column < b->at.column ? -1 : a->at.column > b->at.column;
}

void reader_check_claims(struct reader *r)
{
    static const char *const nouns[] = {[CLAIM_NAME] = "the name",
                                        [CLAIM_HOST] = "the host",
                                        [CLAIM_ADDRESS] = "the address",
                                        [CLAIM_PATH] = "the path",
                                        [CLAIM_ENDPOINT] = "the endpoint",
                                        [CLAIM_HEADER] = "the header field",
                                        [CLAIM_PARTNER] = "the network or certificate"};
    if (r->claim_count)
        qsort(r->claims, r->claim_count, sizeof *r->claims, by_claim);
    for (unsigned i = 1, first = 0; i < r->claim_count; i++) {
        const struct claim *c = &r->claims[i];
        if (compare_claims(&r->claims[first], c) != 0)
            first = i;
        else
            problem_error(r->problems, c->at, STR("keep one of the two"), "%s %s is already taken in line %u",
                          nouns[c->kind], problem_quote(r->problems, c->text), r->claims[first].at.line);
    }
}

/* ---- sections */

static bool is_inner(const struct config_key *key)
{
    return config_kind_info(key->kind)->shape == SHAPE_INNER;
}

void reader_defaults(struct reader *r, enum config_section_id id, void *base)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    for (unsigned i = 0; i < count; i++) {
        const struct config_key *key = &keys[i];
        unsigned before = r->problems->error_count;
        if (key->kind == KIND_SECTION)
            reader_defaults(r, key->of, base);
        else if (key->kind == KIND_STRUCT)
            reader_defaults(r, key->of, field_at(base, key->where.offset));
        else if (key_has_standard(key))
            config_kind_info(key->kind)->read(
                r, key, &(struct node){.type = NODE_SCALAR, .text = str_of(key->standard)}, base);
        must(r->problems->error_count == before);
    }
}

static const struct config_key *find_key(enum config_section_id id, struct str name)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    for (unsigned i = 0; i < count; i++)
        if (str_eq(name, str_of(keys[i].name)))
            return &keys[i];
    return NULL;
}

/* The section inside this one where the key would be right. */
static const struct config_key *find_home(enum config_section_id id, struct str name)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    for (unsigned i = 0; i < count; i++)
        if (is_inner(&keys[i]) && keys[i].kind != KIND_LIST && find_key(keys[i].of, name))
            return &keys[i];
    return NULL;
}

static struct str unknown_key_hint(struct reader *r, enum config_section_id id, struct str name)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    const struct config_key *home = find_home(id, name);
    if (home)
        return arena_printf(r->problems->arena, "it belongs in `%s`", home->name);
    struct nearest near = nearest_to(name);
    for (unsigned i = 0; i < count; i++)
        nearest_try(&near, str_of(keys[i].name));
    struct str hint = nearest_hint(&near, r->problems);
    if (hint.n)
        return hint;
    char text[512];
    struct buf b = buf_over(text, sizeof text);
    for (unsigned i = 0; i < count && i < 12; i++) {
        buf_str(&b, i ? STR(", ") : STR("the keys here are "));
        buf_str(&b, str_of(keys[i].name));
    }
    buf_str(&b, count > 12 ? STR(", ...") : STR(""));
    return arena_copy(r->problems->arena, buf_text(&b));
}

static void report_unknown_keys(struct reader *r, enum config_section_id id, const struct node *section)
{
    for (const struct node *child = section->first; child; child = child->next)
        if (!find_key(id, child->key) && r->problems->count < PROBLEMS_MAX)
            problem_error(r->problems, child->key_at, unknown_key_hint(r, id, child->key),
                          "unknown key %s in %s", problem_quote(r->problems, child->key),
                          config_section(id)->noun);
        else if (!find_key(id, child->key))
            problem_error(r->problems, child->key_at, STR_NONE, "unknown key");
}

/* A file that describes the record service alone needs nothing of a gate's. */
static bool may_be_left_out(enum config_section_id id, const struct node *section)
{
    return id == SECTION_ROOT && node_child(section, "records") && !node_child(section, "listeners") &&
           !node_child(section, "upstreams") && !node_child(section, "clusters");
}

static void read_keys(struct reader *r, enum config_section_id id, const struct node *section, void *base)
{
    unsigned count;
    const struct config_key *keys = config_keys(id, &count);
    for (unsigned i = 0; i < count; i++) {
        const struct node *value = node_child(section, keys[i].name);
        if (value)
            config_kind_info(keys[i].kind)->read(r, &keys[i], value, base);
        else if (key_is_required(&keys[i]) && !may_be_left_out(id, section))
            problem_error(r->problems, section->at,
                          arena_printf(r->problems->arena, "add `%s: %s`", keys[i].name,
                                       keys[i].example[0] ? keys[i].example : "..."),
                          "%s needs '%s'", config_section(id)->noun, keys[i].name);
    }
    report_unknown_keys(r, id, section);
}

/* A bare word as the section it stands for. */
static const struct node *spell_out(struct reader *r, const struct config_section *section,
                                    const struct node *node)
{
    struct node *mapping = arena_alloc(r->scratch, sizeof *mapping);
    struct node *child = arena_alloc(r->scratch, sizeof *child);
    if (!mapping || !child)
        return NULL;
    *child = *node;
    child->next = NULL;
    child->key = str_of(section->shorthand);
    child->key_at = node->at;
    *mapping =
        (struct node){.type = NODE_MAPPING, .at = node->at, .first = child, .last = child, .child_count = 1};
    return mapping;
}

void reader_section(struct reader *r, enum config_section_id id, const struct node *node, void *base,
                    unsigned index)
{
    const struct config_section *section = config_section(id);
    struct node empty = {.type = NODE_MAPPING, .at = node->at};
    if (node->type == NODE_SCALAR && section->shorthand && node->text.n)
        node = spell_out(r, section, node);
    else if (node_is_null(node)) /* all its lines are commented out */
        node = &empty;
    if (!node)
        return;
    if (node->type != NODE_MAPPING) {
        problem_error(r->problems, node->at, STR("write keys and values: `key: value`"),
                      "%s is a section of keys, not %s", section->noun, node_words(r, node));
        return;
    }
    if (section->begin)
        section->begin(r, node, base, index);
    read_keys(r, id, node, base);
    if (section->end)
        section->end(r, node, base, index);
}

void reader_read_root(struct reader *r, const struct node *tree)
{
    reader_defaults(r, SECTION_ROOT, r->root);
    reader_section(r, SECTION_ROOT, tree, r->root, 0);
    reader_check_claims(r);
}

/* ---- the kinds that hold sections */

void read_struct(struct reader *r, const struct config_key *key, const struct node *value, void *base)
{
    reader_section(r, key->of, value, field_at(base, key->where.offset), 0);
}

/* Like a struct, but what it starts from was put there before: the limits of the top level. */
void read_override(struct reader *r, const struct config_key *key, const struct node *value, void *base)
{
    reader_section(r, key->of, value, field_at(base, key->where.offset), 0);
}

/* A section whose keys live in the struct around it; the field is the flag that it is there. */
void read_inline(struct reader *r, const struct config_key *key, const struct node *value, void *base)
{
    if (key->where.size)
        *(bool *)field_at(base, key->where.offset) = true;
    reader_defaults(r, key->of, base);
    reader_section(r, key->of, value, base, 0);
}

static bool count_is_good(struct reader *r, const struct config_key *key, const struct node *value)
{
    unsigned count = value->child_count;
    if (count >= key->min && count <= key->max)
        return true;
    if (count == 0)
        problem_error(r->problems, value->at, STR_NONE, "'%s' has no entries", key->name);
    else
        problem_error(r->problems, value->at, STR_NONE, "'%s' has %u entries: at most %u are possible",
                      key->name, count, (unsigned)key->max);
    return false;
}

void read_list(struct reader *r, const struct config_key *key, const struct node *value, void *base)
{
    size_t size = config_section(key->of)->size;
    struct node empty = {.type = NODE_SEQUENCE, .at = value->at};
    if (node_is_null(value))
        value = &empty;
    if (value->type != NODE_SEQUENCE) {
        problem_error(r->problems, value->at, STR("begin each entry with `- `"), "'%s' is a list, not %s",
                      key->name, node_words(r, value));
        return;
    }
    if (!count_is_good(r, key, value) || value->child_count == 0)
        return;
    char *entries = arena_alloc(r->arena, value->child_count * size);
    if (!entries)
        return;
    unsigned index = 0;
    *(const void **)field_at(base, key->where.offset) = entries;
    for (const struct node *child = value->first; child; child = child->next, index++) {
        /* Counted one by one: hooks may look at the entries before this one. */
        reader_defaults(r, key->of, entries + index * size);
        reader_section(r, key->of, child, entries + index * size, index);
        *(unsigned *)field_at(base, key->where.second) = index + 1;
    }
}
