/* The prefilter against the operators, over patterns that nobody chose for it: those of the Core Rule Set,
 * and regular expressions and values made at random. Texts come from the patterns themselves: bytes their
 * trees take, then changed a little. */
#include "prefilter_kit.h"

#include "../../suites/disk.h"
#include "base/hash.h"
#include "waf/prefilter_tree.h"
#include "waf/rules.h"

static uint64_t seed;

static unsigned below(unsigned n)
{
    seed += 0x9e3779b97f4a7c15ULL;
    return (unsigned)(hash_mix(seed) >> 33) % n;
}

/* ---- texts that a tree takes */

static char any_of(const struct bytes *set)
{
    for (unsigned tries = 0; tries < 40; tries++) {
        uint8_t c = (uint8_t)(' ' + below(95));
        if (bytes_has(set, c))
            return (char)c;
    }
    uint8_t c = (uint8_t)below(256);
    for (unsigned i = 0; i < 256 && !bytes_has(set, c); i++)
        c++;
    return (char)c;
}

static void put_sample(const struct tree *tree, struct buf *out)
{
    uint32_t times = 1;
    if (tree->kind == TREE_BYTE)
        buf_char(out, any_of(&tree->bytes));
    if (tree->kind == TREE_REPEAT) {
        times = tree->least + below(3);
        times = times > tree->most ? tree->most : times;
    }
    if (tree->kind == TREE_ANY) {
        unsigned count = 0;
        for (const struct tree *child = tree->first; child; child = child->next)
            count++;
        const struct tree *child = tree->first;
        for (unsigned skip = below(count); skip; skip--)
            child = child->next;
        put_sample(child, out);
        return;
    }
    for (; times; times--) {
        for (const struct tree *child = tree->first; child; child = child->next)
            put_sample(child, out);
    }
}

static struct str change(struct arena *arena, struct str s)
{
    char *copy = arena_bytes(arena, s.n + 2);
    if (!s.n)
        return s;
    memcpy(copy, s.p, s.n);
    size_t at = below((unsigned)s.n);
    switch (below(5)) {
    case 0:
        copy[at] = (char)below(256);
        break;
    case 1:
        copy[at] ^= 0x20;
        break;
    case 2:
        copy[at] = '\n';
        break;
    case 3: /* one byte more */
        memmove(copy + at + 1, s.p + at, s.n - at);
        copy[at] = "'\"\\^ \n;x"[below(8)];
        return (struct str){copy, s.n + 1};
    default: /* one less */
        memmove(copy + at, s.p + at + 1, s.n - at - 1);
        return (struct str){copy, s.n - 1};
    }
    return (struct str){copy, s.n};
}

static struct str sample(struct arena *arena, const struct prefilter_pattern *p)
{
    enum { SAMPLE_MAX = 4000 };
    struct tree *tree = p->op == OP_RX ? tree_parse(arena, p->argument) : NULL;
    struct buf out = buf_over(arena_bytes(arena, SAMPLE_MAX), SAMPLE_MAX);
    if (tree)
        put_sample(tree, &out);
    else if (p->word_count)
        buf_str(&out, p->words[below((unsigned)p->word_count)]);
    else
        buf_str(&out, p->argument);
    return buf_overflowed(&out) ? p->argument : buf_text(&out);
}

/* ---- the Core Rule Set */

static const char rules_text[] = "Include /usr/share/modsecurity-crs/rules/REQUEST-921-*.conf\n"
                                 "Include /usr/share/modsecurity-crs/rules/REQUEST-93*.conf\n"
                                 "Include /usr/share/modsecurity-crs/rules/REQUEST-94[1234]*.conf\n";

/* Sanitizers make the library compile five times as long: these, of a thousand words each, are for the
 * others. */
#if defined(__SANITIZE_ADDRESS__)
enum { IS_SLOW = true };
#else
enum { IS_SLOW = false };
#endif

static bool is_left_out(uint64_t id)
{
    bool is_like_932100 = id == 932105 || id == 932110 || id == 932115 || id == 932150;
    return is_like_932100 || (IS_SLOW && (id == 932100 || id == 933160 || id == 941160 || id == 942360));
}

static bool is_for_paranoia_1(const struct rule *head)
{
    for (size_t i = 0; i < head->tag_count; i++) {
        if (str_starts(head->tags[i], STR("paranoia-level/")))
            return str_eq(head->tags[i], STR("paranoia-level/1"));
    }
    return true;
}

static void add_rule(struct filter *f, const struct rule *rule)
{
    struct prefilter_pattern pattern = {.op = rule->op, .argument = rule->argument.source};
    if (rule->argument.count || rule->is_unconditional)
        return;
    for (size_t i = 0; i < rule->transformations.count; i++)
        pattern.is_caseless |= rule->transformations.items[i] == TRANSFORM_lowercase;
    if (rule->op == OP_PM || rule->op == OP_PM_FROM_FILE)
        pattern.words = pm_words(rule->compiled.pm, &pattern.word_count);
    if (rule->op == OP_RX || rule->op == OP_CONTAINS || rule->op == OP_ENDS_WITH || pattern.words)
        filter_add(f, pattern);
}

