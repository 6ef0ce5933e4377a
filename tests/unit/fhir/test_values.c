/* Primitives, moments, decimals, units, references, and the way through a resource. */
#include "fhir_test.h"

#include "fhir/decimal.h"
#include "fhir/moment.h"
#include "fhir/primitive.h"
#include "fhir/reference.h"
#include "fhir/ucum.h"

/* ---- primitives */

static const struct {
    enum fhir_primitive type;
    const char *good[9], *bad[12];
} primitives[] = {
    {FHIR_BASE64_BINARY, {"QQ==", "QUJD", "QU JD"}, {"", "Q", "QQ=", "QQ===", "Q=Q=", "QU%D"}},
    {FHIR_BOOLEAN, {"true", "false"}, {"", "True", "1", "yes"}},
    {FHIR_CANONICAL, {"http://a/b|1.0"}, {"", "http://a b"}},
    {FHIR_CODE, {"final", "a b", "<"}, {"", " a", "a ", "a  b", "a\tb c "}},
    {FHIR_DATE,
     {"2024", "2024-02", "2024-02-29", "1900-12-31", "9999-12-31"},
     {"", "24", "2024-2", "2024-13", "2023-02-29", "1900-02-29", "2024-04-31", "2024-00-01",
      "2024-02-29T10:00:00Z", "0000-01-01", "2024-02-"}},
    {FHIR_DATE_TIME,
     {"2024", "2024-02", "2024-02-29", "2024-02-29T10:00:00Z", "2024-02-29T23:59:60.5+01:00",
      "2024-01-01T00:00:00-14:00"},
     {"2024-02-29T10:00:00", "2024-02-29T10:00Z", "2024-02-29T24:00:00Z", "2024-02-29T10:60:00Z",
      "2024-02-29T10:00:00+15:00", "2024-02-29T10:00:00.Z", "2024T", "2024-02-29 10:00:00Z",
      "2024-02T10:00:00Z"}},
    {FHIR_DECIMAL,
     {"0", "-0", "1.50", "1e-22", "1E+2", "-12.5", "0.000"},
     {"", "01", ".5", "1.", "+1", "1e", "1e1000", "0x1", "1,5", "NaN"}},
    {FHIR_ID, {"a", "1.2-A"}, {"", "a_b", "a/b", "a b"}},
    {FHIR_INSTANT,
     {"2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123+01:00"},
     {"2024-02-29", "2024", "2024-02-29T10:00:00"}},
    {FHIR_INTEGER,
     {"0", "-1", "2147483647", "-2147483648"},
     {"", "-0", "01", "1.0", "2147483648", "-2147483649", "+1", "1e2"}},
    {FHIR_MARKDOWN, {"a\nb"}, {"", "\x01"}},
    {FHIR_OID,
     {"urn:oid:1.2.3", "urn:oid:2.16.840.1"},
     {"1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.", "urn:oid:1.02"}},
    {FHIR_POSITIVE_INT, {"1", "2147483647"}, {"0", "-1", "2147483648"}},
    {FHIR_STRING, {"a", " ", "\xc3\xa9"}, {"", "a\x01"}},
    {FHIR_TIME, {"10:00:00", "23:59:59.25"}, {"10:00", "24:00:00", "10:00:00Z", "1:00:00"}},
    {FHIR_UNSIGNED_INT, {"0", "1"}, {"-1", "00", "2147483648"}},
    {FHIR_URI, {"urn:a", "http://a/%20", "x"}, {"", "a b"}},
    {FHIR_URL, {"http://a"}, {"a b"}},
    {FHIR_UUID,
     {"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
     {"c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d"}},
    {FHIR_XHTML, {"<div/>"}, {""}},
};

static void test_primitives(void **)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++) {
        for (const char *const *text = primitives[i].good; *text; text++) {
            if (!fhir_primitive_is_valid(primitives[i].type, str_of(*text)))
                fail_msg("type %d refuses \"%s\"", primitives[i].type, *text);
        }
        for (const char *const *text = primitives[i].bad; *text; text++) {
            if (fhir_primitive_is_valid(primitives[i].type, str_of(*text)))
                fail_msg("type %d takes \"%s\"", primitives[i].type, *text);
        }
        assert_true(fhir_primitive_hint(primitives[i].type).n > 0);
    }
    assert_int_equal(sizeof primitives / sizeof *primitives, FHIR_XHTML);
}

