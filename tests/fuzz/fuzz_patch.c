/* Whatever a virtual patch's file says, it is either refused with problems that lie inside it, or complete:
 * then each of its requests can be written, has its Host, and its rules have ids of their own. */
#include "base/must.h"
#include "waf/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ARENA_BYTES = 64 << 20 };

static void must_lie_inside(const struct config_problem *problems, unsigned count, struct str text)
{
    unsigned lines = 1, errors = 0;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    for (unsigned i = 0; i < count; i++) {
        must(problems[i].line <= lines + 1 && problems[i].text.n > 0);
        errors += !problems[i].is_warning;
    }
    must(errors > 0);
}

static void must_be_complete(const struct waf_patch *p)
{
    static char memory[WAF_PATCH_SENT_MAX + 4096];
    must(p->id.n && p->title.n && p->severity.n && p->reference_count > 0);
    must(p->rule_count > 0 && p->block_count > 0 && p->pass_count > 0);
    for (unsigned i = 0; i < p->rule_count; i++) {
        must(p->rule_ids[i] >= WAF_PATCH_FIRST_RULE && p->rule_ids[i] <= WAF_PATCH_LAST_RULE);
        must(i == 0 || p->rule_ids[i - 1] < p->rule_ids[i]);
    }
    for (unsigned i = 0; i < p->block_count + p->pass_count; i++) {
        struct buf out = buf_over(memory, sizeof memory);
        must(waf_patch_request_write(&out, &p->requests[i], STR("noord.example")));
        must(str_find(buf_text(&out), STR("\r\n\r\n")) > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct config_problem *problems;
    struct waf_patch patch;
    unsigned count;
    if (size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    if (waf_patch_read(STR("fuzz"), text, arena, &patch, &problems, &count))
        must_be_complete(&patch);
    else
        must_lie_inside(problems, count, text);
    arena_free(arena);
    return 0;
}
