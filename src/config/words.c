/* config/words.c - readers of the kinds that are one word: numbers, choices, texts, files, addresses. */
#include "config/reader.h"
#include "config/value.h"

#include "base/must.h"

/* ---- numbers */

static void store_uint(void *base, const struct config_key *key, uint64_t value)
{
    void *field = field_at(base, key->where.offset);
    switch (key->where.size) {
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        must(key->where.size == 8);
        *(uint64_t *)field = value;
    }
}

typedef void number_writer(struct buf *, uint64_t);

static const char *number_words(struct reader *r, number_writer *write, uint64_t value)
{
    char text[32];
    struct buf b = buf_over(text, sizeof text);
    write(&b, value);
    const char *z = arena_copy_z(r->scratch, buf_text(&b));
    return z ? z : "";
}

static void store_bounded(struct reader *r, const struct config_key *key, const struct node *node, void *base,
                          uint64_t value, number_writer *write)
{
    if (value >= key->min && value <= key->max)
        store_uint(base, key, value);
    else
        problem_error(r->problems, node->at, STR_NONE, "'%s' must be from %s to %s, not %s", key->name,
                      number_words(r, write, key->min), number_words(r, write, key->max),
                      problem_quote(r->problems, node->text));
}

static void write_percent(struct buf *b, uint64_t value)
{
    buf_u64(b, value);
    buf_char(b, '%');
}

static void write_seconds(struct buf *b, uint64_t value)
{
    value_write_duration(b, value * 1000);
}

void read_bool(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    bool value;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_bool(word, &value))
        *(bool *)field_at(base, key->where.offset) = value;
    else
        reader_complain(r, key, node);
}

void read_count(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t value;
    if (!reader_word(r, key, node, &word))
        return;
    if (str_parse_u64(word, &value))
        store_bounded(r, key, node, base, value, buf_u64);
    else
        reader_complain(r, key, node);
}

void read_workers(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!reader_word(r, key, node, &word))
        return;
    if (str_eq(word, STR("auto")))
        store_uint(base, key, r->cpus < key->min ? key->min : r->cpus > key->max ? key->max : r->cpus);
    else
        read_count(r, key, node, base);
}

void read_size(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t value;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_size(word, &value))
        store_bounded(r, key, node, base, value, value_write_size);
    else
        reader_complain(r, key, node);
}

void read_duration(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t value;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_duration_ms(word, &value))
        store_bounded(r, key, node, base, value, value_write_duration);
    else if (str_parse_u64(word, &value))
        problem_error(r->problems, node->at,
                      arena_printf(r->problems->arena, "for example %us", (unsigned)value % 1000),
                      "'%s' needs a unit: ms, s, m, h, d or y", key->name);
    else
        reader_complain(r, key, node);
}

void read_seconds(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t ms;
    bool on;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_bool(word, &on) && !on)
        store_uint(base, key, 0);
    else if (value_duration_ms(word, &ms) && ms % 1000 == 0)
        store_bounded(r, key, node, base, ms / 1000, write_seconds);
    else
        reader_complain(r, key, node);
}

void read_percent(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t value;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_percent(word, &value))
        store_bounded(r, key, node, base, value, write_percent);
    else
        reader_complain(r, key, node);
}

void read_choice(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    unsigned count;
    const struct config_choice *all = config_choices(&count);
    if (!reader_word(r, key, node, &word))
        return;
    struct nearest near = nearest_to(word);
    for (unsigned i = 0; i < count; i++) {
        if (all[i].set != key->of)
            continue;
        if (str_eq(word, str_of(all[i].word))) {
            store_uint(base, key, all[i].value);
            return;
        }
        nearest_try(&near, str_of(all[i].word));
    }
    reader_complain(r, key, node);
}

void read_status_range(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    uint64_t low, high;
    if (!reader_word(r, key, node, &word))
        return;
    struct str low_text = str_cut(&word, '-');
    if (!str_parse_u64(low_text, &low) || !str_parse_u64(word.p ? word : low_text, &high) || low < key->min ||
        high > key->max || low > high) {
        reader_complain(r, key, node);
        return;
    }
    *(uint16_t *)field_at(base, key->where.offset) = (uint16_t)low;
    *(uint16_t *)field_at(base, key->where.second) = (uint16_t)high;
}

/* ---- texts */

static struct str *text_field(const struct config_key *key, void *base)
{
    return field_at(base, key->where.offset);
}

/* The word, when its length is within the key's bounds. */
static bool bounded_word(struct reader *r, const struct config_key *key, const struct node *node,
                         struct str *ret)
{
    struct str word;
    if (!reader_word(r, key, node, &word))
        return false;
    if (word.n > key->max) {
        problem_error(r->problems, node->at, STR_NONE, "'%s' has %zu characters: at most %u are possible",
                      key->name, word.n, (unsigned)key->max);
        return false;
    }
    *ret = word;
    return true;
}

void read_text(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (bounded_word(r, key, node, &word))
        *text_field(key, base) = arena_copy(r->arena, word);
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return s.n > 0;
}

