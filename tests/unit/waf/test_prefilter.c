/* The prefilter selects whatever may match, and its bytes are what they were when they were written. */
#include "prefilter_kit.h"

#include "waf/prefilter_compile.h"

#include <fcntl.h>
#include <hs/hs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A pattern, whether it can be selected, a value it holds for, and a text it must not be selected by: one
 * that never differs from the pattern by what may be widened. */
struct row {
    enum operator_kind op;
    const char *argument;
    bool is_selected;
    const char *hit, *miss;
};

static const struct row rows[] = {
    {OP_CONTAINS, "a.b", true, "xa.by", "xaxby"},
    {OP_CONTAINS, "", false, "", NULL},
    {OP_CONTAINS, "a\nb", true, "xa\nby", "a b"},
    {OP_STREQ, "abc", true, "abc", "xabc"},
    {OP_STREQ, "a\nb", true, "a\nb", "xa\nbx"},
    {OP_STREQ, "\n", true, "\n", "x"},
    {OP_BEGINS_WITH, "ab", true, "abc", "xab"},
    {OP_BEGINS_WITH, "\nab", true, "\nabc", "abc"},
    {OP_ENDS_WITH, "$b\\", true, "a$b\\", "$b\\c"},
    {OP_ENDS_WITH, "b\n", true, "ab\n", "b"},
    {OP_WITHIN, "abc", false, "b", NULL},
    {OP_DETECT_SQLI, "", false, "x", NULL},
    /* bytes and classes */
    {OP_RX, "abc", true, "xabcx", "xABCx"},
    {OP_RX, "a.c", true, "a\nc", "ac"},
    {OP_RX, "a[^b]c", true, "a\nc", "abc"},
    {OP_RX, "x\\x41\\x{42}\\103y", false, "xABCy", NULL},
    {OP_RX, "\\x41\\x{42}\\0103", true, "AB\b3", "ABC"},
    {OP_RX, "[]a]b[^]c]", true, "]bx", "ab]"},
    {OP_RX, "[a-c-e]-[\\w-]x", true, "--ax", "d-ax"},
    {OP_RX, "[[:alpha:][:digit:]]\\d[[:^space:]]", true, "a1b", "a1 "},
    {OP_RX, "[[:punct:]]q[[:xdigit:]]", true, "~qF", "aqF"},
    {OP_RX, "[[:x]y", true, ":y", "zy"},
    {OP_RX, "[a[=<>]+b[=]", true, "[<b=", "xb="},
    {OP_RX, "[a[.b\\]]c", false, ".c", NULL},
    {OP_RX, "\\Wx\\D\\S\\H\\V\\N", true, "-xaaaaa", "axaaaaa"},
    {OP_RX, "a\\sb\\hc\\vd", true,
     "a\vb\xa0"
     "c\x85"
     "d",
     "a_b c\nd"},
    {OP_RX, "a\\Rb", true, "a\r\nb", "a b"},
    {OP_RX, "\\Qa.b*\\E+c", true, "a.b**c", "axb*c"},
    {OP_RX, "\\cA\\e\\f\\a\\t", true, "\1\033\f\a\t", "A"},
    {OP_RX, "a{,5}b", false, "a{,5}b", NULL},
    {OP_RX, "a{b}c{", true, "a{b}c{", "abc"},
    {OP_RX, "x{3}y{2,}z{1,2}w", true, "xxxyyyzzw", "xxyyzw"},
    /* case */
    {OP_RX, "(?i)a[b-d]e(?-i)f", true, "ACEf", "ACEF"},
    {OP_RX, "x(?i:y)z", true, "xYz", "XYz"},
    {OP_RX, "(a(?i)b|c)d(?i)[^e]f", true, "Cd_F", "Cdef"},
    {OP_RX, "(?s-i:a.)(?-s:b.)", true, "a\nbx", "axb\n"},
    /* borders */
    {OP_RX, "^abc$", true, "abc", "xabcx"},
    {OP_RX, "^a\nb$", true, "a\nb", "a b"},
    {OP_RX, "\\Aab\\z", true, "ab", "abx"},
    {OP_RX, "\\Gab\\Z", true, "ab\n", "xab"},
    {OP_RX, "(?m)^b$", true, "a\nb\nc", "ab"},
    {OP_RX, "a$\nb", true, NULL, "a b"},
    {OP_RX, "(?m)a$\n^b", true, "a\nb", "a b"},
    {OP_RX, "\\bab\\b", true, "ab", "xab"},
    {OP_RX, "\\Bab\\B", true, "xabx", "ab"},
    {OP_RX, "a\\b.\\Bb", true, NULL, "ab"},
    {OP_RX, "^.*x.*$", true, "a\nxb", "ab"},
    {OP_RX, "(?:^|=)\\s*cmd\\b", true, "a= cmd", "acmd"},
    {OP_RX, "less(?:\\s.*|x)\\b", true, "less a", "lessy"},
    {OP_RX, "x^y", true, NULL, "z"},
    /* what matches the empty text matches everything */
    {OP_RX, "", false, "x", NULL},
    {OP_RX, "^$", false, "", NULL},
    {OP_RX, ".*", false, "x", NULL},
    {OP_RX, "a?b*(c|)", false, "x", NULL},
    {OP_RX, "(?=a)", false, "a", NULL},
    /* wider than they are */
    {OP_RX, "a++b", true, "aab", "a"},
    {OP_RX, "(?>ab|a)c", true, "abc", "ab"},
    {OP_RX, "a(?=b)", true, "ab", "b"},
    {OP_RX, "a(?!b)", true, "ac", "b"},
    {OP_RX, "(?<=a)b", true, "ab", "a"},
    {OP_RX, "(?<!a|^)b", true, "cb", "a"},
    {OP_RX, "(a|b)x\\1y", true, "bxby", "bxb"},
    {OP_RX, "(?i)(a)(?-i)x\\1", true, "AxA", "a"},
    {OP_RX, "ab\\Kc", true, "abc", "ab"},
    {OP_RX, "(?<n>a)(?P<m>b)(?'o'c)(?|d|e)", true, "abce", "abc"},
    {OP_RX, "(?U)a+?b(?J)(?n)c", true, "aabc", "ac"},
    {OP_RX, "a.{0,200}b.{40}c", true, NULL, "ab"},
    {OP_RX, "(?:a{1,20}){1,4}b", true, "aab", "a"},
    {OP_RX, "[^\\s\\S]a", true, NULL, "b"},
    /* not understood: always tried */
    {OP_RX, "(?x) a b", false, "ab", NULL},
    {OP_RX, "(*ANYCRLF)ab", false, "ab", NULL},
    {OP_RX, "(a)(?(1)b|c)", false, "ab", NULL},
    {OP_RX, "(a(?R)?b)", false, "ab", NULL},
    {OP_RX, "(?<n>a)(?&n)", false, "aa", NULL},
    {OP_RX, "\\p{L}a", false, "ba", NULL},
    {OP_RX, "a(?#c)*b", false, "b", NULL},
    {OP_RX, "a\\Q\\E*b", false, "b", NULL},
    {OP_RX, "(a)\\g1", false, "aa", NULL},
};

