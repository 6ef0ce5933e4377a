/* config/rules.c - the keys of the firewall: which files hold its rules, what a cluster takes away from them,
 * and what such settings mean where they are not given. The rules themselves are read elsewhere, by who uses
 * them; here it is made sure that the files are there. */
#include "config/reader.h"

#ifndef POLDER_DATADIR
#define POLDER_DATADIR "/usr/local/share/polder"
#endif

enum { RULE_FILES_MAX = 1024 };

/* As /usr/share/modsecurity-crs/owasp-crs.load has it, between our own. */
static const struct {
    const char *pattern;
    bool is_optional;
} standard_rules[] = {
    {POLDER_DATADIR "/waf/polder.conf", false},
    {"/etc/modsecurity/crs/crs-setup.conf", false},
    {"/etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf", true},
    {POLDER_DATADIR "/waf/fhir.conf", false},
    {POLDER_DATADIR "/waf/care-language.conf", false},
    {"/usr/share/modsecurity-crs/rules/*.conf", false},
    {"/etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf", true},
    {POLDER_DATADIR "/waf/fhir-after.conf", false},
};

/* ---- files of rules */

/* The loader writes the names into quotes. */
static bool is_plain_path(struct str path)
{
    return str_find_char(path, '"') < 0 && str_find_char(path, '\\') < 0;
}

static bool add_file(struct reader *r, struct config_waf *waf, struct str *files, struct str path,
                     struct place at)
{
    struct str bytes, error = STR_NONE;
    bool has_room = waf->rule_count < RULE_FILES_MAX;
    if (!has_room || !is_plain_path(path))
        problem_error(r->problems, at, STR_NONE,
                      has_room ? "the file of rules %s has a quote or a backslash in its name"
                               : "there are more than 1024 files of rules, the first too many is %s",
                      problem_quote(r->problems, path));
    else if (!r->files->read(r->files->self, path, &bytes, &error))
        problem_error(r->problems, at, STR_NONE, "the file of rules %s cannot be read: %.*s",
                      problem_quote(r->problems, path), STR_ARG(error));
    else {
        reader_digest(r, path);
        reader_digest(r, bytes);
        files[waf->rule_count++] = arena_copy(r->arena, path);
        return true;
    }
    return false;
}

static bool is_pattern(struct str s)
{
    return str_find_char(s, '*') >= 0 || str_find_char(s, '?') >= 0 || str_find_char(s, '[') >= 0;
}

/* False: nothing is there; anything else that is wrong was reported. */
static bool add_pattern(struct reader *r, struct config_waf *waf, struct str *files, struct str pattern,
                        struct place at)
{
    struct str lines = STR_NONE;
    bool any = false;
    if (!r->files || !r->files->list || !r->files->list(r->files->self, pattern, &lines))
        return false;
    for (; lines.n; any = true)
        if (!add_file(r, waf, files, str_cut(&lines, '\n'), at))
            return true;
    return any;
}

static struct str *begin_files(struct reader *r)
{
    struct config_waf *waf = &r->root->config.waf;
    struct str *files = arena_alloc(r->arena, RULE_FILES_MAX * sizeof *files);
    waf->rules = files;
    waf->rule_count = 0;
    return files;
}

static void read_rule_word(struct reader *r, const struct config_key *key, const struct node *node,
                           struct str *files)
{
    struct str word;
    if (!reader_word(r, key, node, &word) || add_pattern(r, &r->root->config.waf, files, word, node->at))
        return;
    problem_error(r->problems, node->at, STR("paths are taken from the folder of the configuration file"),
                  is_pattern(word) ? "no file of rules matches %s" : "there is no file of rules %s",
                  problem_quote(r->problems, word));
}

void read_rule_files(struct reader *r, const struct config_key *key, const struct node *node,
                     void *base [[maybe_unused]])
{
    struct str *files = begin_files(r);
    if (node->type == NODE_MAPPING || node_is_null(node) || node->child_count > key->max) {
        reader_complain(r, key, node);
        return;
    }
    if (node->type == NODE_SCALAR)
        read_rule_word(r, key, node, files);
    for (const struct node *child = node->first; files && child; child = child->next)
        read_rule_word(r, key, child, files);
}

