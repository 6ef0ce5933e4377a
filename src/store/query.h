/* store/query.h - what the store asks of a database: prepared statements with numbers and bytes, rows step by
 * step. Behind it stands a driver: SQLite (sqlite_driver.c) or PostgreSQL (postgres_driver.c). Inside
 * src/store only.
 *
 * A query that is NULL cannot be prepared: binding does nothing, a step fails and says why. What is bound
 * is borrowed until the first step or run. */
#ifndef POLDER_STORE_QUERY_H
#define POLDER_STORE_QUERY_H

#include "base/buf.h"
#include "store/store.h"

enum statement {
#define STATEMENT(name, sqlite, postgres) STATEMENT_##name,
#include "store/statements.def"
#undef STATEMENT
    STATEMENTS
};

enum { QUERY_ROW = 100, QUERY_DONE = 101 }; /* of a step; anything else is an error of the driver's */

struct driver;
struct query {
    const struct driver *driver;
    void *own; /* the driver's */
};
struct pending;

struct driver {
    /* Opens s->location; with it the lock of the writer. */
    enum store_result (*connect)(struct store *, const struct store_options *);
    void (*close)(struct store *);
    enum store_result (*is_empty)(struct store *, bool *ret);
    enum store_result (*make_tables)(struct store *, bool has_content);
    bool (*has_content)(struct store *);

    bool (*prepare)(struct store *, enum statement, struct query *);
    void (*bind_number)(struct query *, int at, int64_t);
    void (*bind_bytes)(struct query *, int at, struct str);
    void (*bind_text)(struct query *, int at, struct str);
    int (*step)(struct store *, struct query *);
    int64_t (*number)(struct query *, int at);
    struct str (*bytes)(struct query *, int at); /* until the next step */
    void (*reset)(struct query *);
    /* A statement without rows. In a group an error may be told later, at the latest by COMMIT. */
    enum store_result (*run)(struct store *, struct query *);
    enum store_result (*failed)(struct store *, int code); /* what an error means; remembers a broken disk */
    void (*undo)(struct store *);                          /* the transaction, if there is one */

    /* NULL: nothing is won by it. Rows of STATEMENT_RESOURCE, at most ENGINE_EXPECTED_MAX. */
    void (*expect)(struct store *, const uint32_t *resources, size_t n);
    /* Keys in order, none twice. */
    enum store_result (*change_keys)(struct store *, const struct pending *, size_t n);
    enum store_result (*add_words)(struct store *, bool in_content, uint32_t resource, struct str words);
    enum store_result (*drop_words)(struct store *, bool in_content, uint32_t resource, struct str words);
    enum store_result (*find_words)(struct store *, bool in_content, struct str words,
                                    bool (*each)(void *context, uint32_t resource), void *context);

    uint64_t (*log_bytes)(struct store *);
    enum store_result (*checkpoint)(struct store *);
    enum store_result (*measure)(struct store *, uint64_t *ret_bytes, uint64_t *ret_free);
    enum store_result (*shrink)(struct store *);
    enum store_result (*backup)(struct store *, struct str target,
                                bool (*progress)(void *context, uint64_t done, uint64_t all), void *context);
    enum store_result (*restore)(struct str backup, struct str location, const struct store_options *);
};
extern const struct driver sqlite_driver, postgres_driver;

static inline void query_bind_number(struct query *q, int at, int64_t value)
{
    if (q)
        q->driver->bind_number(q, at, value);
}

static inline void query_bind_bytes(struct query *q, int at, struct str bytes)
{
    if (q)
        q->driver->bind_bytes(q, at, bytes);
}

static inline void query_bind_text(struct query *q, int at, struct str text)
{
    if (q)
        q->driver->bind_text(q, at, text);
}

static inline int64_t query_number(struct query *q, int at)
{
    return q->driver->number(q, at);
}

static inline struct str query_bytes(struct query *q, int at)
{
    return q->driver->bytes(q, at);
}

static inline void query_reset(struct query *q)
{
    if (q)
        q->driver->reset(q);
}

struct query *query_get(struct store *, enum statement); /* NULL: it cannot be prepared */
int query_step(struct store *, struct query *);          /* QUERY_ROW, QUERY_DONE, or the error */
enum store_result query_run(struct store *, struct query *);
enum store_result query_do(struct store *, enum statement);
enum store_result query_failed(struct store *, int code);

#endif
