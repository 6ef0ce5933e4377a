/* proxy/inspect_snapshot.c - what a configuration needs for inspection: its rules, shared with others that
 * read the same texts, and for each cluster an overlay for each mode that one of its routes has. */
#include "proxy/inspect_parts.h"

#include <stdlib.h>

enum { STORE_RECORDS = 256 }; /* of 10 KiB each: addresses, sessions */

static struct inspect_rules *find_rules(const struct snapshot *s, const struct config_files *files)
{
    const struct proxy *p = s->proxy;
    struct inspect_rules *had = p->snapshot ? p->snapshot->rules : NULL;
    if (p->first_rules && inspect_rules_are(p->first_rules, s->config, files))
        return inspect_rules_ref(p->first_rules);
    if (had && inspect_rules_are(had, s->config, files))
        return inspect_rules_ref(had);
    return NULL;
}

static bool find_or_load(struct snapshot *s, struct arena *errors, struct str *ret_error)
{
    struct waf_problems problems;
    struct config_files files;
    if (!config_bundle_files(s->bundle, errors, &files))
        return false;
    s->rules = find_rules(s, &files);
    if (!s->rules)
        s->rules = inspect_rules_load(s->config, &files, s->proxy->first_rules, &problems);
    if (!s->rules)
        *ret_error = inspect_problem_text(&problems, errors);
    else if (s->proxy->inspector->prefilter)
        inspect_rules_use(s->rules, s->proxy->inspector->prefilter);
    return s->rules != NULL;
}

static struct inspect_memory *take_memory(struct inspector *i, uint64_t key)
{
    for (struct list *node = i->memories.next; node != &i->memories; node = node->next) {
        struct inspect_memory *m = container_of(node, struct inspect_memory, node);
        if (m->key == key) {
            m->refs++;
            return m;
        }
    }
    struct inspect_memory *m = calloc(1, sizeof *m);
    struct waf_store *store = m ? waf_store_new(STORE_RECORDS) : NULL;
    if (!store) {
        free(m);
        return NULL;
    }
    *m = (struct inspect_memory){.key = key, .refs = 1, .store = store};
    list_push_back(&i->memories, &m->node);
    return m;
}

static void give_memory(struct inspect_memory *m)
{
    if (!m || --m->refs > 0)
        return;
    list_remove(&m->node);
    waf_store_free(m->store);
    free(m);
}

static bool has_mode(const struct config_cluster *c, enum config_waf_mode mode)
{
    for (unsigned i = 0; i < c->route_count; i++)
        if (c->routes[i].waf.mode == mode)
            return true;
    return false;
}

static bool make_overlay(const struct snapshot *s, const struct config_cluster *c, enum config_waf_mode mode,
                         struct waf_overlay **ret, struct arena *errors, struct str *ret_error)
{
    struct waf_problems problems;
    /* Strangers are inspected strictly while isolation is at level guarded (exchange.is_strict). */
    if (!has_mode(c, mode) && !(mode == WAF_MODE_BLOCK && has_mode(c, WAF_MODE_DETECT)))
        return true;
    *ret = inspect_overlay_new(s->rules, c, mode, &problems);
    if (!*ret)
        *ret_error = inspect_problem_text(&problems, errors);
    return *ret != NULL;
}

bool inspect_snapshot_build(struct snapshot *s, struct arena *errors, struct str *ret_error)
{
    if (!s->config->waf.is_set)
        return true;
    s->inspected = calloc(s->config->cluster_count, sizeof *s->inspected);
    if (!s->inspected || !find_or_load(s, errors, ret_error))
        return false;
    for (unsigned i = 0; i < s->config->cluster_count; i++)
        inspect_cluster_init(&s->inspected[i]);
    for (unsigned i = 0; i < s->config->cluster_count; i++) {
        const struct config_cluster *c = &s->config->clusters[i];
        s->inspected[i].memory = take_memory(s->proxy->inspector, shared_cluster_key(c->name));
        if (!s->inspected[i].memory ||
            !make_overlay(s, c, WAF_MODE_DETECT, &s->inspected[i].detect, errors, ret_error) ||
            !make_overlay(s, c, WAF_MODE_BLOCK, &s->inspected[i].block, errors, ret_error))
            return false;
    }
    return true;
}

void inspect_snapshot_done(struct snapshot *s)
{
    for (unsigned i = 0; s->inspected && i < s->config->cluster_count; i++) {
        give_memory(s->inspected[i].memory);
        waf_overlay_free(s->inspected[i].detect);
        waf_overlay_free(s->inspected[i].block);
    }
    free(s->inspected);
    inspect_rules_unref(s->rules);
}

void inspector_take_prefilter(struct inspector *i, struct inspect_prefilter *f)
{
    struct proxy *p = i->proxy;
    inspect_prefilter_unref(i->prefilter);
    i->prefilter = f;
    if (p->snapshot && p->snapshot->rules)
        inspect_rules_use(p->snapshot->rules, f);
    if (p->prepared && p->prepared->rules)
        inspect_rules_use(p->prepared->rules, f);
}