static void take_standard_rules(struct reader *r, struct place at)
{
    struct str *files = begin_files(r);
    for (size_t i = 0; files && i < sizeof standard_rules / sizeof *standard_rules; i++) {
        struct str pattern = str_of(standard_rules[i].pattern);
        if (!add_pattern(r, &r->root->config.waf, files, pattern, at) && !standard_rules[i].is_optional) {
            problem_error(r->problems, at, STR("install modsecurity-crs, or name files with `rules`"),
                          "'waf' without 'rules' means Debian's rules, but there is no %s",
                          problem_quote(r->problems, pattern));
            return;
        }
    }
}

void waf_end(struct reader *r, const struct node *node, void *base [[maybe_unused]],
             unsigned index [[maybe_unused]])
{
    struct config *c = &r->root->config;
    if (!node_child(node, "rules"))
        take_standard_rules(r, node->at);
    if (!node_child(node, "patches"))
        config_standard_patches(r, node->at);
    if (!c->waf.cache_directory.n)
        c->waf.cache_directory = arena_printf(r->arena, "%.*s/waf", STR_ARG(c->gate.state_directory));
}

/* ---- clusters and routes */

/* A text has more than one word in its line, or several lines; a file's name has neither. */
void read_exclusions(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word, *path = field_at(base, key->where.offset), *text = field_at(base, key->where.second);
    if (node->type == NODE_SCALAR && node->is_block)
        word = node->text;
    else if (!reader_word(r, key, node, &word))
        return;
    if (word.n > key->max)
        reader_complain(r, key, node);
    else if (str_find_char(word, ' ') >= 0 || str_find_char(word, '\n') >= 0)
        *text = arena_copy(r->arena, word);
    else if (reader_file(r, key, word, node->at, text))
        *path = arena_copy(r->arena, word);
}

void cluster_waf_end(struct reader *r, const struct node *node, void *base, unsigned index [[maybe_unused]])
{
    const struct config_cluster_waf *waf = &((struct config_cluster *)base)->waf;
    if (waf->mode != WAF_MODE_OFF && !r->root->config.waf.is_set)
        problem_error(r->problems, node->at, STR("add `waf: {}` at the top level"),
                      "a cluster cannot be inspected without rules, which the top level's 'waf' names");
    for (const struct node *child = node->first; waf->mode == WAF_MODE_OFF && child; child = child->next)
        if (!str_eq(child->key, STR("mode")))
            problem_warn(r->problems, child->at, STR_NONE,
                         "this has no effect, but in routes that have a mode of their own: mode is off");
}

void config_inherit_waf(const struct reader *r, struct config_cluster *cluster, struct config_route *routes)
{
    struct config_cluster_waf *waf = &cluster->waf;
    if (waf->mode == WAF_MODE_UNSET)
        waf->mode = r->root->config.waf.is_set ? WAF_MODE_BLOCK : WAF_MODE_OFF;
    for (unsigned i = 0; i < cluster->route_count; i++) {
        struct config_route_waf *own = &routes[i].waf;
        own->mode = own->mode == WAF_MODE_UNSET ? waf->mode : own->mode;
        own->answers = own->answers == WAF_ANSWERS_UNSET ? waf->answers : own->answers;
        own->body_bytes = own->body_bytes ? own->body_bytes : waf->body_bytes;
    }
}

void route_waf_end(struct reader *r, const struct node *node, void *base, unsigned index [[maybe_unused]])
{
    const struct config_route_waf *waf = &((struct config_route *)base)->waf;
    if (waf->mode > WAF_MODE_OFF && !r->root->config.waf.is_set)
        problem_error(r->problems, node_place(node, "mode"), STR("add `waf: {}` at the top level"),
                      "a route cannot be inspected without rules, which the top level's 'waf' names");
}