enum { ROWS = sizeof rows / sizeof *rows };

static void init_rows(struct filter *f, bool is_caseless)
{
    filter_init(f);
    for (size_t i = 0; i < ROWS; i++) {
        filter_add(f, (struct prefilter_pattern){.op = rows[i].op,
                                                 .argument = str_of(rows[i].argument),
                                                 .is_caseless = is_caseless});
        if (f->count != i + 1)
            fail_msg("row %zu: \"%s\" is no regular expression", i, rows[i].argument);
    }
    filter_compile(f);
}

static void test_what_is_selected_and_what_is_not(void **)
{
    static struct filter f;
    init_rows(&f, false);
    for (size_t i = 0; i < ROWS; i++) {
        if (prefilter_selects(f.prefilter, (uint32_t)i) != rows[i].is_selected)
            fail_msg("row %zu: \"%s\" is %sselected", i, rows[i].argument, rows[i].is_selected ? "not " : "");
        if (rows[i].hit && rows[i].op == OP_RX && !filter_holds(&f, i, str_of(rows[i].hit)))
            fail_msg("row %zu: \"%s\" does not hold for \"%s\"", i, rows[i].argument, rows[i].hit);
        if (!rows[i].miss)
            continue;
        assert_false(filter_holds(&f, i, str_of(rows[i].miss)));
        filter_scan(&f, str_of(rows[i].miss));
        if (filter_may(&f, i))
            fail_msg("row %zu: \"%s\" is selected by \"%s\"", i, rows[i].argument, rows[i].miss);
    }
    assert_false(prefilter_selects(f.prefilter, ROWS));
    filter_done(&f);
}

