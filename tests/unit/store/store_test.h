/* tests/unit/store/store_test.h - a store in a folder of its own, filled from texts in which a single quote
 * stands for a double one. */
#ifndef POLDER_TESTS_STORE_TEST_H
#define POLDER_TESTS_STORE_TEST_H

#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct kit {
    const struct fhir_indexer *indexer, *slow;
    struct arena *plans, *arena;    /* arena: of one test */
    char folder[64], location[320]; /* location: of the store; the folder, or a database */
    bool is_postgres;
    const char *vfs;
    bool has_content;
    struct store *writer, *reader;
};

extern struct kit kit;

/* The tests on SQLite; called with "postgres", on a server of their own. 77: there is none. */
int kit_main(int argc, char **argv, int (*run)(void));
int kit_setup(void **); /* the indexers */
int kit_teardown(void **);
int kit_begin(void **); /* an empty store, writer and reader open */
int kit_end(void **);
void kit_reopen(void);
enum store_result kit_open(enum store_role, struct store **ret);
const char *kit_file(const char *name); /* in the folder */
void kit_remove_files(const char *folder);

/* A write, parsed and indexed. body: of a deletion NULL. */
struct store_write kit_write(enum store_verb, const char *name, const char *body, int64_t expected);
/* A group of one transaction of one write: name is "Patient/a". */
enum store_result kit_do(enum store_verb, const char *name, const char *body, int64_t expected);
void kit_put(const char *name, const char *body); /* an update that must succeed */

struct fhir_search_query *kit_query(
    const char *text); /* "Observation?code=x", in kit.arena; fails the test */
const struct fhir_query_criterion *kit_criteria(const char *text, size_t *ret_n);
/* What a search finds, as "Patient/a Patient/b |Practitioner/c": behind the bar what is included; "!3" is an
 * error. All pages of so many. */
struct str kit_find(const char *text, const struct store_view *, uint32_t count);
#define FINDS(text, wanted)      kit_expect(kit_find((text), NULL, 10), (wanted), __FILE__, __LINE__)
#define SEES(view, text, wanted) kit_expect(kit_find((text), (view), 10), (wanted), __FILE__, __LINE__)
void kit_expect(struct str, const char *wanted, const char *file, int line);
uint64_t kit_verify(void); /* faults */

#endif
