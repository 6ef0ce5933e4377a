/* Whatever a view hides is not there: not by reading, history, counting, including, chaining or sorting. */
#include "store_test.h"

static struct store_view pharmacy, patient_a, practice;

static enum store_result reads(const struct store_view *view, const char *name, uint64_t version)
{
    struct str id = str_of(name), type = str_cut(&id, '/');
    struct store_record r;
    return version ? store_read_version(kit.reader, view, fhir_type_find(type), id, version, kit.arena, &r)
                   : store_read(kit.reader, view, fhir_type_find(type), id, kit.arena, &r);
}

static struct str history(const struct store_view *view, const char *name)
{
    struct str id = str_of(name), type = str_cut(&id, '/');
    struct store_history h = {.type = type.n ? fhir_type_find(type) : NULL,
                              .id = id,
                              .since_us = INT64_MIN,
                              .at_low_us = INT64_MIN,
                              .at_high_us = INT64_MAX,
                              .count = 3};
    struct store_page page;
    struct buf out = buf_over(arena_bytes(kit.arena, 1'000), 1'000);
    do {
        enum store_result result = store_history(kit.reader, view, &h, kit.arena, &page);
        if (result != STORE_FINE)
            return arena_printf(kit.arena, "!%d", result);
        for (size_t i = 0; i < page.n; i++)
            buf_printf(&out, "%.*s.%u ", STR_ARG(page.records[i].id), (unsigned)page.records[i].version);
        h.position = page.next;
    } while (page.next.n);
    return str_trim(buf_text(&out));
}

#define TELLS(view, name, wanted) kit_expect(history((view), (name)), (wanted), __FILE__, __LINE__)

/* Two patients; a note in SOEP form and a measurement in a shielded episode for the first. */
static int begin(void **state)
{
    static struct str only_a[] = {STR("a")};
    static const struct fhir_type *common[2];
    if (kit_begin(state) != 0)
        return -1;
    kit_put("Organization/o", "{'resourceType':'Organization','id':'o'}");
    kit_put(
        "Patient/a",
        "{'resourceType':'Patient','id':'a','name':[{'family':'Aal'}],'managingOrganization':{'reference':"
        "'Organization/o'}}");
    kit_put("Patient/b", "{'resourceType':'Patient','id':'b','name':[{'family':'Bos'}]}");
    kit_put("EpisodeOfCare/secret",
            "{'resourceType':'EpisodeOfCare','id':'secret','patient':{'reference':'Patient/a'}}");
    kit_put("Encounter/e",
            "{'resourceType':'Encounter','id':'e','subject':{'reference':'Patient/a'},'episodeOfCare':[{"
            "'reference':'EpisodeOfCare/secret'}]}");
    kit_put("Observation/shielded",
            "{'resourceType':'Observation','id':'shielded','code':{'coding':[{'code':'c'}]},'subject':"
            "{'reference':'Patient/a'},'encounter':{'reference':'Encounter/e'}}");
    kit_put("Observation/a1",
            "{'resourceType':'Observation','id':'a1','code':{'coding':[{'code':'c'}]},'subject':{"
            "'reference':'Patient/a'}}");
    kit_put("Observation/b1",
            "{'resourceType':'Observation','id':'b1','code':{'coding':[{'code':'c'}]},'subject':{"
            "'reference':'Patient/b'}}");
    kit_put("Composition/note",
            "{'resourceType':'Composition','id':'note','type':{'coding':[{'code':'soep'}]},'subject':{"
            "'reference':'Patient/a'}}");
    kit_put("Composition/letter",
            "{'resourceType':'Composition','id':'letter','type':{'coding':[{'code':'letter'}]},"
            "'subject':{'reference':'Patient/a'}}");
    kit_put("Appointment/both",
            "{'resourceType':'Appointment','id':'both','participant':[{'actor':{'reference':'Patient/b'}},"
            "{'actor':{'reference':'Patient/a'}}]}");
    common[0] = fhir_type_find(STR("Organization"));
    pharmacy = (struct store_view){.has_all_patients = true};
    pharmacy.denied = kit_criteria("Composition?type=soep", &pharmacy.denied_count);
    patient_a = (struct store_view){
        .patients = only_a, .patient_count = 1, .common_types = common, .common_type_count = 1};
    practice = (struct store_view){.common_types = common, .common_type_count = 1};
    practice.patient_criteria =
        kit_criteria("Patient?organization=Organization/o", &practice.patient_criterion_count);
    practice.denied =
        kit_criteria("Observation?encounter.episode-of-care=EpisodeOfCare/secret", &practice.denied_count);
    return 0;
}

static void test_pharmacy_sees_no_notes(void **)
{
    SEES(&pharmacy, "Composition?patient=a", "Composition/letter");
    SEES(&pharmacy, "Composition?type=soep", "=0");
    SEES(&pharmacy, "Composition?type:not=letter&_summary=count", "=0");
    SEES(&pharmacy, "Patient?_has:Composition:patient:type=soep", "=0");
    SEES(&pharmacy, "Patient?_id=a&_revinclude=Composition:subject", "Patient/a |Composition/letter");
    assert_int_equal(reads(&pharmacy, "Composition/note", 0), STORE_NOT_FOUND);
    assert_int_equal(reads(&pharmacy, "Composition/note", 1), STORE_NOT_FOUND);
    assert_int_equal(reads(&pharmacy, "Composition/letter", 0), STORE_FINE);
    TELLS(&pharmacy, "Composition/note", "!1");
    TELLS(&pharmacy, "Composition/", "letter.1");
}

static void test_a_patient_sees_their_own(void **)
{
    SEES(&patient_a, "Patient?", "Patient/a");
    SEES(&patient_a, "Patient?_sort=family&_total=accurate", "Patient/a");
    SEES(&patient_a, "Observation?code=c", "Observation/shielded Observation/a1");
    SEES(&patient_a, "Observation?patient=b", "=0");
    SEES(&patient_a, "Observation?patient.family=bos", "=0");
    SEES(&patient_a, "Patient/b/Observation?", "=0");
    SEES(&patient_a, "Appointment?", "Appointment/both");
    SEES(&patient_a, "Appointment?patient=b", "Appointment/both"); /* it is theirs as well */
    SEES(&patient_a, "Appointment?patient.family=bos", "=0");      /* but b is nobody to them */
    SEES(&patient_a, "Appointment?_include=Appointment:patient", "Appointment/both |Patient/a");
    SEES(&patient_a, "Organization?", "Organization/o");
    SEES(&patient_a, "Organization?_revinclude=Patient:organization", "Organization/o |Patient/a");
    assert_int_equal(reads(&patient_a, "Observation/b1", 0), STORE_NOT_FOUND);
    assert_int_equal(reads(&patient_a, "Observation/a1", 0), STORE_FINE);
    TELLS(&patient_a, "", "both.1 letter.1 note.1 a1.1 shielded.1 e.1 secret.1 a.1 o.1");
}

static void test_a_practice_and_a_shielded_episode(void **)
{
    SEES(&practice, "Observation?code=c", "Observation/a1");
    SEES(&practice, "Observation?code=c&_summary=count", "=1");
    SEES(&practice, "Patient?_has:Observation:patient:code=c", "Patient/a");
    SEES(&practice, "Encounter?_revinclude=Observation:encounter", "Encounter/e");
    assert_int_equal(reads(&practice, "Observation/shielded", 0), STORE_NOT_FOUND);
    assert_int_equal(reads(&practice, "Patient/b", 0), STORE_NOT_FOUND);
}

static void test_what_it_was_and_what_it_is(void **)
{
    kit_put("Composition/note",
            "{'resourceType':'Composition','id':'note','type':{'coding':[{'code':'letter'}]},'subject':{"
            "'reference':'Patient/a'}}");
    assert_int_equal(reads(&pharmacy, "Composition/note", 0), STORE_FINE);
    assert_int_equal(reads(&pharmacy, "Composition/note", 1), STORE_NOT_FOUND);
    TELLS(&pharmacy, "Composition/note", "note.2");
    kit_put("Observation/a1", "{'resourceType':'Observation','id':'a1','subject':{'reference':'Patient/b'}}");
    assert_int_equal(reads(&patient_a, "Observation/a1", 1), STORE_NOT_FOUND);
    kit_put("Observation/b1", "{'resourceType':'Observation','id':'b1','subject':{'reference':'Patient/a'}}");
    TELLS(&patient_a, "Observation/b1", "b1.2"); /* while it was another's, it is not theirs */
    kit_do(STORE_DELETE, "Observation/b1", NULL, STORE_ANY_VERSION);
    assert_int_equal(reads(&patient_a, "Observation/b1", 0), STORE_DELETED);
    assert_int_equal(reads(&practice, "Observation/b1", 0), STORE_NOT_FOUND); /* nobody can say what it was */
    assert_int_equal(reads(&patient_a, "Observation/b1", 1), STORE_NOT_FOUND);
}

static void test_types_and_only(void **)
{
    const struct fhir_type *types[] = {fhir_type_find(STR("Patient")), fhir_type_find(STR("Composition"))};
    struct store_view v = {.has_all_patients = true, .types = types, .type_count = 2};
    v.only = kit_criteria("Composition?type=letter", &v.only_count);
    SEES(&v, "Composition?", "Composition/letter");
    SEES(&v, "Observation?", "=0");
    SEES(&v, "Patient?_has:Observation:patient:code=c", "=0");
    SEES(&v, "?_id=a,a1,note,letter", "Composition/letter Patient/a");
    assert_int_equal(reads(&v, "Observation/a1", 0), STORE_NOT_FOUND);
    TELLS(&v, "", "letter.1 b.1 a.1");
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pharmacy_sees_no_notes, begin, kit_end),
        cmocka_unit_test_setup_teardown(test_a_patient_sees_their_own, begin, kit_end),
        cmocka_unit_test_setup_teardown(test_a_practice_and_a_shielded_episode, begin, kit_end),
        cmocka_unit_test_setup_teardown(test_what_it_was_and_what_it_is, begin, kit_end),
        cmocka_unit_test_setup_teardown(test_types_and_only, begin, kit_end),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}

int main(int argc, char **argv)
{
    return kit_main(argc, argv, all_tests);
}
