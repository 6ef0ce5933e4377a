#include "proxy/inspect_patches.h"

#include <stdio.h>

enum { LINE_BYTES = 32 + 24 * WAF_PATCH_RULES_MAX };

static void tell(struct waf_problems *to, struct str path, const struct config_problem *p)
{
    if (p->is_warning)
        return;
    if (to->count < WAF_PROBLEMS_MAX) {
        struct waf_problem *one = &to->items[to->count];
        *one = (struct waf_problem){.line = p->line, .column = p->column};
        (void)snprintf(one->file, sizeof one->file, "%.*s", STR_ARG(path));
        (void)snprintf(one->what, sizeof one->what, "%.*s%s%.*s", STR_ARG(p->text), p->hint.n ? "; " : "",
                       STR_ARG(p->hint));
    }
    to->count++;
}

static void tell_clash(struct waf_problems *to, const char *what)
{
    if (to->count < WAF_PROBLEMS_MAX) {
        to->items[to->count] = (struct waf_problem){0};
        (void)snprintf(to->items[to->count].what, sizeof to->items[to->count].what, "%s", what);
    }
    to->count++;
}

bool inspect_patches_read(const struct config *config, struct arena *arena, struct inspect_patches *ret,
                          struct waf_problems *ret_problems)
{
    unsigned count = config->waf.patch_count;
    struct waf_patch *items = arena_alloc(arena, (count + 1) * sizeof *items);
    struct str *texts = arena_alloc(arena, (count + 1) * sizeof *texts);
    ret_problems->count = 0;
    if (!items || !texts)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct config_problem *problems;
        unsigned problem_count;
        struct str path = arena_copy(arena, config->waf.patches[i].path);
        texts[i] = arena_copy(arena, config->waf.patches[i].yaml);
        bool is_fine = waf_patch_read(path, texts[i], arena, &items[i], &problems, &problem_count);
        for (unsigned k = 0; !is_fine && k < problem_count; k++)
            tell(ret_problems, path, &problems[k]);
    }
    const char *clash = ret_problems->count ? NULL : waf_patches_clash(items, count, arena);
    if (clash)
        tell_clash(ret_problems, clash);
    *ret = (struct inspect_patches){items, texts, count};
    return ret_problems->count == 0 && !arena_overflowed(arena);
}

bool inspect_patches_are(const struct inspect_patches *p, const struct config *config)
{
    if (p->count != config->waf.patch_count)
        return false;
    for (unsigned i = 0; i < p->count; i++)
        if (!str_eq(p->items[i].path, config->waf.patches[i].path) ||
            !str_eq(p->texts[i], config->waf.patches[i].yaml))
            return false;
    return true;
}

const struct waf_patch *inspect_patches_by_path(const struct inspect_patches *p, struct str path)
{
    for (unsigned i = 0; i < p->count; i++)
        if (str_eq(p->items[i].path, path))
            return &p->items[i];
    return NULL;
}

const struct waf_patch *inspect_patches_by_id(const struct inspect_patches *p, struct str id)
{
    for (unsigned i = 0; i < p->count; i++)
        if (str_eq_nocase(p->items[i].id, id))
            return &p->items[i];
    return NULL;
}

bool inspect_patches_exclusions(const struct inspect_patches *p, const struct config_cluster *cluster,
                                struct arena *arena, struct str *ret_text, struct str *ret_unknown)
{
    const struct config_cluster_waf *waf = &cluster->waf;
    size_t cap = waf->exclusions.n + 1 + (size_t)waf->patch_exception_count * LINE_BYTES;
    struct buf out = buf_over(arena_bytes(arena, cap), cap);
    *ret_unknown = STR_NONE;
    if (!out.p)
        return false;
    buf_str(&out, waf->exclusions);
    buf_char(&out, '\n');
    for (unsigned i = 0; i < waf->patch_exception_count; i++) {
        const struct waf_patch *patch = inspect_patches_by_id(p, waf->patch_exceptions[i]);
        if (!patch) {
            *ret_unknown = waf->patch_exceptions[i];
            return false;
        }
        waf_patch_write_exclusion(&out, patch);
    }
    *ret_text = buf_text(&out);
    return !buf_overflowed(&out);
}
