/* The virtual patches that Polder brings: each reads without a mistake, its rules alone stop what must be
 * stopped (or the parser does) and let pass what must pass, and none is in another's way. */
#include "waf/offline.h"
#include "waf/patch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PATCHES_MAX = 32, ARENA_BYTES = 256 << 20 };

static const struct h1_limits limits = {.head_bytes = 32 << 10, .field_count = 100, .target_bytes = 8192};

static struct arena *arena;
static struct waf_patch patches[PATCHES_MAX];
static unsigned count;

static struct str read_all(const char *path)
{
    static char memory[1 << 20];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(memory, 1, sizeof memory, file);
    fclose(file);
    return arena_copy(arena, (struct str){memory, n});
}

static int read_patches(void **)
{
    struct dirent *entry;
    DIR *folder = opendir(PATCHES);
    arena = arena_new(ARENA_BYTES);
    assert_true(folder && arena);
    while ((entry = readdir(folder))) {
        char path[512];
        struct config_problem *problems;
        unsigned problem_count;
        if (!str_ends(str_of(entry->d_name), STR(".yaml")))
            continue;
        snprintf(path, sizeof path, PATCHES "/%s", entry->d_name);
        assert_true(count < PATCHES_MAX);
        if (!waf_patch_read(arena_copy(arena, str_of(path)), read_all(path), arena, &patches[count++],
                            &problems, &problem_count))
            fail_msg("%s:%u:%u: %.*s", path, problems[0].line, problems[0].column, STR_ARG(problems[0].text));
    }
    closedir(folder);
    assert_true(count >= 6);
    return 0;
}

static int forget_patches(void **)
{
    arena_free(arena);
    return 0;
}

static bool no_file(void *context, struct str from, struct str path, struct arena *a, struct str *ret_text)
{
    return false;
}

static bool no_list(void *context, struct str from, struct str pattern, struct arena *a,
                    struct str **ret_paths, size_t *ret_count)
{
    return false;
}

static struct waf_rules *load(unsigned first, unsigned end)
{
    static const struct waf_files nowhere = {.read = no_file, .list = no_list};
    static char text[1 << 20];
    static struct waf_problems problems;
    struct buf out = buf_over(text, sizeof text);
    BUF_LIT(&out, "SecRuleEngine On\nSecRequestBodyAccess On\n"
                  "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" "
                  "\"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n");
    for (unsigned i = first; i < end; i++)
        buf_str(&out, patches[i].rules);
    assert_false(buf_overflowed(&out));
    struct waf_rules *rules = waf_rules_load(STR("patches"), buf_text(&out), &nowhere, &problems);
    if (!rules)
        fail_msg("%s:%u: %s", problems.items[0].file, problems.items[0].line, problems.items[0].what);
    return rules;
}

static bool passes(const struct waf_overlay *overlay, const struct waf_patch_request *request)
{
    static char memory[WAF_PATCH_SENT_MAX];
    struct buf raw = buf_over(memory, sizeof memory);
    struct waf_offline result;
    struct arena *own = arena_new(32 << 20);
    assert_non_null(own);
    assert_true(waf_patch_request_write(&raw, request, STR("noord.example")));
    waf_offline_run(overlay, buf_text(&raw), &limits, 0, own, &result);
    assert_true(result.end == WAF_OFFLINE_INSPECTED || result.end == WAF_OFFLINE_REFUSED);
    assert_true(result.end != WAF_OFFLINE_INSPECTED || result.taken == raw.n);
    bool is_passed = waf_offline_passes(&result);
    arena_free(own);
    return is_passed;
}

static void check(const struct waf_overlay *overlay, const struct waf_patch *patch)
{
    for (unsigned i = 0; i < patch->block_count + patch->pass_count; i++) {
        bool must_pass = i >= patch->block_count;
        if (passes(overlay, &patch->requests[i]) != must_pass)
            fail_msg("%.*s: '%.*s' %s", STR_ARG(patch->id), STR_ARG(patch->requests[i].name),
                     must_pass ? "is stopped" : "passes");
    }
}

static void run(unsigned first, unsigned end)
{
    struct waf_problems problems;
    struct waf_overlay_options options = {.mode = WAF_BLOCK};
    struct waf_rules *rules = load(first, end);
    struct waf_overlay *overlay = waf_overlay_new(rules, &options, &problems);
    assert_non_null(overlay);
    for (unsigned i = first; i < end; i++)
        check(overlay, &patches[i]);
    waf_overlay_free(overlay);
    waf_rules_free(rules);
}

static void test_each_alone(void **)
{
    for (unsigned i = 0; i < count; i++)
        run(i, i + 1);
}

static void test_all_together(void **)
{
    assert_null(waf_patches_clash(patches, count, arena));
    run(0, count);
}

/* The rules have work to do: without them most of what must be blocked passes the parser. */
static void test_rules_are_needed(void **)
{
    struct waf_problems problems;
    struct waf_overlay_options options = {.mode = WAF_BLOCK};
    struct waf_rules *rules = load(0, 0);
    struct waf_overlay *overlay = waf_overlay_new(rules, &options, &problems);
    for (unsigned i = 0; i < count; i++) {
        unsigned passing = 0;
        for (unsigned k = 0; k < patches[i].block_count; k++)
            passing += passes(overlay, &patches[i].requests[k]);
        if (!passing)
            fail_msg("%.*s blocks nothing that the parser does not", STR_ARG(patches[i].id));
    }
    waf_overlay_free(overlay);
    waf_rules_free(rules);
}

/* A cluster that wants to be without a patch is. */
static void test_exception(void **)
{
    struct waf_problems problems;
    char text[4096];
    struct buf out = buf_over(text, sizeof text);
    struct waf_rules *rules = load(0, count);
    for (unsigned i = 0; i < count; i++)
        waf_patch_write_exclusion(&out, &patches[i]);
    struct waf_overlay_options options = {.mode = WAF_BLOCK, .exclusions = buf_text(&out)};
    struct waf_overlay *overlay = waf_overlay_new(rules, &options, &problems);
    assert_non_null(overlay);
    unsigned passing = 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < patches[i].block_count; k++)
            passing += passes(overlay, &patches[i].requests[k]);
    assert_true(passing > 20);
    waf_overlay_free(overlay);
    waf_rules_free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_alone),
        cmocka_unit_test(test_all_together),
        cmocka_unit_test(test_rules_are_needed),
        cmocka_unit_test(test_exception),
    };
    return cmocka_run_group_tests(tests, read_patches, forget_patches);
}
