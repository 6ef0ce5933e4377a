/* What base64 hides: an attachment that is a page, a picture with a script, a document that says it is a
 * scan. It is decoded where its content type can be read as text, or where it begins as markup does whatever
 * its type says. */
#include "waf/fhir.h"

#include "waf/tx.h"

enum { SNIFF_BYTES = 96 };

static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Until it is full; everything that is no letter is passed over, as lenient readers do. */
static void decode(struct str text, struct buf *out)
{
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < text.n && out->n < out->cap; i++) {
        int value = letter_value(text.p[i]);
        if (value < 0)
            continue;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        buf_char(out, (char)(uint8_t)(bits >> count));
    }
}

static bool is_readable_type(struct str type)
{
    static const char *const signs[] = {"text/", "html", "xml", "svg", "script", "json", NULL};
    return text_contains_any(type, signs);
}

/* A '<' and a letter, '!', '?' or '/', after spaces and whatever marks an encoding. */
static bool begins_as_markup(struct str bytes)
{
    char seen[SNIFF_BYTES];
    struct buf plain = buf_over(seen, sizeof seen);
    for (size_t i = 0; i < bytes.n && plain.n < sizeof seen; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        bool is_mark = i < 3 && c >= 0xbb; /* EF BB BF, FE FF, FF FE */
        if (c && !is_mark && !is_space(bytes.p[i]))
            buf_char(&plain, bytes.p[i]);
    }
    if (plain.n < 2 || seen[0] != '<')
        return false;
    char next = seen[1];
    return next == '!' || next == '?' || next == '/' || ascii_lower(next) != next ||
           (next >= 'a' && next <= 'z');
}

/* Nobody said what it is: read it if it begins like something that can be read. */
static bool begins_as_text(struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        if (c < ' ' && !is_space(bytes.p[i]))
            return false;
    }
    return bytes.n > 0;
}

void fhir_add_base64(struct fhir_reading *r, struct str name, struct str value, struct str content_type)
{
    char head[SNIFF_BYTES];
    struct buf start = buf_over(head, sizeof head);
    decode(value, &start);
    bool is_readable = content_type.n ? is_readable_type(content_type) : begins_as_text(buf_text(&start));
    if (!is_readable && !begins_as_markup(buf_text(&start)))
        return;
    size_t room = value.n / 4 * 3 + 3;
    char *memory = arena_bytes(r->in->arena, room);
    struct buf all = buf_over(memory, memory ? room : 0);
    decode(value, &all);
    if (!pairs_add(&r->body->fhir.attachments, r->in->arena, name, buf_text(&all)))
        r->is_full = true; /* the arena remembers, and the transaction is refused */
}
