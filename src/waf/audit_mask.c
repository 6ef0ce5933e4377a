/* waf/audit_mask.c - what of a value and of a target's name may be shown.
 *
 *  1. Of a value that may hold patient data no letter or digit comes out but inside a word of
 *     attack_words.def: a run of letters and digits is shown as its shape, whole.
 *  2. What encodes bytes as hexadecimal digits (%4a, \x4a, \u004a) is hidden as such: whether a digit is a
 *     letter would tell something of it.
 *  3. Only printable ASCII comes out. */
#include "waf/audit.h"
#include "waf/text.h"

static const struct str attack_words[] = {
#define ATTACK_WORD(text) {text, sizeof(text) - 1},
#include "waf/attack_words.def"
#undef ATTACK_WORD
};

static int compare_nocase(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        int by = (unsigned char)ascii_lower(a.p[i]) - (unsigned char)ascii_lower(b.p[i]);
        if (by)
            return by;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_attack_word(struct str word, size_t *ret_index)
{
    size_t low = 0, high = sizeof attack_words / sizeof *attack_words;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int by = compare_nocase(word, attack_words[middle]);
        if (by == 0) {
            *ret_index = middle;
            return true;
        }
        if (by < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* The length of a run of letters and digits; bytes of UTF-8 are letters. */
static size_t run_length(struct str s)
{
    size_t n = 0;
    while (n < s.n && (is_alnum(s.p[n]) || (unsigned char)s.p[n] >= 0x80))
        n++;
    return n;
}

/* How many hexadecimal digits follow what begins here (after "%", "%u", "\x", "\u"); *ret_prefix: its length.
 */
static unsigned encoded_digits(struct str s, size_t *ret_prefix)
{
    char second = s.n > 1 ? ascii_lower(s.p[1]) : '\0';
    unsigned digits = 2;
    *ret_prefix = 1;
    if (s.p[0] == '\\' && second != 'x' && second != 'u')
        return 0;
    if (s.p[0] != '\\' && s.p[0] != '%')
        return 0;
    if (s.p[0] == '\\' || second == 'u') {
        *ret_prefix = 2;
        digits = second == 'u' ? 4 : 2;
    }
    for (unsigned i = 0; i < digits; i++)
        if (*ret_prefix + i >= s.n || !is_hex(s.p[*ret_prefix + i]))
            return 0;
    return digits;
}

/* is_whole: nothing was cut off, so it may be a word of the list. */
static void write_run(struct buf *out, struct str run, bool is_whole)
{
    size_t word;
    if (is_whole && is_attack_word(run, &word)) {
        buf_str(out, attack_words[word]);
        return;
    }
    for (size_t i = 0; i < run.n; i++) {
        unsigned char c = (unsigned char)run.p[i];
        if (c < 0x80 || c >= 0xc0) /* of UTF-8 only the first byte counts as a letter */
            buf_char(out, is_digit((char)c) ? '9' : 'a');
    }
}

/* Does an encoded letter or digit begin here: the runs beside it are parts of one word. */
static bool begins_with_encoded_letter(struct str s)
{
    size_t prefix;
    unsigned digits = s.n ? encoded_digits(s, &prefix) : 0, value = 0;
    for (unsigned i = 0; i < digits; i++)
        value = value << 4 | (unsigned)hex_value(s.p[prefix + i]);
    return digits && (value >= 0x80 || is_alnum((char)value));
}

static struct str take_encoded(struct buf *out, struct str s)
{
    size_t prefix;
    unsigned digits = encoded_digits(s, &prefix);
    buf_str(out, str_take(s, prefix));
    for (unsigned i = 0; i < digits; i++)
        buf_char(out, 'h');
    return str_skip(s, prefix + digits);
}

/* goes_on_before, goes_on_behind: the text is part of a longer one, and a run goes on there. */
static void write_shape(struct buf *out, struct str s, bool goes_on_before, bool goes_on_behind)
{
    while (s.n) {
        size_t prefix, n = run_length(s);
        struct str behind = str_skip(s, n);
        if (n) {
            bool is_cut = behind.n ? begins_with_encoded_letter(behind) : goes_on_behind;
            write_run(out, str_take(s, n), !goes_on_before && !is_cut);
            goes_on_before = false;
            s = behind;
        } else if (encoded_digits(s, &prefix)) {
            goes_on_before = begins_with_encoded_letter(s);
            s = take_encoded(out, s);
        } else {
            goes_on_before = false;
            buf_char(out, s.p[0] >= ' ' && s.p[0] < 0x7f ? s.p[0] : '?');
            s = str_skip(s, 1);
        }
    }
}

struct str waf_excerpt_window(struct str value, struct str matched)
{
    ptrdiff_t found = matched.n ? str_find(value, matched) : -1;
    size_t at = found < 0 ? 0 : (size_t)found;
    size_t from = at > WAF_EXCERPT_AROUND ? at - WAF_EXCERPT_AROUND : 0;
    size_t length = at - from + (found < 0 ? 0 : matched.n) + WAF_EXCERPT_AROUND;
    return str_take(str_skip(value, from), length < WAF_EXCERPT_BYTES_MAX ? length : WAF_EXCERPT_BYTES_MAX);
}

static bool goes_on(const char *at, const char *begin, const char *end)
{
    return at >= begin && at < end && run_length((struct str){at, 1});
}

void waf_mask_value(struct buf *out, struct str value, struct str matched)
{
    struct str window = waf_excerpt_window(value, matched);
    const char *end = value.p + value.n;
    if (window.n)
        write_shape(out, window, goes_on(window.p - 1, value.p, end),
                    goes_on(window.p + window.n, value.p, end));
}

/* ---- names of targets */

enum { NAME_MAX_BYTES = 80, NAME_MAX_DIGITS = 6 };

/* As programs write names of fields: letters, separators, and few digits. Eight of them may be a date of
 * birth or a number of a patient. */
static bool is_program_name(struct str name)
{
    unsigned digits = 0;
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        digits += is_digit(c);
        if (!is_alnum(c) && !(c && strchr("._-[]$:@/*", c)))
            return false;
    }
    return digits <= NAME_MAX_DIGITS;
}

static bool is_variable(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && name.p[i] != '_' && (name.p[i] != '&' || i))
            return false;
    }
    return name.n > 0 && name.n <= 48;
}

