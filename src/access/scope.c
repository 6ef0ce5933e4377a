/* access/scope.c - see scope.h. */
#include "access/scope.h"

static bool read_context(struct str word, enum access_context *ret)
{
    *ret = str_eq(word, STR("patient")) ? ACCESS_PATIENT
           : str_eq(word, STR("user"))  ? ACCESS_USER
                                        : ACCESS_SYSTEM;
    return *ret != ACCESS_SYSTEM || str_eq(word, STR("system"));
}

/* In this order and each once: "cruds" (SMART App Launch 2.0, 3.0.2.3). */
static bool read_letters(struct str word, uint8_t *ret)
{
    static const char letters[] = "cruds";
    size_t at = 0;
    *ret = 0;
    for (size_t i = 0; i < word.n; i++) {
        while (at < 5 && letters[at] != word.p[i])
            at++;
        if (at == 5)
            return false;
        *ret |= (uint8_t)(1u << at++);
    }
    return word.n > 0;
}

static bool read_may(struct str word, uint8_t *ret)
{
    if (str_eq(word, STR("read")))
        *ret = ACCESS_READ | ACCESS_SEARCH;
    else if (str_eq(word, STR("write")))
        *ret = ACCESS_CREATE | ACCESS_UPDATE | ACCESS_DELETE;
    else if (str_eq(word, STR("*")))
        *ret = ACCESS_CREATE | ACCESS_READ | ACCESS_UPDATE | ACCESS_DELETE | ACCESS_SEARCH;
    else
        return read_letters(word, ret);
    return true;
}

static bool is_type(struct str word)
{
    if (str_eq(word, STR("*")))
        return true;
    for (size_t i = 0; i < word.n; i++)
        if (!((word.p[i] >= 'A' && word.p[i] <= 'Z') || (i > 0 && word.p[i] >= 'a' && word.p[i] <= 'z')))
            return false;
    return word.n > 0 && word.n <= 64;
}

static bool read_scope(struct str word, struct access_scope *ret)
{
    struct str query = word, before = str_cut(&query, '?'), rest = before;
    struct str context = str_cut(&rest, '/'), may = rest, type = str_cut(&may, '.');
    if (query.p && !query.n) /* a question mark and nothing behind it */
        return false;
    ret->type = type;
    ret->query = query;
    return read_context(context, &ret->context) && is_type(type) && read_may(may, &ret->may);
}

/* launch/patient and openid are asked of the issuer, not of us. */
static bool is_about_resources(struct str word)
{
    return str_starts(word, STR("patient/")) || str_starts(word, STR("user/")) ||
           str_starts(word, STR("system/"));
}

bool access_scopes_parse(struct str text, struct access_scopes *ret)
{
    ret->count = 0;
    while (text.n) {
        struct str word = str_cut(&text, ' ');
        if (!is_about_resources(word))
            continue;
        if (ret->count == ACCESS_SCOPES_MAX || !read_scope(word, &ret->scope[ret->count]))
            return false;
        ret->count++;
    }
    return true;
}

bool access_scopes_allow(const struct access_scopes *s, struct str type, uint8_t what)
{
    for (unsigned i = 0; i < s->count; i++)
        if ((s->scope[i].may & what) == what &&
            (str_eq(s->scope[i].type, STR("*")) || str_eq(s->scope[i].type, type)))
            return true;
    return false;
}
