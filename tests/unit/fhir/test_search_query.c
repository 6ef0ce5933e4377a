/* Search queries: what a query string means, what is wrong with one, and the self link back. */
#include "fhir_test.h"

#include "fhir/search_query.h"

#include <stdio.h>

static struct arena *arena, *names;
static struct fhir_search_query query;
static struct fhir_query_problems problems;
static const int64_t now_us = 1'700'000'000'000'000; /* 2023-11-14T22:13:20Z */

static int setup(void **)
{
    arena = arena_new(64 << 20);
    names = arena_new(1 << 20);
    return arena && names ? 0 : -1;
}

static int teardown(void **)
{
    arena_free(arena);
    arena_free(names);
    return 0;
}

static struct fhir_query_context context_of(const char *type)
{
    return (struct fhir_query_context){.type = fhir_type_find(str_of(type)),
                                       .base_url = STR("https://records.example/fhir/"),
                                       .count_max = 500,
                                       .now_us = now_us};
}

static bool parse(const struct fhir_query_context *context, const char *text)
{
    arena_reset(arena);
    return fhir_search_query_parse(str_of(text), STR(""), context, arena, &query, &problems);
}

static const struct fhir_query_criterion *one(const char *type, const char *text)
{
    struct fhir_query_context context = context_of(type);
    if (!parse(&context, text))
        fail_msg("%s?%s: %.*s", type, text, STR_ARG(problems.at[0].what));
    assert_int_equal(query.criterion_count, 1);
    return &query.criteria[0];
}

static const struct fhir_index_value *value(const char *type, const char *text)
{
    const struct fhir_query_criterion *c = one(type, text);
    assert_true(c->value_count >= 1);
    return &c->values[0].is;
}

/* The first problem as "fault name@place: what (hint)". */
static void expect_problem(const char *type, const char *text, const char *wanted)
{
    struct fhir_query_context context = context_of(type);
    static const char *const faults[] = {"unknown", "modifier", "value", "unsupported", "much", "text"};
    if (parse(&context, text))
        fail_msg("%s?%s was taken", type, text);
    const struct fhir_query_problem *p = &problems.at[0];
    EXPECT_TEXT(arena_printf(arena, "%s %.*s@%s%zu: %.*s (%.*s)", faults[p->fault], STR_ARG(p->name),
                             p->is_in_name ? "name " : "", p->at, STR_ARG(p->what), STR_ARG(p->hint)),
                wanted);
}