/* Every value of the table with every other one before and behind it. */
static void check_all_neighbours(bool is_caseless)
{
    static struct filter f;
    static struct str values[2 * ROWS + 8];
    size_t count = 0;
    static const char *const more[] = {"", "\n", "ABC", "aBc\nDEF", "\n\n\n", "a\n", "\nb", "abc\r\nx"};
    init_rows(&f, is_caseless);
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].hit)
            values[count++] = str_of(rows[i].hit);
        if (rows[i].miss)
            values[count++] = str_of(rows[i].miss);
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        values[count++] = str_of(more[i]);
    for (size_t i = 0; i < count; i++) {
        (void)filter_check(&f, &values[i], 1);
        for (size_t j = 0; j < count; j += 3) {
            struct str three[] = {values[j], values[i], values[(j + 1) % count]};
            (void)filter_check(&f, three, 3);
        }
    }
    filter_done(&f);
}

static void test_every_hit_among_neighbours(void **)
{
    check_all_neighbours(false);
}

static void test_every_hit_without_case(void **)
{
    check_all_neighbours(true);
}

static void test_words(void **)
{
    static struct filter f;
    static const struct str words[] = {{"Evil", 4}, {"a b", 3}, {"", 0}, {"x\0y", 3}, {"$(", 2}};
    filter_init(&f);
    filter_add(&f, (struct prefilter_pattern){.op = OP_PM, .words = words, .word_count = 5});
    filter_add(&f, (struct prefilter_pattern){.op = OP_PM_FROM_FILE, .words = words + 1, .word_count = 1});
    filter_add(&f, (struct prefilter_pattern){.op = OP_PM, .words = words + 2, .word_count = 1});
    filter_compile(&f);
    static const struct str values[] = {{"an eVIL one", 11}, {"A B", 3}, {"x\0Y", 3}, {"$(", 2}, {"q", 1}};
    static const unsigned expected[] = {1, 3, 1, 1, 0};
    for (size_t i = 0; i < 5; i++) {
        filter_scan(&f, values[i]);
        assert_int_equal(f.bits[0], expected[i]);
        (void)filter_check(&f, &values[i], 1);
    }
    filter_scan(&f, STR("a\nb evi\nl"));
    assert_int_equal(f.bits[0], 0);
    filter_done(&f);
}

/* ---- large ones */

/* Many words as one alternation, with letters kept apart as shells allow. */
static struct str many_words(struct arena *arena, unsigned count, const char *between, const char *prefix)
{
    char *memory = arena_bytes(arena, 1 << 16);
    struct buf out = buf_over(memory, 1 << 16);
    buf_printf(&out, "%s(?:", prefix);
    for (unsigned i = 0; i < count; i++) {
        buf_printf(&out, "%s", i ? "|" : "");
        for (unsigned letter = 0, n = i * 2654435761U; letter < 6; letter++, n /= 13)
            buf_printf(&out, "%s%c", letter ? between : "", "abcdefghiklmn"[n % 13]);
    }
    buf_printf(&out, ")\\b");
    assert_false(buf_overflowed(&out));
    return buf_text(&out);
}

static struct str word(const char *before, unsigned i, const char *apart, unsigned where, char *memory)
{
    struct buf out = buf_over(memory, 64);
    buf_str(&out, str_of(before));
    for (unsigned letter = 0, n = i * 2654435761U; letter < 6; letter++, n /= 13)
        buf_printf(&out, "%s%c", letter == where ? apart : "", "abcdefghiklmn"[n % 13]);
    return buf_text(&out);
}

