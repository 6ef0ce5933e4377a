/* The driver of PostgreSQL: what query.h asks for. */
#include "store/postgres_store.h"

#include "base/must.h"

enum {
    STEP_FAILED = 1,
    FIRST_ROWS = 64, /* of a walk; then four times as many, up to */
    MOST_ROWS = 4'096,
    QUEUED_MAX = 2'000,
};

static const char *const texts[STATEMENTS] = {
#define STATEMENT(name, sqlite, postgres) postgres,
#include "store/statements.def"
#undef STATEMENT
};

_Static_assert(STATEMENTS <= 100, "names of statements have two digits");

static bool is_bracket(enum statement which)
{
    return which == STATEMENT_BEGIN_READ || which == STATEMENT_BEGIN_WRITE || which == STATEMENT_COMMIT;
}

static bool is_of_content(enum statement which)
{
    return which == STATEMENT_CONTENT || which == STATEMENT_ADD_CONTENT || which == STATEMENT_DROP_CONTENT ||
           which == STATEMENT_CLEAR_CONTENT;
}

static int parameters_of(const char *sql)
{
    int n = 0;
    for (; *sql; sql++) {
        if (*sql == '$' && sql[1] - '0' > n)
            n = sql[1] - '0';
    }
    return n;
}

static enum postgres_walk walk_of(enum statement which)
{
    return which == STATEMENT_KEYS_UP || which == STATEMENT_TEXTS_UP || which == STATEMENT_IDENTS_UP ? WALK_UP
           : which == STATEMENT_KEYS_DOWN    ? WALK_DOWN
           : which == STATEMENT_CHANGES_DOWN ? WALK_NUMBERS_DOWN
                                             : WALK_NONE;
}

static bool prepare_all(struct store *s)
{
    struct postgres *p = s->postgres;
    if (p->is_prepared)
        return true;
    for (enum statement i = 0; i < STATEMENTS; i++) {
        if (!is_bracket(i) && (p->has_content || !is_of_content(i)) && !postgres_send_prepare(s, i, texts[i]))
            return false;
    }
    p->is_prepared = postgres_wait(s, NULL) == STORE_FINE;
    return p->is_prepared;
}

/* All at once with the first: one round trip. */
static bool prepare(struct store *s, enum statement which, struct query *q)
{
    struct postgres_query *own = &s->postgres->queries[which];
    if (!is_bracket(which) && !prepare_all(s))
        return false;
    *own = (struct postgres_query){
        .which = which, .walk = walk_of(which), .parameter_count = parameters_of(texts[which])};
    *q = (struct query){&postgres_driver, own};
    return true;
}

/* ---- parameters */

static void set_number(struct postgres_query *q, int at, int64_t value)
{
    struct buf out = buf_over(q->numbers[at], 8);
    key_write(&out, (uint64_t)value, 8);
    q->values[at] = q->numbers[at];
    q->lengths[at] = 8;
}

static void bind_number(struct query *q, int at, int64_t value)
{
    set_number(q->own, at - 1, value);
}

static void bind_bytes(struct query *q, int at, struct str bytes)
{
    struct postgres_query *own = q->own;
    own->values[at - 1] = bytes.n ? bytes.p : "";
    own->lengths[at - 1] = (int)bytes.n;
}

/* ---- rows */

static void forget_rows(struct postgres_query *q)
{
    if (!q->is_expected)
        PQclear(q->rows);
    q->rows = NULL;
    q->is_expected = false;
}

static bool fetch(struct store *s, struct postgres_query *q)
{
    forget_rows(q);
    q->row = 0;
    if (postgres_find_expected(s->postgres, q))
        return true;
    if (q->walk != WALK_NONE)
        set_number(q, q->parameter_count - 1, q->limit);
    return postgres_send(s, q) && postgres_wait(s, &q->rows) == STORE_FINE;
}

static struct str value_of(const struct postgres_query *q, int row, int at)
{
    at += q->is_expected; /* the number stands first */
    return (struct str){PQgetvalue(q->rows, row, at), (size_t)PQgetlength(q->rows, row, at)};
}

/* Behind the last row of the piece that was read. */
static bool go_on(struct store *s, struct postgres_query *q)
{
    struct buf out = buf_over(q->bound, sizeof q->bound);
    buf_str(&out, value_of(q, q->limit - 1, 0));
    if (q->walk == WALK_UP)
        buf_char(&out, 0);
    must(!buf_overflowed(&out));
    int at = q->walk == WALK_DOWN;
    q->values[at] = q->bound;
    q->lengths[at] = (int)out.n;
    q->limit = q->limit * 4 < MOST_ROWS ? q->limit * 4 : MOST_ROWS;
    return fetch(s, q);
}

