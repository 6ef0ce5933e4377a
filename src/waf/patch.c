/* waf/patch.c - a virtual patch's file: its keys, and what they may hold. All mistakes are found in one run.
 */
#include "waf/patch.h"
#include "waf/patch_parts.h"

#include "config/tree.h"
#include "waf/text.h"

enum { TITLE_MAX = 160, NAME_MAX_BYTES = 80, ID_MAX = 40, REFERENCES_MAX = 16, PATCH_BYTES_MAX = 1 << 20 };

struct reading {
    struct arena *arena;
    struct problems *problems;
    const struct node *root;
    struct waf_patch *patch;
};

static const char *const keys[] = {"id",    "title",      "severity",  "references",
                                   "rules", "must_block", "must_pass", "description"};
enum { KEY_COUNT = sizeof keys / sizeof *keys, REQUIRED_KEYS = KEY_COUNT - 1 };

static void check_keys(struct reading *r)
{
    for (const struct node *child = r->root->first; child; child = child->next) {
        struct nearest near = nearest_to(child->key);
        bool is_known = false;
        for (unsigned i = 0; i < KEY_COUNT; i++) {
            is_known = is_known || str_eq(child->key, str_of(keys[i]));
            nearest_try(&near, str_of(keys[i]));
        }
        if (!is_known)
            problem_error(r->problems, child->key_at, nearest_hint(&near, r->problems),
                          "a virtual patch knows no key %s", problem_quote(r->problems, child->key));
    }
    for (unsigned i = 0; i < REQUIRED_KEYS; i++)
        if (!node_child(r->root, keys[i]))
            problem_error(r->problems, r->root->at, STR_NONE, "the key '%s' is missing", keys[i]);
}

/* ---- texts */

/* The key's text; empty when it is not there or not usable (then a problem was reported). */
static struct str text_of_key(struct reading *r, const struct node *parent, const char *key, size_t max,
                              bool may_be_block)
{
    const struct node *node = node_child(parent, key);
    if (!node)
        return STR("");
    if (node->type != NODE_SCALAR || node_is_null(node) || node->text.n == 0)
        problem_error(r->problems, node->at, STR_NONE, "'%s' must be a text", key);
    else if (node->is_block && !may_be_block)
        problem_error(r->problems, node->at, STR("write it on one line"), "'%s' is no text of several lines",
                      key);
    else if (node->text.n > max)
        problem_error(r->problems, node->at, STR_NONE, "'%s' is longer than %zu characters", key, max);
    else
        return node->text;
    return STR("");
}

static void read_id(struct reading *r)
{
    struct str id = r->patch->id = text_of_key(r, r->root, "id", ID_MAX, false);
    bool is_fine = true;
    for (size_t i = 0; i < id.n; i++)
        is_fine = is_fine && (is_alnum(id.p[i]) || (i && id.p[i] == '-'));
    if (!is_fine)
        problem_error(r->problems, node_place(r->root, "id"), STR("like CVE-2019-19781"),
                      "%s is no id: letters, digits and '-'", problem_quote(r->problems, id));
}

static void read_severity(struct reading *r)
{
    static const char *const words[] = {"low", "medium", "high", "critical"};
    struct str severity = r->patch->severity = text_of_key(r, r->root, "severity", NAME_MAX_BYTES, false);
    struct nearest near = nearest_to(severity);
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_eq(severity, str_of(words[i])))
            return;
        nearest_try(&near, str_of(words[i]));
    }
    if (severity.n)
        problem_error(r->problems, node_place(r->root, "severity"), nearest_hint(&near, r->problems),
                      "'severity' is low, medium, high or critical, not %s",
                      problem_quote(r->problems, severity));
}

static void read_references(struct reading *r)
{
    const struct node *list = node_child(r->root, "references");
    if (!list)
        return;
    if (list->type != NODE_SEQUENCE || list->child_count == 0 || list->child_count > REFERENCES_MAX) {
        problem_error(r->problems, list->at, STR("write [https://...]"),
                      "'references' must be a list of 1 to %d addresses", REFERENCES_MAX);
        return;
    }
    struct str *texts = arena_alloc(r->arena, list->child_count * sizeof *texts);
    for (const struct node *child = list->first; child && texts; child = child->next) {
        bool is_address = child->type == NODE_SCALAR && str_starts(child->text, STR("https://"));
        if (!is_address)
            problem_error(r->problems, child->at, STR("it begins with https://"),
                          "%s is no address of a reference", problem_quote(r->problems, child->text));
        texts[r->patch->reference_count++] = child->text;
    }
    r->patch->references = texts;
}

/* ---- blocks of lines */

/* The line of the file in which a block's text begins: behind its key, and behind empty lines before it,
 * which are part of the text. A text on the key's own line begins there. */
static unsigned first_line(const struct node *node)
{
    return node->is_block ? node->key_at.line + 1 : node->at.line;
}

static void read_rules(struct reading *r)
{
    struct str text = text_of_key(r, r->root, "rules", PATCH_BYTES_MAX, true);
    const struct node *node = node_child(r->root, "rules");
    if (!text.n)
        return;
    size_t before = first_line(node) - 1;
    char *padded = arena_bytes(r->arena, before + text.n);
    if (!padded)
        return;
    memset(padded, '\n', before);
    memcpy(padded + before, text.p, text.n);
    r->patch->rules = (struct str){padded, before + text.n};
    patch_rules_check(r->problems, r->patch, node->key_at);
}

