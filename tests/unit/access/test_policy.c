/* The table of who sees what, without a store: kinds of callers, capacities, scopes, and that nothing is
 * given which the tables do not give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/policy.h"

#define NOW_US INT64_C(1'760'000'000'000'000)
#define DAY_US INT64_C(86'400'000'000)

static struct arena *arena;

static const struct access_member gp = {STR("terp"), STR("01.015"), STR_NONE, true,
                                        false,       INT64_MIN,     INT64_MAX};
static const struct access_member pharmacist = {STR("vijzel"), STR("17.000"), STR_NONE, true,
                                                false,         INT64_MIN,     INT64_MAX};

static enum access_refusal decide(struct access_asked asked, const char *scope, struct access_decision *ret)
{
    struct access_claims claims = asked.claims ? *asked.claims : (struct access_claims){0};
    claims.scope = str_of(scope);
    asked.claims = &claims;
    asked.now_us = NOW_US;
    arena_reset(arena);
    return access_decide(&asked, arena, ret);
}

static enum access_refusal decide_person(const struct access_member *members, size_t n,
                                         const char *organisation, struct access_decision *ret)
{
    struct access_claims claims = {.organisation = str_of(organisation)};
    struct access_asked asked = {.claims = &claims,
                                 .user_type = STR("Practitioner"),
                                 .user_id = STR("1"),
                                 .members = members,
                                 .member_count = n};
    return decide(asked, "user/*.cruds", ret);
}

static bool has(const struct access_texts *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->at[i], str_of(text)))
            return true;
    return false;
}

#define MAY(d, type) access_may(d, STR(type))
#define SHIELD                                                                                               \
    "_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R,"                                  \
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|V"

static void a_practice_has_its_patients(void **state)
{
    struct access_decision d;
    assert_int_equal(decide_person(&gp, 1, NULL, &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_PRACTICE);
    assert_false(d.has_all_patients);
    assert_int_equal(d.patient_criteria.n, 1);
    assert_true(has(&d.patient_criteria, "Patient?organization=Organization/terp"));
    assert_int_equal(d.denied.n, 0); /* its own patients: what is shielded too */
    assert_int_equal(MAY(&d, "Composition"), 31);
    assert_int_equal(MAY(&d, "AuditEvent"), 0);
    assert_int_equal(MAY(&d, "Organization"), ACCESS_READ | ACCESS_SEARCH);
}

