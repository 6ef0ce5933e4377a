/* A phase that paused in the middle of a body and is never gone on with. What its parser held is given back
 * by waf_tx_free: AddressSanitizer's leak check fails the test otherwise. And a large body does pause. */
#include "kit.h"

#include "base/buf.h"
#include "base/must.h"

enum { ARENA_BYTES = 64 << 20, LEAVES = 3'000 };

static const char rules[] =
    "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyNoFilesLimit 10000000\nSecArgumentsLimit "
    "100000\n"
    "SecRequestBodyJsonDepthLimit 100\n"
    "SecRule REQUEST_HEADERS:Content-Type json \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
    "SecRule REQUEST_HEADERS:Content-Type xml \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n"
    "SecRule ARGS|XML:/* never \"id:3,phase:2,deny\"\n";

struct kind {
    const char *type, *begin, *leaf, *end;
    enum waf_profile profile;
};

static const struct kind kinds[] = {
    {"application/json", "[0", ",{\"naam\":\"waarde van dit veld\"}", "]", WAF_PROFILE_PLAIN},
    {"application/fhir+json", "{\"resourceType\":\"Patient\",\"name\":[{}", ",{\"text\":\"J. de Vries\"}",
     "]}", WAF_PROFILE_FHIR},
    {"application/xml", "<a>", "<b c=\"waarde\">van dit veld</b>", "</a>", WAF_PROFILE_PLAIN},
    {"application/fhir+xml", "<Patient xmlns=\"http://hl7.org/fhir\">",
     "<name><text value=\"J. de Vries\"/></name>", "</Patient>", WAF_PROFILE_FHIR},
    {"application/x-www-form-urlencoded", "a=b", "&veld=waarde+van+dit+veld", "", WAF_PROFILE_PLAIN},
};

static struct str body_of(const struct kind *kind, struct arena *arena)
{
    size_t room = 64 * LEAVES;
    char *memory = arena_bytes(arena, room);
    must(memory);
    struct buf out = buf_over(memory, room);
    buf_str(&out, str_of(kind->begin));
    for (unsigned i = 0; i < LEAVES; i++)
        buf_str(&out, str_of(kind->leaf));
    buf_str(&out, str_of(kind->end));
    must(!buf_overflowed(&out));
    return buf_text(&out);
}

struct leaving {
    unsigned pauses, leave_at; /* 0: never */
    jmp_buf away;
};

static void pause(void *context)
{
    struct leaving *leaving = context;
    if (++leaving->pauses == leaving->leave_at)
        longjmp(leaving->away, 1);
}

static void run(const struct waf_overlay *overlay, const struct kind *kind, struct leaving *leaving)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    const struct waf_field field = {STR("Content-Type"), str_of(kind->type)};
    const struct waf_request request = {.line = STR("POST / HTTP/1.1"),
                                        .method = STR("POST"),
                                        .target = STR("/"),
                                        .protocol = STR("HTTP/1.1"),
                                        .fields = &field,
                                        .field_count = 1,
                                        .client_ip = STR("192.0.2.1"),
                                        .server_ip = STR("192.0.2.2"),
                                        .unique_id = STR("x")};
    struct str body = body_of(kind, arena);
    struct waf_tx *tx = waf_tx_new(overlay, &request, NULL, arena);
    must(tx && waf_tx_request_head(tx) == WAF_PASS);
    waf_tx_set_pause(tx, pause, leaving);
    if (setjmp(leaving->away) == 0)
        assert_int_equal(waf_tx_request_body(tx, body), WAF_PASS);
    waf_tx_free(tx);
    arena_free(arena);
}

static void test_whoever_leaves_in_mid_body_leaves_nothing_behind(void **)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct kit k = {0};
        const struct waf_overlay_options options = {.mode = WAF_BLOCK, .profile = kinds[i].profile};
        kit_load(&k, rules, &options);
        struct leaving whole = {0};
        run(k.overlay, &kinds[i], &whole);
        if (whole.pauses < 4)
            fail_msg("%s: only %u pauses", kinds[i].type, whole.pauses);
        for (unsigned at = 1; at <= whole.pauses; at++) {
            struct leaving leaving = {.leave_at = at};
            run(k.overlay, &kinds[i], &leaving);
            assert_int_equal(leaving.pauses, at);
        }
        kit_free(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_leaves_in_mid_body_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
