#include "fhir/fold.h"

#include "base/buf.h"
#include "fhir/chars.h"
#include "fhir/fold_data.h"
#include "json/utf8.h"

enum { GROWTH_MAX = 11 }; /* for each byte: U+FDFA, three of them, becomes 33 */

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_fine = (c >= 'a' && c <= 'z') || is_digit(c) || (c > ' ' && c < 'A') || (c > 'Z' && c > 0) ||
                       (c == ' ' && i > 0 && i + 1 < text.n && text.p[i - 1] != ' ');
        if (!is_fine)
            return false;
    }
    return true;
}

/* The code of a well-formed sequence of two or three bytes. */
static uint32_t decode(const char *p, unsigned length)
{
    uint32_t code = (uint8_t)p[0] & (0xffU >> (length + 1));
    for (unsigned i = 1; i < length; i++)
        code = code << 6 | ((uint8_t)p[i] & 0x3f);
    return code;
}

static struct str fold_char(struct str sequence)
{
    if (sequence.n > 3)
        return sequence;
    uint32_t code = decode(sequence.p, (unsigned)sequence.n);
    uint16_t page = fhir_fold_pages[code >> 8];
    uint16_t row = page == 0xffff ? 0 : fhir_fold_rows[page * 256U + (code & 0xff)];
    if (!row)
        return sequence;
    const char *folded = fhir_fold_pool + row - 1;
    return (struct str){folded + 1, (uint8_t)folded[0]};
}

static void fold_into(struct str text, struct buf *out)
{
    unsigned length, bad;
    for (; text.n; text = str_skip(text, length)) {
        length = utf8_sequence(text.p, text.n, &bad);
        if (!length)
            length = bad;
        else if (length > 1)
            buf_str(out, fold_char(str_take(text, length)));
        else if (!is_space(text.p[0]))
            buf_char(out, ascii_lower(text.p[0]));
        else if (out->n && out->p[out->n - 1] != ' ')
            buf_char(out, ' ');
    }
    while (out->n && out->p[out->n - 1] == ' ')
        out->n--;
}

/* Not in the middle of a character. */
static struct str first_bytes(struct str text)
{
    size_t n = text.n < FHIR_FOLD_BYTES_MAX ? text.n : FHIR_FOLD_BYTES_MAX;
    while (n < text.n && n > 0 && utf8_continues((uint8_t)text.p[n]))
        n--;
    return str_take(text, n);
}

struct str fhir_fold(struct str text, struct arena *arena)
{
    text = first_bytes(text);
    if (is_plain(text))
        return text;
    size_t room = 0;
    for (size_t i = 0; i < text.n; i++)
        room += (uint8_t)text.p[i] < 0x80 ? 1 : GROWTH_MAX;
    char *memory = arena_bytes(arena, room);
    struct buf out = buf_over(memory, memory ? room : 0);
    if (memory)
        fold_into(text, &out);
    return buf_text(&out);
}
