/* tests/unit/fhir/fhir_test.h - resources from text, for tests. */
#ifndef POLDER_TESTS_FHIR_TEST_H
#define POLDER_TESTS_FHIR_TEST_H

#include "fhir/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

enum { TEST_NODES = 4'096 };

#define EXPECT_TEXT(s, literal) expect_text((s), (literal), __FILE__, __LINE__)

static inline void expect_text(struct str s, const char *wanted, const char *file, int line)
{
    if (str_eq(s, str_of(wanted)))
        return;
    print_error("%s:%d: \"%.*s\" instead of \"%s\"\n", file, line, STR_ARG(s), wanted);
    _assert_true(0, "text", file, line);
}

struct test_resource {
    struct json_node nodes[TEST_NODES];
    struct json_tape tape;
    struct fhir_value value;
};

/* Reads a resource; a single quote stands for a double one. */
static inline struct fhir_value *test_resource_read(struct test_resource *r, struct arena *arena,
                                                    const char *text)
{
    struct str copy = arena_copy(arena, str_of(text));
    char *bytes = arena_copy_z(arena, copy);
    for (size_t i = 0; i < copy.n; i++)
        bytes[i] = bytes[i] == '\'' ? '"' : bytes[i];
    size_t at = 0;
    if (json_parse((struct str){bytes, copy.n}, 100, r->nodes, TEST_NODES, &r->tape, &at) != JSON_FINE)
        fail_msg("not JSON at %zu: %s", at, text);
    if (!fhir_value_of_resource(&r->tape, 0, &r->value))
        fail_msg("not a resource: %s", text);
    return &r->value;
}

#endif
