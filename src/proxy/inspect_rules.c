#include "proxy/inspect_rules.h"

#include "base/must.h"
#include "proxy/inspect_patches.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES_MAX = 1 << 20, SEEN_BYTES_MAX = 64 << 20, OVERLAY_TEXT_BYTES_MAX = 1 << 20 };

/* A file the rules were read from, or what a pattern in them matched; the text lies with the rules. */
struct seen {
    struct seen *next;
    bool is_list;
    struct str name, text;
};

struct inspect_rules {
    unsigned refs;
    struct waf_rules *rules;
    struct arena *arena; /* of `seen` and its names, and of the patches */
    struct inspect_patches patches;
    struct str text; /* that includes all files */
    struct seen *seen;
    char key[WAF_PREFILTER_KEY_BYTES];
    struct inspect_prefilter *prefilter;
};

struct inspect_prefilter {
    unsigned refs;
    char key[WAF_PREFILTER_KEY_BYTES];
    struct str bytes;
    void (*release)(struct str);
};

/* ---- files, as the loader asks for them */

struct reading {
    const struct config_files *files;
    struct inspect_rules *set;
};

/* Relative names are taken from the folder of the file they stand in. */
static struct str path_from(struct arena *arena, struct str from, struct str path)
{
    size_t n = from.n;
    while (n && from.p[n - 1] != '/')
        n--;
    if (n == 0 || (path.n && path.p[0] == '/'))
        return path;
    return arena_printf(arena, "%.*s%.*s", (int)n, from.p, STR_ARG(path));
}

static bool remember(struct reading *r, bool is_list, struct str name, struct str text)
{
    struct seen *s = arena_alloc(r->set->arena, sizeof *s);
    if (!s)
        return false;
    *s = (struct seen){r->set->seen, is_list, arena_copy(r->set->arena, name), text};
    r->set->seen = s;
    return s->name.p != NULL;
}

static bool read_file(void *context, struct str from, struct str path, struct arena *arena,
                      struct str *ret_text)
{
    struct reading *r = context;
    struct str bytes, error, name = path_from(arena, from, path);
    const struct waf_patch *patch = inspect_patches_by_path(&r->set->patches, name);
    if (patch) {
        *ret_text = arena_copy(arena, patch->rules);
        return ret_text->p != NULL;
    }
    if (!r->files->read(r->files->self, name, &bytes, &error))
        return false;
    *ret_text = arena_copy(arena, bytes);
    return ret_text->p && remember(r, false, name, *ret_text);
}

static bool list_files(void *context, struct str from, struct str pattern, struct arena *arena,
                       struct str **ret_paths, size_t *ret_count)
{
    struct reading *r = context;
    struct str lines, name = path_from(arena, from, pattern);
    size_t count = 0;
    if (!r->files->list || !r->files->list(r->files->self, name, &lines))
        return false;
    struct str rest = lines = arena_copy(arena, lines);
    for (size_t i = 0; i < lines.n; i++)
        count += lines.p[i] == '\n';
    struct str *paths = arena_alloc(arena, (count + 1) * sizeof *paths);
    if (!lines.p || !paths || !remember(r, true, name, lines))
        return false;
    for (size_t i = 0; i < count; i++)
        paths[i] = str_cut(&rest, '\n');
    *ret_paths = paths;
    *ret_count = count;
    return count > 0;
}

static void write_include(struct buf *out, struct str path)
{
    BUF_LIT(out, "Include \"");
    buf_str(out, path);
    BUF_LIT(out, "\"\n");
}

/* One Include for each virtual patch, then for each file of waf.rules. */
static struct str text_of(const struct config *config, struct arena *arena)
{
    const struct config_waf *waf = &config->waf;
    size_t n = 0;
    for (unsigned i = 0; i < waf->patch_count; i++)
        n += waf->patches[i].path.n + sizeof "Include \"\"\n";
    for (unsigned i = 0; i < waf->rule_count; i++)
        n += waf->rules[i].n + sizeof "Include \"\"\n";
    struct buf b = buf_over(arena_bytes(arena, n + 1), n);
    for (unsigned i = 0; b.p && i < waf->patch_count; i++)
        write_include(&b, waf->patches[i].path);
    for (unsigned i = 0; b.p && i < waf->rule_count; i++)
        write_include(&b, waf->rules[i]);
    return b.p && !buf_overflowed(&b) ? buf_text(&b) : STR_NONE;
}

