#include "config/tree.h"

#include <libfyaml.h>

/* The events of libfyaml, not its documents: nothing is resolved or expanded, and reading stops at the
 * first event that is not allowed. Children are kept on a stack of open collections, no recursion. */
struct builder {
    struct fy_parser *parser;
    struct arena *arena;
    struct problems *problems;
    struct node *root;
    struct node *open[TREE_DEPTH_MAX];
    unsigned depth, node_count, document_count;
    struct str key; /* of the innermost mapping, when has_key */
    struct place key_at;
    bool has_key;
    bool stopped;
};

static const char too_many_entries[] = "the configuration has more than 200,000 entries";

static void refuse(struct builder *b, struct place at, const char *hint, const char *text)
{
    problem_error(b->problems, at, str_of(hint), "%s", text);
    b->stopped = true;
}

static struct place place_of(struct fy_token *token, struct place otherwise)
{
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (!mark || mark->line < 0 || mark->column < 0)
        return otherwise;
    return (struct place){(unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

/* Adds up the token's text, chunk by chunk, and copies it when there is somewhere to. fy_token_get_text of
 * libfyaml 0.7.12 would do, but leaks on a long run of quotes. */
static size_t walk_text(struct fy_token *token, char *to)
{
    struct fy_token_iter *iter = fy_token_iter_create(token);
    const struct fy_iter_chunk *chunk = NULL;
    size_t n = 0;
    while (iter && (chunk = fy_token_iter_chunk_next(iter, chunk, NULL))) {
        if (to && chunk->len)
            memcpy(to + n, chunk->str, chunk->len);
        n += chunk->len;
    }
    if (iter)
        fy_token_iter_destroy(iter);
    return n;
}

static struct str text_of(struct arena *arena, struct fy_token *token)
{
    size_t n = token ? walk_text(token, NULL) : 0;
    char *text = n ? arena_bytes(arena, n) : NULL;
    if (!text || walk_text(token, text) != n)
        return STR_NONE;
    return (struct str){text, n};
}

/* ---- before libfyaml sees it */

/* Length of the UTF-8 sequence at p (RFC 3629), 0: not one. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    static const unsigned char second_low[] = {[0xe0] = 0xa0, [0xf0] = 0x90};
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : p[0] >= 0xe0 && p[0] <= 0xef ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0;
    unsigned char low = p[0] == 0xe0 || p[0] == 0xf0 ? second_low[p[0]] : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool line_is_clean(struct problems *ps, struct str line, unsigned number)
{
    unsigned column = 1;
    for (size_t i = 0; i < line.n; column++) {
        const unsigned char *p = (const unsigned char *)line.p + i;
        size_t n = utf8_length(p, line.n - i);
        bool control = (*p < 0x20 && *p != '\t' && !(*p == '\r' && i + 1 == line.n)) || *p == 0x7f;
        if (n == 0)
            problem_error(ps, (struct place){number, column}, STR("save the file as UTF-8"),
                          "this is not UTF-8 text (byte 0x%02x)", *p);
        else if (control)
            problem_error(ps, (struct place){number, column}, STR("remove it"),
                          "a control character (byte 0x%02x) has no place in a configuration", *p);
        if (n == 0 || control)
            return false;
        i += n;
    }
    return true;
}

static size_t count_brackets(struct str line)
{
    size_t count = 0;
    for (size_t i = 0; i < line.n; i++)
        count += line.p[i] == '[' || line.p[i] == '{';
    return count;
}

static bool text_is_clean(struct problems *ps, struct str yaml)
{
    unsigned number = 1;
    size_t brackets = 0;
    if (yaml.n > TREE_BYTES_MAX) {
        problem_error(ps, (struct place){0}, STR_NONE,
                      "the file is larger than 4 MiB: that is not a configuration");
        return false;
    }
    for (struct str rest = yaml; rest.n; number++) {
        struct str line = str_cut(&rest, '\n');
        struct place at = {number, 1};
        brackets += count_brackets(line);
        if (line.n > TREE_LINE_MAX)
            problem_error(ps, at, STR("write one entry per line"), "the line is longer than 16 KiB");
        else if (brackets > TREE_NODES_MAX) /* libfyaml reads far ahead in brackets: seconds for 4 MiB */
            problem_error(ps, at, STR_NONE, "%s", too_many_entries);
        else if (line.n && line.p[0] == '%') /* libfyaml 0.7.12 never returns from a line of '%' */
            problem_error(ps, at, STR("remove the line"), "YAML directives are not used here");
        else if (line_is_clean(ps, line, number))
            continue;
        return false;
    }
    return true;
}

/* ---- building */

/* Escapes in quotes can make what the text itself may not hold. */
static bool holds_controls(struct builder *b, struct str text, struct place at)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f) {
            problem_error(b->problems, at, STR("write it on one line, without escapes"),
                          "a key or value may not hold line breaks or control characters");
            return true;
        }
    return false;
}

