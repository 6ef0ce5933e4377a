/* FHIRPath functions on texts. Positions and lengths count characters, not bytes. */
#include "fhir/chars.h"
#include "fhir/path_internal.h"
#include "json/utf8.h"

static size_t count_chars(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += !utf8_continues((uint8_t)s.p[i]);
    return n;
}

/* The offset of a character; the end when there are fewer. */
static size_t offset_of(struct str s, size_t chars)
{
    size_t at = 0;
    while (at < s.n) {
        if (!utf8_continues((uint8_t)s.p[at]) && chars-- == 0)
            break;
        at++;
    }
    return at;
}

/* The text a function is called on; what it costs to read it. */
static enum path_taken input(struct path_run *run, struct items in, struct str *ret)
{
    enum path_taken taken = items_string(run, in, ret);
    return taken == PATH_TOOK_ONE && !path_spend(run, ret->n / 64) ? PATH_TOOK_FAILED : taken;
}

static enum path_taken text_argument(struct path_run *run, const struct path_node *call, unsigned index,
                                     struct str *ret)
{
    struct items items = {0};
    return path_eval_argument(run, call, index, &items) ? items_string(run, items, ret) : PATH_TOOK_FAILED;
}

/* Both: false when there is nothing to do; then *ret_is_fine is what to return. */
static bool input_and_argument(struct path_run *run, const struct path_node *call, struct items in,
                               struct str *ret_text, struct str *ret_argument, bool *ret_is_fine)
{
    enum path_taken text = input(run, in, ret_text);
    enum path_taken argument = text == PATH_TOOK_FAILED ? text : text_argument(run, call, 0, ret_argument);
    *ret_is_fine = text != PATH_TOOK_FAILED && argument != PATH_TOOK_FAILED;
    return text == PATH_TOOK_ONE && argument == PATH_TOOK_ONE;
}

bool path_starts_with(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, what;
    bool is_fine;
    if (!input_and_argument(run, call, in, &text, &what, &is_fine))
        return is_fine;
    return items_add_boolean(run, out, str_starts(text, what));
}

bool path_ends_with(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, what;
    bool is_fine;
    if (!input_and_argument(run, call, in, &text, &what, &is_fine))
        return is_fine;
    return items_add_boolean(run, out, str_ends(text, what));
}

/* -1: it is not there. Looking for a long text in a long one costs. */
static bool find_text(struct path_run *run, struct str text, struct str what, ptrdiff_t *ret)
{
    const char *found = what.n && text.n ? memmem(text.p, text.n, what.p, what.n) : NULL;
    *ret = !what.n ? 0 : found ? found - text.p : -1;
    return path_spend(run, text.n / 64);
}

bool path_contains_text(struct path_run *run, const struct path_node *call, struct items in,
                        struct items *out)
{
    struct str text, what;
    bool is_fine;
    ptrdiff_t at;
    if (!input_and_argument(run, call, in, &text, &what, &is_fine))
        return is_fine;
    return find_text(run, text, what, &at) && items_add_boolean(run, out, at >= 0);
}

bool path_index_of(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, what;
    bool is_fine;
    ptrdiff_t at;
    if (!input_and_argument(run, call, in, &text, &what, &is_fine))
        return is_fine;
    if (!find_text(run, text, what, &at))
        return false;
    return items_add_integer(run, out, at < 0 ? -1 : (int64_t)count_chars(str_take(text, (size_t)at)));
}

bool path_substring(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct items from_items = {0}, length_items = {0};
    struct str text;
    int64_t from, length = INT64_MAX;
    enum path_taken taken = input(run, in, &text);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (!path_eval_argument(run, call, 0, &from_items))
        return false;
    taken = items_integer(run, from_items, &from);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (call->arguments > 1 && (!path_eval_argument(run, call, 1, &length_items) ||
                                items_integer(run, length_items, &length) == PATH_TOOK_FAILED))
        return false;
    size_t at = from < 0 ? text.n : offset_of(text, (size_t)from);
    if (at >= text.n)
        return true;
    struct str rest = str_skip(text, at);
    return items_add_string(run, out, str_take(rest, offset_of(rest, length < 0 ? 0 : (size_t)length)));
}

bool path_length(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text;
    enum path_taken taken = input(run, in, &text);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    return items_add_integer(run, out, (int64_t)count_chars(text));
}

bool path_to_chars(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text;
    enum path_taken taken = input(run, in, &text);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    while (text.n) {
        size_t n = offset_of(text, 1);
        if (!items_add_string(run, out, str_take(text, n)))
            return false;
        text = str_skip(text, n);
    }
    return true;
}

/* ASCII letters: FHIR uses these functions on codes and URLs. */
static bool change_case(struct path_run *run, struct items in, char first, char last, struct items *out)
{
    struct str text;
    enum path_taken taken = input(run, in, &text);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    char *memory = arena_bytes(run->arena, text.n);
    if (!memory)
        return path_fail(run, "the evaluation needs too much memory");
    for (size_t i = 0; i < text.n; i++)
        memory[i] = text.p[i] >= first && text.p[i] <= last ? (char)(text.p[i] ^ 0x20) : text.p[i];
    return items_add_string(run, out, (struct str){memory, text.n});
}

