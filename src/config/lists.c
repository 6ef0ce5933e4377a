/* config/lists.c - readers of the kinds that hold several values, and of names that refer to others. */
#include "config/reader.h"
#include "config/value.h"

/* ---- references */

static const struct config_certificate *find_certificate(struct reader *r, const struct config_key *key,
                                                         const struct node *node)
{
    const struct config *c = &r->root->config;
    struct str word;
    if (!reader_word(r, key, node, &word))
        return NULL;
    for (unsigned i = 0; i < c->certificate_count; i++)
        if (str_eq(c->certificates[i].name, word))
            return &c->certificates[i];
    struct nearest near = nearest_to(word);
    for (unsigned i = 0; i < c->certificate_count && r->problems->count < PROBLEMS_MAX; i++)
        nearest_try(&near, c->certificates[i].name);
    struct str hint = nearest_hint(&near, r->problems);
    problem_error(r->problems, node->at, hint.n ? hint : STR("add it under `certificates`"),
                  "there is no certificate called %s", problem_quote(r->problems, word));
    return NULL;
}

void read_certificate(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    *(const struct config_certificate **)field_at(base, key->where.offset) = find_certificate(r, key, node);
}

void read_upstream(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    const struct config *c = &r->root->config;
    struct str word;
    if (!reader_word(r, key, node, &word))
        return;
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (str_eq(c->upstreams[i].name, word)) {
            *(const struct config_upstream **)field_at(base, key->where.offset) = &c->upstreams[i];
            return;
        }
    struct nearest near = nearest_to(word);
    for (unsigned i = 0; i < c->upstream_count && r->problems->count < PROBLEMS_MAX; i++)
        nearest_try(&near, c->upstreams[i].name);
    struct str hint = nearest_hint(&near, r->problems);
    problem_error(r->problems, node->at, hint.n ? hint : STR("add it under `upstreams`"),
                  "there is no upstream called %s", problem_quote(r->problems, word));
}

/* ---- lists of words; one word may stand for a list of one */

bool reader_many_begin(struct reader *r, const struct config_key *key, const struct node *node, void *base,
                       size_t entry_size, struct reader_many *ret)
{
    *ret = (struct reader_many){node, 1, NULL};
    if (node->type == NODE_SEQUENCE)
        *ret = (struct reader_many){node->first, node->child_count, NULL};
    if (node->type == NODE_MAPPING || node_is_null(node)) {
        reader_complain(r, key, node);
        return false;
    }
    if (ret->count < key->min || ret->count > key->max) {
        problem_error(r->problems, node->at, STR_NONE, "'%s' must have from %u to %u entries, not %u",
                      key->name, (unsigned)key->min, (unsigned)key->max, ret->count);
        return false;
    }
    ret->entries = arena_alloc(r->arena, ret->count * entry_size);
    if (!ret->entries)
        return false;
    *(const void **)field_at(base, key->where.offset) = ret->entries;
    *(unsigned *)field_at(base, key->where.second) = ret->count;
    return true;
}

void read_certificates(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    const struct config_certificate **to;
    struct reader_many m;
    if (!reader_many_begin(r, key, node, base, sizeof(void *), &m)) /* entries are pointers */
        return;
    to = m.entries;
    for (unsigned i = 0; i < m.count; i++, m.at = m.at->next)
        to[i] = find_certificate(r, key, m.at);
}

void read_prefixes(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct addr_prefix *to;
    struct str word;
    struct reader_many m;
    if (!reader_many_begin(r, key, node, base, sizeof *to, &m))
        return;
    to = m.entries;
    for (unsigned i = 0; i < m.count; i++, m.at = m.at->next)
        if (reader_word(r, key, m.at, &word) && !addr_parse_prefix(word, &to[i]))
            problem_error(r->problems, m.at->at, STR("for example 10.0.0.0/8 or 2001:db8::/32"),
                          "%s is not an IP address or network", problem_quote(r->problems, word));
}

/* In lower case: names in certificates are compared so (RFC 6125 6.4.1). */
void read_words(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str *to;
    struct str word;
    struct reader_many m;
    if (!reader_many_begin(r, key, node, base, sizeof *to, &m))
        return;
    to = m.entries;
    for (unsigned i = 0; i < m.count; i++, m.at = m.at->next) {
        char *lower = reader_word(r, key, m.at, &word) ? arena_bytes(r->arena, word.n) : NULL;
        for (size_t at = 0; lower && at < word.n; at++)
            lower[at] = ascii_lower(word.p[at]);
        to[i] = lower ? (struct str){lower, word.n} : STR_NONE;
    }
}

