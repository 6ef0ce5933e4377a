#include "waf/xhtml.h"

#include "base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NS "xmlns=\"http://www.w3.org/1999/xhtml\""

/* What stands in a div of its own, unless it begins with '<' and "div" or '!'. */
struct row {
    const char *inside, *text;
    const char *problem; /* how it begins; NULL: none */
};

static const struct row rows[] = {
    {"<p>a &lt;b&gt; &amp; c&#233;&#xE9;&eacute;&nbsp;</p>", "a <b> & c\u00e9\u00e9\u00e9\u00a0", NULL},
    {"a<b>b</b>c", "abc", NULL},
    {"a<br/>b<hr />c", "a\nb\nc", NULL},
    {"<p title=\"t\">a</p>", "a\nt", NULL},
    {"<!-- see -->a", "a see", NULL},
    {"<table border=\"1\"><tr><td colspan='2'>a</td></tr></table>", "a\n1\n2", NULL},
    {"<a href=\"https://x.nl/?a=1&amp;b=2\">a</a>", "a\nhttps://x.nl/?a=1&b=2", NULL},
    {"<a href=\"#s1\">a</a><a name=\"s1\"></a>", "a\n#s1\ns1", NULL},
    {"<a href=\"mailto:a@b.nl\">a</a>", "a\nmailto:a@b.nl", NULL},
    {"<img src=\"data:image/png;base64,AA==\" alt=\"x\"/>", "x", NULL},
    {"<p style=\"color: red\">a</p>", "a", NULL},
    {"a & b", "a & b", "loosely"},
    {"<u>a</u>", "a", "loosely"},
    {"<p data-x=\"1\">a</p>", "a\n1", "loosely"},
    {"<p style=\"background: url(data: image/png;base64,AA==); color: red\">a</p>", "a", "loosely"},
    {"<p style=\"background: url(data: image/png;base64,AA==), url(x)\">a</p>", NULL, "narrative: style"},
    {"<p style=\"width: expression(1)\">a</p>", NULL, "narrative: style"},
    {"<p style=\"a:\\75rl(x)\">a</p>", NULL, "narrative: style"},
    {"<p style=\"u&#114;l(x)\">a</p>", NULL, "narrative: style"},
    {"<script>a</script>", NULL, "narrative: element"},
    {"<SCRIPT>a</SCRIPT>", NULL, "narrative: element"},
    {"<svg/>", NULL, "narrative: element"},
    {"<p onclick=\"x\">a</p>", NULL, "narrative: event"},
    {"<p ONCLICK=\"x\">a</p>", NULL, "narrative: event"},
    {"<p formaction=\"x\">a</p>", NULL, "narrative: attribute"},
    {"<p xmlns=\"http://www.w3.org/2000/svg\">a</p>", NULL, "narrative: namespace"},
    {"<p href=\"x\">a</p>", NULL, "narrative: attribute"},
    {"<a href=\"javascript:x\">a</a>", NULL, "narrative: address"},
    {"<a href=\"java&#10;script:x\">a</a>", NULL, "narrative: address"},
    {"<a href=\" javascript:x\">a</a>", NULL, "narrative: address"},
    {"<a href=\"javascript&#58;x\">a</a>", NULL, "narrative: address"},
    {"<a href=\"data:image/png;base64,AA==\">a</a>", NULL, "narrative: address"},
    {"<img src=\"data:image/svg+xml,x\"/>", NULL, "narrative: address"},
    {"<a href=\"x\" href=\"y\">a</a>", NULL, "narrative: an attribute twice"},
    {"<a href=x>a</a>", NULL, "narrative: attribute without quotes"},
    {"<a href=\"<\">a</a>", NULL, "narrative: attribute"},
    {"<p title=\"a\"lang=\"b\">a</p>", NULL, "narrative: tag"},
    {"<p a>a</p>", NULL, "narrative: tag"},
    {"<p>a</b>", NULL, "narrative: not well-formed"},
    {"<p>a", NULL, "narrative: not well-formed"},
    {"a</div>b", NULL, "narrative: text outside"},
    {"a</div><div " NS ">b", NULL, "narrative: not one div"},
    {"&unknown;", NULL, "narrative: entity"},
    {"&colon;", NULL, "narrative: entity"},
    {"&#0;", NULL, "narrative: entity"},
    {"&#xD800;", NULL, "narrative: entity"},
    {"&#x110000;", NULL, "narrative: entity"},
    {"&#99999999999999999999;", NULL, "narrative: entity"},
    {"&amp", NULL, "narrative: "},
    {"<![CDATA[a]]>", NULL, "narrative: "},
    {"<!DOCTYPE a>", NULL, "narrative: "},
    {"<?php x?>", NULL, "narrative: "},
    {"<!--a--><!--<b-->", NULL, "narrative: comment"},
    {"<!--a", NULL, "narrative: comment"},
};

