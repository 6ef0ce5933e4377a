/* The notice and the networks: what a cluster takes over from the site, texts and files, languages, and
 * moments with their distance from UTC. */
#include "fake.h"

#include "config/value.h"

#define REST                                                                                                 \
    "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"                                              \
    "listeners: [{name: http, address: 127.0.0.1:8080}]\n"
#define CLUSTER(name, more)                                                                                  \
    "  - {name: " name ", hosts: [" name ".test], routes: [{path: /, upstream: app}]" more "}\n"

static void a_cluster_takes_over(void **state [[maybe_unused]])
{
    struct parsed p = parse(
        "notice: {name: Huis, phone: '112', languages: [en, nl], next_update: '2026-01-15T16:00+01:00',\n"
        "         message: {nl: Alles is open., fy: brief.html}}\n" REST "clusters:\n" CLUSTER("noord", "")
            CLUSTER("zuid", ", notice: {name: Apotheek, languages: [fy], message: {nl: Wij zijn er.}}"));
    assert_non_null(p.config);
    const struct config_notice *noord = &p.config->clusters[0].notice, *zuid = &p.config->clusters[1].notice;
    assert_str(noord->name, "Huis");
    assert_str(noord->message[0].text, "Alles is open.");
    assert_str(noord->message[2].text, "<p>$reference</p>");
    assert_int_equal(noord->message[1].text.n, 0);
    assert_int_equal(noord->language_count, 2);
    assert_int_equal(noord->next_us, INT64_C(1'768'489'200'000'000));
    assert_str(zuid->name, "Apotheek");
    assert_str(zuid->phone, "112");
    assert_str(zuid->message[0].text, "Wij zijn er.");
    assert_str(zuid->message[2].text, "<p>$reference</p>");
    assert_int_equal(zuid->language_count, 1);
    assert_str(zuid->languages[0], "fy");
    parsed_free(&p);
}

static void nothing_is_said(void **state [[maybe_unused]])
{
    struct parsed p = parse(REST "clusters:\n" CLUSTER("noord", ""));
    assert_non_null(p.config);
    const struct config_notice *n = &p.config->clusters[0].notice;
    assert_int_equal(n->name.n + n->phone.n + n->language_count, 0);
    assert_int_equal(n->next_us, 0);
    assert_int_equal(p.config->networks.inside_count + p.config->networks.management_count, 0);
    parsed_free(&p);
}

static void what_is_refused(void **state [[maybe_unused]])
{
    static const char *const bad[] = {"notice: {languages: [nl, de]}\n",
                                      "notice: {languages: [nl, nl]}\n",
                                      "notice: {next_update: '2026-01-15 16:00'}\n",
                                      "notice: {next_update: tomorrow}\n",
                                      "notice: {message: {de: Guten Tag alle}}\n",
                                      "notice: {message: {nl: nowhere.txt}}\n",
                                      "networks: {inside: [10.0.0.0/33]}\n",
                                      "networks: {outside: [10.0.0.0/8]}\n"};
    char text[2048];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = buf_over(text, sizeof text);
        buf_str(&b, str_of(bad[i]));
        BUF_LIT(&b, REST "clusters:\n" CLUSTER("noord", ""));
        struct parsed p = parse_str(buf_text(&b));
        if (p.config || p.problems[0].line != 1)
            fail_msg("taken, or refused elsewhere: %s", bad[i]);
        parsed_free(&p);
    }
}

static void moments(void **state [[maybe_unused]])
{
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"1970-01-01T00:00Z", 0},
                {"2026-01-15T16:00+01:00", 1'768'489'200},
                {"2026-01-15T16:00:01+01:00", 1'768'489'201},
                {"2026-01-15 15:00:00Z", 1'768'489'200},
                {"2024-02-29T23:59:59-05:30", 1'709'270'999},
                {"2000-02-29T00:00Z", 951'782'400}};
    static const char *const bad[] = {"",
                                      "2026-01-15",
                                      "2026-01-15T16:00",
                                      "2026-13-15T16:00Z",
                                      "2026-00-15T16:00Z",
                                      "2026-02-29T16:00Z",
                                      "1900-02-28T16:00Z",
                                      "2026-01-15T24:00Z",
                                      "2026-01-15T16:60Z",
                                      "2026-01-15T16:00:60Z",
                                      "2026-01-15T16:00+1:00",
                                      "2026-01-15T16:00+15:00",
                                      "2026-01-15T16:00+01:60",
                                      "2026-01-15T16:00z",
                                      "2026-01-15T16:00ZZ",
                                      "2026-01-15T16:00:0",
                                      "2026-01-15T1a:00Z",
                                      "2026-01-15T16:00+"};
    int64_t us;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!value_moment_us(str_of(good[i].text), &us) || us != good[i].seconds * 1'000'000)
            fail_msg("%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (value_moment_us(str_of(bad[i]), &us))
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_takes_over),
        cmocka_unit_test(nothing_is_said),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