/* The host in lower case; empty: a problem was reported. */
static struct str read_host_pattern(struct reader *r, const struct config_key *key, const struct node *node)
{
    struct str word;
    if (!reader_word(r, key, node, &word))
        return STR_NONE;
    struct str name = str_starts(word, STR("*.")) ? str_skip(word, 2) : word;
    if (!str_eq(word, STR("*")) && !value_is_host(name)) {
        problem_error(r->problems, node->at,
                      str_find_char(word, ':') >= 0
                          ? STR("without a port: a cluster is found by its name on every listener")
                          : STR("for example noord.example, \"*.noord.example\" or \"*\""),
                      "%s is not a host name", problem_quote(r->problems, word));
        return STR_NONE;
    }
    char *lower = arena_bytes(r->arena, word.n);
    if (!lower)
        return STR_NONE;
    for (size_t i = 0; i < word.n; i++)
        lower[i] = ascii_lower(word.p[i]);
    return (struct str){lower, word.n};
}

void read_hosts(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str *to;
    struct reader_many m;
    if (!reader_many_begin(r, key, node, base, sizeof *to, &m))
        return;
    to = m.entries;
    for (unsigned i = 0; i < m.count; i++, m.at = m.at->next) {
        to[i] = read_host_pattern(r, key, m.at);
        if (to[i].n)
            reader_claim(r, CLAIM_HOST, 0, to[i], m.at->at);
    }
}

void read_versions(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    bool tls12 = false, tls13 = false;
    const struct node *at = node->type == NODE_SEQUENCE ? node->first : node;
    unsigned count = node->type == NODE_SEQUENCE ? node->child_count : 1;
    struct str word;
    for (unsigned i = 0; i < count; i++, at = at->next) {
        if (!reader_word(r, key, at, &word))
            return;
        tls12 = tls12 || str_eq(word, STR("1.2"));
        tls13 = tls13 || str_eq(word, STR("1.3"));
        if (!str_eq(word, STR("1.2")) && !str_eq(word, STR("1.3")))
            problem_error(r->problems, at->at, STR("[1.3], or [1.2, 1.3] where a partner needs it"),
                          "TLS version %s is not one of 1.2 and 1.3", problem_quote(r->problems, word));
    }
    if (!tls13)
        problem_error(r->problems, node->at, STR("write [1.2, 1.3]"), "TLS 1.3 cannot be left out");
    *(bool *)field_at(base, key->where.offset) = tls12;
}

/* ---- kinds with a shape of their own */

void read_balance(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct config_upstream *u = base;
    const struct node *hash = node_child(node, "hash");
    struct str word = STR_NONE;
    if (node->type == NODE_SCALAR && str_eq(node->text, STR("round_robin"))) {
        u->balance = BALANCE_ROUND_ROBIN;
    } else if (node->type == NODE_SCALAR && str_eq(node->text, STR("least_requests"))) {
        u->balance = BALANCE_LEAST_REQUESTS;
    } else if (!hash || node->child_count != 1) {
        problem_error(r->problems, node->at, STR("for example `balance: {hash: cookie:session}`"),
                      "'%s' must be round_robin, least_requests or {hash: ...}", key->name);
    } else if (reader_word(r, key, hash, &word)) {
        struct str name = word, on = str_cut(&name, ':');
        u->balance = BALANCE_HASH;
        u->hash_on = str_eq(on, STR("path"))     ? HASH_ON_PATH
                     : str_eq(on, STR("header")) ? HASH_ON_HEADER
                     : str_eq(on, STR("cookie")) ? HASH_ON_COOKIE
                                                 : HASH_ON_SOURCE;
        bool is_named = u->hash_on == HASH_ON_HEADER || u->hash_on == HASH_ON_COOKIE;
        if (is_named ? !value_is_token(name)
                     : name.p || (!str_eq(on, STR("source")) && !str_eq(on, STR("path"))))
            problem_error(r->problems, hash->at, STR_NONE,
                          "'hash' must be source, path, header:NAME or cookie:NAME, not %s",
                          problem_quote(r->problems, word));
        u->hash_name = arena_copy(r->arena, name);
    }
}

void read_error_pages(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct config_cluster *cluster = base;
    unsigned count = 0;
    if (node->type != NODE_MAPPING) {
        reader_complain(r, key, node);
        return;
    }
    struct config_error_page *pages = arena_alloc(r->arena, (node->child_count + 1) * sizeof *pages);
    for (const struct node *child = node->first; child && pages; child = child->next) {
        uint64_t status = 0;
        struct str path, html;
        if (child->key.n != 3 || !str_parse_u64(child->key, &status) || status < 400 || status > 599)
            problem_error(r->problems, child->key_at, STR_NONE,
                          "an error page is for a status from 400 to 599, not %s",
                          problem_quote(r->problems, child->key));
        else if (reader_word(r, key, child, &path) && reader_file(r, key, path, child->at, &html))
            pages[count++] = (struct config_error_page){(uint16_t)status, html};
    }
    cluster->error_pages = pages;
    cluster->error_page_count = count;
}

