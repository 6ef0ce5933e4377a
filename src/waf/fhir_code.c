/* Codes that are no plain words and yet harmless: units of UCUM (http://unitsofmeasure.org), types of media,
 * comparators. Each by its own small grammar, so that "mmol/L" passes and "etc/passwd" does not. */
#include "waf/fhir.h"

enum { UNIT_MAX = 16 };

static bool is_one_of(struct str s, const char *const *list)
{
    for (; *list; list++) {
        if (str_eq(s, str_of(*list)))
            return true;
    }
    return false;
}

static bool is_denominator(struct str s)
{
    static const char *const units[] = {
        "L",   "mL",  "dL",   "uL",      "min",       "h",        "s",   "d",  "wk", "mo",
        "a",   "kg",  "g",    "mg",      "mol",       "mmol",     "m",   "m2", "m3", "cm2",
        "cm3", "mm3", "24.h", "[lb_av]", "{1.73_m2}", "{actuat}", "100", "1",  NULL,
    };
    return is_one_of(s, units);
}

/* "mm[Hg]", "10*9", "{score}", "%": short, and brackets only where UCUM has them. */
static bool is_numerator(struct str s)
{
    char open = 0;
    if (s.n > UNIT_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_first = c == '[' || c == '{', is_last = c == ']' || c == '}';
        bool is_sign = (c == '*' || c == '%' || c == '_') && s.n <= 8;
        if ((is_first && open) || (is_last && open != c - 2))
            return false;
        if (!is_first && !is_last && !is_sign && !is_alnum(c))
            return false;
        open = is_first ? c : is_last ? 0 : open;
    }
    return !open;
}

static bool is_unit(struct str s)
{
    if (!is_numerator(str_cut(&s, '/')))
        return false;
    while (s.p) {
        if (!is_denominator(str_cut(&s, '/')))
            return false;
    }
    return true;
}

/* "application/fhir+json", "text/html; charset=utf-8" */
static bool is_media_type(struct str s)
{
    static const char *const kinds[] = {"application", "audio", "image", "text", "video", NULL};
    struct str parameter = s, type = str_cut(&parameter, ';'), kind = str_cut(&type, '/');
    struct str suffix = type, name = str_cut(&suffix, '+');
    parameter = text_trim(parameter);
    bool is_encoding = !parameter.n || str_eq_nocase(parameter, STR("charset=utf-8"));
    struct str last = name;
    while (str_find_char(last, '.') >= 0) { /* "vnd.ms-word" */
        if (!fhir_is_token(str_cut(&last, '.')))
            return false;
    }
    return is_one_of(kind, kinds) && fhir_is_token(last) && (!suffix.p || fhir_is_token(suffix)) &&
           is_encoding;
}

bool fhir_is_known_code(struct str value)
{
    static const char *const comparators[] = {"<", "<=", ">", ">=", "=", "!=", NULL};
    return is_one_of(value, comparators) || is_unit(value) || is_media_type(value);
}