static void check_request_keys(struct reading *r, const struct node *entry)
{
    for (const struct node *child = entry->first; child; child = child->next)
        if (!str_eq(child->key, STR("name")) && !str_eq(child->key, STR("request")))
            problem_error(r->problems, child->key_at, STR("it has name and request"),
                          "a request knows no key %s", problem_quote(r->problems, child->key));
}

static void read_request(struct reading *r, const struct node *entry, struct waf_patch_request *ret)
{
    const struct node *text = node_child(entry, "request");
    if (entry->type != NODE_MAPPING) {
        problem_error(r->problems, entry->at, STR("write `- name: ...` and `request: |` below it"),
                      "a request is a name and a text");
        return;
    }
    check_request_keys(r, entry);
    if (!node_child(entry, "name") || !text) {
        problem_error(r->problems, entry->at, STR_NONE, "the request lacks its %s",
                      text ? "name" : "text (the key 'request')");
        return;
    }
    ret->name = text_of_key(r, entry, "name", NAME_MAX_BYTES, false);
    ret->text = text_of_key(r, entry, "request", WAF_PATCH_SENT_MAX, true);
    ret->line = first_line(text);
    if (ret->text.n)
        patch_request_check(r->problems, ret);
}

/* Appends the requests of one list to those at ret; how many. */
static unsigned read_requests(struct reading *r, const char *key, struct waf_patch_request *ret)
{
    const struct node *list = node_child(r->root, key);
    unsigned count = 0;
    if (!list)
        return 0;
    if (list->type != NODE_SEQUENCE || list->child_count == 0 || list->child_count > WAF_PATCH_REQUESTS_MAX) {
        problem_error(r->problems, list->key_at, STR_NONE, "'%s' must be a list of 1 to %d requests", key,
                      WAF_PATCH_REQUESTS_MAX);
        return 0;
    }
    for (const struct node *entry = list->first; entry; entry = entry->next)
        read_request(r, entry, &ret[count++]);
    return count;
}

static void check_names(struct reading *r)
{
    const struct waf_patch *p = r->patch;
    for (unsigned i = 0; i < p->block_count + p->pass_count; i++)
        for (unsigned k = 0; k < i; k++)
            if (p->requests[i].name.n && str_eq(p->requests[i].name, p->requests[k].name)) {
                problem_error(r->problems, (struct place){p->requests[i].line, 0}, STR_NONE,
                              "two requests are called %s", problem_quote(r->problems, p->requests[i].name));
                break;
            }
}

static void read_all_requests(struct reading *r)
{
    struct waf_patch_request *requests = arena_alloc(r->arena, 2 * WAF_PATCH_REQUESTS_MAX * sizeof *requests);
    if (!requests)
        return;
    r->patch->requests = requests;
    r->patch->block_count = read_requests(r, "must_block", requests);
    r->patch->pass_count = read_requests(r, "must_pass", requests + r->patch->block_count);
    check_names(r);
}

bool waf_patch_read(struct str path, struct str yaml, struct arena *arena, struct waf_patch *ret,
                    struct config_problem **ret_problems, unsigned *ret_problem_count)
{
    struct problems *problems = arena_alloc(arena, sizeof *problems);
    *ret_problems = NULL;
    *ret_problem_count = 0;
    *ret = (struct waf_patch){.path = path};
    if (!problems)
        return false;
    problems->arena = arena;
    struct reading r = {.arena = arena, .problems = problems, .patch = ret};
    r.root = tree_read(yaml, arena, problems);
    if (r.root) {
        check_keys(&r);
        read_id(&r);
        ret->title = text_of_key(&r, r.root, "title", TITLE_MAX, false);
        read_severity(&r);
        ret->description = text_of_key(&r, r.root, "description", PATCH_BYTES_MAX, true);
        read_references(&r);
        read_rules(&r);
        read_all_requests(&r);
    }
    if (arena_overflowed(arena))
        problem_error(problems, (struct place){0}, STR("split the patch"),
                      "there is not enough memory for this patch");
    problems_finish(problems, ret_problems, ret_problem_count);
    return problems->error_count == 0;
}

/* ---- several of them */

static bool shares_rule(const struct waf_patch *a, const struct waf_patch *b, uint64_t *ret_id)
{
    for (unsigned i = 0, k = 0; i < a->rule_count && k < b->rule_count;) {
        if (a->rule_ids[i] == b->rule_ids[k]) {
            *ret_id = a->rule_ids[i];
            return true;
        }
        *(a->rule_ids[i] < b->rule_ids[k] ? &i : &k) += 1;
    }
    return false;
}

const char *waf_patches_clash(const struct waf_patch *patches, unsigned count, struct arena *arena)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct waf_patch *a = &patches[k], *b = &patches[i];
            struct str text = STR_NONE;
            uint64_t id;
            if (str_eq_nocase(a->id, b->id))
                text = arena_printf(arena, "%.*s and %.*s are both the virtual patch %.*s", STR_ARG(a->path),
                                    STR_ARG(b->path), STR_ARG(a->id));
            else if (shares_rule(a, b, &id))
                text = arena_printf(arena, "%.*s and %.*s both have a rule with the id %llu",
                                    STR_ARG(a->path), STR_ARG(b->path), (unsigned long long)id);
            else
                continue;
            const char *z = arena_copy_z(arena, text);
            return z ? z : "two virtual patches have the same id";
        }
    }
    return NULL;
}

void waf_patch_write_exclusion(struct buf *out, const struct waf_patch *patch)
{
    if (patch->rule_count == 0)
        return;
    BUF_LIT(out, "SecRuleRemoveById");
    for (unsigned i = 0; i < patch->rule_count; i++)
        buf_printf(out, " %llu", (unsigned long long)patch->rule_ids[i]);
    buf_char(out, '\n');
}