/* ---- the set */

struct inspect_rules *inspect_rules_load(const struct config *config, const struct config_files *files,
                                         const struct inspect_rules *like, struct waf_problems *ret_problems)
{
    struct inspect_rules *set = calloc(1, sizeof *set);
    struct reading reading = {files, set};
    const struct waf_files source = {&reading, read_file, list_files};
    ret_problems->count = 0;
    if (!set)
        return NULL;
    set->refs = 1;
    set->arena = arena_new(SEEN_BYTES_MAX);
    set->text = set->arena ? text_of(config, set->arena) : STR_NONE;
    if (set->text.p && inspect_patches_read(config, set->arena, &set->patches, ret_problems))
        set->rules = waf_rules_load_like(like ? like->rules : NULL, STR("waf.rules"), set->text, &source,
                                         ret_problems);
    if (!set->rules) {
        inspect_rules_unref(set);
        return NULL;
    }
    waf_prefilter_key(set->rules, set->key);
    return set;
}

struct inspect_rules *inspect_rules_ref(struct inspect_rules *set)
{
    set->refs++;
    return set;
}

void inspect_rules_unref(struct inspect_rules *set)
{
    if (!set || --set->refs > 0)
        return;
    waf_rules_free(set->rules);
    inspect_prefilter_unref(set->prefilter);
    arena_free(set->arena);
    free(set);
}

struct waf_rules *inspect_rules_of(const struct inspect_rules *set)
{
    return set->rules;
}

const struct inspect_patches *inspect_rules_patches(const struct inspect_rules *set)
{
    return &set->patches;
}

struct str inspect_rules_key(const struct inspect_rules *set)
{
    return (struct str){set->key, sizeof set->key};
}

struct inspect_prefilter *inspect_prefilter_new(struct str key, struct str bytes, void (*release)(struct str))
{
    struct inspect_prefilter *f = key.n == WAF_PREFILTER_KEY_BYTES ? calloc(1, sizeof *f) : NULL;
    if (!f)
        return NULL;
    *f = (struct inspect_prefilter){.refs = 1, .bytes = bytes, .release = release};
    memcpy(f->key, key.p, sizeof f->key);
    return f;
}

void inspect_prefilter_unref(struct inspect_prefilter *f)
{
    if (!f || --f->refs > 0)
        return;
    f->release(f->bytes);
    free(f);
}

struct str inspect_prefilter_bytes(const struct inspect_prefilter *f)
{
    return f->bytes;
}

bool inspect_rules_use(struct inspect_rules *set, struct inspect_prefilter *f)
{
    if (set->prefilter || memcmp(set->key, f->key, sizeof set->key) != 0 ||
        !waf_rules_take_prefilter(set->rules, f->bytes))
        return false;
    f->refs++;
    set->prefilter = f;
    return true;
}

static bool is_still(const struct seen *s, const struct config_files *files)
{
    struct str now = STR_NONE, error;
    if (s->is_list)
        return files->list && files->list(files->self, s->name, &now) && str_eq(now, s->text);
    return files->read(files->self, s->name, &now, &error) && str_eq(now, s->text);
}

bool inspect_rules_are(const struct inspect_rules *set, const struct config *config,
                       const struct config_files *files)
{
    struct arena *arena = arena_new(TEXT_BYTES_MAX);
    struct str text = arena ? text_of(config, arena) : STR_NONE;
    bool same = text.p && str_eq(text, set->text) && inspect_patches_are(&set->patches, config);
    arena_free(arena);
    for (const struct seen *s = set->seen; same && s; s = s->next)
        same = is_still(s, files);
    return same;
}

/* ---- clusters */

static void tell_unknown_patch(struct waf_problems *to, struct str id)
{
    to->count = 1;
    to->items[0] = (struct waf_problem){0};
    (void)snprintf(to->items[0].what, sizeof to->items[0].what,
                   "patch_exceptions names %.*s, but no virtual patch has that id", STR_ARG(id));
}