static bool key_is_new(struct builder *b, const struct node *mapping)
{
    for (const struct node *child = mapping->first; child; child = child->next)
        if (str_eq(child->key, b->key)) {
            problem_error(b->problems, b->key_at, STR("keep one of the two"),
                          "%s is given twice; the first stands in line %u",
                          problem_quote(b->problems, b->key), child->key_at.line);
            return false;
        }
    return true;
}

static struct fy_token *value_token(const struct fy_event *event)
{
    return event->type == FYET_SCALAR          ? event->scalar.value
           : event->type == FYET_MAPPING_START ? event->mapping_start.mapping_start
                                               : event->sequence_start.sequence_start;
}

static void take_key(struct builder *b, const struct node *mapping, struct fy_event *event)
{
    struct place at = place_of(value_token(event), mapping->at);
    b->key = event->type == FYET_SCALAR ? text_of(b->arena, event->scalar.value) : STR_NONE;
    if (b->key.n == 0) {
        refuse(b, at, "write `key: value`", "a key is expected here");
        return;
    }
    b->key_at = at;
    b->has_key = true;
    if (holds_controls(b, b->key, at))
        b->stopped = true;
    else if (str_eq(b->key, STR("<<")))
        refuse(b, at, "write the entries out", "YAML merge keys are not allowed");
    else if (mapping->child_count == TREE_KEYS_MAX)
        refuse(b, at, NULL, "more than 256 keys in one place");
}

/* A new node, hung under the innermost open collection. NULL: reading has stopped. */
static struct node *add_node(struct builder *b, enum node_type type, struct place at)
{
    struct node *parent = b->depth ? b->open[b->depth - 1] : NULL;
    struct node *node = arena_alloc(b->arena, sizeof *node);
    if (++b->node_count > TREE_NODES_MAX || !node) {
        refuse(b, at, NULL, too_many_entries);
        return NULL;
    }
    *node = (struct node){.type = type, .at = at};
    bool is_kept = true;
    if (parent && parent->type == NODE_MAPPING) {
        node->key = b->key;
        node->key_at = b->key_at;
        b->has_key = false;
        is_kept = key_is_new(b, parent);
    }
    if (!parent) {
        b->root = node;
    } else if (is_kept) {
        *(parent->first ? &parent->last->next : &parent->first) = node;
        parent->last = node;
        parent->child_count++;
    }
    return node;
}

static void open_collection(struct builder *b, enum node_type type, struct fy_token *token)
{
    struct place at = place_of(token, b->has_key ? b->key_at : (struct place){1, 1});
    if (b->depth == TREE_DEPTH_MAX) {
        refuse(b, at, "check the indentation", "nested more than 16 deep");
        return;
    }
    struct node *node = add_node(b, type, at);
    if (node)
        b->open[b->depth++] = node;
}

static void add_scalar(struct builder *b, struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    struct str text = text_of(b->arena, token);
    /* An empty value has no mark of its own worth pointing at. */
    struct place at = text.n || !b->has_key ? place_of(token, b->key_at) : b->key_at;
    struct node *node = add_node(b, NODE_SCALAR, at);
    bool is_block = token && fy_token_scalar_style(token) == FYSS_LITERAL;
    /* The lines of a block were looked at before they were parsed, and a block knows no escapes. */
    if (!node || (!is_block && holds_controls(b, text, at)))
        return;
    node->text = text;
    node->is_block = is_block;
    node->is_quoted = token && fy_token_scalar_style(token) != FYSS_PLAIN;
}

static struct fy_token *anchor_or_tag(struct fy_event *event)
{
    switch (event->type) {
    case FYET_ALIAS:
        return event->alias.anchor;
    case FYET_SCALAR:
        return event->scalar.anchor ? event->scalar.anchor : event->scalar.tag;
    case FYET_MAPPING_START:
        return event->mapping_start.anchor ? event->mapping_start.anchor : event->mapping_start.tag;
    case FYET_SEQUENCE_START:
        return event->sequence_start.anchor ? event->sequence_start.anchor : event->sequence_start.tag;
    default:
        return NULL;
    }
}

static bool begins_value(const struct fy_event *event)
{
    return event->type == FYET_SCALAR || event->type == FYET_MAPPING_START ||
           event->type == FYET_SEQUENCE_START;
}