static void a_pharmacy_has_no_notes(void **state)
{
    static const char *const never[] = {
        "Composition",           "Encounter",        "EpisodeOfCare", "Communication", "DocumentReference",
        "ServiceRequest",        "DiagnosticReport", "Procedure",     "AuditEvent",    "Consent",
        "QuestionnaireResponse", "Bundle",           "Binary",        "List",          "CarePlan"};
    struct access_decision d;
    assert_int_equal(decide_person(&pharmacist, 1, NULL, &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_PHARMACY);
    assert_true(d.has_all_patients);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_int_equal(access_may(&d, str_of(never[i])), 0);
    assert_true(has(&d.denied, "?" SHIELD));
    assert_true(has(&d.denied, "MedicationRequest?encounter.episode-of-care." SHIELD));
    assert_true(has(&d.denied, "Observation?category:not=laboratory"));
    assert_true(has(&d.only, "Task?owner=Organization/vijzel"));
    assert_int_equal(MAY(&d, "MedicationDispense"), 31);
}

static void standing_in_has_an_end(void **state)
{
    struct access_member m = gp;
    struct access_decision d;
    m.until_us = NOW_US + DAY_US;
    assert_int_equal(decide_person(&m, 1, NULL, &d), ACCESS_GRANTED);
    assert_true(d.is_delegated);
    assert_true(has(&d.denied, "?" SHIELD));
    m.until_us = NOW_US;
    assert_int_equal(decide_person(&m, 1, NULL, &d), ACCESS_REFUSED_NO_ROLE);
    m.until_us = NOW_US + DAY_US;
    m.from_us = NOW_US + 1;
    assert_int_equal(decide_person(&m, 1, NULL, &d), ACCESS_REFUSED_NO_ROLE);
    m = gp;
    m.is_active = false;
    assert_int_equal(decide_person(&m, 1, NULL, &d), ACCESS_REFUSED_NO_ROLE);
    m = gp;
    m.role = STR("99.999");
    assert_int_equal(decide_person(&m, 1, NULL, &d), ACCESS_REFUSED_NO_ROLE);
    assert_int_equal(decide_person(NULL, 0, NULL, &d), ACCESS_REFUSED_NO_ROLE);
}

static void one_capacity_at_a_time(void **state)
{
    struct access_member lent = {STR("haven"), STR("01.015"), STR_NONE,       true,
                                 false,        INT64_MIN,     NOW_US + DAY_US};
    struct access_member post = {STR("post"), STR("01.015"), STR_NONE, true, true, INT64_MIN, INT64_MAX};
    struct access_member through = {STR("brug"), STR("01.015"), STR("post"), true,
                                    false,       INT64_MIN,     INT64_MAX};
    struct access_member all[] = {gp, lent, post, through};
    struct access_decision d;
    assert_int_equal(decide_person(all, 4, NULL, &d), ACCESS_GRANTED);
    assert_false(d.is_delegated);
    assert_int_equal(d.organisation_count, 1);
    assert_int_equal(decide_person(all, 4, "Organization/haven", &d), ACCESS_GRANTED);
    assert_true(d.is_delegated);
    assert_true(has(&d.patient_criteria, "Patient?organization=Organization/haven"));
    assert_false(has(&d.patient_criteria, "Patient?organization=Organization/terp"));
    assert_int_equal(decide_person(all, 4, "post", &d), ACCESS_GRANTED);
    assert_true(has(&d.patient_criteria, "Patient?organization=Organization/brug"));
    assert_false(has(&d.patient_criteria, "Patient?organization=Organization/haven"));
    assert_int_equal(decide_person(all, 4, "Organization/elsewhere", &d), ACCESS_REFUSED_NO_ROLE);
    struct access_member two[] = {gp, pharmacist};
    assert_int_equal(decide_person(two, 2, NULL, &d), ACCESS_REFUSED_MANY);
    assert_int_equal(decide_person(two, 2, "Organization/vijzel", &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_PHARMACY);
}

static void a_patient_is_one_patient(void **state)
{
    struct access_claims claims = {.patient = STR("1")};
    struct access_asked asked = {.claims = &claims, .user_type = STR("Patient"), .user_id = STR("1")};
    struct access_decision d;
    assert_int_equal(decide(asked, "patient/*.rs", &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_SELF);
    assert_true(str_eq(d.patient, STR("1")));
    assert_int_equal(MAY(&d, "Composition"), ACCESS_READ | ACCESS_SEARCH);
    assert_int_equal(decide(asked, "patient/*.cruds", &d), ACCESS_GRANTED);
    assert_int_equal(MAY(&d, "Composition"), ACCESS_READ | ACCESS_SEARCH); /* the table, not the token */
    claims.patient = STR("2");
    assert_int_equal(decide(asked, "patient/*.rs", &d), ACCESS_REFUSED_PATIENT);
    asked.user_type = STR("RelatedPerson");
    assert_int_equal(decide(asked, "patient/*.rs", &d), ACCESS_REFUSED_USER);
    asked.user_type = asked.user_id = STR_NONE;
    assert_int_equal(decide(asked, "patient/*.rs", &d),
                     ACCESS_GRANTED); /* an app that was launched for one */
    assert_true(str_eq(d.patient, STR("2")));
}

static void scopes_only_narrow(void **state)
{
    struct access_claims claims = {.patient = STR("7")};
    struct access_asked asked = {.claims = &claims,
                                 .user_type = STR("Practitioner"),
                                 .user_id = STR("1"),
                                 .members = &pharmacist,
                                 .member_count = 1};
    struct access_decision d;
    assert_int_equal(decide(asked, "system/*.cruds", &d), ACCESS_REFUSED_SCOPE);
    assert_int_equal(decide(asked, "", &d), ACCESS_REFUSED_SCOPE);
    assert_int_equal(decide(asked, "user/Patient.sr", &d), ACCESS_REFUSED_SCOPE);
    assert_int_equal(decide(asked, "patient/*.rs", &d), ACCESS_GRANTED);
    assert_true(str_eq(d.launch, STR("7")));
    assert_int_equal(
        decide(asked, "user/MedicationRequest.r user/Observation.rus?status=final user/Task.rs?status=ready",
               &d),
        ACCESS_GRANTED);
    assert_int_equal(d.launch.n, 0);
    assert_int_equal(MAY(&d, "MedicationRequest"), ACCESS_READ);
    assert_int_equal(MAY(&d, "Patient"), 0);
    assert_int_equal(MAY(&d, "Observation"), ACCESS_READ | ACCESS_SEARCH);
    assert_true(has(&d.only, "Observation?status=final"));
    assert_int_equal(MAY(&d, "Task"), 0); /* the table says "nothing but" as well: both at once are nothing */
    assert_int_equal(decide(asked, "user/Observation.rs?status=final user/Observation.rs", &d),
                     ACCESS_GRANTED);
    assert_false(has(&d.only, "Observation?status=final"));
}

static void systems(void **state)
{
    struct access_claims claims = {.subject = STR("client"), .organisation = STR("terp")};
    struct access_member house = {STR("terp"), STR("Z3"), STR_NONE, true, false, INT64_MIN, INT64_MAX};
    struct access_asked asked = {.claims = &claims, .members = &house, .member_count = 1};
    struct access_decision d;
    assert_int_equal(decide(asked, "system/*.rs", &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_PRACTICE);
    assert_int_equal(decide(asked, "user/*.rs", &d), ACCESS_REFUSED_SCOPE);
    claims.organisation = STR_NONE;
    asked.member_count = 0;
    assert_int_equal(decide(asked, "system/*.rs", &d), ACCESS_REFUSED_USER);
    asked.is_administrator = true;
    assert_int_equal(decide(asked, "system/*.rs", &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_CLUSTER);
    assert_int_equal(MAY(&d, "Composition"), ACCESS_READ | ACCESS_SEARCH);
    asked.user_type = STR("Practitioner"); /* a person is no system, by whichever client he comes */
    asked.user_id = STR("1");
    assert_int_equal(decide(asked, "user/*.cruds", &d), ACCESS_REFUSED_NO_ROLE);
}

static void emergencies(void **state)
{
    struct access_claims claims = {0};
    struct access_asked asked = {.claims = &claims,
                                 .user_type = STR("Practitioner"),
                                 .user_id = STR("1"),
                                 .members = &gp,
                                 .member_count = 1,
                                 .emergency_patient = STR("9")};
    struct access_decision d;
    assert_int_equal(decide(asked, "user/*.rs", &d), ACCESS_GRANTED);
    assert_true(d.is_emergency);
    assert_true(str_eq(d.patient, STR("9")));
    assert_int_equal(d.patient_criteria.n, 0);
    assert_int_equal(d.denied.n, 0);
    asked.members = &pharmacist;
    assert_int_equal(decide(asked, "user/*.rs", &d), ACCESS_REFUSED_EMERGENCY);
}

static void partners(void **state)
{
    struct access_asked asked = {.partner = STR("ziekenhuis"), .now_us = NOW_US};
    struct access_decision d;
    arena_reset(arena);
    assert_int_equal(access_decide(&asked, arena, &d), ACCESS_GRANTED);
    assert_int_equal(d.kind, ACCESS_PARTNER);
    assert_false(d.has_all_patients);
    assert_int_equal(d.patient_criteria.n, 0); /* nobody, but for whom a Consent lets it */
    assert_int_equal(MAY(&d, "Composition"), 0);
    assert_int_equal(MAY(&d, "Observation"), ACCESS_READ | ACCESS_SEARCH);
    assert_true(has(&d.denied, "?" SHIELD));
}

static int set_up(void **state)
{
    arena = arena_new(1 << 20);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_practice_has_its_patients),
        cmocka_unit_test(a_pharmacy_has_no_notes),
        cmocka_unit_test(standing_in_has_an_end),
        cmocka_unit_test(one_capacity_at_a_time),
        cmocka_unit_test(a_patient_is_one_patient),
        cmocka_unit_test(scopes_only_narrow),
        cmocka_unit_test(systems),
        cmocka_unit_test(emergencies),
        cmocka_unit_test(partners),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