/* Values of three patterns and their changed copies in one text. */
static void check_samples(struct filter *f, size_t pattern, size_t rounds, bool *ret_held)
{
    for (size_t round = 0; round < rounds; round++) {
        struct arena *arena = arena_new(16 << 20);
        struct str own = sample(arena, &f->patterns[pattern]);
        struct str other = sample(arena, &f->patterns[below((unsigned)f->count)]);
        struct str values[] = {other, own, change(arena, own)};
        *ret_held |= filter_holds(f, pattern, own);
        if (round % 2)
            (void)filter_check(f, values, 3);
        else
            (void)filter_check(f, &values[2], 1);
        arena_free(arena);
    }
}

static void test_core_rule_set(void **)
{
    static struct filter f;
    static struct waf_problems problems;
    struct waf_rules *rules = waf_rules_load(STR("test"), str_of(rules_text), &disk_files, &problems);
    if (!rules && str_find(str_of(problems.items[0].what), STR("no such")) < 0)
        print_message("%s:%u: %s\n", problems.items[0].file, problems.items[0].line, problems.items[0].what);
    if (!rules)
        skip(); /* the package is not installed */
    filter_init(&f);
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->items[i];
        for (bool used = is_for_paranoia_1(rule) && !rule->is_marker && !is_left_out(rule->id); used && rule;
             rule = rule->next)
            add_rule(&f, rule);
    }
    filter_compile(&f);
    size_t selected = 0, held = 0;
    for (uint32_t i = 0; i < f.count; i++) {
        bool one_held = false;
        check_samples(&f, i, 8, &one_held);
        selected += prefilter_selects(f.prefilter, i);
        held += one_held;
    }
    print_message("%zu patterns, %zu selected, %zu held for a text made from them\n", f.count, selected,
                  held);
    assert_true(f.count > 80 && selected * 20 > f.count * 19 && held * 10 > f.count * 8);
    filter_done(&f);
    waf_rules_free(rules);
}

/* ---- at random */

static void put_random_regex(struct buf *out, unsigned depth)
{
    static const char *const atoms[] = {"a",      "b",        "A",      "\\n",    "=",    ";",     ".",
                                        "[ab]",   "[^a]",     "[^\\n]", "\\s",    "\\W",  "\\w",   "\\d",
                                        "^",      "$",        "\\b",    "\\B",    "\\A",  "\\z",   "\\Z",
                                        "(?=b)",  "(?!a)",    "(?i)",   "(?<=a)", "\\Qa", "[a-c]", "(?<!b)",
                                        "['\"]*", "a['\"]*b", "(?-s).", "(?m)^",  "\\h*"};
    static const char *const counts[] = {"*",  "+",  "?",  "{2}", "{1,3}", "{2,}",
                                         "*?", "+?", "++", "?+",  "{0,12}"};
    unsigned parts = 1 + below(4);
    for (unsigned i = 0; i < parts; i++) {
        if (depth && below(3) == 0) {
            static const char *const opens[] = {"(", "(?:", "(?i:", "(?>", "(?=", "(?s-i:"};
            buf_printf(out, "%s", opens[below(6)]);
            put_random_regex(out, depth - 1);
            for (unsigned more = below(3); more; more--) {
                buf_char(out, '|');
                put_random_regex(out, depth - 1);
            }
            buf_char(out, ')');
        } else {
            buf_printf(out, "%s", atoms[below(sizeof atoms / sizeof *atoms)]);
        }
        if (below(4) == 0)
            buf_printf(out, "%s", counts[below(sizeof counts / sizeof *counts)]);
        if (below(30) == 0)
            BUF_LIT(out, "\\1");
    }
}

static struct str random_value(struct arena *arena)
{
    char *p = arena_bytes(arena, 24);
    size_t n = below(12);
    for (size_t i = 0; i < n; i++)
        p[i] = "aaabbbABc=;'\n\n \"1_"[below(18)];
    return (struct str){p, n};
}

static void check_random_patterns(unsigned count)
{
    static struct filter f;
    filter_init(&f);
    while (f.count < count) {
        struct buf out = buf_over(arena_bytes(f.arena, 4000), 4000);
        put_random_regex(&out, 2);
        if (!buf_overflowed(&out))
            filter_add(&f, (struct prefilter_pattern){
                               .op = OP_RX, .argument = buf_text(&out), .is_caseless = below(5) == 0});
    }
    filter_compile(&f);
    size_t selected = 0, holding = 0;
    for (uint32_t i = 0; i < f.count; i++) {
        bool held = false;
        selected += prefilter_selects(f.prefilter, i);
        check_samples(&f, i, 2, &held);
    }
    for (unsigned round = 0; round < 300; round++) {
        struct arena *arena = arena_new(1 << 16);
        struct str values[4];
        for (size_t i = 0; i < 4; i++)
            values[i] = random_value(arena);
        holding += filter_check(&f, values, 1 + below(4));
        arena_free(arena);
    }
    assert_true(selected * 3 > f.count && holding > 1000);
    filter_done(&f);
}

static void test_regexes_at_random(void **)
{
    for (unsigned batch = 0; batch < (IS_SLOW ? 1 : 3); batch++) {
        seed = 1000 + batch;
        check_random_patterns(60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_rule_set),
        cmocka_unit_test(test_regexes_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
