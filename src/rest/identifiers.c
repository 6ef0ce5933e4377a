/* rest/identifiers.c - numbers of people and houses that have a form of their own: a mistyped one would be
 * another person's. Looked at in every identifier of a body, wherever it stands. What is refused does not
 * repeat the number: answers are kept by clients.
 *
 * Source: Nictiz, naming systems of the Netherlands (http://fhir.nl/fhir/NamingSystem/...). */
#include "rest/outcome.h"
#include "rest/write.h"

static const struct {
    const char *system, *name;
    unsigned digits;
    bool has_eleven_test;
} numbers[] = {
    {"http://fhir.nl/fhir/NamingSystem/bsn", "a BSN", 9, true},
    {"urn:oid:2.16.840.1.113883.2.4.6.3", "a BSN", 9, true},
    {"http://fhir.nl/fhir/NamingSystem/agb-z", "an AGB code", 8, false},
    {"http://fhir.nl/fhir/NamingSystem/agb", "an AGB code", 8, false},
    {"http://fhir.nl/fhir/NamingSystem/uzi-nr-pers", "a UZI number", 9, false},
    {"http://fhir.nl/fhir/NamingSystem/uzi-nr-sys", "a UZI number", 9, false},
    {"http://fhir.nl/fhir/NamingSystem/ura", "a URA number", 8, false},
    {"http://fhir.nl/fhir/NamingSystem/big", "a BIG number", 11, false},
};

/* 9a + 8b + ... + 2h - i is a multiple of 11. */
static bool passes_eleven_test(struct str digits)
{
    int sum = 0;
    for (size_t i = 0; i < digits.n; i++)
        sum += (digits.p[i] - '0') * (i + 1 < digits.n ? (int)(digits.n - i) : -1);
    return sum % 11 == 0 && sum != 0;
}

static bool are_digits(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return true;
}

static bool check(const struct rest_call *call, size_t kind, struct str value, struct rest_answer *answer)
{
    bool has_form = value.n == numbers[kind].digits && are_digits(value);
    if (has_form && (!numbers[kind].has_eleven_test || passes_eleven_test(value)))
        return true;
    return rest_refuse(call, answer, 422, "value", STR("identifier.value"),
                       has_form ? "%s of %u digits does not pass the eleven-test: it was mistyped (system %s)"
                                : "%s has %u digits and nothing else (system %s)",
                       numbers[kind].name, numbers[kind].digits, numbers[kind].system);
}

static bool check_object(const struct rest_call *call, const struct json_tape *t, uint32_t object,
                         struct rest_answer *answer)
{
    uint32_t system = json_get(t, object, STR("system")), value = json_get(t, object, STR("value"));
    if (system == JSON_NONE || value == JSON_NONE || json_type(t, system) != JSON_STRING ||
        json_type(t, value) != JSON_STRING)
        return true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (json_string_is(t, system, str_of(numbers[i].system)))
            return check(call, i, json_string(t, value, call->arena), answer);
    return true;
}

bool rest_check_identifiers(const struct rest_call *call, const struct json_tape *t, uint32_t object,
                            struct rest_answer *answer)
{
    for (uint32_t i = object, end = json_next(t, object); i < end; i++)
        if (json_type(t, i) == JSON_OBJECT && !check_object(call, t, i, answer))
            return false;
    return true;
}
