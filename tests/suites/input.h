/* tests/suites/input.h - a request as waf-eval and waf-peer read it: a line of JSON in which a character
 * U+0000..U+00FF stands for the byte of that number. */
#ifndef POLDER_TESTS_SUITES_INPUT_H
#define POLDER_TESTS_SUITES_INPUT_H

#include "waf/waf.h"
#include "json/tape.h"

struct input {
    struct json_tape tape;
    struct arena *arena;
};

/* A member's bytes; empty when there is none. */
struct str input_member(struct input *, uint32_t object, const char *name);
/* Its "fields": [[name, value]...]. */
struct waf_field *input_fields(struct input *, uint32_t object, size_t *ret_count);

#endif