/* ---- header edits */

struct edit_list {
    struct config_header_edit *edits;
    unsigned count, cap;
    uint64_t scope;
    bool is_request;
};

/* Fields that frame the message or are the gate's own to write (RFC 9110 7.6.1, RFC 9112 6). */
static const char *refused_field(struct str name, bool is_request)
{
    static const char *const framing[] = {"connection", "content-length", "keep-alive", "proxy-connection",
                                          "te",         "trailer",        "upgrade",    "transfer-encoding",
                                          "expect",     "http2-settings"};
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (str_eq(name, str_of(framing[i])))
            return "it belongs to the connection; the gate writes it anew";
    if (str_starts(name, STR("x-polder-")))
        return "it tells the application who the client is; only the gate writes it";
    if (is_request && str_eq(name, STR("host")))
        return "use host_header of the upstream";
    return NULL;
}

static void add_edit(struct reader *r, struct edit_list *list, enum config_edit_op op, struct str name,
                     struct str value, struct place at)
{
    char *lower = arena_bytes(r->arena, name.n);
    if (!value_is_token(name)) {
        problem_error(r->problems, at, STR("letters, digits and -"), "%s is not the name of a header field",
                      problem_quote(r->problems, name));
        return;
    }
    if (!lower || list->count == list->cap)
        return;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.p[i]);
    name = (struct str){lower, name.n};
    const char *why = refused_field(name, list->is_request);
    if (why)
        problem_error(r->problems, at, str_of(why), "the header field %s cannot be edited",
                      problem_quote(r->problems, name));
    reader_claim(r, CLAIM_HEADER, list->scope, name, at);
    list->edits[list->count++] = (struct config_header_edit){op, name, arena_copy(r->arena, str_trim(value))};
}

static void read_edit_values(struct reader *r, const struct config_key *key, struct edit_list *list,
                             enum config_edit_op op, const struct node *node)
{
    struct str value;
    if (node->type != NODE_MAPPING) {
        problem_error(r->problems, node->at, STR("write `NAME: VALUE`"),
                      "'%.*s' is a section of names and values", STR_ARG(node->key));
        return;
    }
    for (const struct node *child = node->first; child; child = child->next)
        if (reader_word(r, key, child, &value))
            add_edit(r, list, op, child->key, value, child->key_at);
}

static void read_edit_names(struct reader *r, const struct config_key *key, struct edit_list *list,
                            const struct node *node)
{
    const struct node *at = node->type == NODE_SEQUENCE ? node->first : node;
    unsigned count = node->type == NODE_SEQUENCE ? node->child_count : 1;
    struct str name;
    for (unsigned i = 0; i < count; i++, at = at->next)
        if (reader_word(r, key, at, &name))
            add_edit(r, list, EDIT_REMOVE, name, STR_NONE, at->at);
}

static unsigned count_edits(const struct node *node)
{
    unsigned count = 0;
    for (const struct node *child = node->first; child; child = child->next)
        count += child->type == NODE_SCALAR ? 1 : child->child_count;
    return count;
}

void read_edits(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct edit_list list = {.cap = count_edits(node),
                             .scope = (uint64_t)node->at.line << 32 | node->at.column,
                             .is_request = str_eq(str_of(key->name), STR("request_headers"))};
    if (node->type != NODE_MAPPING || list.cap < key->min || list.cap > key->max) {
        reader_complain(r, key, node);
        return;
    }
    list.edits = arena_alloc(r->arena, list.cap * sizeof *list.edits);
    for (const struct node *child = node->first; child && list.edits; child = child->next) {
        if (str_eq(child->key, STR("set")))
            read_edit_values(r, key, &list, EDIT_SET, child);
        else if (str_eq(child->key, STR("add")))
            read_edit_values(r, key, &list, EDIT_ADD, child);
        else if (str_eq(child->key, STR("remove")))
            read_edit_names(r, key, &list, child);
        else
            problem_error(r->problems, child->key_at, STR("the keys here are set, add, remove"),
                          "unknown key %s in %s", problem_quote(r->problems, child->key), key->name);
    }
    *(const struct config_header_edit **)field_at(base, key->where.offset) = list.edits;
    *(unsigned *)field_at(base, key->where.second) = list.count;
}
