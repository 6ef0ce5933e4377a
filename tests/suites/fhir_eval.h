/* tests/suites/fhir_eval.h - resources from disk. */
#ifndef POLDER_TESTS_SUITES_FHIR_EVAL_H
#define POLDER_TESTS_SUITES_FHIR_EVAL_H

#include "fhir/path.h"

enum { FILE_MAX = 64 << 20 };

struct resource {
    char *text;
    struct json_node *nodes;
    struct json_tape tape;
    struct fhir_value value;
};

bool resource_read(const char *path, struct resource *ret);
void resource_free(struct resource *);

#endif