void waf_mask_target(struct buf *out, struct str target)
{
    struct str name = target, variable = str_cut(&name, ':');
    if (is_variable(variable))
        buf_str(out, variable);
    else
        write_shape(out, str_take(variable, NAME_MAX_BYTES), false, variable.n > NAME_MAX_BYTES);
    if (!name.p)
        return;
    buf_char(out, ':');
    if (is_program_name(name))
        buf_str(out, name);
    else
        write_shape(out, str_take(name, NAME_MAX_BYTES), false, name.n > NAME_MAX_BYTES);
}

bool waf_target_is_shown(struct str target)
{
    struct str name = target, variable = str_cut(&name, ':');
    return is_variable(variable) && (!name.p || is_program_name(name));
}

/* Fields that speak of programs and not of people. What stands in them is in the access log as well, or is
 * nothing but a number or a name of a format. */
bool waf_target_is_technical(struct str target)
{
    static const char *const technical[] = {
        "REQUEST_METHOD",
        "REQUEST_PROTOCOL",
        "RESPONSE_STATUS",
        "RESPONSE_CONTENT_TYPE",
        "REQBODY_PROCESSOR",
        "REQUEST_HEADERS:Accept",
        "REQUEST_HEADERS:Accept-Charset",
        "REQUEST_HEADERS:Accept-Encoding",
        "REQUEST_HEADERS:Accept-Language",
        "REQUEST_HEADERS:Connection",
        "REQUEST_HEADERS:Content-Encoding",
        "REQUEST_HEADERS:Content-Length",
        "REQUEST_HEADERS:Content-Type",
        "REQUEST_HEADERS:Host",
        "REQUEST_HEADERS:Range",
        "REQUEST_HEADERS:Transfer-Encoding",
        "REQUEST_HEADERS:Upgrade",
        "REQUEST_HEADERS:User-Agent",
    };
    for (size_t i = 0; i < sizeof technical / sizeof *technical; i++)
        if (str_eq_nocase(target, str_of(technical[i])))
            return true;
    return false;
}
