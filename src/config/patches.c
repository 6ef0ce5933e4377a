/* config/patches.c - which virtual patches there are, and which of them a cluster does without. Their texts
 * are kept with the configuration; what they say is read elsewhere, by who uses them. */
#include "config/reader.h"

#ifndef POLDER_DATADIR
#define POLDER_DATADIR "/usr/local/share/polder"
#endif

enum { PATCHES_MAX = 64, EXCEPTIONS_MAX = 64 };

static bool add_file(struct reader *r, struct str path, struct place at)
{
    struct config_waf *waf = &r->root->config.waf;
    struct config_patch *files = waf->patch_room;
    struct str bytes, error = STR_NONE;
    if (waf->patch_count == PATCHES_MAX)
        problem_error(r->problems, at, STR_NONE,
                      "there are more than 64 virtual patches, the first too many is %s",
                      problem_quote(r->problems, path));
    else if (str_find_char(path, '"') >= 0 || str_find_char(path, '\\') >= 0) /* the rules quote it */
        problem_error(r->problems, at, STR_NONE,
                      "the virtual patch %s has a quote or a backslash in its name",
                      problem_quote(r->problems, path));
    else if (!r->files->read(r->files->self, path, &bytes, &error))
        problem_error(r->problems, at, STR_NONE, "the virtual patch %s cannot be read: %.*s",
                      problem_quote(r->problems, path), STR_ARG(error));
    else {
        reader_digest(r, path);
        reader_digest(r, bytes);
        files[waf->patch_count++] =
            (struct config_patch){arena_copy(r->arena, path), arena_copy(r->arena, bytes)};
        return true;
    }
    return false;
}

/* False: nothing is there; anything else that is wrong was reported. */
static bool add_pattern(struct reader *r, struct str pattern, struct place at)
{
    struct str lines = STR_NONE;
    bool any = false;
    if (!r->files || !r->files->list || !r->files->list(r->files->self, pattern, &lines))
        return false;
    for (; lines.n; any = true)
        if (!add_file(r, str_cut(&lines, '\n'), at))
            return true;
    return any;
}

static void read_entry(struct reader *r, const struct config_key *key, const struct node *node)
{
    struct str word;
    if (reader_word(r, key, node, &word) && !add_pattern(r, word, node->at))
        problem_error(r->problems, node->at, STR("paths are taken from the folder of the configuration file"),
                      "there is no virtual patch %s", problem_quote(r->problems, word));
}

static bool begin(struct reader *r)
{
    struct config_waf *waf = &r->root->config.waf;
    waf->patch_count = 0;
    waf->patches = waf->patch_room = arena_alloc(r->arena, PATCHES_MAX * sizeof *waf->patches);
    return waf->patches != NULL;
}

void read_patch_files(struct reader *r, const struct config_key *key, const struct node *node,
                      void *base [[maybe_unused]])
{
    if (node->type == NODE_MAPPING || node_is_null(node) || node->child_count > key->max) {
        reader_complain(r, key, node);
        return;
    }
    if (!begin(r))
        return;
    if (node->type == NODE_SCALAR)
        read_entry(r, key, node);
    for (const struct node *child = node->first; child; child = child->next)
        read_entry(r, key, child);
}

void config_standard_patches(struct reader *r, struct place at)
{
    if (begin(r))
        (void)add_pattern(r, STR(POLDER_DATADIR "/patches/*.yaml"), at);
}

void read_patch_ids(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct config_cluster_waf *waf = &((struct config_cluster *)base)->waf;
    struct str *ids = arena_alloc(r->arena, EXCEPTIONS_MAX * sizeof *ids), word;
    if (node->type == NODE_MAPPING || node_is_null(node) || node->child_count > key->max) {
        reader_complain(r, key, node);
        return;
    }
    waf->patch_exceptions = ids;
    if (ids && node->type == NODE_SCALAR && reader_word(r, key, node, &word))
        ids[waf->patch_exception_count++] = arena_copy(r->arena, word);
    for (const struct node *child = node->first; ids && child; child = child->next)
        if (reader_word(r, key, child, &word))
            ids[waf->patch_exception_count++] = arena_copy(r->arena, word);
}