void read_name(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!bounded_word(r, key, node, &word))
        return;
    if (!is_name(word)) {
        problem_error(r->problems, node->at, STR("use letters, digits, - and _"), "'name' must not be %s",
                      problem_quote(r->problems, word));
        return;
    }
    *text_field(key, base) = arena_copy(r->arena, word);
    reader_claim(r, CLAIM_NAME, key->section, word, node->at);
}

void read_token(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!bounded_word(r, key, node, &word))
        return;
    if (value_is_token(word))
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        reader_complain(r, key, node);
}

void read_path(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!bounded_word(r, key, node, &word))
        return;
    if (word.p[0] == '/')
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        reader_complain(r, key, node);
}

void read_log(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    bool on;
    if (!bounded_word(r, key, node, &word))
        return;
    if (value_bool(word, &on) && !on)
        *text_field(key, base) = STR("off");
    else if (str_eq(word, STR("-")))
        *text_field(key, base) = STR("-");
    else
        read_path(r, key, node, base);
}

void read_host(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!bounded_word(r, key, node, &word))
        return;
    if (value_is_host(word))
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        reader_complain(r, key, node);
}

void read_authority(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word, host;
    uint16_t port;
    if (!bounded_word(r, key, node, &word))
        return;
    if (value_is_host(word) || (value_split_port(word, &host, &port) && value_is_host(host)))
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        reader_complain(r, key, node);
}

void read_url_path(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    const char *why;
    if (!bounded_word(r, key, node, &word))
        return;
    if (value_is_canonical(word, &why))
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        problem_error(r->problems, node->at, str_of(why), "'%s' cannot be %s", key->name,
                      problem_quote(r->problems, word));
}

void read_target(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    if (!bounded_word(r, key, node, &word))
        return;
    bool good = word.p[0] == '/';
    for (size_t i = 0; i < word.n; i++)
        good = good && word.p[i] > ' ' && word.p[i] < 0x7f && word.p[i] != '#';
    if (good)
        *text_field(key, base) = arena_copy(r->arena, word);
    else
        reader_complain(r, key, node);
}

/* ---- files */

typedef bool file_judge(struct str bytes);

static void read_file(struct reader *r, const struct config_key *key, const struct node *node, void *base,
                      file_judge *is_good, const char *expected)
{
    struct str word, bytes;
    if (!bounded_word(r, key, node, &word) || !reader_file(r, key, word, node->at, &bytes))
        return;
    if (!is_good(bytes)) {
        problem_error(r->problems, node->at, STR_NONE, "the file %s for '%s' does not hold %s",
                      problem_quote(r->problems, word), key->name, expected);
        return;
    }
    *text_field(key, base) = arena_copy(r->arena, word);
    *(struct str *)field_at(base, key->where.second) = bytes;
}

static bool holds_certificate(struct str bytes)
{
    return memmem(bytes.p, bytes.n, "-----BEGIN CERTIFICATE-----", 27) != NULL;
}

static bool holds_crl(struct str bytes)
{
    return memmem(bytes.p, bytes.n, "-----BEGIN X509 CRL-----", 24) != NULL;
}

static bool is_der_sequence(struct str bytes)
{
    return bytes.p[0] == 0x30;
}

void read_chain_file(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    read_file(r, key, node, base, holds_certificate, "a PEM certificate (-----BEGIN CERTIFICATE-----)");
}

void read_crl_file(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    read_file(r, key, node, base, holds_crl, "a PEM revocation list (-----BEGIN X509 CRL-----)");
}

void read_ocsp_file(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    read_file(r, key, node, base, is_der_sequence, "an OCSP answer in DER");
}

static bool holds_keys(struct str bytes)
{
    return memmem(bytes.p, bytes.n, "\"keys\"", 6) != NULL;
}

/* Whether the keys can be used is for whoever uses them. */
void read_jwks_file(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    read_file(r, key, node, base, holds_keys, "a JWK Set ({\"keys\": [...]})");
}

/* The key's path only: its contents are for the signer alone. */
void read_key_file(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    read_text(r, key, node, base);
}

/* ---- addresses */

static struct str addr_words(struct reader *r, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    addr_write(&b, a);
    return arena_copy(r->scratch, buf_text(&b));
}

void read_address(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    struct addr a;
    if (!reader_word(r, key, node, &word))
        return;
    if (!addr_parse(word, &a)) {
        reader_complain(r, key, node);
    } else if (a.port == 0) {
        problem_error(r->problems, node->at, STR_NONE, "'%s' needs a port from 1 to 65535", key->name);
    } else {
        *(struct addr *)field_at(base, key->where.offset) = a;
        reader_claim(r, CLAIM_ADDRESS, 0, addr_words(r, &a), node->at);
    }
}

void read_management(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    bool on;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_bool(word, &on) && !on)
        *(struct addr *)field_at(base, key->where.offset) = (struct addr){0};
    else
        read_address(r, key, node, base);
}

void read_endpoint_address(struct reader *r, const struct config_key *key, const struct node *node,
                           void *base)
{
    struct config_endpoint *e = base;
    struct str word, host;
    uint16_t port;
    if (!bounded_word(r, key, node, &word))
        return;
    if (!value_split_port(word, &host, &port) || !value_is_host(host)) {
        reader_complain(r, key, node);
        return;
    }
    e->is_name = !addr_parse(word, &e->address);
    e->host = arena_copy(r->arena, host);
    e->port = port;
}
