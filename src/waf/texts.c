#include "waf/texts.h"

#include "base/hash.h"

#include <stdlib.h>

enum { PROBES_MAX = 8, KEPT_ITEMS = 4096, FIRST_ITEMS = 256 };

/* ---- kinds of bytes */

static enum kind kind_of(uint8_t c)
{
    static const struct {
        char c;
        enum kind kind;
    } own[] = {{'\t', KIND_LINE},      {'\n', KIND_LINE},     {'\r', KIND_LINE},   {'\v', KIND_VERTICAL},
               {'\f', KIND_VERTICAL},  {' ', KIND_SPACE},     {'"', KIND_DOUBLE},  {'\'', KIND_SINGLE},
               {'\\', KIND_BACKSLASH}, {'%', KIND_PERCENT},   {'+', KIND_PLUS},    {'&', KIND_AMPERSAND},
               {'/', KIND_SLASH},      {'.', KIND_DOT},       {'<', KIND_LESS},    {'=', KIND_EQUALS},
               {'#', KIND_HASH},       {'-', KIND_DASH},      {'*', KIND_STAR},    {'^', KIND_CARET},
               {',', KIND_COMMA},      {';', KIND_SEMICOLON}, {'(', KIND_OPENING}, {':', KIND_COLON},
               {'_', KIND_UNDERSCORE}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if ((uint8_t)own[i].c == c)
            return own[i].kind;
    }
    if (c < ' ' || c == 0x7f)
        return c ? KIND_CONTROL : KIND_NUL;
    if (c >= '0' && c <= '9')
        return KIND_DIGIT;
    if (c >= 'A' && c <= 'Z')
        return KIND_UPPER;
    if (c >= 'a' && c <= 'z')
        return KIND_LOWER;
    return c < 0x80    ? KIND_OTHER_MARK
           : c == 0xa0 ? KIND_NO_BREAK
           : c < 0xc0  ? KIND_CONTINUATION
                       : KIND_LEADING;
}

/* Made at the first use; always the same. */
static const byte_kinds *kinds_table(void)
{
    static byte_kinds table[256];
    if (!table['a']) {
        for (unsigned c = 0; c < 256; c++)
            table[c] = 1U << kind_of((uint8_t)c);
    }
    return table;
}

byte_kinds kinds_of(struct str s)
{
    const byte_kinds *table = kinds_table();
    byte_kinds a = 0, b = 0;
    size_t i = 0;
    for (; i + 4 <= s.n; i += 4) {
        a |= table[(uint8_t)s.p[i]] | table[(uint8_t)s.p[i + 1]];
        b |= table[(uint8_t)s.p[i + 2]] | table[(uint8_t)s.p[i + 3]];
    }
    for (; i < s.n; i++)
        a |= table[(uint8_t)s.p[i]];
    return a | b;
}

byte_kinds kinds_outside(const uint8_t allowed[256])
{
    byte_kinds kinds = 0;
    for (unsigned c = 0; c < 256; c++)
        kinds |= allowed[c] ? 0 : kinds_table()[c];
    return kinds;
}

byte_kinds kinds_in(const char *bytes, size_t n)
{
    return kinds_of((struct str){bytes, n});
}

static byte_kinds kinds_that_change(unsigned t)
{
    static const char blanks[] = " \t\n\r\v\f\xa0";
    switch (t) {
    case TRANSFORM_cmd_line:
        return kinds_in("\"'\\^ ,;\t\r\nA", 11);
    case TEXT_CMD_LINE_NOCASE:
        return kinds_in("\"'\\^ ,;\t\r\n", 10);
    case TRANSFORM_compress_whitespace:
    case TRANSFORM_remove_whitespace:
        return kinds_in(blanks, sizeof blanks - 1);
    case TRANSFORM_css_decode:
    case TRANSFORM_escape_seq_decode:
    case TRANSFORM_js_decode:
        return kinds_in("\\", 1);
    case TRANSFORM_html_entity_decode:
        return kinds_in("&", 1);
    case TRANSFORM_lowercase:
        return kinds_in("A", 1);
    case TRANSFORM_normalize_path:
        return kinds_in("/.", 2);
    case TRANSFORM_normalize_path_win:
        return kinds_in("/.\\", 3);
    case TRANSFORM_remove_comments_char:
        return kinds_in("*-#", 3);
    case TRANSFORM_remove_nulls:
        return kinds_in("", 1);
    case TRANSFORM_replace_comments:
        return kinds_in("*", 1);
    case TRANSFORM_url_decode:
    case TRANSFORM_url_decode_uni:
        return kinds_in("%+", 2);
    case TRANSFORM_utf8_to_unicode:
        return kinds_in("\xc0", 2); /* and NUL */
    default:
        return KINDS_ANY;
    }
}

/* Made at the first use, as the other table. */
byte_kinds transformation_kinds(unsigned t)
{
    static byte_kinds table[TEXT_RESULTS];
    if (!table[0]) {
        for (unsigned i = 0; i < TEXT_RESULTS; i++)
            table[i] = kinds_that_change(i);
    }
    return table[t];
}

/* ---- the table */

bool texts_init(struct texts *texts, size_t limit_bytes)
{
    *texts = (struct texts){.bytes = arena_new(limit_bytes), .work = arena_new(limit_bytes)};
    if (texts->bytes && texts->work)
        return true;
    texts_done(texts);
    return false;
}