struct waf_overlay *inspect_overlay_new(const struct inspect_rules *set, const struct config_cluster *cluster,
                                        enum config_waf_mode mode, struct waf_problems *ret_problems)
{
    struct arena *arena = arena_new(OVERLAY_TEXT_BYTES_MAX);
    struct str exclusions, unknown;
    ret_problems->count = 0;
    if (!arena || !inspect_patches_exclusions(&set->patches, cluster, arena, &exclusions, &unknown)) {
        if (arena && unknown.p)
            tell_unknown_patch(ret_problems, unknown);
        arena_free(arena);
        return NULL;
    }
    const struct waf_overlay_options options = {
        .mode = mode == WAF_MODE_BLOCK ? WAF_BLOCK : WAF_DETECT,
        .profile = cluster->waf.profile == WAF_BODIES_FHIR ? WAF_PROFILE_FHIR : WAF_PROFILE_PLAIN,
        .paranoia = cluster->waf.paranoia,
        .inbound_threshold = cluster->waf.inbound_threshold,
        .outbound_threshold = cluster->waf.outbound_threshold,
        .exclusions = exclusions,
    };
    struct waf_overlay *overlay = waf_overlay_new(set->rules, &options, ret_problems);
    arena_free(arena);
    return overlay;
}

/* ---- for people */

static void print_place(struct buf *b, const struct waf_problem *p)
{
    if (p->file[0])
        buf_printf(b, "%s:", p->file);
    if (p->line)
        buf_printf(b, "%u:%u:", p->line, p->column);
    buf_printf(b, "%s%s", p->file[0] || p->line ? " " : "", p->what);
}

static void print_problems(struct buf *b, const struct waf_problems *problems)
{
    if (problems->count == 0)
        BUF_LIT(b, "there is no memory to compile the rules of the firewall\n");
    for (size_t i = 0; i < problems->count && i < WAF_PROBLEMS_MAX; i++) {
        print_place(b, &problems->items[i]);
        buf_char(b, '\n');
    }
    if (problems->count > WAF_PROBLEMS_MAX)
        buf_printf(b, "and %zu more problems in the rules of the firewall\n",
                   problems->count - WAF_PROBLEMS_MAX);
}

struct str inspect_problem_text(const struct waf_problems *problems, struct arena *arena)
{
    char text[2 * WAF_PROBLEM_TEXT_MAX + 64];
    struct buf b = buf_over(text, sizeof text);
    if (problems->count == 0)
        return STR("there is no memory to compile the rules of the firewall");
    print_place(&b, &problems->items[0]);
    return arena_copy(arena, buf_text(&b));
}

static bool check_cluster(const struct inspect_rules *set, const struct config_cluster *cluster,
                          struct buf *out)
{
    const struct config_cluster_waf *waf = &cluster->waf;
    const struct waf_limits limits = waf_rules_limits(set->rules);
    struct waf_problems problems;
    struct waf_overlay *overlay = inspect_overlay_new(set, cluster, WAF_MODE_BLOCK, &problems);
    waf_overlay_free(overlay);
    if (!overlay) {
        buf_printf(out, "cluster %.*s, its exclusions %.*s:\n", STR_ARG(cluster->name),
                   STR_ARG(waf->exclusions_path.n ? waf->exclusions_path : STR("(in the configuration)")));
        print_problems(out, &problems);
        return false;
    }
    if (waf->body_bytes <= limits.request_body_bytes)
        return true;
    buf_printf(out,
               "cluster %.*s: its body_limit of %llu bytes is more than the rules allow: "
               "SecRequestBodyLimit is %llu\n",
               STR_ARG(cluster->name), (unsigned long long)waf->body_bytes,
               (unsigned long long)limits.request_body_bytes);
    return false;
}

bool inspect_check(const struct config *config, const struct config_files *files, struct buf *problems,
                   struct inspect_rules **ret_rules)
{
    struct waf_problems found;
    bool fine = true;
    if (ret_rules)
        *ret_rules = NULL;
    if (!config->waf.is_set)
        return true;
    struct inspect_rules *set = inspect_rules_load(config, files, NULL, &found);
    if (!set) {
        print_problems(problems, &found);
        return false;
    }
    for (unsigned i = 0; i < config->cluster_count; i++)
        fine = check_cluster(set, &config->clusters[i], problems) && fine;
    if (fine && ret_rules)
        *ret_rules = set;
    else
        inspect_rules_unref(set);
    return fine;
}
