/* The ring of audit records in the hands of a hostile writer: whatever its bytes and its index say, what is
 * read lies within bounds and the reader comes to the end. And the masks: whatever a value or a name of a
 * target holds, no run of letters and digits of it comes out but as a shape or as a word of attacks. Input: 8
 * bytes of index, then the ring; the same bytes are the value. */
#include "base/must.h"
#include "proxy/shared.h"
#include "waf/audit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_ring(const uint8_t *data, size_t size)
{
    static struct shared shared;
    char record[SHARED_AUDIT_RECORD_MAX];
    uint64_t written;
    bool is_broken;
    if (!shared.header) {
        void *memory = aligned_alloc(SHARED_PAGE, shared_size(1));
        must(memory);
        memset(memory, 0, shared_size(1));
        shared_init(memory, 1, (struct hash_key){1, 2}, &shared);
    }
    struct shared_worker *w = shared_worker(&shared, 0);
    memcpy(&written, data, sizeof written);
    size_t n = size - sizeof written < SHARED_AUDIT_BYTES ? size - sizeof written : SHARED_AUDIT_BYTES;
    memcpy(w->audit, data + sizeof written, n);
    shared.reader->audit_read[0] = written >> 48 & (SHARED_AUDIT_BYTES - 1);
    w->audit_written = shared.reader->audit_read[0] + (written & 0x7ffff);
    for (unsigned takes = 0; (n = shared_audit_take(&shared, 0, record, &is_broken)) > 0; takes++)
        must(n <= SHARED_AUDIT_RECORD_MAX && takes < SHARED_AUDIT_BYTES);
    must(shared.reader->audit_read[0] == w->audit_written);
}

static bool is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static bool is_word(struct str run)
{
    static const struct str words[] = {
#define ATTACK_WORD(text) {text, sizeof(text) - 1},
#include "waf/attack_words.def"
#undef ATTACK_WORD
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(run, words[i]))
            return true;
    return false;
}

/* "%hh", "%uhhhh", "\xhh", "\uhhhh": how long; 0: no such thing begins here. */
static size_t encoded_length(struct str text)
{
    bool has_prefix = text.n > 1 && ((ascii_lower(text.p[1]) == 'u') ||
                                     (text.p[0] == '\\' && ascii_lower(text.p[1]) == 'x'));
    size_t n = 1 + has_prefix, digits = has_prefix && ascii_lower(text.p[1]) == 'u' ? 4 : 2;
    if (text.p[0] != '%' && (text.p[0] != '\\' || !has_prefix))
        return 0;
    return text.n >= n + digits && str_starts(str_skip(text, n), str_take(STR("hhhh"), digits)) ? n + digits
                                                                                                : 0;
}

/* Letters are a shape's or of a word; digits are nines. */
static void must_be_shape(struct str text)
{
    for (size_t at = 0, end; at < text.n; at = end + (end == at)) {
        size_t encoded = encoded_length(str_skip(text, at));
        if (encoded) {
            end = at + encoded;
            continue;
        }
        bool is_shape = true;
        for (end = at; end < text.n && (is_letter(text.p[end]) || (text.p[end] >= '0' && text.p[end] <= '9'));
             end++)
            is_shape = is_shape && (text.p[end] == 'a' || text.p[end] == '9');
        must(end == at || is_shape || is_word((struct str){text.p + at, end - at}));
        must(end > at || (text.p[at] >= ' ' && text.p[at] < 0x7f));
    }
}

static void mask(struct str value)
{
    static char memory[1 << 12];
    struct buf out = buf_over(memory, sizeof memory);
    struct str part = value.n > 3 ? str_take(str_skip(value, value.n / 2), 3) : STR_NONE;
    waf_mask_value(&out, value, part);
    must(!buf_overflowed(&out) && out.n <= WAF_EXCERPT_BYTES_MAX);
    must_be_shape(buf_text(&out));
    out.n = 0;
    waf_mask_target(&out, value);
    must(!buf_overflowed(&out) && (!waf_target_is_shown(value) || str_eq(buf_text(&out), value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(uint64_t) || size > 2 * SHARED_AUDIT_BYTES)
        return 0;
    read_ring(data, size);
    mask((struct str){(const char *)data + sizeof(uint64_t), size - sizeof(uint64_t)});
    return 0;
}
