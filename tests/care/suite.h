/* tests/care/suite.h - the care suites: lines of text, and requests as blocks of a file. */
#ifndef POLDER_TESTS_CARE_SUITE_H
#define POLDER_TESTS_CARE_SUITE_H

#include "waf/waf.h"

/* A request as a suite has it; type is empty without a body. */
struct care_request {
    struct str name, method, target, type, body;
};

struct care_requests {
    struct care_request *items;
    size_t n, cap;
};

enum care_way { CARE_JSON, CARE_XML, CARE_NARRATIVE, CARE_PROPERTY, CARE_FORM, CARE_WAYS };

const char *care_way_name(enum care_way);
/* Every file of a folder that matches, read as blocks: "=== name", "METHOD target [type]", body. */
bool care_read_requests(const char *folder, struct arena *, struct care_requests *ret);
/* Every line of the files of a folder, '#' begins a comment, \n and \\ are what they are in C. */
bool care_read_lines(const char *folder, struct arena *, struct str **ret_lines, size_t *ret_count);
/* A bundle of that type with the first so many resources of the suite that are JSON; false: there are fewer.
 */
bool care_bundle(const struct care_requests *, const char *type, size_t count, struct arena *,
                 struct care_request *ret);
/* A line as free text in FHIR (the first three ways), as a property of plain JSON, as a field of a form. */
struct care_request care_of_line(struct str line, enum care_way, struct arena *);

#endif