static void add_many_words(struct filter *f, unsigned count, const char *between, const char *prefix)
{
    filter_add(
        f, (struct prefilter_pattern){.op = OP_RX, .argument = many_words(f->arena, count, between, prefix)});
}

static void assert_holds_and_is_selected(struct filter *f, size_t pattern, struct str value)
{
    assert_true(filter_holds(f, pattern, value));
    (void)filter_check(f, &value, 1);
}

static void test_many_words(void **)
{
    static struct filter f;
    char memory[64];
    filter_init(&f);
    add_many_words(&f, 40, "['\\\\]*", ";\\s*(?:\\w+=.*\\s+)*");
    add_many_words(&f, 40, "", "(?:;|^)\\s*");
    add_many_words(&f, 24, "['\\\\]*", "(?:;|^|=\\s*|env\\s.*|nice x.*)");
    filter_compile(&f);
    assert_int_equal(f.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(prefilter_selects(f.prefilter, i));
    for (unsigned i = 0; i < 40; i++) {
        static const char *const apart[] = {"", "'", "\\", "'\\'"};
        const char *here = apart[i % 4];
        assert_holds_and_is_selected(&f, 0, word(i % 2 ? "; " : ";a='b' ", i, here, 1 + i % 5, memory));
        assert_holds_and_is_selected(&f, 1, word(i % 2 ? ";" : "  ", i, "", 0, memory));
        static const char *const before[] = {"", "= ", "env \n", "nice xyz"};
        assert_holds_and_is_selected(&f, 2, word(before[i / 4 % 4], i % 24, here, 1 + i % 5, memory));
    }
    static const struct str quiet[] = {
        {"geen suicidale gedachten; foto's", 32}, {"value", 5}, {"nice env.", 9}};
    for (size_t i = 0; i < 3; i++) {
        filter_scan(&f, quiet[i]);
        assert_int_equal(f.bits[0], 0);
    }
    filter_done(&f);
}

/* ---- what the library refuses */

static int note_hit(unsigned, unsigned long long, unsigned long long, unsigned, void *context)
{
    *(bool *)context = true;
    return 0;
}

static bool any_hits(const struct expressions *e, struct str text)
{
    bool hit = false;
    for (size_t i = 0; i < e->count; i++) {
        hs_database_t *database;
        hs_compile_error_t *error;
        hs_scratch_t *scratch = NULL;
        assert_int_equal(
            hs_compile(e->items[i].text, e->items[i].flags, HS_MODE_BLOCK, NULL, &database, &error),
            HS_SUCCESS);
        assert_int_equal(hs_alloc_scratch(database, &scratch), HS_SUCCESS);
        assert_int_equal(hs_scan(database, text.p, (unsigned)text.n, 0, scratch, note_hit, &hit), HS_SUCCESS);
        assert_int_equal(hs_free_scratch(scratch), HS_SUCCESS);
        assert_int_equal(hs_free_database(database), HS_SUCCESS);
    }
    return hit;
}

/* As if the library refused everything: each stage still takes what the pattern takes. */
static void test_what_is_refused_is_widened(void **)
{
    static const struct str values[] = {{"x;  abbbbbbc", 12},
                                        {";def", 4},
                                        {"=ghijklmnopqrstuvwxyzzyxwvutsrqponm!", 36},
                                        {"=ABCDEFGHIJKLMNO1", 17},
                                        {"u; dZZZef", 9}};
    struct prefilter_pattern pattern = {.op = OP_RX,
                                        .argument =
                                            STR("(?:;|^|=(?!z))\\s*(?:ab{1,60}c|d[^x]*ef|"
                                                "ghijklmnopqrstuvwxyzzyxwvutsrqponm|[A-O]{15}(?:1|2))\\b")};
    struct expressions e = {.arena = arena_new(1 << 22)};
    unsigned seen = 0;
    assert_true(expressions_add(&e, &pattern, 7));
    do {
        for (size_t i = 0; i < e.count; i++)
            seen |= 1U << e.items[i].stage;
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            if (!any_hits(&e, values[i]))
                fail_msg("\"%s\" is lost, first at stage %u", values[i].p, e.items[0].stage);
        }
        assert_int_equal(e.items[0].pattern, 7);
    } while (expressions_widen(&e, 0));
    assert_int_equal(seen, 1U << STAGE_FIRST | 1U << STAGE_SHORTENED | 1U << STAGE_CUT | 1U << STAGE_HALVED |
                               1U << STAGE_NO_BORDERS | 1U << STAGE_FILTER);
    arena_free(e.arena);
}

