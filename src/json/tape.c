#include "json/tape.h"
#include "base/must.h"
#include "json/utf8.h"

_Static_assert(sizeof(struct json_node) == 16, "four nodes a cache line");
_Static_assert(JSON_TEXT_MAX / 2 + 1 < 1 << 28, "a count fits into its bits");

/* While a container is open its `next` is the index of the container around it. */
struct parser {
    const char *start, *at, *end;
    struct json_node *nodes;
    uint32_t count, max;
    uint32_t open; /* innermost open container, or JSON_NONE */
    unsigned depth, depth_max;
    enum json_error error;
};

static bool fail(struct parser *p, enum json_error error)
{
    p->error = p->at >= p->end && error != JSON_TOO_LARGE && error != JSON_TOO_DEEP ? JSON_ENDS_EARLY : error;
    return false;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
}

static struct json_node *add_node(struct parser *p, enum json_type type)
{
    if (p->count == p->max) {
        fail(p, JSON_TOO_LARGE);
        return NULL;
    }
    struct json_node *node = &p->nodes[p->count++];
    *node =
        (struct json_node){.at = (uint32_t)(p->at - p->start), .next = p->count, .type = (unsigned)type & 7};
    return node;
}

/* ---- strings */

/* Eight bytes at once: a high bit for every byte that is a quote, a backslash, a control or not ASCII. The
 * test for zero bytes is exact up to the first hit, and only the first one is used. */
static uint64_t special_bytes(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    return ((quote - ones) | (backslash - ones) | (x - ones * 0x20) | x) & highs;
}

static const char *skip_plain(const char *at, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - at >= 8) {
        uint64_t x;
        memcpy(&x, at, 8);
        uint64_t hits = special_bytes(x);
        if (hits)
            return at + __builtin_ctzll(hits) / 8;
        at += 8;
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= 0x20 && (uint8_t)*at < 0x80)
        at++;
    return at;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at p; negative when they are not hexadecimal. */
