/* FHIRPath: what expressions give, which are refused, and that a stranger's cost is bounded. */
#include "fhir_test.h"

#include "fhir/path.h"

static const char patient[] =
    "{'resourceType':'Patient','id':'p1','active':true,'birthDate':'1974-12-25','gender':'male','name':[{'"
    "use':'official',"
    "'family':'Chalmers','given':['Peter','James']},{'use':'usual','given':['Jim']}],'multipleBirthInteger':"
    "3,"
    "'_deceasedBoolean':{'extension':[{'url':'u','valueQuantity':{'value':4.0,'code':'g','system':'http://"
    "unitsofmeasure.org'}}]},"
    "'managingOrganization':{'reference':'Organization/1'},'generalPractitioner':[{'reference':'#gp'}],"
    "'contact':[{'period':{'start':'2012','end':'2012-06'}}],"
    "'contained':[{'resourceType':'Practitioner','id':'gp','name':[{'family':'Dokter'}]}]}";

static struct test_resource resource;
static struct arena *arena, *scratch;

static int setup(void **)
{
    arena = arena_new(1 << 20);
    scratch = arena_new(1 << 20);
    test_resource_read(&resource, arena, patient);
    return 0;
}

static int teardown(void **)
{
    arena_free(arena);
    arena_free(scratch);
    return 0;
}