/* ---- the bytes */

static void init_lanes(struct filter *f)
{
    static const struct str words[] = {{"evil", 4}, {"worse", 5}};
    filter_init(f);
    f->lanes = 4;
    filter_add(f, (struct prefilter_pattern){.op = OP_PM, .words = words, .word_count = 2});
    filter_add(f, (struct prefilter_pattern){.op = OP_RX, .argument = STR("^ab+c"), .lane = 2});
    filter_add(f, (struct prefilter_pattern){.op = OP_RX, .argument = STR("\\p{L}"), .lane = 3});
    filter_add(f, (struct prefilter_pattern){.op = OP_STREQ, .argument = STR("abc"), .lane = 2});
    filter_compile(f);
}

static void test_lanes(void **)
{
    static struct filter f;
    uint64_t bits[1] = {0};
    init_lanes(&f);
    assert_true(prefilter_has_lane(f.prefilter, 0) && prefilter_has_lane(f.prefilter, 2));
    assert_false(prefilter_has_lane(f.prefilter, 1) || prefilter_has_lane(f.prefilter, 3) ||
                 prefilter_has_lane(f.prefilter, 4));
    assert_true(prefilter_scan(f.prefilter, f.room, 0, STR("abc evil"), bits) && bits[0] == 1);
    assert_true(prefilter_scan(f.prefilter, f.room, 2, STR("x\nabc"), bits) && bits[0] == 11);
    assert_true(prefilter_scan(f.prefilter, f.room, 3, STR("x"), bits) && bits[0] == 11);
    assert_true(prefilter_scan(f.prefilter, f.room, 2, STR_NONE, bits) && bits[0] == 11);
    filter_done(&f);
}

static void test_nothing_to_compile(void **)
{
    static struct filter f;
    filter_init(&f);
    f.lanes = 0;
    filter_compile(&f);
    assert_false(prefilter_selects(f.prefilter, 0) || prefilter_has_lane(f.prefilter, 0));
    filter_done(&f);
}

