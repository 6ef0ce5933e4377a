/* tests/unit/rest/desk.h - a cluster without processes: a store in a folder of its own, and requests as text.
 * A write is a group of its own, made and committed at once. */
#ifndef POLDER_TESTS_REST_DESK_H
#define POLDER_TESTS_REST_DESK_H

#include "rest/read.h"
#include "rest/write.h"

struct desk {
    struct rest_engine engine;
    struct rest_site site;
    struct rest_ids ids;
    struct arena *arena, *scratch;
    struct rest_caller caller;
    struct rest_request request; /* of the last one */
    int64_t now_us;
    char folder[64];
};

struct desk *desk_open(void);
void desk_close(struct desk *);
/* "GET Patient/1?x", fields as "name: value\n", body; fields and body may be NULL. Lives until the next one.
 */
struct rest_answer desk_ask(struct desk *, const char *what, const char *fields, const char *body);
struct rest_call desk_call(struct desk *);
/* The text at a path of member names and indexes: "issue.0.code"; empty: not there. */
struct str desk_text(struct desk *, struct str json, const char *path);

#define assert_str(value, expected)                                                                          \
    do {                                                                                                     \
        struct str got_ = (value);                                                                           \
        char text_[4096];                                                                                    \
        assert_true(got_.n < sizeof text_);                                                                  \
        memcpy(text_, got_.n ? got_.p : "", got_.n);                                                         \
        text_[got_.n] = '\0';                                                                                \
        assert_string_equal(text_, expected);                                                                \
    } while (0)

#endif
