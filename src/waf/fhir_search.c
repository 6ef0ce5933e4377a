/* FHIR searches (https://hl7.org/fhir/R4/search.html): "code=http://loinc.org|1234-5", "date=ge2024-01-01",
 * "_include=Patient:organization". What is made of words, dates, names of systems and the signs between them
 * is typed; everything else stays an argument. */
#include "waf/fhir.h"

#include "waf/tx.h"

enum { NAME_MAX_BYTES = 128, VALUE_MAX = 2048 };

/* ".../Observation", ".../Patient/_search", ".../Patient/1/$everything", ".../Patient/1/Observation" */
static bool is_search_path(struct str path)
{
    while (path.p) {
        if (fhir_is_resource_name(str_cut(&path, '/')))
            return true;
    }
    return false;
}

/* "code", "_lastUpdated", "name:exact", "subject:Patient.name", "_has:Observation:patient:code" */
static bool is_parameter_name(struct str name)
{
    bool begins = true;
    if (!name.n || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_letter = is_alnum(c) && !is_digit(c);
        if (begins ? !(is_letter || c == '_')
                   : !(is_alnum(c) || c == '-' || c == ':' || c == '.' || c == '_'))
            return false;
        begins = c == ':' || c == '.';
    }
    return !begins;
}

/* "ge2024-01-01", "lt5.4", "-date" */
static bool is_measure(struct str piece)
{
    static const char *const prefixes[] = {"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (str_starts(piece, str_of(prefixes[i]))) {
            piece = str_skip(piece, 2);
            break;
        }
    }
    return fhir_check(WAF_KIND_DATE_TIME, piece) == FHIR_HARMLESS ||
           fhir_check(WAF_KIND_DECIMAL, piece) == FHIR_HARMLESS;
}

/* "Patient:organization", "MedicationRequest:medication:Medication" */
static bool are_words(struct str piece)
{
    while (piece.p) {
        if (!fhir_is_token(str_cut(&piece, ':')))
            return false;
    }
    return true;
}

static bool is_harmless_piece(struct str piece)
{
    if (!piece.n || fhir_is_token(piece) || is_measure(piece) || fhir_check_uri(piece) == FHIR_HARMLESS)
        return true;
    if (piece.p[0] == '-')
        return fhir_is_token(str_skip(piece, 1));
    return piece.p[0] >= 'A' && piece.p[0] <= 'Z' && are_words(piece);
}

/* Alternatives between ',', parts of a composite between '$', system and code between '|'. */
static bool is_harmless_value(struct str value)
{
    size_t begin = 0;
    if (value.n > VALUE_MAX)
        return false;
    for (size_t i = 0; i <= value.n; i++) {
        if (i < value.n && value.p[i] != ',' && value.p[i] != '|' && value.p[i] != '$')
            continue;
        if (!is_harmless_piece(str_take(str_skip(value, begin), i - begin)))
            return false;
        begin = i + 1;
    }
    return true;
}

void fhir_type_search(struct body *body, struct str path, struct arena *arena)
{
    struct pairs *args = &body->args;
    size_t kept = 0;
    if (!is_search_path(path))
        return;
    for (size_t i = 0; i < args->n; i++) {
        struct pair pair = args->items[i];
        bool is_typed = is_parameter_name(pair.name) && is_harmless_value(pair.value) &&
                        pairs_add(&body->fhir.typed, arena, pair.name, pair.value);
        if (!is_typed)
            args->items[kept++] = pair;
    }
    args->n = kept;
}

bool fhir_is_json_type(struct str content_type)
{
    return text_starts_nocase(content_type, STR("application/fhir+json"));
}

bool fhir_is_xml_type(struct str content_type)
{
    return text_starts_nocase(content_type, STR("application/fhir+xml"));
}