static void check_row(const struct row *row)
{
    char div[1024];
    struct arena *arena = arena_new(1 << 20);
    assert_non_null(arena);
    struct buf out = buf_over(div, sizeof div);
    buf_printf(&out, "<div " NS ">%s</div>", row->inside);
    struct xhtml_result found = xhtml_check(buf_text(&out), arena);
    bool is_right = row->problem ? found.problem && str_starts(str_of(found.problem), str_of(row->problem))
                                 : !found.problem;
    if (!is_right)
        fail_msg("%s: %s", row->inside, found.problem ? found.problem : "no problem");
    assert_int_equal(found.is_refused, row->text == NULL);
    if (row->text && !str_eq(found.text, str_of(row->text)))
        fail_msg("%s says \"%.*s\"", row->inside, STR_ARG(found.text));
    arena_free(arena);
}

static void test_table(void **)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}

static void expect(const char *div, const char *problem)
{
    struct arena *arena = arena_new(1 << 20);
    struct xhtml_result found = xhtml_check(str_of(div), arena);
    if (problem)
        assert_true(found.problem && str_starts(str_of(found.problem), str_of(problem)));
    else
        assert_null(found.problem);
    arena_free(arena);
}

static void test_root(void **)
{
    expect("<div>a</div>", NULL);
    expect("  <div>a</div>\n", NULL);
    expect("<div/>", NULL);
    expect("<?xml version=\"1.0\"?><div>a</div>", "loosely");
    expect("<p>a</p>", "narrative: not one div");
    expect("<x:div xmlns:x=\"http://www.w3.org/1999/xhtml\">a</x:div>", "narrative: not one div");
    expect("a", "narrative: text outside");
    expect("&lt;", "narrative: text outside");
    expect("", "narrative: not well-formed");
    expect("<div", "narrative: tag");
    expect("<div>a</div><script>", "narrative: not one div");
}

static void test_depth(void **)
{
    char div[8192];
    struct buf out = buf_over(div, sizeof div - 1);
    for (unsigned i = 0; i < 101; i++)
        BUF_LIT(&out, "<div>");
    div[out.n] = 0;
    expect(div, "narrative: nested");
}

/* The same room twice: nothing of the first narrative is in the second. */
static void test_restart(void **)
{
    struct xhtml x;
    struct arena *arena = arena_new(1 << 20);
    must(xhtml_begin(&x, 64, arena));
    xhtml_element(&x, STR("script"));
    xhtml_text(&x, STR("one"));
    xhtml_restart(&x);
    xhtml_element(&x, STR("p"));
    xhtml_attribute(&x, STR("p"), STR("title"), STR("t"));
    xhtml_text(&x, STR("two"));
    struct xhtml_result found = xhtml_end(&x);
    assert_null(found.problem);
    assert_true(str_eq(found.text, STR("two\nt")));
    xhtml_restart(&x);
    for (unsigned i = 0; i < 40; i++)
        xhtml_text(&x, STR("long"));
    assert_true(xhtml_end(&x).is_refused);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
