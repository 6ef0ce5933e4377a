#include "fhir/definitions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct fhir_type *type(const char *name)
{
    const struct fhir_type *found = fhir_type_find(str_of(name));
    if (!found)
        fail_msg("no type %s", name);
    return found;
}

static const struct fhir_element *element(const char *of, const char *name)
{
    const struct fhir_element *found = fhir_element_find(type(of), str_of(name));
    if (!found)
        fail_msg("no element %s.%s", of, name);
    return found;
}

#define EXPECT_TEXT(s, literal) assert_true(str_eq((s), STR(literal)))

static void test_every_type_and_element_is_found_by_its_name(void **)
{
    assert_true(fhir_type_count() > 600);
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *t = fhir_type_at(i);
        assert_ptr_equal(fhir_type_find(fhir_type_name(t)), t);
        for (unsigned e = 0; e < fhir_element_count(t); e++) {
            const struct fhir_element *found = fhir_element_find(t, fhir_element_name(fhir_element_at(t, e)));
            assert_ptr_equal(found, fhir_element_at(t, e));
        }
    }
    assert_null(fhir_type_find(STR("observation")));
    assert_null(fhir_type_find(STR("")));
    assert_null(fhir_element_find(type("Patient"), STR("nam")));
}

static void test_elements_of_bases_choices_and_backbones(void **)
{
    EXPECT_TEXT(fhir_type_name(fhir_element_type(element("Observation", "id"))), "id");
    EXPECT_TEXT(fhir_type_name(fhir_element_type(element("Observation", "text"))), "Narrative");
    EXPECT_TEXT(fhir_type_name(fhir_element_type(element("Observation.component", "modifierExtension"))),
                "Extension");
    EXPECT_TEXT(fhir_type_name(fhir_element_type(element("Observation.component", "referenceRange"))),
                "Observation.referenceRange");
    const struct fhir_element *quantity = element("Observation", "valueQuantity");
    EXPECT_TEXT(fhir_type_name(fhir_element_type(quantity)), "Quantity");
    EXPECT_TEXT(fhir_element_stem(quantity), "value");
    assert_true(fhir_element_same_choice(quantity, element("Observation", "valueString")));
    assert_false(fhir_element_same_choice(quantity, element("Observation", "effectiveDateTime")));
    assert_null(fhir_element_find(type("Observation"), STR("value")));
    assert_int_equal(fhir_element_least(element("Observation", "status")), 1);
    assert_int_equal(fhir_element_most(element("Observation", "status")), 1);
    assert_int_equal(fhir_element_most(element("Observation", "category")), 0);
    assert_int_equal(fhir_element_target_count(element("Observation", "subject")), 4);
    EXPECT_TEXT(fhir_type_name(fhir_element_target(element("Observation", "subject"), 0)), "Patient");
    assert_int_equal(fhir_element_target_count(element("Observation", "focus")), 0);
    assert_true(fhir_element_flags(element("Observation", "status")) & FHIR_MODIFIER);
    assert_true(fhir_element_flags(element("Extension", "url")) & FHIR_XML_ATTRIBUTE);
    assert_false(fhir_element_flags(element("Observation", "id")) & FHIR_XML_ATTRIBUTE);
}

static void test_bases(void **)
{
    assert_true(fhir_type_is_a(type("Observation"), type("Resource")));
    assert_true(fhir_type_is_a(type("Age"), type("Quantity")));
    assert_false(fhir_type_is_a(type("Bundle"), type("DomainResource")));
    assert_int_equal(fhir_type_kind(type("instant")), FHIR_PRIMITIVE);
    assert_int_equal(fhir_type_kind(type("Observation.component")), FHIR_BACKBONE);
}

static void test_codes(void **)
{
    const struct fhir_element *status = element("Observation", "status");
    const struct fhir_value_set *set = fhir_element_value_set(status);
    assert_non_null(set);
    assert_true(fhir_element_flags(status) & FHIR_REQUIRED_BINDING);
    EXPECT_TEXT(fhir_value_set_url(set), "http://hl7.org/fhir/ValueSet/observation-status");
    assert_true(fhir_value_set_has(set, STR_NONE, STR("entered-in-error")));
    assert_true(fhir_value_set_has(set, STR("http://hl7.org/fhir/observation-status"), STR("final")));
    assert_false(fhir_value_set_has(set, STR("http://example.org"), STR("final")));
    assert_false(fhir_value_set_has(set, STR_NONE, STR("finale")));
    assert_null(fhir_element_value_set(element("Observation", "code")));
}

static void test_search_parameters(void **)
{
    const struct fhir_search_parameter *code = fhir_search_find(type("Observation"), STR("code"));
    assert_non_null(code);
    assert_int_equal(fhir_search_type(code), FHIR_SEARCH_TOKEN);
    assert_true(str_find(fhir_search_expression(code), STR("Observation.code")) >= 0);
    assert_int_equal(fhir_search_type(fhir_search_find(type("Observation"), STR("_id"))), FHIR_SEARCH_TOKEN);
    assert_null(fhir_search_find(type("Observation"), STR("codes")));
    const struct fhir_search_parameter *pair =
        fhir_search_find(type("Observation"), STR("code-value-quantity"));
    assert_int_equal(fhir_search_component_count(pair), 2);
    struct str name, expression;
    fhir_search_component(pair, 1, &name, &expression);
    EXPECT_TEXT(expression, "value.as(Quantity)");
    unsigned all = 0;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *t = fhir_type_at(i);
        for (unsigned p = 0; p < fhir_search_count(t); p++, all++)
            assert_ptr_equal(fhir_search_find(t, fhir_search_code(fhir_search_at(t, p))),
                             fhir_search_at(t, p));
    }
    assert_true(all >= 1'378);
}

static void test_compartments_and_invariants(void **)
{
    EXPECT_TEXT(fhir_compartment_parameters(type("Patient"), type("Observation")), "subject performer");
    assert_int_equal(fhir_compartment_parameters(type("Patient"), type("Medication")).n, 0);
    EXPECT_TEXT(fhir_compartment_parameters(type("Patient"), type("Task")),
                "patient"); /* ours: tools/fhir_tables.py */
    bool found = false;
    for (unsigned i = 0; i < fhir_type_rule_count(type("Observation")); i++)
        found |= str_eq(fhir_type_rule(type("Observation"), i).key, STR("obs-6"));
    assert_true(found);
    EXPECT_TEXT(fhir_element_rule(element("Observation", "referenceRange"), 0).key, "obs-3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_and_element_is_found_by_its_name),
        cmocka_unit_test(test_elements_of_bases_choices_and_backbones),
        cmocka_unit_test(test_bases),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_search_parameters),
        cmocka_unit_test(test_compartments_and_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