/* The result as text: items between commas, or why there is none. */
static struct str run(const char *expression, uint64_t steps, unsigned flags)
{
    static char memory[4'096];
    struct buf out = buf_over(memory, sizeof memory);
    struct fhir_path_env env = {
        .steps_max = steps, .hash_key = {1, 2}, .now = STR("2026-01-31T09:41:07.123Z")};
    struct fhir_path_error error;
    struct fhir_items items;
    struct str problem;
    arena_reset(scratch);
    const struct fhir_path *path = fhir_path_compile(str_of(expression), flags, arena, &error);
    if (!path) {
        buf_printf(&out, "%.*s at %zu", STR_ARG(error.what), error.at);
        return buf_text(&out);
    }
    if (fhir_path_eval(path, &resource.value, &env, scratch, &items, &problem) != FHIR_PATH_FINE)
        return problem;
    for (uint32_t i = 0; i < items.n; i++) {
        buf_str(&out, i ? STR(",") : STR(""));
        buf_str(&out, fhir_item_text(items.at[i], scratch));
    }
    return buf_text(&out);
}

static const struct {
    const char *expression, *result;
} results[] = {
    {"name.given", "Peter,James,Jim"},
    {"Patient.name.given", "Peter,James,Jim"},
    {"Observation.name.given", ""},
    {"name[0].given[1]", "James"},
    {"name[5]", ""},
    {"name.where(use = 'usual').given", "Jim"},
    {"name.where($index = 1).given", "Jim"},
    {"name.select(given.first())", "Peter,Jim"},
    {"name.given.count() + 1", "4"},
    {"name.exists(use = 'usual') and name.family.exists()", "true"},
    {"(name | name).count()", "2"},
    {"name.given | name.given.first()", "Peter,James,Jim"},
    {"name.all(given.exists())", "true"},
    {"name.family.hasValue()", "true"},
    {"deceased.hasValue()", "false"},
    {"deceased.exists()", "true"},
    {"deceased.extension('u').value = 4 'g'", "true"},
    {"deceased.extension('u').value = 4000 'mg'", "true"},
    {"deceased.extension('u').value > 4000.1 'mg'", "false"},
    {"deceased.extension('u').value = 4 'mL'", ""},
    {"multipleBirth is integer", "true"},
    {"multipleBirth is Integer", "false"},
    {"(multipleBirth as integer) * 2", "6"},
    {"multipleBirth.ofType(boolean)", ""},
    {"gender is string", "true"},
    {"gender.as(string)", ""},
    {"gender.as(code)", "male"},
    {"birthDate = @1974-12-25", "true"},
    {"birthDate < @1975", "true"},
    {"birthDate = @1974", ""},
    {"contact.period.start <= contact.period.end", ""},
    {"managingOrganization.where(resolve() is Organization).reference", "Organization/1"},
    {"managingOrganization.where(resolve() is Patient)", ""},
    {"generalPractitioner.resolve().name.family", "Dokter"},
    {"generalPractitioner.where(resolve() is Practitioner).exists()", "true"},
    {"iif(active, 'y', 'n')", "y"},
    {"active.not()", "false"},
    {"{} and false", "false"},
    {"{} and true", ""},
    {"{} or true", "true"},
    {"false implies {}", "true"},
    {"{} or false", ""},
    {"{} implies true", "true"},
    {"{} implies false", ""},
    {"@2012 != @2012-01", ""},
    {"true xor {}", ""},
    {"true xor true", "false"},
    {"1 + 2 * 3 - 4 / 2", "5"},
    {"7 div 2", "3"},
    {"-7 mod 3", "-1"},
    {"1 / 0", ""},
    {"0.1 + 0.2 = 0.3", "true"},
    {"'a' + 'b' & {}", "ab"},
    {"'a\\'b\\u0041'", "a'bA"},
    {"1 < 2 = true", "true"},
    {"1 | 2 | 2", "1,2"},
    {"3 in (1 | 2 | 3)", "true"},
    {"(1 | 2) contains 3", "false"},
    {"1 is Integer and 1.0 is Decimal", "true"},
    {"'abc'.substring(1, 1) & 'abc'.indexOf('c').toString()", "b2"},
    {"'\xc3\xa9t\xc3\xa9'.length()", "3"},
    {"'a,b'.split(',').join('-')", "a-b"},
    {"'aXbX'.replace('X', 'yy')", "ayybyy"},
    {"'a.b.c'.replaceMatches('\\\\..*', '')", "a"},
    {"'Abc1'.matches('^[A-Z][a-z]+[0-9]$')", "true"},
    {"'x'.upper() = 'X' and 'X' ~ 'x'", "true"},
    {"1.25.round(1)", "1.3"},
    {"(-1.5).floor() | 1.2.ceiling() | 1.9.truncate()", "-2,2,1"},
    {"'12'.toInteger() + '1.5'.toDecimal()", "13.5"},
    {"'x'.toInteger()", ""},
    {"'2024-02'.convertsToDate()", "true"},
    {"today() = @2026-01-31", "true"},
    {"now() > @2026", ""},
    {"timeOfDay() > @T09:40:00", "true"},
    {"(1|2|3).aggregate($this + $total, 0)", "6"},
    {"(1|2|3).skip(1).first() + (1|2|3).last() + (1|2|3).tail().take(1)", "7"},
    {"name.given.isDistinct()", "true"},
    {"name.given.combine(name.given).distinct().count()", "3"},
    {"(1|2).intersect(2|3) | (1|2).exclude(2)", "2,1"},
    {"(1|2).subsetOf(1|2|3) and (1|2|3).supersetOf(1|2)", "true"},
    {"descendants().where($this = 'gp').count()", "1"},
    {"name.first() = name.first() and name[0] != name[1]", "true"},
    {"%resource.id & %context.id", "p1p1"},
    {"%ucum", "http://unitsofmeasure.org"},
    {"name.given.trace('x').count()", "3"},
    {"`name`.given.first() // a comment", "Peter"},
    {"/* a */ name /* b */ .given.first()", "Peter"},
    {"contained.repeat(name).family", "Dokter"},
    {"%nobody", "a variable has no value"},
    {"name.given = 1 and name.given.single()", "false"},
    {"name.given.single()", "single() meets more than one item"},
    {"name.given + 'x'", "there is more than one item where only one can stand"},
    {"1 + 'x'", "this operator does not take values of these types"},
    {"1 < 'x'", "values of these types have no order"},
};

static void test_results(void **)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        struct str got = run(results[i].expression, 100'000, 0);
        if (!str_eq(got, str_of(results[i].result)))
            fail_msg("%s gives \"%.*s\"", results[i].expression, STR_ARG(got));
    }
}

