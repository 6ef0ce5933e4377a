/* URIs in FHIR: uri, url, canonical, oid, uuid, and what a Reference points at.
 *
 * Harmless is what names a thing and cannot be made to do anything: "urn:oid:2.16.840", a UUID, "Patient/1",
 * "#a", and http(s) to a host with a public name whose path is made of plain words. No address in numbers, no
 * user, no query, no '%', no "..", no file with an extension. */
#include "waf/fhir.h"

enum { URI_MAX = 1024, HOST_MAX = 253, RESOURCE_NAME_MAX = 64 };

/* Schemes that make a reader execute or fetch from where it stands. */
static bool is_dangerous_scheme(struct str scheme)
{
    static const char *const schemes[] = {
        "javascript", "vbscript", "livescript", "jscript", "file", "gopher", "dict",        "ldap",   "ldaps",
        "rmi",        "jndi",     "jar",        "netdoc",  "php",  "phar",   "zip",         "expect", "glob",
        "ogg",        "ssh2",     "tftp",       "mhtml",   "feed", "blob",   "view-source",
    };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (str_eq_nocase(scheme, str_of(schemes[i])))
            return true;
    }
    return false;
}

/* data: of a picture or a document is a picture or a document; anything else may be a page. */
static bool is_dangerous_data(struct str rest)
{
    static const char *const harmless[] = {"image/png", "image/jpeg", "image/gif", "application/pdf"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        struct str type = str_of(harmless[i]);
        char end = rest.n > type.n ? rest.p[type.n] : 0;
        if (text_starts_nocase(rest, type) && (end == ';' || end == ','))
            return false;
    }
    return true;
}

static bool is_dangerous(struct str value)
{
    struct str rest = value, scheme = str_cut(&rest, ':');
    if (!rest.p)
        return false;
    return is_dangerous_scheme(scheme) || (str_eq_nocase(scheme, STR("data")) && is_dangerous_data(rest));
}

/* ---- names */

bool fhir_is_resource_name(struct str s)
{
    if (s.n < 2 || s.n > RESOURCE_NAME_MAX || s.p[0] < 'A' || s.p[0] > 'Z')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) || is_digit(s.p[i]))
            return false;
    }
    return true;
}

/* "Patient/1", "Patient/1/_history/2" */
static bool is_resource_path(struct str s)
{
    struct str name = str_cut(&s, '/'), id = str_cut(&s, '/');
    if (!fhir_is_resource_name(name) || !fhir_is_id(id))
        return false;
    if (!s.p)
        return true;
    return str_eq(str_cut(&s, '/'), STR("_history")) && fhir_is_id(s);
}

static bool is_uuid(struct str s)
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? s.p[i] != '-' : !is_hex(s.p[i]))
            return false;
    }
    return true;
}

static bool is_urn(struct str s)
{
    if (str_starts(s, STR("uuid:")))
        return is_uuid(str_skip(s, 5));
    while (s.p) {
        struct str part = str_cut(&s, ':');
        if (!fhir_is_token(part))
            return false;
    }
    return true;
}

/* ---- http */

static bool is_private_name(struct str last)
{
    static const char *const names[] = {"local", "localhost", "localdomain", "internal", "intranet",
                                        "lan",   "home",      "corp",        "private",  "arpa"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_eq_nocase(last, str_of(names[i])))
            return true;
    }
    return false;
}

/* Labels with a dot between, the last one of letters: so neither an address nor a name without a domain. */
static bool is_public_host(struct str host)
{
    struct str rest = host, label = STR("");
    size_t labels = 0;
    if (host.n > HOST_MAX || str_find(host, STR("--")) >= 0)
        return false;
    for (; rest.p; labels++) {
        label = str_cut(&rest, '.');
        for (size_t i = 0; i < label.n; i++) {
            if (!is_alnum(label.p[i]) && (label.p[i] != '-' || i == 0 || i + 1 == label.n))
                return false;
        }
        if (!label.n)
            return false;
    }
    for (size_t i = 0; i < label.n; i++) {
        if (is_digit(label.p[i]))
            return false;
    }
    return labels >= 2 && label.n >= 2 && !is_private_name(label);
}

static bool is_port(struct str port)
{
    uint64_t number;
    return !port.p || (str_parse_u64(port, &number) && port.n <= 5 && number <= UINT16_MAX);
}

/* Plain words between slashes; "_history" and the like too. */
static bool is_plain_path(struct str path)
{
    while (path.p) {
        struct str segment = str_cut(&path, '/');
        if (!segment.n && !path.p)
            return true;
        if (segment.n && segment.p[0] == '_')
            segment = str_skip(segment, 1);
        if (!fhir_is_token(segment))
            return false;
    }
    return true;
}

static bool is_harmless_http(struct str rest)
{
    struct str version = rest, fragment = str_cut(&version, '|');
    struct str path = str_cut(&fragment, '#'), port = str_cut(&path, '/'), host = str_cut(&port, ':');
    return is_public_host(host) && is_port(port) && is_plain_path(path) &&
           (!fragment.p || fhir_is_token(fragment)) && (!version.p || fhir_is_token(version));
}

static bool is_harmless(struct str value)
{
    if (value.n > URI_MAX)
        return false;
    if (value.p[0] == '#')
        return fhir_is_id(str_skip(value, 1));
    if (str_starts(value, STR("http://")))
        return is_harmless_http(str_skip(value, 7));
    if (str_starts(value, STR("https://")))
        return is_harmless_http(str_skip(value, 8));
    if (str_starts(value, STR("urn:")))
        return is_urn(str_skip(value, 4));
    return is_resource_path(value) || fhir_is_resource_name(value) || fhir_is_id(value);
}

static bool has_space(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if ((uint8_t)value.p[i] <= ' ')
            return true;
    }
    return false;
}

/* uri: \S* */
enum fhir_finding fhir_check_uri(struct str value)
{
    if (is_harmless(value))
        return FHIR_HARMLESS;
    return has_space(value) || fhir_has_control(value) || is_dangerous(value) ? FHIR_INVALID : FHIR_UNUSUAL;
}

/* A string, so that spaces are allowed by its type; what a URI may not do it may not do either. */
enum fhir_finding fhir_check_reference(struct str value)
{
    if (is_harmless(value))
        return FHIR_HARMLESS;
    return fhir_has_control(value) || is_dangerous(text_trim(value)) ? FHIR_INVALID : FHIR_UNUSUAL;
}