static void take_value(struct builder *b, struct fy_event *event)
{
    struct node *parent = b->depth ? b->open[b->depth - 1] : NULL;
    if (parent && parent->type == NODE_MAPPING && !b->has_key)
        take_key(b, parent, event);
    else if (event->type == FYET_SCALAR)
        add_scalar(b, event);
    else
        open_collection(b, event->type == FYET_MAPPING_START ? NODE_MAPPING : NODE_SEQUENCE,
                        value_token(event));
}

static void take_event(struct builder *b, struct fy_event *event)
{
    struct fy_token *special = anchor_or_tag(event);
    if (event->type == FYET_ALIAS || special)
        refuse(b, place_of(special, b->key_at), "write the value out",
               "YAML anchors, aliases and tags are not allowed");
    else if (event->type == FYET_DOCUMENT_START && ++b->document_count > 1)
        refuse(b, place_of(event->document_start.document_start, (struct place){0}),
               "keep what stands before `---`", "a configuration is one YAML document");
    else if (begins_value(event))
        take_value(b, event);
    else if ((event->type == FYET_MAPPING_END || event->type == FYET_SEQUENCE_END) && b->depth)
        b->depth--;
}

/* ---- libfyaml */

static void print_nothing(struct fy_diag *diag, void *user, const char *text, size_t n)
{
}

static struct fy_diag *quiet_diag(void)
{
    struct fy_diag_cfg cfg = {.output_fn = print_nothing, .level = FYET_ERROR, .module_mask = ~0U};
    struct fy_diag *diag = fy_diag_create(&cfg);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    return diag;
}

static void report_syntax_errors(struct problems *ps, struct fy_diag *diag)
{
    void *at = NULL;
    unsigned before = ps->error_count;
    for (struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at); e;
         e = fy_diag_errors_iterate(diag, &at))
        if (ps->error_count == before) /* what follows the first is its echo */
            problem_error(ps,
                          (struct place){e->line > 0 ? (unsigned)e->line : 0,
                                         e->line > 0 && e->column > 0 ? (unsigned)e->column : 0},
                          STR("check indentation, quotes and brackets here and just above"),
                          "this is not valid YAML: %s", e->msg ? e->msg : "syntax error");
    if (ps->error_count == before)
        problem_error(ps, (struct place){0}, STR_NONE, "this is not valid YAML");
}

static void parse_events(struct builder *b, struct fy_diag *diag)
{
    struct fy_event *event;
    while (!b->stopped && (event = fy_parser_parse(b->parser))) {
        take_event(b, event);
        fy_parser_event_free(b->parser, event);
    }
    if (!b->stopped && fy_parser_get_stream_error(b->parser)) {
        report_syntax_errors(b->problems, diag);
        b->stopped = true;
    }
}

struct node *tree_read(struct str yaml, struct arena *arena, struct problems *ps)
{
    struct builder b = {.arena = arena, .problems = ps};
    if (!text_is_clean(ps, yaml))
        return NULL;
    struct fy_diag *diag = quiet_diag();
    struct fy_parse_cfg cfg = {
        .search_path = "", .flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE, .diag = diag};
    b.parser = diag ? fy_parser_create(&cfg) : NULL;
    if (b.parser && fy_parser_set_string(b.parser, yaml.n ? yaml.p : "", yaml.n) == 0)
        parse_events(&b, diag);
    else
        refuse(&b, (struct place){0}, NULL, "no memory to read the configuration");
    fy_parser_destroy(b.parser);
    fy_diag_destroy(diag);
    if (!b.stopped && !b.root)
        refuse(&b, (struct place){0}, "it needs at least listeners, clusters and upstreams",
               "the configuration is empty");
    else if (!b.stopped && b.root->type != NODE_MAPPING)
        refuse(&b, b.root->at, "it begins with a key, like `listeners:`",
               "a configuration is a section of keys");
    return b.stopped ? NULL : b.root;
}

/* ---- looking at nodes */

bool node_is_null(const struct node *node)
{
    return node->type == NODE_SCALAR && !node->is_quoted &&
           (node->text.n == 0 || str_eq(node->text, STR("~")) || str_eq(node->text, STR("null")));
}

const struct node *node_child(const struct node *mapping, const char *key)
{
    if (mapping->type != NODE_MAPPING)
        return NULL;
    for (const struct node *child = mapping->first; child; child = child->next)
        if (str_eq(child->key, str_of(key)))
            return child;
    return NULL;
}

struct place node_place(const struct node *mapping, const char *key)
{
    const struct node *child = node_child(mapping, key);
    return child ? child->at : mapping->at;
}