/* The same bytes, read-only at two addresses at once, and the memory they were made in gone. */
static void test_bytes_work_read_only_at_any_address(void **)
{
    static struct filter f;
    init_lanes(&f);
    int fd = memfd_create("prefilter", 0);
    struct str bytes = f.bytes;
    assert_true(fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n);
    char key[64];
    memcpy(key, f.key, sizeof key);
    filter_done(&f);
    struct prefilter *opened[2];
    void *maps[2];
    for (size_t i = 0; i < 2; i++) {
        maps[i] = mmap(NULL, bytes.n, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(maps[i] != MAP_FAILED);
        opened[i] = prefilter_open((struct str){maps[i], bytes.n}, key);
        assert_non_null(opened[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t bits[1] = {0};
        struct prefilter_room *room = prefilter_room_new(opened[!i]);
        assert_true(prefilter_scan(opened[i], room, 2, STR("abc"), bits) && bits[0] == 10);
        prefilter_room_free(room);
    }
    for (size_t i = 0; i < 2; i++) {
        prefilter_close(opened[i]);
        munmap(maps[i], bytes.n);
    }
    close(fd);
}

static void assert_refused(const char *bytes, size_t n, const char key[64])
{
    struct prefilter *opened = prefilter_open((struct str){bytes, n}, key);
    assert_null(opened);
}

static void test_damaged_bytes_are_refused(void **)
{
    static struct filter f;
    init_lanes(&f);
    size_t n = f.bytes.n;
    char *copy = aligned_alloc(64, (n + 191) / 64 * 64);
    assert_non_null(copy);
    memcpy(copy, f.bytes.p, n);
    for (size_t at = 0; at < n; at += at < 512 ? 1 : 61) {
        copy[at] ^= 0x10;
        assert_refused(copy, n, f.key);
        copy[at] ^= 0x10;
    }
    for (size_t shorter = 0; shorter < n; shorter += shorter < 512 ? 1 : 997)
        assert_refused(copy, shorter, f.key);
    assert_refused(copy, n + 64, f.key);
    f.key[63] ^= 1;
    assert_refused(copy, n, f.key);
    f.key[63] ^= 1;
    memmove(copy + 8, copy, n);
    assert_refused(copy + 8, n, f.key);
    memmove(copy, copy + 8, n);
    struct prefilter *opened = prefilter_open((struct str){copy, n}, f.key);
    assert_non_null(opened);
    prefilter_close(opened);
    free(copy);
    filter_done(&f);
}

static void test_key_tells_patterns_apart(void **)
{
    static const struct str words[] = {{"a", 1}, {"b", 1}, {"ab", 2}};
    static const struct prefilter_pattern patterns[] = {
        {.op = OP_RX, .argument = {"ab", 2}},
        {.op = OP_RX, .argument = {"a", 1}},
        {.op = OP_STREQ, .argument = {"ab", 2}},
        {.op = OP_RX, .argument = {"ab", 2}, .lane = 1},
        {.op = OP_RX, .argument = {"ab", 2}, .is_caseless = true},
        {.op = OP_PM, .words = words, .word_count = 2},
        {.op = OP_PM, .words = words + 2, .word_count = 1},
        {.op = OP_PM_FROM_FILE, .words = words, .word_count = 2},
    };
    enum { COUNT = sizeof patterns / sizeof *patterns };
    char keys[COUNT + 2][64], again[64];
    for (size_t i = 0; i < COUNT; i++)
        prefilter_key(&patterns[i], 1, keys[i]);
    prefilter_key(patterns, 2, keys[COUNT]);
    prefilter_key(NULL, 0, keys[COUNT + 1]);
    for (size_t i = 0; i < COUNT + 2; i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], 64);
        for (size_t c = 0; c < 64; c++)
            assert_non_null(memchr("0123456789abcdef", keys[i][c], 16));
    }
    prefilter_key(&patterns[5], 1, again);
    assert_memory_equal(again, keys[5], 64);
}

static void note_progress(void *context, size_t done, size_t all)
{
    size_t *last = context;
    assert_true(done >= *last && done <= all && all == 4);
    *last = done;
}

static void test_progress_ends_with_all(void **)
{
    static struct filter f;
    size_t last = 0;
    struct str bytes;
    init_lanes(&f);
    assert_true(prefilter_compile(f.patterns, 4, 4, f.arena, note_progress, &last, &bytes));
    assert_int_equal(last, 4);
    assert_true(str_eq(bytes, f.bytes));
    filter_done(&f);
}

static void test_no_memory(void **)
{
    static struct filter f;
    struct str bytes;
    init_lanes(&f);
    for (size_t limit = 64; limit < 1 << 14; limit *= 2) {
        struct arena *small = arena_new(limit);
        assert_false(prefilter_compile(f.patterns, 4, 4, small, NULL, NULL, &bytes));
        arena_free(small);
    }
    filter_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_selected_and_what_is_not),
        cmocka_unit_test(test_every_hit_among_neighbours),
        cmocka_unit_test(test_every_hit_without_case),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_many_words),
        cmocka_unit_test(test_what_is_refused_is_widened),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_nothing_to_compile),
        cmocka_unit_test(test_bytes_work_read_only_at_any_address),
        cmocka_unit_test(test_damaged_bytes_are_refused),
        cmocka_unit_test(test_key_tells_patterns_apart),
        cmocka_unit_test(test_progress_ends_with_all),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
