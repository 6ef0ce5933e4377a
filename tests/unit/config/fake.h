/* Files that do not exist, told by their names, and a parse in one call. */
#ifndef POLDER_TESTS_CONFIG_FAKE_H
#define POLDER_TESTS_CONFIG_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>

static inline bool fake_read(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    unsigned *reads = self;
    if (reads)
        ++*reads;
    *ret_bytes = str_ends(path, STR("crl.pem")) ? STR("-----BEGIN X509 CRL-----\n")
                 : str_ends(path, STR("both.pem"))
                     ? STR("-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n")
                 : str_ends(path, STR(".pem"))  ? STR("-----BEGIN CERTIFICATE-----\n")
                 : str_ends(path, STR(".ocsp")) ? STR("\x30\x03\x0a\x01\x00")
                 : str_ends(path, STR(".html")) ? STR("<p>$reference</p>")
                 : str_ends(path, STR(".json")) ? STR("{\"keys\": []}")
                                                : STR_NONE;
    *ret_error = STR("no such file");
    return ret_bytes->n > 0;
}

static const struct config_files fake_files = {fake_read, NULL};

struct parsed {
    struct config *config;
    struct config_problem *problems;
    unsigned count;
    struct arena *arena;
};

static inline struct parsed parse_str(struct str yaml)
{
    struct parsed p = {.arena = arena_new(1 << 20)};
    p.config = config_parse(STR("polder.yaml"), yaml, &fake_files, p.arena, &p.problems, &p.count);
    return p;
}

static inline struct parsed parse(const char *yaml)
{
    return parse_str(str_of(yaml));
}

static inline void parsed_free(struct parsed *p)
{
    config_free(p->config);
    arena_free(p->arena);
}

static inline unsigned error_count(const struct parsed *p)
{
    unsigned errors = 0;
    for (unsigned i = 0; i < p->count; i++)
        errors += !p->problems[i].is_warning;
    return errors;
}

static inline void assert_str(struct str is, const char *expected)
{
    struct str e = str_of(expected);
    if (!str_eq(is, e))
        fail_msg("'%.*s' is not '%s'", STR_ARG(is), expected);
}

#endif
