/* Parses bytes that end where their memory ends, so that AddressSanitizer sees the first one read beyond. */
#ifndef POLDER_TESTS_PARSED_H
#define POLDER_TESTS_PARSED_H

#include "http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct h1_limits usual_limits = {.head_bytes = 4096, .field_count = 20, .target_bytes = 1024};

struct parsed {
    ptrdiff_t n;
    enum http_refusal refusal;
    struct http_request request;
    struct http_response response;
    char *bytes;
    struct arena *arena;
};

static inline struct parsed parsed_over(struct str bytes)
{
    struct parsed p = {.bytes = malloc(bytes.n ? bytes.n : 1), .arena = arena_new(1 << 18)};
    assert_non_null(p.bytes);
    assert_non_null(p.arena);
    memcpy(p.bytes, bytes.p, bytes.n);
    return p;
}

static inline void parsed_done(struct parsed *p)
{
    free(p->bytes);
    arena_free(p->arena);
}

/* Says which row it was before cmocka says where. */
static inline void expect_refusal(const char *row, const struct parsed *p, enum http_refusal expected)
{
    if (p->refusal == expected && (p->n > 0) == (expected == REFUSAL_NONE))
        return;
    print_error("row '%s': returned %td, %s; expected %s\n", row, p->n, http_refusal_name(p->refusal).p,
                http_refusal_name(expected).p);
    fail();
}

static inline void expect_text(const char *row, const char *what, struct str got, struct str expected)
{
    if (str_eq(got, expected))
        return;
    print_error("row '%s': %s is '%.*s', expected '%.*s'\n", row, what, STR_ARG(got), STR_ARG(expected));
    fail();
}

static inline void expect_same_fields(const struct http_field *a, unsigned a_count,
                                      const struct http_field *b, unsigned b_count)
{
    assert_int_equal(a_count, b_count);
    for (unsigned i = 0; i < a_count; i++) {
        assert_true(str_eq(a[i].name, b[i].name));
        assert_true(str_eq(a[i].value, b[i].value));
        assert_int_equal(a[i].id, b[i].id);
    }
}

#endif
