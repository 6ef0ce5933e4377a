/* The fast engine and the reference on the same request: they say the same. The input is a request: the first
 * byte chooses the kind of body, then the target up to a line feed, a header's value up to another, and the
 * body. */
#include "base/must.h"
#include "engines.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 13, ARENA_BYTES = 64 << 20 };

static const char rules_text[] =
    "SecRequestBodyAccess On\nSecDefaultAction \"phase:2,log,pass\"\n"
    "SecRule REQUEST_HEADERS:Content-Type \"json\" "
    "\"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
    "SecRule REQUEST_HEADERS:Content-Type \"xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n"
    "SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS|XML:/* \"@rx (?i)<script|on\\w+=\" "
    "\"id:10,phase:2,capture,t:urlDecodeUni,"
    "t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:removeNulls,logdata:'%{TX.0} "
    "%{MATCHED_VAR}',setvar:tx.s=+5\"\n"
    "SecRule ARGS|REQUEST_BODY \"@rx union.{1,9}select|' or \\d\" "
    "\"id:11,phase:2,capture,t:urlDecodeUni,t:lowercase,"
    "t:compressWhitespace,t:replaceComments,setvar:'tx.v_%{MATCHED_VAR_NAME}=%{TX.0}'\"\n"
    "SecRule ARGS \"@pm passwd cmd.exe\" "
    "\"id:12,phase:2,t:utf8toUnicode,t:urlDecodeUni,t:normalizePathWin,t:cmdLine\"\n"
    "SecRule ARGS \"@detectSQLi\" \"id:13,phase:2,capture,t:urlDecodeUni\"\n"
    "SecRule ARGS \"@detectXSS\" \"id:14,phase:2,t:htmlEntityDecode\"\n"
    "SecRule ARGS|REQUEST_URI \"@validateByteRange 32-126\" \"id:15,phase:2,t:urlDecodeUni\"\n"
    "SecRule ARGS \"@rx e\" \"id:16,phase:2,chain\"\nSecRule MATCHED_VARS \"@rx v\" \"t:escapeSeqDecode\"\n"
    "SecRule ARGS \"@rx a\" \"id:17,phase:2,multiMatch,t:lowercase,t:removeWhitespace,t:base64Decode\"\n"
    "SecRule ARGS|!ARGS:x \"!@rx ^[\\w ]*$\" "
    "\"id:18,phase:2,nolog,t:removeCommentsChar,t:lowercase,t:jsDecode\"\n"
    "SecRule TX:/^v_/ \"@rx .\" \"id:19,phase:2,msg:'%{MATCHED_VAR_NAME}'\"\n"
    "SecRule TX:s \"@ge 10\" \"id:20,phase:2,deny\"\n";

static struct waf_overlay *reference, *fast;

static void set_up(void)
{
    struct waf_problems problems;
    struct waf_overlay_options slow = {.mode = WAF_BLOCK, .engine = WAF_ENGINE_REFERENCE},
                               quick = {.mode = WAF_BLOCK};
    static const struct waf_files none;
    struct waf_rules *rules = waf_rules_load(STR("rules"), STR(rules_text), &none, &problems);
    struct arena *arena = arena_new(256 << 20);
    struct str bytes;
    must(rules && arena && waf_prefilter_compile(rules, arena, NULL, NULL, &bytes));
    char *aligned = aligned_alloc(64, (bytes.n + 63) / 64 * 64);
    must(aligned);
    memcpy(aligned, bytes.p, bytes.n);
    must(waf_rules_take_prefilter(rules, (struct str){aligned, bytes.n}));
    reference = waf_overlay_new(rules, &slow, &problems);
    fast = waf_overlay_new(rules, &quick, &problems);
    must(reference && fast);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"application/x-www-form-urlencoded", "application/json", "text/xml",
                                        "multipart/form-data; boundary=B", "text/plain"};
    if (size < 1 || size > INPUT_MAX)
        return 0;
    if (!reference)
        set_up();
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    struct str body = {(const char *)data + 1, size - 1}, target = str_cut(&body, '\n'),
               value = str_cut(&body, '\n');
    struct waf_field fields[] = {{STR("Content-Type"), str_of(types[data[0] % 5])}, {STR("X-Value"), value}};
    struct exchange e = {.request = {.line = target,
                                     .method = STR("POST"),
                                     .target = target,
                                     .protocol = STR("HTTP/1.1"),
                                     .fields = fields,
                                     .field_count = 2,
                                     .client_ip = STR("192.0.2.7"),
                                     .unique_id = STR("id")},
                         .body = body};
    const char *what = engines_differ(reference, fast, &e, arena);
    if (what)
        must_die(__FILE__, __LINE__, what);
    arena_free(arena);
    return 0;
}