void texts_done(struct texts *texts)
{
    arena_free(texts->bytes);
    arena_free(texts->work);
    free(texts->items);
    free(texts->table);
    free(texts->rows);
    *texts = (struct texts){0};
}

static void release(struct texts *texts)
{
    free(texts->items);
    free(texts->table);
    free(texts->rows);
    texts->items = NULL;
    texts->table = NULL;
    texts->rows = NULL;
    texts->cap = texts->table_size = texts->row_cap = 0;
}

void texts_begin(struct texts *texts, const struct unicode_map *map)
{
    if (texts->cap > KEPT_ITEMS || texts->row_cap > KEPT_ITEMS)
        release(texts);
    if (texts->table)
        memset(texts->table, 0, texts->table_size * sizeof *texts->table);
    texts->n = texts->row_n = 1;
    texts->last_mark = 0;
    texts->map = map;
    arena_reset(texts->bytes);
    arena_reset(texts->work);
}

/* Fast and not keyed: see the first invariant. */
static uint32_t hash_of(struct str s)
{
    uint64_t h = s.n, word;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        memcpy(&word, s.p + i, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 29;
    }
    word = 0;
    for (unsigned shift = 0; i < s.n; i++, shift += 8)
        word |= (uint64_t)(uint8_t)s.p[i] << shift;
    return (uint32_t)hash_mix(h ^ word);
}

static void put(struct texts *texts, uint32_t id)
{
    uint32_t mask = texts->table_size - 1, at = hash_of(texts_str(texts, id));
    for (unsigned i = 0; i < PROBES_MAX; i++) {
        uint32_t *place = &texts->table[(at + i) & mask];
        if (*place)
            continue;
        *place = id;
        return;
    }
}

static bool grow(struct texts *texts)
{
    uint32_t cap = texts->cap ? texts->cap * 2 : FIRST_ITEMS;
    struct text *items = realloc(texts->items, cap * sizeof *items);
    if (!items)
        return false;
    texts->items = items;
    texts->cap = cap;
    uint32_t *table = calloc(2 * (size_t)cap, sizeof *table);
    if (!table)
        return texts->table != NULL; /* a crowded one does */
    free(texts->table);
    texts->table = table;
    texts->table_size = 2 * cap;
    for (uint32_t id = 1; id < texts->n; id++)
        put(texts, id);
    return true;
}

static uint32_t add(struct texts *texts, struct str s, bool is_borrowed)
{
    if (s.n > UINT32_MAX)
        return TEXT_NONE;
    if (texts->n >= texts->cap && !grow(texts))
        return TEXT_NONE;
    uint32_t mask = texts->table_size - 1, at = hash_of(s), *free_place = NULL;
    for (unsigned i = 0; i < PROBES_MAX; i++) {
        uint32_t *place = &texts->table[(at + i) & mask];
        if (!*place) {
            free_place = place;
            break;
        }
        if (str_eq(texts_str(texts, *place), s))
            return *place;
    }
    byte_kinds kinds = kinds_of(s);
    if (!is_borrowed)
        s = arena_copy(texts->bytes, s);
    if (!s.p && s.n)
        return TEXT_NONE;
    texts->items[texts->n] = (struct text){.p = s.p, .n = (uint32_t)s.n, .kinds = kinds};
    if (free_place)
        *free_place = texts->n;
    return texts->n++;
}

uint32_t texts_add(struct texts *texts, struct str borrowed)
{
    return add(texts, borrowed, true);
}

/* ---- transformations */

static bool add_row(struct texts *texts, uint32_t id)
{
    if (texts->row_n >= texts->row_cap) {
        uint32_t cap = texts->row_cap ? texts->row_cap * 2 : FIRST_ITEMS;
        void *rows = realloc(texts->rows, cap * sizeof *texts->rows);
        if (!rows)
            return false;
        texts->rows = rows;
        texts->row_cap = cap;
    }
    memset(texts->rows[texts->row_n], 0, sizeof *texts->rows);
    texts->items[id].results = texts->row_n++;
    return true;
}

static uint32_t transform_now(struct texts *texts, uint32_t id, enum transformation t)
{
    struct str in = texts_str(texts, id), out = transform(t, in, texts->map, texts->work);
    uint32_t result = TEXT_NONE;
    if (!arena_overflowed(texts->work))
        result = str_eq(in, out) ? id : add(texts, out, false);
    arena_reset(texts->work);
    return result;
}

static uint32_t cmd_line_nocase(struct texts *texts, uint32_t id)
{
    uint32_t result = texts_transform(texts, id, TRANSFORM_cmd_line);
    return result != TEXT_NONE && str_eq_nocase(texts_str(texts, id), texts_str(texts, result)) ? id : result;
}

uint32_t texts_transform(struct texts *texts, uint32_t id, unsigned t)
{
    if (!texts->items[id].results && !add_row(texts, id))
        return TEXT_NONE;
    uint32_t known = texts->rows[texts->items[id].results][t];
    if (known)
        return known;
    uint32_t result = t == TEXT_CMD_LINE_NOCASE ? cmd_line_nocase(texts, id)
                                                : transform_now(texts, id, (enum transformation)t);
    texts->rows[texts->items[id].results][t] = result;
    return result;
}