static void test_ids_have_a_length(void **)
{
    char id[FHIR_ID_MAX + 1];
    memset(id, 'a', sizeof id);
    assert_true(fhir_primitive_is_valid(FHIR_ID, (struct str){id, FHIR_ID_MAX}));
    assert_false(fhir_primitive_is_valid(FHIR_ID, (struct str){id, FHIR_ID_MAX + 1}));
}

static void test_every_primitive_type_is_known(void **)
{
    unsigned primitive_types = 0;
    for (unsigned i = 0; i < fhir_type_count(); i++) {
        const struct fhir_type *type = fhir_type_at(i);
        bool is_primitive = fhir_type_primitive(type) != FHIR_NO_PRIMITIVE;
        assert_int_equal(is_primitive, fhir_type_kind(type) == FHIR_PRIMITIVE);
        primitive_types += is_primitive;
    }
    assert_int_equal(primitive_types, FHIR_XHTML);
    assert_int_equal(fhir_type_primitive(fhir_type_find(STR("instant"))), FHIR_INSTANT);
    assert_int_equal(fhir_type_primitive(fhir_type_find(STR("uuid"))), FHIR_UUID);
}

/* ---- moments */

static struct fhir_moment moment(const char *text)
{
    struct fhir_moment m;
    bool is_time = text[2] == ':';
    if (!(is_time ? fhir_time_parse(str_of(text), &m) : fhir_moment_parse(str_of(text), &m)))
        fail_msg("no moment: %s", text);
    return m;
}