static void test_what_is_no_expression(void **)
{
    static const char *const rows[][2] = {
        {"", "the expression ends too early at 0"},
        {"a.", "the name of an element or a function is missing here at 2"},
        {"a b", "this cannot stand here at 2"},
        {"(a", "')' is missing here at 2"},
        {"a[1", "']' is missing here at 3"},
        {"a.nothing()", "there is no such function at 2"},
        {"a.memberOf('x')", "this function is not supported at 2"},
        {"a.where()", "this function takes another number of arguments at 2"},
        {"a.count(1)", "this function takes another number of arguments at 2"},
        {"a is nobody", "there is no such type at 5"},
        {"'a", "this text does not end, or has an escape that does not exist at 0"},
        {"/* a", "this comment does not end at 0"},
        {"@2024-13", "this is not a date or time at 0"},
        {"a.matches('(')", "this is not a regular expression at 13"},
        {"$that", "after $ only this, index and total can stand at 0"},
        {"99999999999999999999", "this number is too large at 20"},
        {"a\xff", "the expression is not UTF-8 at 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT_TEXT(run(rows[i][0], 1'000, 0), rows[i][1]);
}

static void test_definitions_are_read_loosely(void **)
{
    EXPECT_TEXT(run("multipleBirth is Integer", 1'000, FHIR_PATH_LOOSE_TYPES), "true");
    EXPECT_TEXT(run("multipleBirth is System.Integer", 1'000, FHIR_PATH_LOOSE_TYPES), "false");
}

/* ---- cost */

static void expect_refused(char open, size_t n)
{
    char *text = malloc(n + 1);
    memset(text, open, n);
    text[n] = 0;
    struct str result = run(text, 1'000'000, 0);
    assert_true(str_find(result, STR(" at ")) >= 0);
    free(text);
}

static void test_size_and_depth_are_bounded(void **)
{
    expect_refused('(', 10'000);
    expect_refused('-', 10'000);
    expect_refused('(', FHIR_PATH_BYTES_MAX + 1);
    char chain[600] = "a";
    for (size_t i = 1; i + 2 < sizeof chain; i += 2)
        memcpy(chain + i, ".a", 3);
    EXPECT_TEXT(str_take(run(chain, 1'000, 0), 27), "the expression is too large");
}

static void test_steps_and_memory_are_bounded(void **)
{
    EXPECT_TEXT(run("descendants().where(%resource.descendants().exists($this = 'none')).count()", 1'000, 0),
                "the evaluation takes too many steps");
    char doubled[4'000] = "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'";
    for (unsigned i = 0; i < 60; i++)
        strncat(doubled, ".select($this & $this)", sizeof doubled - strlen(doubled) - 1);
    struct str result = run(doubled, 1'000'000'000, 0);
    EXPECT_TEXT(result, "the evaluation needs too much memory");
    result = run("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('^(a+)+$')", 1'000'000, 0);
    EXPECT_TEXT(result, "the regular expression takes too long");
}

/* ---- FHIR's own expressions */

static const struct fhir_path *compile(struct str text, struct arena *memory)
{
    struct fhir_path_error error;
    const struct fhir_path *path = fhir_path_compile(text, FHIR_PATH_LOOSE_TYPES, memory, &error);
    if (!path)
        print_error("%.*s: %.*s at %zu\n", STR_ARG(text), STR_ARG(error.what), error.at);
    return path;
}

static void test_every_search_parameter_compiles(void **)
{
    unsigned done = 0, composites = 0;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        for (unsigned p = 0; p < fhir_search_count(type); p++) {
            const struct fhir_search_parameter *parameter = fhir_search_at(type, p);
            struct str expression = fhir_search_expression(parameter), name;
            arena_reset(scratch);
            if (expression.n)
                assert_non_null(compile(expression, scratch));
            for (unsigned c = 0; c < fhir_search_component_count(parameter); c++, composites++) {
                fhir_search_component(parameter, c, &name, &expression);
                assert_non_null(compile(expression, scratch));
            }
            done++;
        }
    }
    assert_true(done >= 1'378 && composites > 100);
}

static void test_every_invariant_compiles(void **)
{
    unsigned done = 0;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        arena_reset(scratch);
        for (unsigned k = 0; k < fhir_type_rule_count(type); k++, done++)
            assert_non_null(compile(fhir_type_rule(type, k).expression, scratch));
        for (unsigned e = 0; e < fhir_element_count(type); e++) {
            const struct fhir_element *element = fhir_element_at(type, e);
            for (unsigned k = 0; k < fhir_element_rule_count(element); k++, done++)
                assert_non_null(compile(fhir_element_rule(element, k).expression, scratch));
        }
    }
    assert_true(done > 243);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_what_is_no_expression),
        cmocka_unit_test(test_definitions_are_read_loosely),
        cmocka_unit_test(test_size_and_depth_are_bounded),
        cmocka_unit_test(test_steps_and_memory_are_bounded),
        cmocka_unit_test(test_every_search_parameter_compiles),
        cmocka_unit_test(test_every_invariant_compiles),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