static void expect_link(const char *type, const char *text, const char *wanted)
{
    static char memory[4'096];
    struct buf out = buf_over(memory, sizeof memory);
    struct fhir_query_context context = context_of(type);
    assert_true(parse(&context, text));
    fhir_search_query_write(&query, &out);
    EXPECT_TEXT(buf_text(&out), wanted);
    char again[4'096] = "";
    memcpy(again, memory, out.n);
    assert_true(parse(&context, again));
    out.n = 0;
    fhir_search_query_write(&query, &out);
    EXPECT_TEXT(buf_text(&out), wanted);
}

/* ---- values by type */

static void test_token(void **)
{
    const struct fhir_query_criterion *c = one("Observation", "code=a,b%7C,|c,http://x|d\\,\\|e");
    assert_int_equal(c->value_count, 4);
    assert_true(c->values[0].any_system && !c->values[0].any_code);
    EXPECT_TEXT(c->values[0].is.token.code, "a");
    assert_true(!c->values[1].any_system && c->values[1].any_code);
    EXPECT_TEXT(c->values[1].is.token.system, "b");
    assert_true(!c->values[2].any_system && !c->values[2].is.token.system.n);
    EXPECT_TEXT(c->values[2].is.token.code, "c");
    EXPECT_TEXT(c->values[3].is.token.system, "http://x");
    EXPECT_TEXT(c->values[3].is.token.code, "d,|e");
    EXPECT_TEXT(value("Patient", "identifier:of-type=http://t|MR|1\\|2")->token.code, "MR|1|2");
    assert_int_equal(value("Patient", "identifier:of-type=http://t|MR|12")->role, FHIR_INDEX_OF_TYPE);
    assert_int_equal(value("Observation", "code:text=head")->role, FHIR_INDEX_TEXT);
    EXPECT_TEXT(value("Observation", "code:not-in=http://x/vs")->uri, "http://x/vs");
    assert_int_equal(one("Observation", "code:not=a")->modifier, FHIR_QUERY_NOT);
    assert_int_equal(one("Patient", "_id=a,b")->kind, FHIR_QUERY_ID);
    expect_problem("Observation", "code=|",
                   "value code@0: \"|\" is not a code: there is nothing beside the '|' ()");
    expect_problem("Observation", "code=a|b|c",
                   "value code@4: more '|' than a value has that is written as code, system|code, |code or "
                   "system| (a '|' that belongs to a text is written \"\\|\")");
    expect_problem("Observation", "code=a,,b",
                   "value code@2: an empty value (a ',' that belongs to a text is written \"\\,\")");
    expect_problem("Observation", "code=a\\x",
                   "value code@1: a backslash stands only before ',', '|', '$' or '\\' (a backslash itself "
                   "is written twice)");
    expect_problem("Patient", "identifier:of-type=MR|12",
                   "value identifier:of-type@0: \"MR|12\" is not system|type|value of an identifier, each of "
                   "them there ()");
    expect_problem("Patient", "_id=a/b",
                   "value _id@0: \"a/b\" is not an id: 1 to 64 letters, digits, '-' or '.' ()");
}

static void test_string(void **)
{
    EXPECT_TEXT(value("Patient", "name=P%C3%A9TER++van")->string.folded, "peter van");
    EXPECT_TEXT(value("Patient", "name:exact=P%C3%A9ter")->string.exact, "P\xc3\xa9ter");
    assert_int_equal(one("Patient", "name:contains=x")->modifier, FHIR_QUERY_CONTAINS);
    assert_true(one("Patient", "name:missing=true")->is_missing);
    assert_false(one("Patient", "name:missing=false")->is_missing);
    assert_int_equal(one("Patient", "name:missing=false")->value_count, 0);
    expect_problem("Patient", "name=+", "value name@0: \" \" is not a text that can be searched for ()");
    expect_problem("Patient", "name:missing=yes", "value name:missing@0: \"yes\" is not true or false ()");
}

static void test_reference(void **)
{
    const struct fhir_index_value *v = value("Observation", "subject=Patient/23");
    EXPECT_TEXT(fhir_type_name(v->reference.type), "Patient");
    EXPECT_TEXT(v->reference.id, "23");
    v = value("Observation", "subject=23");
    assert_null(v->reference.type);
    EXPECT_TEXT(v->reference.id, "23");
    EXPECT_TEXT(fhir_type_name(value("Observation", "patient=23")->reference.type), "Patient");
    EXPECT_TEXT(fhir_type_name(value("Observation", "subject:Group=23")->reference.type), "Group");
    v = value("Observation", "subject=https://records.example/fhir/Patient/23/_history/4");
    EXPECT_TEXT(v->reference.base, "");
    EXPECT_TEXT(v->reference.version, "4");
    EXPECT_TEXT(value("Observation", "subject=https://other.example/Patient/23")->reference.base,
                "https://other.example/");
    v = value("Observation", "subject=urn:uuid:6a1f3b9e-0000-4000-8000-000000000000");
    assert_true(!v->reference.id.n && v->reference.url.n);
    v = value("QuestionnaireResponse", "questionnaire=http://x/q|1.2");
    EXPECT_TEXT(v->reference.url, "http://x/q");
    EXPECT_TEXT(v->reference.version, "1.2");
    assert_int_equal(value("Observation", "subject:identifier=http://x|1")->role, FHIR_INDEX_IDENTIFIER);
    expect_problem(
        "Observation", "subject=Patien/23",
        "value subject@0: \"Patien/23\" is not a reference: an id, Type/id or an absolute URL (did "
        "you mean \"Patient\"?)");
    expect_problem("Observation", "subject=23|1",
                   "value subject@0: \"23|1\" is not a reference: an id, Type/id or an absolute URL ()");
    expect_problem("Observation", "subject=%23p",
                   "value subject@0: \"#p\" is not a reference: an id, Type/id or an absolute URL ()");
    expect_problem("Observation", "subject:Group=Patient/23",
                   "value subject:Group@0: \"Patient/23\" is not the id of a Group ()");
    expect_problem("Observation", "subject:Slot=1",
                   "modifier subject:Slot@name 8: \"subject\" never refers to a Slot ()");
}

static void test_date(void **)
{
    const struct fhir_index_value *v = value("Observation", "date=ge2024-02");
    assert_int_equal(v->date.low_us, 1'706'745'600'000'000);
    assert_int_equal(v->date.high_us, 1'709'251'200'000'000);
    assert_int_equal(query.criteria[0].values[0].prefix, FHIR_QUERY_GE);
    v = value("Observation", "date=ap2023-11-04T22:13:20Z"); /* ten days ago: a day to each side */
    assert_int_equal(v->date.low_us / 1'000'000, now_us / 1'000'000 - 11 * 86'400 + 0);
    assert_true(v->date.high_us > now_us - 9 * 86'400 * 1'000'000LL - 2'000'000);
    assert_int_equal(one("Observation", "_lastUpdated=gt2024-01-01T10:00%2B01:00")->kind, FHIR_QUERY_UPDATED);
    static const char wanted[] =
        "is not a date: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]] with an optional zone (Z, "
        "+hh:mm)";
    static const char *const bad[] = {"2024-02-30", "2024-13", "2024-01-01T10",
                                      "2024T",      "T10:00",  "10:00:00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct str text = arena_printf(arena, "date=eq%s", bad[i]);
        struct fhir_query_context context = context_of("Observation");
        char copy[64] = "";
        memcpy(copy, text.p, text.n);
        if (parse(&context, copy))
            fail_msg("%s is no date", bad[i]);
    }
    char text[256];
    (void)snprintf(text, sizeof text,
                   "value date@2: \"2024-01-01T10:00 01:00\" %s (a '+' is written %%2B in a URL)", wanted);
    expect_problem("Observation", "date=gt2024-01-01T10:00+01:00", text);
    expect_problem("Observation", "date=xx2024",
                   "value date@0: \"xx\" is no prefix (possible are eq, ne, gt, lt, ge, le, sa, eb and ap)");
}

static void expect_number(const struct fhir_index_number *n, const char *wanted)
{
    char memory[200];
    struct buf out = buf_over(memory, sizeof memory);
    fhir_decimal_write(fhir_decimal_trim(n->low), &out);
    BUF_LIT(&out, " ");
    fhir_decimal_write(fhir_decimal_trim(n->high), &out);
    BUF_LIT(&out, " ");
    buf_str(&out, n->base_unit);
    EXPECT_TEXT(buf_text(&out), wanted);
}

static void test_number(void **)
{
    expect_number(value("RiskAssessment", "probability=0.8")->number, "0.75 0.85 ");
    expect_number(value("RiskAssessment", "probability=gt0.8")->number, "0.8 0.8 ");
    expect_number(value("RiskAssessment", "probability=ap100")->number, "9e1 11e1 ");
    expect_number(value("RiskAssessment", "probability=ap-100")->number, "-11e1 -9e1 ");
    expect_number(value("Observation", "value-quantity=5.4|http://unitsofmeasure.org|mg")->number,
                  "5.35 5.45 g");
    const struct fhir_query_criterion *c = one("Observation", "value-quantity=le5.4||mg,5");
    assert_true(c->values[0].any_system && !c->values[0].any_code && c->values[1].any_code);
    assert_int_equal(c->values[0].prefix, FHIR_QUERY_LE);
}

static void test_number_faults(void **)
{
    expect_problem("RiskAssessment", "probability=gex",
                   "value probability@2: \"x\" is not a number: 5, -5.40 or 5.4e-3 ()");
    expect_problem("Observation", "value-quantity=5|mg",
                   "value value-quantity@0: \"5|mg\" is not number, number||unit or number|system|code ()");
    expect_problem(
        "Observation", "value-quantity=5|http://x|",
        "value value-quantity@0: \"5|http://x|\" is not number, number||unit or number|system|code ()");
}

static void test_composite(void **)
{
    const struct fhir_query_criterion *c =
        one("Observation", "code-value-quantity=http://loinc.org|8480-6$gt140||mm[Hg],x\\$y$1");
    assert_int_equal(c->value_count, 2);
    assert_int_equal(c->values[0].part_count, 2);
    EXPECT_TEXT(c->values[0].parts[0].is.token.code, "8480-6");
    assert_int_equal(c->values[0].parts[1].prefix, FHIR_QUERY_GT);
    EXPECT_TEXT(c->values[1].parts[0].is.token.code, "x$y");
    expect_problem(
        "Observation", "code-value-quantity=a",
        "value code-value-quantity@0: a value of this parameter has 2 parts with '$' between them ()");
    expect_problem("Observation", "code-value-quantity=a$1$2",
                   "value code-value-quantity@4: a value of this parameter has 2 parts (a '$' that belongs "
                   "to a text is written \"\\$\")");
    expect_problem("Observation", "code-value-quantity=a$gtx",
                   "value code-value-quantity@4: \"x\" is not a number: 5, -5.40 or 5.4e-3 ()");
}

/* ---- names */

static void test_chain(void **)
{
    const struct fhir_query_criterion *c = one("Observation", "subject:Patient.name:exact=Jan");
    assert_int_equal(c->kind, FHIR_QUERY_CHAIN);
    assert_int_equal(c->inner_count, 1);
    EXPECT_TEXT(fhir_type_name(c->inner[0].type), "Patient");
    assert_int_equal(c->inner[0].modifier, FHIR_QUERY_EXACT);
    c = one("Observation", "subject.name=Jan"); /* of Group and Device none is called name */
    assert_int_equal(c->inner_count, 2);
    EXPECT_TEXT(c->inner[1].values[0].is.string.folded, "jan");
    c = one("Observation", "subject._id=4"); /* means the same for all */
    assert_int_equal(c->inner_count, 1);
    assert_null(c->inner[0].type);
    c = one("Provenance", "target.subject.name=x"); /* some subjects are only groups, which have no name */
    assert_true(c->inner_count > 20 && c->inner_count < 100);
    c = one("Observation", "subject:Patient.organization.partof.name=x");
    assert_int_equal(c->inner[0].inner[0].inner[0].kind, FHIR_QUERY_PARAMETER);
    expect_problem("Observation", "subject.nmae=x",
                   "unknown subject.nmae@name 8: nothing that \"subject\" refers to has a search parameter "
                   "\"nmae\" (did you mean \"name\"?)");
    expect_problem("Observation", "subject:Patient.nmae=x",
                   "unknown subject:Patient.nmae@name 16: Patient has no search parameter \"nmae\" (did you "
                   "mean \"name\"?)");
    expect_problem("Observation", "code.name=x",
                   "unknown code.name@name 5: \"code\" is a token, no reference: nothing can follow it ()");
    expect_problem("Observation", "subject:Slot.name=x",
                   "modifier subject:Slot.name@name 8: \"subject\" never refers to a Slot ()");
}

static void test_has(void **)
{
    const struct fhir_query_criterion *c = one("Patient", "_has:Observation:patient:code=1234-5");
    assert_int_equal(c->kind, FHIR_QUERY_HAS);
    EXPECT_TEXT(fhir_search_code(c->parameter), "patient");
    EXPECT_TEXT(fhir_type_name(c->inner[0].type), "Observation");
    c = one("Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=x");
    assert_int_equal(c->inner[0].kind, FHIR_QUERY_HAS);
    c = one("Encounter", "patient._has:Group:member:_id=102");
    assert_int_equal(c->kind, FHIR_QUERY_CHAIN);
    assert_int_equal(c->inner[0].inner[0].kind, FHIR_QUERY_ID);
    expect_problem("Patient", "_has:Observation:code=x",
                   "value _has:Observation:code@name 0: _has is written _has:Type:reference:parameter, as in "
                   "_has:Observation:patient:code ()");
    expect_problem(
        "Patient", "_has:Observation:code:code=x",
        "modifier _has:Observation:code:code@name 17: \"code\" of Observation does not refer to Patient ()");
    expect_problem("Slot", "_has:Observation:patient:code=x",
                   "modifier _has:Observation:patient:code@name 17: \"patient\" of Observation does not "
                   "refer to Slot ()");
    expect_problem("Patient", "_has:Observations:patient:code=x",
                   "value _has:Observations:patient:code@name 5: \"Observations\" is no resource type (did "
                   "you mean \"Observation\"?)");
}

static void test_names(void **)
{
    expect_problem("Patient", "nmae=x",
                   "unknown nmae@name 0: Patient has no search parameter \"nmae\" (did you mean \"name\"?)");
    expect_problem(
        "Patient", "_cuont=1",
        "unknown _cuont@name 0: Patient has no search parameter \"_cuont\" (did you mean \"_count\"?)");
    expect_problem("Patient", "name:exacl=x",
                   "modifier name:exacl@name 5: \"exacl\" is no modifier of \"name\", which is a string (did "
                   "you mean \"exact\"?)");
    expect_problem("Patient", "birthdate:exact=2000",
                   "modifier birthdate:exact@name 10: \"exact\" is no modifier of \"birthdate\", which is a "
                   "date (possible are :missing)");
    expect_problem("Patient", "_id:exact=x",
                   "modifier _id:exact@name 4: \"_id\" takes no modifier \"exact\" ()");
    expect_problem("Location", "near=1|2|3|km",
                   "unsupported near@name 0: searching by place is not supported ()");
    expect_problem("Patient", "_filter=a",
                   "unsupported _filter@name 0: filter expressions are not supported ()");
    expect_problem("Patient", "_list=1", "unsupported _list@name 0: searching by lists is not supported ()");
    expect_problem("Patient", "_query=a", "unsupported _query@name 0: there are no named queries ()");
    expect_problem("Patient", "_contained=true",
                   "unsupported _contained@0: contained resources are not searched ()");
    expect_problem(
        "Patient", "name",
        "text name@name 0: a parameter without a value (leave the parameter out, or search with :missing)");
    expect_problem(
        "Patient", "=x",
        "text @name 0: a value without a parameter (leave the parameter out, or search with :missing)");
    expect_problem("Patient", "name=%zz",
                   "text name@0: the value is not text: percent-encoded UTF-8 without controls ()");
    expect_problem("Patient", "name=%c3%28",
                   "text name@0: the value is not text: percent-encoded UTF-8 without controls ()");
    expect_problem("Patient", "na%00me=x",
                   "text @0: the name of a parameter is not text: percent-encoded UTF-8 without controls ()");
    assert_int_equal(one("Patient", "_text=kanker")->kind, FHIR_QUERY_NARRATIVE);
    assert_int_equal(one("Patient", "_content=kanker")->kind, FHIR_QUERY_CONTENT);
    assert_int_equal(one("Patient", "&&name=x&")->kind, FHIR_QUERY_PARAMETER);
}

static void test_lenient(void **)
{
    struct fhir_query_context context = context_of("Patient");
    char memory[200];
    struct buf out = buf_over(memory, sizeof memory);
    context.is_lenient = true;
    assert_true(parse(&context, "foo=1&name=x&_filter=y&_sort=name,foo&general-practitioner.foo=1"));
    assert_int_equal(query.criterion_count, 1);
    assert_int_equal(query.ignored.n, 4);
    assert_int_equal(query.sort_count, 0);
    EXPECT_TEXT(query.ignored.at[0].name, "foo");
    fhir_search_query_write(&query, &out);
    EXPECT_TEXT(buf_text(&out), "name=x");
    assert_false(parse(&context, "birthdate=x"));
    assert_false(parse(&context, "name:foo=x"));
}

/* ---- how the answer looks */

static void test_results(void **)
{
    struct fhir_query_context context = context_of("Observation");
    assert_true(parse(&context,
                      "_sort=-date,code&_count=1000&_total=accurate&_summary=text&_elements=status,value"
                      "&_format=json&_pretty=true&_contained=false"
                      "&_include=Observation:subject:Patient&_include:iterate=Patient:*&_include=*"
                      "&_revinclude=Provenance:target"));
    assert_int_equal(query.sort_count, 2);
    assert_true(query.sorts[0].is_descending && !query.sorts[1].is_descending);
    assert_int_equal(query.count, 500);
    assert_int_equal(query.total, FHIR_TOTAL_ACCURATE);
    assert_int_equal(query.summary, FHIR_SUMMARY_TEXT);
    assert_int_equal(query.element_count, 2);
    assert_true(query.is_pretty);
    EXPECT_TEXT(query.format, "json");
    assert_int_equal(query.include_count, 3);
    EXPECT_TEXT(fhir_type_name(query.includes[0].target), "Patient");
    assert_true(query.includes[1].is_iterated && !query.includes[1].parameter);
    assert_null(query.includes[2].source);
    assert_int_equal(query.revinclude_count, 1);
}

static void test_result_faults(void **)
{
    expect_problem("Patient", "_count=-1",
                   "value _count@0: \"-1\" is not a number of results: 0, 1, 2 ... ()");
    expect_problem("Patient", "_count=1&_count=2",
                   "value _count@name 0: _count stands there twice (write one list, with commas)");
    expect_problem("Patient", "_sort=nmae",
                   "unknown _sort@0: Patient has no search parameter \"nmae\" (did you mean \"name\"?)");
    expect_problem("Observation", "_sort=-code-value-quantity",
                   "value _sort@1: results cannot be sorted by \"code-value-quantity\" ()");
    expect_problem("Patient", "_elements=nam",
                   "value _elements@0: Patient has no element \"nam\" (did you mean \"name\"?)");
    expect_problem("Patient", "_total=all", "value _total@0: \"all\" is not none, estimate or accurate ()");
    expect_problem("Patient", "_summary=yes",
                   "value _summary@0: \"yes\" is not true, text, data, count or false ()");
    expect_problem("Patient", "_type=Patient",
                   "unknown _type@name 0: _type stands in a search on all types, not in one on a type ()");
    expect_problem("Patient", "_include=Observation:subject",
                   "value _include@0: the search does not find any Observation (what was included itself is "
                   "followed by _include:iterate)");
    expect_problem("Patient", "_include=Patient:name",
                   "value _include@8: \"name\" is a string, no reference ()");
    expect_problem(
        "Patient", "_include=Patient",
        "value _include@0: \"Patient\" is not Type:parameter, Type:parameter:Target, Type:* or * ()");
    expect_problem("Patient", "_include=Patient:organization:Slot",
                   "value _include@21: \"organization\" never refers to a Slot ()");
    expect_problem("Patient", "_revinclude=Slot:schedule",
                   "value _revinclude@0: \"schedule\" never refers to a Patient ()");
    expect_problem("Patient", "_include:foo=Patient:*",
                   "modifier _include:foo@name 9: \"foo\" is no modifier of it (possible is :iterate)");
}

static void test_types(void **)
{
    struct fhir_query_context context = context_of("");
    assert_true(parse(&context, "_type=Patient,Practitioner,Patient&name=x&_lastUpdated=gt2024"));
    assert_int_equal(query.type_count, 2);
    assert_int_equal(query.criteria[0].kind, FHIR_QUERY_ALTERNATIVES);
    assert_int_equal(query.criteria[0].inner_count, 2);
    assert_int_equal(query.criteria[1].kind, FHIR_QUERY_UPDATED);
    assert_null(query.criteria[1].type);
    assert_true(parse(&context, "name=x&_type=Patient,Practitioner")); /* said behind what it is for */
    assert_int_equal(query.criteria[0].inner_count, 2);
    assert_true(parse(&context, "_type=Organization,Location&partof=5")); /* a bare id is of either type */
    for (uint32_t i = 0; i < 2; i++)
        assert_ptr_equal(query.criteria[0].inner[i].values[0].is.reference.type, query.types[i]);
    assert_true(parse(&context, "_id=1&_tag=x&_profile=http://x"));
    assert_int_equal(query.type_count, 0);
    assert_false(parse(&context, "name=x"));
    EXPECT_TEXT(problems.at[0].what, "not every type has a search parameter \"name\"");
    assert_false(parse(&context, "_type=Patient,Slot&name=x"));
    EXPECT_TEXT(problems.at[0].what, "Slot has no search parameter \"name\"");
    context.compartment = fhir_type_find(STR("Patient"));
    context.compartment_id = STR("1");
    assert_true(parse(&context, "_type=Observation,Condition&code=x"));
    assert_false(parse(&context, "_type=Medication"));
    EXPECT_TEXT(problems.at[0].what, "no Medication belongs to the compartment of a Patient");
}

static void test_form(void **)
{
    struct fhir_query_context context = context_of("Patient");
    static const struct str others[] = {STR("_page")};
    context.others = others;
    context.other_count = 1;
    arena_reset(arena);
    assert_true(
        fhir_search_query_parse(STR("name=a&_page=%zz"), STR("given=b"), &context, arena, &query, &problems));
    assert_int_equal(query.criterion_count, 2);
}

static void test_link(void **)
{
    expect_link("Patient", "_count=3&name=P%c3%a9ter+x&name:exact=a%5C%2Cb&_pretty=false",
                "name=P%C3%A9ter%20x&name:exact=a%5C,b&_count=3&_pretty=false");
    expect_link("Observation",
                "_sort=-date&_revinclude:iterate=Provenance:target:Patient&_include=*&_elements=status&date="
                "ge2024-01-01T10:00%2B01:00",
                "date=ge2024-01-01T10:00%2B01:00&_sort=-date&_include=*&_revinclude:iterate=Provenance:"
                "target:Patient&_elements=status");
    expect_link("", "_type=Patient,Slot&_id=4", "_id=4&_type=Patient,Slot");
}

/* ---- limits */

static void expect_too_much(const char *type, const char *piece, unsigned times, const char *first,
                            const char *last)
{
    size_t n = strlen(piece), start = strlen(first);
    char *text = calloc(1, start + n * times + strlen(last) + 1);
    memcpy(text, first, start);
    for (unsigned i = 0; i < times; i++)
        memcpy(text + start + i * n, piece, n);
    memcpy(text + start + n * times, last, strlen(last));
    struct fhir_query_context context = context_of(type);
    bool is_taken = parse(&context, text);
    free(text);
    assert_false(is_taken);
    assert_int_equal(problems.at[0].fault, FHIR_QUERY_TOO_MUCH);
}

static void test_limits(void **)
{
    expect_too_much("Patient", "a,", 40'000, "name=", "a");
    expect_too_much("Patient", "a,", 1'000, "name=", "a");
    expect_too_much("Patient", "name=a&", 201, "", "");
    expect_too_much("Patient", "link:Patient.", 5, "", "name=x");
    expect_too_much("Patient", "_include=*&", 51, "", "");
    expect_too_much("Provenance", "subject.", 3, "target.", "identifier=x"); /* many types have a subject */
}

static void test_no_memory(void **)
{
    struct fhir_query_context context = context_of("Patient");
    struct arena *small = arena_new(64 << 10);
    char text[2'000] = "name=a";
    for (size_t i = 6; i + 2 < sizeof text; i += 2)
        memcpy(text + i, ",b", 2);
    assert_true(parse(&context, text));
    assert_false(fhir_search_query_parse(str_of(text), STR(""), &context, small, &query, &problems));
    assert_int_equal(problems.at[0].fault, FHIR_QUERY_TOO_MUCH);
    arena_free(small);
}

/* ---- all of R4 */

static const char *sample(enum fhir_search_type type)
{
    static const char *const samples[] = {"gt5.40",
                                          "ge2024-02-29",
                                          "Jan",
                                          "http://x|a",
                                          "Patient/1",
                                          NULL,
                                          "5.4|http://unitsofmeasure.org|mg",
                                          "http://x/y",
                                          NULL};
    return samples[type];
}

static void check_parameter(const struct fhir_type *type, const struct fhir_search_parameter *p)
{
    static const char *const never[] = {"near", "_query"};
    char text[400] = "";
    struct buf out = buf_over(text, sizeof text - 1);
    buf_printf(&out, "%.*s=", STR_ARG(fhir_search_code(p)));
    if (str_eq(fhir_search_code(p), STR("_id")))
        BUF_LIT(&out, "x");
    else if (sample(fhir_search_type(p)))
        buf_str(&out, str_of(sample(fhir_search_type(p))));
    for (unsigned i = 0; i < fhir_search_component_count(p); i++) {
        enum fhir_search_type part = fhir_index_part_type(type, p, i);
        if (!sample(part))
            fail_msg("%.*s: part %u has no type", STR_ARG(fhir_search_code(p)), i);
        buf_printf(&out, "%s%s", i ? "$" : "", sample(part));
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        if (str_eq(fhir_search_code(p), str_of(never[i])))
            return;
    }
    const struct fhir_query_criterion *c = one(arena_copy_z(names, fhir_type_name(type)), text);
    assert_ptr_equal(c->parameter, p);
    assert_int_equal(c->value_count, 1);
    assert_int_equal(c->values[0].is.type, fhir_search_type(p));
    assert_int_equal(c->values[0].part_count, fhir_search_component_count(p));
}

static void test_every_parameter(void **)
{
    unsigned count = 0;
    for (unsigned t = 0; t < fhir_type_count(); t++) {
        const struct fhir_type *type = fhir_type_at(t);
        for (const struct fhir_type *of = fhir_type_is_resource(type) ? type : NULL; of;
             of = fhir_type_base(of)) {
            for (unsigned i = 0; i < fhir_search_count(of); i++, count++)
                check_parameter(type, fhir_search_at(of, i));
            arena_reset(names);
        }
    }
    assert_true(count > 1'378);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_string),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_number_faults),
        cmocka_unit_test(test_composite),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_result_faults),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_every_parameter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