static void test_stretches_of_time(void **)
{
    struct fhir_moment m = moment("1970-01-01T01:00:00+01:00");
    assert_int_equal(m.low_us, 0);
    assert_int_equal(m.high_us, 1'000'000);
    m = moment("1970");
    assert_int_equal(m.low_us, 0);
    assert_int_equal(m.high_us, 365LL * 86'400 * 1'000'000);
    m = moment("2024-02");
    assert_int_equal(m.high_us - m.low_us, 29LL * 86'400 * 1'000'000);
    m = moment("1970-01-01T01");
    assert_int_equal(m.low_us, 3'600'000'000);
    assert_int_equal(m.high_us, 2 * 3'600'000'000);
    m = moment("1970-01-01T00:01Z");
    assert_int_equal(m.high_us - m.low_us, 60'000'000);
    m = moment("1970-01-01T00:00:00.25Z");
    assert_int_equal(m.low_us, 250'000);
    assert_int_equal(m.high_us, 260'000);
    m = moment("1969-12-31T23:59:59.9999999Z");
    assert_int_equal(m.low_us, -1);
    assert_int_equal(m.high_us, 0);
}

static enum fhir_order order(const char *a, const char *b)
{
    struct fhir_moment x = moment(a), y = moment(b);
    return fhir_moment_compare(&x, &y);
}

static void test_order_of_moments(void **)
{
    assert_int_equal(order("2024", "2025"), FHIR_LESS);
    assert_int_equal(order("2024-03", "2024"), FHIR_UNKNOWN);
    assert_int_equal(order("2023-12", "2024"), FHIR_LESS);
    assert_int_equal(order("2024-01-01T10:00:00Z", "2024-01-01T11:00:00+01:00"), FHIR_SAME);
    assert_int_equal(order("2024-01-01T10:00:00Z", "2024-01-01T10:00:00.000Z"), FHIR_SAME);
    assert_int_equal(order("2024-01-01T10:00:00.1Z", "2024-01-01T10:00:00Z"), FHIR_MORE);
    assert_int_equal(order("2024-01-01T23:00:00-05:00", "2024-01-02"), FHIR_LESS);
    assert_int_equal(order("2024-01-01T10:00:00", "2024-01-01T10:00:00Z"), FHIR_UNKNOWN);
    assert_int_equal(order("10:00", "10:00:30"), FHIR_UNKNOWN);
    assert_int_equal(order("10:00:00", "10:30:00"), FHIR_LESS);
    assert_int_equal(order("10:00:00", "2024"), FHIR_UNKNOWN);
}

/* ---- decimals */

static struct fhir_decimal decimal(const char *text)
{
    struct fhir_decimal d;
    if (!fhir_decimal_parse(str_of(text), &d))
        fail_msg("no decimal: %s", text);
    return d;
}

static const char *written(struct fhir_decimal d)
{
    static char text[4][80];
    static unsigned turn;
    char *at = text[turn++ % 4];
    struct buf out = buf_over(at, 79);
    fhir_decimal_write(d, &out);
    assert_false(buf_overflowed(&out));
    at[out.n] = 0;
    return at;
}

static void test_decimals_are_written_as_they_were_read(void **)
{
    static const char *const texts[] = {
        "0",      "1",   "-1",  "1.50", "0.00", "100", "123456789012345678901234567890.123456",
        "-0.001", "0.1", "5e10"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(written(decimal(texts[i])), texts[i]);
    assert_string_equal(written(decimal("1234567890123456789012345678901234567890")),
                        "123456789012345678901234567890123456e4");
}

static void test_arithmetic(void **)
{
    struct fhir_decimal d;
    assert_true(fhir_decimal_add(decimal("0.1"), decimal("0.2"), &d));
    assert_string_equal(written(d), "0.3");
    assert_true(fhir_decimal_add(decimal("1e30"), decimal("-1e-30"), &d));
    assert_int_equal(fhir_decimal_compare(d, decimal("1e30")), 0);
    assert_true(fhir_decimal_multiply(decimal("1.5"), decimal("-1.5"), &d));
    assert_string_equal(written(d), "-2.25");
    assert_true(fhir_decimal_multiply(decimal("123456789012345678901234567890123456"),
                                      decimal("999999999999999999999999999999999999"), &d));
    assert_true(fhir_decimal_compare(d, decimal("1.23456789e71")) > 0);
    assert_true(fhir_decimal_divide(decimal("1"), decimal("8"), &d));
    assert_string_equal(written(d), "0.125");
    assert_true(fhir_decimal_divide(decimal("2"), decimal("-3"), &d));
    assert_string_equal(written(fhir_decimal_round(d, 3)), "-0.667");
    assert_false(fhir_decimal_divide(decimal("1"), decimal("0.0"), &d));
    assert_false(fhir_decimal_multiply(decimal("1e900"), decimal("1e900"), &d));
    int64_t whole;
    assert_true(fhir_decimal_to_i64(decimal("-9223372036854775808"), &whole));
    assert_true(whole == INT64_MIN);
    assert_false(fhir_decimal_to_i64(decimal("9223372036854775808"), &whole));
    assert_false(fhir_decimal_to_i64(decimal("1e30"), &whole));
}

static void test_ranges_by_digits(void **)
{
    static const char *const rows[][3] = {{"5.4", "5.35", "5.45"},  {"100", "99.5", "100.5"},
                                          {"1e2", "95", "105"},     {"5.40", "5.395", "5.405"},
                                          {"-2", "-2.5", "-1.5"},   {"0", "-0.5", "0.5"},
                                          {"1.5e3", "1450", "1550"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fhir_decimal low, high;
        fhir_decimal_range(decimal(rows[i][0]), &low, &high);
        assert_int_equal(fhir_decimal_compare(low, decimal(rows[i][1])), 0);
        assert_int_equal(fhir_decimal_compare(high, decimal(rows[i][2])), 0);
    }
}

static int key_order(struct fhir_decimal a, struct fhir_decimal b)
{
    char one[FHIR_DECIMAL_KEY_MAX], two[FHIR_DECIMAL_KEY_MAX];
    struct buf x = buf_over(one, sizeof one), y = buf_over(two, sizeof two);
    fhir_decimal_write_key(a, &x);
    fhir_decimal_write_key(b, &y);
    assert_false(buf_overflowed(&x) || buf_overflowed(&y));
    return str_compare(buf_text(&x), buf_text(&y));
}

static void test_keys_sort_as_numbers_do(void **)
{
    static const char *const sorted[] = {"-1e900",  "-123456789012345678901234567890123456",
                                         "-100",    "-99.99",
                                         "-10",     "-2",
                                         "-1.5",    "-1.49",
                                         "-1",      "-0.5",
                                         "-1e-900", "0",
                                         "1e-900",  "0.001",
                                         "0.5",     "1",
                                         "1.49",    "1.5",
                                         "1.51",    "2",
                                         "9.9",     "10",
                                         "11",      "99",
                                         "100",     "101",
                                         "1e30",    "123456789012345678901234567890123456",
                                         "1e900"};
    enum { N = sizeof sorted / sizeof *sorted };
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++) {
            int wanted = (i > j) - (i < j), got = key_order(decimal(sorted[i]), decimal(sorted[j]));
            if ((got > 0) - (got < 0) != wanted)
                fail_msg("%s and %s", sorted[i], sorted[j]);
            int compared = fhir_decimal_compare(decimal(sorted[i]), decimal(sorted[j]));
            assert_int_equal((compared > 0) - (compared < 0), wanted);
        }
    }
    assert_int_equal(key_order(decimal("1.0"), decimal("1")), 0);
    assert_int_equal(key_order(decimal("-0"), decimal("0.00")), 0);
}

/* ---- units */

static void expect_same(const char *value_a, const char *unit_a, const char *value_b, const char *unit_b)
{
    struct fhir_unit a, b;
    struct fhir_decimal x, y;
    if (!fhir_unit_parse(str_of(unit_a), &a) || !fhir_unit_parse(str_of(unit_b), &b))
        fail_msg("no unit: %s or %s", unit_a, unit_b);
    if (!fhir_unit_is_same_kind(&a, &b))
        fail_msg("of two kinds: %s and %s", unit_a, unit_b);
    assert_true(fhir_unit_convert(&a, decimal(value_a), &x));
    assert_true(fhir_unit_convert(&b, decimal(value_b), &y));
    if (fhir_decimal_compare(x, y) != 0)
        fail_msg("%s %s is %s, %s %s is %s", value_a, unit_a, written(x), value_b, unit_b, written(y));
}

static void test_units(void **)
{
    expect_same("1", "g", "1000", "mg");
    expect_same("60", "/min", "1", "/s");
    expect_same("1", "mmol/L", "1000", "umol/L");
    expect_same("5", "10*9/L", "5000", "/uL");
    expect_same("1", "[lb_av]", "453.59237", "g");
    expect_same("72", "[in_i]", "1.8288", "m");
    expect_same("120", "mm[Hg]", "12", "cm[Hg]");
    expect_same("1", "kg/m2", "0.1", "g/cm2");
    expect_same("7", "days", "1", "wk");
    expect_same("1", "mL/min/{1.73_m2}", "60", "mL/h");
    expect_same("1", "[IU]/L", "1000", "m[iU]/L");
    expect_same("37", "Cel", "37", "Cel");
    expect_same("50", "%", "0.5", "1");
    expect_same("1", "mL/(kg.h)", "24", "mL/kg/d");
    struct fhir_unit a, b;
    assert_true(fhir_unit_parse(STR("Cel"), &a) && fhir_unit_parse(STR("K"), &b));
    assert_false(fhir_unit_is_same_kind(&a, &b));
    assert_true(fhir_unit_parse(STR("mmol/L"), &a) && fhir_unit_parse(STR("mg/dL"), &b));
    assert_false(fhir_unit_is_same_kind(&a, &b));
    char base[FHIR_UNIT_NAME_MAX];
    struct buf out = buf_over(base, sizeof base);
    fhir_unit_write_base(&b, &out);
    EXPECT_TEXT(buf_text(&out), "m-3.g");
    static const char *const none[] = {"",    "mg/", "qq",   "mg//L",
                                       "(mg", "g)",  "m99",  "10*",
                                       "{a",  "0",   "////", "m12.m12.m12.m12.m12.m12.m12.m12.m12"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        if (fhir_unit_parse(str_of(none[i]), &a))
            fail_msg("a unit: %s", none[i]);
    }
}

/* ---- references */

static void test_references(void **)
{
    struct fhir_reference r = fhir_reference_parse(STR("Patient/1"));
    EXPECT_TEXT(fhir_type_name(r.type), "Patient");
    EXPECT_TEXT(r.id, "1");
    assert_int_equal(r.base.n, 0);
    r = fhir_reference_parse(STR("https://a.example/fhir/Patient/x.1/_history/7"));
    EXPECT_TEXT(fhir_type_name(r.type), "Patient");
    EXPECT_TEXT(r.base, "https://a.example/fhir/");
    EXPECT_TEXT(r.id, "x.1");
    EXPECT_TEXT(r.version, "7");
    r = fhir_reference_parse(STR("#p"));
    assert_true(r.is_contained);
    EXPECT_TEXT(r.id, "p");
    static const char *const none[] = {"",
                                       "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
                                       "patient/1",
                                       "Patient",
                                       "Patient/",
                                       "1",
                                       "ftp://a/Patient/1",
                                       "Patient/a b",
                                       "Quantity/1",
                                       "x/Patient/1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        r = fhir_reference_parse(str_of(none[i]));
        if (r.type || r.is_contained)
            fail_msg("a reference: %s", none[i]);
    }
}

/* ---- the way through a resource */

static const char observation[] =
    "{'resourceType':'Observation','id':'o1','_status':{'extension':[{'url':'u','valueCode':'x'}]},'code':{'"
    "coding':"
    "[{'system':'s','code':'c'},{'code':'d'}],'text':'t\\u0041'},'valueQuantity':{'value':1.50,'unit':'mg'},"
    "'unknown':1,'note':[{'text':'n'}],'contained':[{'resourceType':'Patient','name':[{'given':['A',null,'B']"
    ","
    "'_given':[null,{'id':'g'}]}]}]}";

static struct fhir_value child(const struct fhir_value *of, const char *name)
{
    struct fhir_value v;
    if (!fhir_child(of, str_of(name), &v))
        fail_msg("no %s", name);
    return v;
}

static void test_navigation(void **)
{
    struct test_resource *r = malloc(sizeof *r);
    struct arena *arena = arena_new(1 << 16);
    struct fhir_value *o = test_resource_read(r, arena, observation), v;
    EXPECT_TEXT(fhir_type_name(o->type), "Observation");
    EXPECT_TEXT(fhir_child_text(o, STR("id"), arena), "o1");
    v = child(o, "value");
    EXPECT_TEXT(fhir_type_name(v.type), "Quantity");
    EXPECT_TEXT(fhir_child_text(&v, STR("value"), arena), "1.50");
    v = child(o, "code");
    EXPECT_TEXT(fhir_child_text(&v, STR("text"), arena), "tA");
    v = child(o, "status");
    assert_true(v.node == JSON_NONE && v.companion != JSON_NONE);
    v = child(&v, "extension");
    v = child(&v, "value");
    EXPECT_TEXT(fhir_type_name(v.type), "code");
    v = child(o, "contained");
    EXPECT_TEXT(fhir_type_name(v.type), "Patient");
    v = child(&v, "name");
    struct fhir_children given = fhir_children_named(&v, STR("given"));
    assert_true(fhir_children_next(&given, &v));
    EXPECT_TEXT(fhir_value_text(&v, arena), "A");
    assert_true(fhir_children_next(&given, &v));
    assert_true(v.node == JSON_NONE);
    EXPECT_TEXT(fhir_child_text(&v, STR("id"), arena), "g");
    assert_true(fhir_children_next(&given, &v));
    EXPECT_TEXT(fhir_value_text(&v, arena), "B");
    assert_false(fhir_children_next(&given, &v));
    assert_false(fhir_child(o, STR("unknown"), &v) || fhir_child(o, STR("subject"), &v));
    struct fhir_children all = fhir_children_all(o);
    unsigned n = 0;
    while (fhir_children_next(&all, &v))
        n++;
    assert_int_equal(n, 6); /* id, status, code, value, note, contained */
    arena_free(arena);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primitives),
        cmocka_unit_test(test_ids_have_a_length),
        cmocka_unit_test(test_every_primitive_type_is_known),
        cmocka_unit_test(test_stretches_of_time),
        cmocka_unit_test(test_order_of_moments),
        cmocka_unit_test(test_decimals_are_written_as_they_were_read),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_ranges_by_digits),
        cmocka_unit_test(test_keys_sort_as_numbers_do),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_navigation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