bool path_upper(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change_case(run, in, 'a', 'z', out);
}

bool path_lower(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    return change_case(run, in, 'A', 'Z', out);
}

bool path_trim(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text;
    enum path_taken taken = input(run, in, &text);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    while (text.n && is_space(text.p[0]))
        text = str_skip(text, 1);
    while (text.n && is_space(text.p[text.n - 1]))
        text.n--;
    return items_add_string(run, out, text);
}

bool path_split(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, separator;
    bool is_fine;
    ptrdiff_t at;
    if (!input_and_argument(run, call, in, &text, &separator, &is_fine))
        return is_fine;
    for (;;) {
        if (!find_text(run, text, separator, &at))
            return false;
        if (at < 0 || !separator.n)
            return items_add_string(run, out, text);
        if (!items_add_string(run, out, str_take(text, (size_t)at)))
            return false;
        text = str_skip(text, (size_t)at + separator.n);
    }
}

/* ---- building */

/* Texts one after another; what does not fit into the arena is an error. */
static bool join_all(struct path_run *run, struct items parts, struct str separator, struct items *out)
{
    size_t length = 0;
    for (uint32_t i = 0; i < parts.n; i++)
        length += parts.at[i].string.n + separator.n;
    char *memory = arena_bytes(run->arena, length);
    if (!memory)
        return path_fail(run, "the evaluation needs too much memory");
    struct buf text = buf_over(memory, length);
    for (uint32_t i = 0; i < parts.n; i++) {
        buf_str(&text, i ? separator : STR(""));
        buf_str(&text, parts.at[i].string);
    }
    return path_spend(run, length / 64) && items_add_string(run, out, buf_text(&text));
}

bool path_join(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str separator = STR(""), text;
    struct items parts = {0};
    if (call->arguments && text_argument(run, call, 0, &separator) == PATH_TOOK_FAILED)
        return false;
    for (uint32_t i = 0; i < in.n; i++) {
        enum path_taken taken = items_string(run, items_slice(in, i, 1), &text);
        if (taken == PATH_TOOK_FAILED || (taken == PATH_TOOK_ONE && !items_add_string(run, &parts, text)))
            return false;
    }
    return join_all(run, parts, separator, out);
}

/* Before, between and behind every character too when nothing is to be replaced. */
static bool replace_in(struct path_run *run, struct str text, struct str what, struct str by,
                       struct items *out)
{
    struct items parts = {0};
    ptrdiff_t at;
    if (!what.n) {
        while (text.n) {
            size_t n = offset_of(text, 1);
            if (!items_add_string(run, &parts, by) || !items_add_string(run, &parts, str_take(text, n)))
                return false;
            text = str_skip(text, n);
        }
        return items_add_string(run, &parts, by) && join_all(run, parts, STR(""), out);
    }
    for (;;) {
        if (!find_text(run, text, what, &at))
            return false;
        if (at < 0)
            return items_add_string(run, &parts, text) && join_all(run, parts, by, out);
        if (!items_add_string(run, &parts, str_take(text, (size_t)at)))
            return false;
        text = str_skip(text, (size_t)at + what.n);
    }
}

bool path_replace(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, what, by;
    bool is_fine;
    if (!input_and_argument(run, call, in, &text, &what, &is_fine))
        return is_fine;
    enum path_taken taken = text_argument(run, call, 1, &by);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    return replace_in(run, text, what, by, out);
}

/* ---- patterns */

static const void *regex_of(struct path_run *run, const struct path_node *call, struct str pattern)
{
    const void *regex = call->regex ? call->regex : path_regex_compile(pattern, run->arena);
    if (!regex)
        path_fail(run, "this is not a regular expression");
    return path_spend(run, call->regex ? 0 : 64 + pattern.n) ? regex : NULL;
}

bool path_matches(struct path_run *run, const struct path_node *call, struct items in, struct items *out)
{
    struct str text, pattern;
    bool is_fine, found;
    if (!input_and_argument(run, call, in, &text, &pattern, &is_fine))
        return is_fine;
    const void *regex = regex_of(run, call, pattern);
    return regex && path_regex_matches(run, regex, text, &found) && items_add_boolean(run, out, found);
}

bool path_replace_matches(struct path_run *run, const struct path_node *call, struct items in,
                          struct items *out)
{
    struct str text, pattern, by, result;
    bool is_fine;
    if (!input_and_argument(run, call, in, &text, &pattern, &is_fine))
        return is_fine;
    enum path_taken taken = text_argument(run, call, 1, &by);
    if (taken != PATH_TOOK_ONE)
        return taken == PATH_TOOK_NONE;
    if (!pattern.n)
        return items_add_string(run, out, text);
    const void *regex = regex_of(run, call, pattern);
    return regex && path_regex_replace(run, regex, text, by, &result) && items_add_string(run, out, result);
}