static int step(struct store *s, struct query *query)
{
    struct postgres_query *q = query->own;
    if (q->is_expected)
        return QUERY_DONE; /* there is one of each number */
    if (q->rows) {
        q->row++;
    } else {
        q->limit = FIRST_ROWS;
        if (!fetch(s, q))
            return STEP_FAILED;
        if (q->is_expected)
            return QUERY_ROW;
    }
    if (q->row == q->limit && q->walk != WALK_NONE && !go_on(s, q))
        return STEP_FAILED;
    return q->row < PQntuples(q->rows) ? QUERY_ROW : QUERY_DONE;
}

static int64_t column_number(struct query *query, int at)
{
    struct postgres_query *q = query->own;
    struct str value = value_of(q, q->row, at);
    return value.n == 8 ? (int64_t)key_read(value.p, 8) : 0;
}

static struct str column_bytes(struct query *query, int at)
{
    struct postgres_query *q = query->own;
    return value_of(q, q->row, at);
}

static void reset(struct query *query)
{
    forget_rows(query->own);
}

/* ---- statements without rows */

static enum store_result commit(struct store *s)
{
    struct postgres *p = s->postgres;
    PGresult *r = NULL;
    bool was_writing = p->is_writing;
    p->is_writing = p->is_reading = false;
    postgres_expect_nothing(p);
    if (!postgres_send_text(s, texts[STATEMENT_COMMIT]))
        return p->failure;
    if (!was_writing) { /* nobody waits for the end of a reading */
        postgres_let_go(s);
        return STORE_FINE;
    }
    enum store_result result = postgres_wait(s, &r);
    if (result == STORE_FINE && strcmp(PQcmdStatus(r), "COMMIT") != 0)
        result = postgres_fail(s, STORE_BROKEN, "the database has undone what it should have committed");
    PQclear(r);
    return result;
}

static enum store_result begin(struct store *s, enum statement which)
{
    struct postgres *p = s->postgres;
    if (!postgres_send_text(s, texts[which]))
        return p->failure;
    p->is_writing = which == STATEMENT_BEGIN_WRITE;
    p->is_reading = !p->is_writing;
    return STORE_FINE;
}

static enum store_result run(struct store *s, struct query *query)
{
    struct postgres_query *q = query->own;
    struct postgres *p = s->postgres;
    if (q->which == STATEMENT_COMMIT)
        return commit(s);
    if (is_bracket(q->which))
        return begin(s, q->which);
    if (!postgres_send(s, q))
        return p->failure;
    return p->is_writing && p->queued < QUEUED_MAX ? STORE_FINE : postgres_wait(s, NULL);
}

static enum store_result failed(struct store *s, int)
{
    enum store_result result = s->postgres->failure;
    return result == STORE_FINE ? postgres_fail(s, STORE_BROKEN, "a statement cannot be prepared") : result;
}

static void undo(struct store *s)
{
    struct postgres *p = s->postgres;
    if (!p->is_writing && !p->is_reading)
        return;
    p->is_writing = p->is_reading = false;
    (void)postgres_wait(s, NULL); /* an error before ends here: what follows it is heard again */
    (void)postgres_exec(s, "ROLLBACK", NULL);
}

/* ---- the log is the server's */

static uint64_t log_bytes(struct store *)
{
    return 0;
}

static enum store_result checkpoint(struct store *)
{
    return STORE_FINE;
}

const struct driver postgres_driver = {
    .connect = postgres_connect,
    .close = postgres_disconnect,
    .is_empty = postgres_is_empty,
    .make_tables = postgres_make_tables,
    .has_content = postgres_has_content,
    .prepare = prepare,
    .bind_number = bind_number,
    .bind_bytes = bind_bytes,
    .bind_text = bind_bytes,
    .step = step,
    .number = column_number,
    .bytes = column_bytes,
    .reset = reset,
    .run = run,
    .failed = failed,
    .undo = undo,
    .expect = postgres_expect,
    .change_keys = postgres_change_keys,
    .add_words = postgres_add_words,
    .drop_words = postgres_drop_words,
    .find_words = postgres_find_words,
    .log_bytes = log_bytes,
    .checkpoint = checkpoint,
    .measure = postgres_measure,
    .shrink = postgres_shrink,
    .backup = postgres_backup,
    .restore = postgres_restore,
};