static int32_t hex4(const char *p)
{
    int32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* p begins with a backslash. Returns the length of the escape (a surrogate pair is one of 12) and its code;
 * 0: bad. */
static unsigned read_escape(const char *p, size_t n, uint32_t *ret_code)
{
    static const char letters[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    if (n < 2)
        return 0;
    if (p[1] != 'u') {
        const char *letter = p[1] ? strchr(letters, p[1]) : NULL;
        if (!letter)
            return 0;
        *ret_code = (uint8_t)codes[letter - letters];
        return 2;
    }
    int32_t high = n >= 6 ? hex4(p + 2) : -1;
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *ret_code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    int32_t low = n >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_code = 0x10000 + (((uint32_t)high & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
    return 12;
}

static bool parse_string(struct parser *p)
{
    p->at++; /* the quote */
    struct json_node *node = add_node(p, JSON_STRING);
    if (!node)
        return false;
    for (;;) {
        p->at = skip_plain(p->at, p->end);
        if (p->at == p->end)
            return fail(p, JSON_ENDS_EARLY);
        uint8_t c = (uint8_t)*p->at;
        unsigned taken = 0, bad;
        uint32_t code;
        if (c == '"')
            break;
        if (c == '\\') {
            taken = read_escape(p->at, (size_t)(p->end - p->at), &code);
            node->has_escapes = 1;
        } else if (c >= 0x80) {
            taken = utf8_sequence(p->at, (size_t)(p->end - p->at), &bad);
        }
        if (taken == 0)
            return fail(p, c >= 0x80 ? JSON_BAD_UTF8 : JSON_BAD_STRING);
        p->at += taken;
    }
    node->length = (uint32_t)(p->at - p->start) - node->at;
    p->at++;
    return true;
}

/* ---- numbers and words */

static bool skip_digits(struct parser *p) /* at least one */
{
    const char *from = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > from || fail(p, JSON_BAD_NUMBER);
}

static bool at_char(const struct parser *p, char c)
{
    return p->at < p->end && *p->at == c;
}

/* RFC 8259 6: [ minus ] int [ frac ] [ exp ] */
static bool parse_number(struct parser *p)
{
    struct json_node *node = add_node(p, JSON_NUMBER);
    if (!node)
        return false;
    if (at_char(p, '-'))
        p->at++;
    if (at_char(p, '0')) {
        p->at++;
        if (p->at < p->end && *p->at >= '0' && *p->at <= '9')
            return fail(p, JSON_BAD_NUMBER);
    } else if (!skip_digits(p)) {
        return false;
    }
    if (at_char(p, '.')) {
        p->at++;
        if (!skip_digits(p))
            return false;
    }
    if (at_char(p, 'e') || at_char(p, 'E')) {
        p->at++;
        if (at_char(p, '+') || at_char(p, '-'))
            p->at++;
        if (!skip_digits(p))
            return false;
    }
    node->length = (uint32_t)(p->at - p->start) - node->at;
    return true;
}

static bool parse_word(struct parser *p, struct str word, enum json_type type)
{
    struct json_node *node = add_node(p, type);
    if (!node)
        return false;
    for (size_t i = 0; i < word.n; i++, p->at++)
        if (!at_char(p, word.p[i]))
            return fail(p, JSON_UNEXPECTED);
    node->length = (uint32_t)word.n;
    return true;
}

/* ---- containers */

static bool open_container(struct parser *p, enum json_type type)
{
    if (p->depth == p->depth_max)
        return fail(p, JSON_TOO_DEEP);
    struct json_node *node = add_node(p, type);
    if (!node)
        return false;
    node->next = p->open;
    p->open = p->count - 1;
    p->depth++;
    p->at++;
    return true;
}

static void close_container(struct parser *p)
{
    struct json_node *node = &p->nodes[p->open];
    p->at++;
    p->open = node->next;
    p->depth--;
    node->next = p->count;
    node->length = (uint32_t)(p->at - p->start) - node->at;
}

static bool parse_key(struct parser *p)
{
    skip_space(p);
    if (!at_char(p, '"'))
        return fail(p, JSON_UNEXPECTED);
    if (!parse_string(p))
        return false;
    skip_space(p);
    if (!at_char(p, ':'))
        return fail(p, JSON_UNEXPECTED);
    p->at++;
    return true;
}

/* Begins the container, and its first member's key; *ret_ready: a value may follow (it is not empty). */
static bool begin_container(struct parser *p, bool *ret_ready)
{
    bool is_object = *p->at == '{';
    if (!open_container(p, is_object ? JSON_OBJECT : JSON_ARRAY))
        return false;
    skip_space(p);
    if (at_char(p, is_object ? '}' : ']')) {
        close_container(p);
        *ret_ready = false;
        return true;
    }
    p->nodes[p->open].count = 1;
    *ret_ready = true;
    return !is_object || parse_key(p);
}

static bool parse_scalar(struct parser *p)
{
    switch (*p->at) {
    case '"':
        return parse_string(p);
    case 't':
        return parse_word(p, STR("true"), JSON_TRUE);
    case 'f':
        return parse_word(p, STR("false"), JSON_FALSE);
    case 'n':
        return parse_word(p, STR("null"), JSON_NULL);
    default:
        if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'))
            return parse_number(p);
        return fail(p, JSON_UNEXPECTED);
    }
}

/* After a value: closes what ends here; true when another value is expected, false at the end or on an error.
 */
static bool next_value(struct parser *p)
{
    while (p->open != JSON_NONE) {
        struct json_node *container = &p->nodes[p->open];
        bool is_object = container->type == JSON_OBJECT;
        skip_space(p);
        if (at_char(p, ',')) {
            p->at++;
            container->count++;
            return !is_object || parse_key(p);
        }
        if (!at_char(p, is_object ? '}' : ']'))
            return fail(p, JSON_UNEXPECTED);
        close_container(p);
    }
    return false;
}

static void parse_document(struct parser *p)
{
    bool expects_value = true;
    while (expects_value) {
        skip_space(p);
        if (p->at == p->end) {
            fail(p, JSON_ENDS_EARLY);
            return;
        }
        if (*p->at == '{' || *p->at == '[') {
            bool ready;
            if (!begin_container(p, &ready))
                return;
            if (ready)
                continue;
        } else if (!parse_scalar(p)) {
            return;
        }
        expects_value = next_value(p);
    }
    if (p->error != JSON_FINE)
        return;
    skip_space(p);
    if (p->at != p->end)
        p->error = JSON_UNEXPECTED;
}

enum json_error json_parse(struct str text, unsigned depth_max, struct json_node *nodes, size_t node_max,
                           struct json_tape *ret, size_t *ret_error_at)
{
    struct parser p = {.start = text.p, .at = text.p, .nodes = nodes, .open = JSON_NONE};
    p.end = text.n ? text.p + text.n : text.p;
    p.max = node_max < JSON_TEXT_MAX ? (uint32_t)node_max : JSON_TEXT_MAX;
    p.depth_max = depth_max < JSON_DEPTH_MAX ? depth_max : JSON_DEPTH_MAX;
    if (text.n > JSON_TEXT_MAX)
        p.error = JSON_TOO_LARGE;
    else
        parse_document(&p);
    if (p.error != JSON_FINE) {
        if (ret_error_at)
            *ret_error_at = (size_t)(p.at - p.start);
        return p.error;
    }
    *ret = (struct json_tape){text, nodes, p.count};
    return JSON_FINE;
}

struct str json_error_text(enum json_error error)
{
    static const struct str texts[] = {
        [JSON_FINE] = STR("there is no error"),
        [JSON_ENDS_EARLY] = STR("the text ends too early"),
        [JSON_UNEXPECTED] = STR("this character cannot stand here"),
        [JSON_BAD_STRING] = STR("a string has a control character or an escape that does not exist"),
        [JSON_BAD_UTF8] = STR("a string is not UTF-8"),
        [JSON_BAD_NUMBER] = STR("this is not a number"),
        [JSON_TOO_DEEP] = STR("arrays and objects are nested too deeply"),
        [JSON_TOO_LARGE] = STR("the text is too large"),
    };
    return texts[error];
}

void json_position(struct str text, size_t at, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1;
    size_t line_start = 0;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    *ret_line = line;
    *ret_column = (unsigned)(at - line_start) + 1;
}

/* ---- reading the tape */

struct str json_source(const struct json_tape *t, uint32_t node)
{
    struct str text = json_text(t, node);
    if (json_type(t, node) == JSON_STRING)
        return (struct str){text.p - 1, text.n + 2};
    return text;
}

uint32_t json_get(const struct json_tape *t, uint32_t object, struct str name)
{
    if (object == JSON_NONE || json_type(t, object) != JSON_OBJECT)
        return JSON_NONE;
    uint32_t key = json_first(t, object);
    for (uint32_t left = json_count(t, object); left > 0; left--, key = json_next_member(t, key))
        if (json_string_is(t, key, name))
            return key + 1;
    return JSON_NONE;
}

/* Reads one character (a run of plain bytes counts as one) of a string that was parsed, so every escape is
 * good. */
static struct str next_piece(struct str *rest, char scratch[4])
{
    if (rest->p[0] != '\\') {
        ptrdiff_t plain = str_find_char(*rest, '\\');
        struct str piece = plain < 0 ? *rest : str_take(*rest, (size_t)plain);
        *rest = str_skip(*rest, piece.n);
        return piece;
    }
    uint32_t code = 0;
    unsigned taken = read_escape(rest->p, rest->n, &code);
    must(taken > 0);
    *rest = str_skip(*rest, taken);
    return (struct str){scratch, utf8_encode(code, scratch)};
}

bool json_string_is(const struct json_tape *t, uint32_t string, struct str value)
{
    struct str rest = json_text(t, string);
    char scratch[4];
    if (json_type(t, string) != JSON_STRING)
        return false;
    if (!t->nodes[string].has_escapes)
        return str_eq(rest, value);
    while (rest.n) {
        struct str piece = next_piece(&rest, scratch);
        if (!str_starts(value, piece))
            return false;
        value = str_skip(value, piece.n);
    }
    return value.n == 0;
}

void json_string_write(const struct json_tape *t, uint32_t string, struct buf *out)
{
    struct str rest = json_text(t, string);
    char scratch[4];
    while (rest.n)
        buf_str(out, next_piece(&rest, scratch));
}

struct str json_string(const struct json_tape *t, uint32_t string, struct arena *arena)
{
    struct str text = json_text(t, string);
    if (json_type(t, string) != JSON_STRING || !t->nodes[string].has_escapes)
        return text;
    char *memory = arena_bytes(arena, text.n); /* an escape is never shorter than what it stands for */
    if (!memory)
        return STR_NONE;
    struct buf out = buf_over(memory, text.n);
    json_string_write(t, string, &out);
    return buf_text(&out);
}

bool json_get_u64(const struct json_tape *t, uint32_t node, uint64_t *ret)
{
    return node != JSON_NONE && json_type(t, node) == JSON_NUMBER && str_parse_u64(json_text(t, node), ret);
}

bool json_get_i64(const struct json_tape *t, uint32_t node, int64_t *ret)
{
    uint64_t value;
    if (node == JSON_NONE || json_type(t, node) != JSON_NUMBER)
        return false;
    struct str text = json_text(t, node);
    bool is_negative = text.p[0] == '-';
    if (!str_parse_u64(str_skip(text, is_negative), &value) || value > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret = is_negative ? (int64_t)-value : (int64_t)value;
    return true;
}

/* ---- repeated names */

static struct str key_name(const struct json_tape *t, uint32_t key, struct arena *scratch)
{
    return t->nodes[key].has_escapes ? json_string(t, key, scratch) : json_text(t, key);
}

static uint32_t find_repeated_small(const struct json_tape *t, uint32_t object, struct arena *scratch)
{
    enum { SMALL = 16 };
    struct str names[SMALL];
    uint32_t count = json_count(t, object), key = json_first(t, object);
    for (uint32_t i = 0; i < count && i < SMALL; i++, key = json_next_member(t, key)) {
        names[i] = key_name(t, key, scratch);
        for (uint32_t earlier = 0; earlier < i; earlier++)
            if (str_eq(names[i], names[earlier]))
                return key;
    }
    return JSON_NONE;
}

struct table_row {
    struct str name;
    bool is_used;
};

static uint32_t find_repeated_large(const struct json_tape *t, uint32_t object,
                                    const struct hash_key *hash_key, struct arena *scratch)
{
    uint32_t count = json_count(t, object), key = json_first(t, object);
    size_t rows = 64;
    while (rows < (size_t)count * 2)
        rows *= 2;
    struct table_row *table = arena_alloc(scratch, rows * sizeof *table);
    for (uint32_t i = 0; table && i < count; i++, key = json_next_member(t, key)) {
        struct str name = key_name(t, key, scratch);
        size_t row = hash_bytes(hash_key, name.n ? name.p : "", name.n) & (rows - 1);
        for (; table[row].is_used; row = (row + 1) & (rows - 1))
            if (str_eq(table[row].name, name))
                return key;
        table[row] = (struct table_row){name, true};
    }
    return table && !arena_overflowed(scratch) ? JSON_NONE : json_first(t, object);
}

uint32_t json_find_repeated(const struct json_tape *t, uint32_t object, const struct hash_key *hash_key,
                            struct arena *scratch)
{
    if (json_count(t, object) > 16)
        return find_repeated_large(t, object, hash_key, scratch);
    uint32_t key = find_repeated_small(t, object, scratch);
    return key == JSON_NONE && arena_overflowed(scratch) ? json_first(t, object) : key;
}
