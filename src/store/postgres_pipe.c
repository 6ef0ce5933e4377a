/* What goes over the connection to PostgreSQL: statements into the pipeline, their answers in order, and what
 * an error means. */
#include "store/postgres_store.h"

enum store_result postgres_fail(struct store *s, enum store_result result, const char *what)
{
    s->postgres->failure = result;
    s->is_stopped |= result == STORE_BROKEN;
    return engine_fail(s, result, what);
}

/* https://www.postgresql.org/docs/15/errcodes-appendix.html */
static enum store_result meaning_of(struct str state)
{
    static const struct {
        const char *prefix;
        enum store_result result;
    } meanings[] = {
        {"53100", STORE_NO_SPACE}, /* disk_full */
        {"53", STORE_NO_MEMORY},   /* insufficient resources */
        {"40", STORE_BUSY},        /* a transaction that has to be tried again */
        {"55P03", STORE_BUSY},     /* lock_not_available */
        {"57014", STORE_BUSY},     /* query_canceled */
        {"57P03", STORE_BUSY},     /* cannot_connect_now: it starts or stops */
        {"XX00", STORE_CORRUPT}, /* XX001 data_corrupted, XX002 index_corrupted, and what it did not expect */
        {"42P01", STORE_OTHER},  /* undefined_table */
        {"42501", STORE_OTHER},  /* insufficient_privilege */
        {"3D000", STORE_OTHER},  /* no such database */
        {"3F000", STORE_OTHER},  /* no such schema */
        {"28", STORE_OTHER},     /* invalid authorization */
    };
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (str_starts(state, str_of(meanings[i].prefix)))
            return meanings[i].result;
    }
    return STORE_BROKEN;
}

/* The first error counts: what follows it was not carried out. The message itself names no value; its details
 * could. */
static void note_error(struct store *s, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE),
               *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    char text[200];
    struct buf out = buf_over(text, sizeof text - 1);
    if (s->postgres->failure != STORE_FINE)
        return;
    buf_str(&out, str_take(str_of(message ? message : "the connection to the database is lost"), 180));
    buf_printf(&out, " (%.5s)", state ? state : "-");
    text[out.n] = 0;
    postgres_fail(s, state ? meaning_of(str_of(state)) : STORE_BROKEN, text);
}

static bool is_lost(struct store *s)
{
    return PQstatus(s->postgres->connection) == CONNECTION_BAD;
}

static bool sent(struct store *s, int is_sent)
{
    if (is_sent) {
        s->postgres->queued++;
        return true;
    }
    postgres_fail(s, is_lost(s) ? STORE_BROKEN : STORE_NO_MEMORY,
                  is_lost(s) ? "the connection to the database is lost"
                             : "a statement could not be sent to the database");
    return false;
}

static void statement_name(enum statement which, char out[8])
{
    out[0] = 's';
    out[1] = (char)('0' + which / 10);
    out[2] = (char)('0' + which % 10);
    out[3] = 0;
}

bool postgres_send(struct store *s, const struct postgres_query *q)
{
    static const int binary[POSTGRES_PARAMETERS] = {1, 1, 1};
    char name[8];
    statement_name(q->which, name);
    return sent(s, PQsendQueryPrepared(s->postgres->connection, name, q->parameter_count, q->values,
                                       q->lengths, binary, 1));
}

bool postgres_send_prepare(struct store *s, enum statement which, const char *sql)
{
    char name[8];
    statement_name(which, name);
    return sent(s, PQsendPrepare(s->postgres->connection, name, sql, 0, NULL));
}

bool postgres_send_text(struct store *s, const char *sql)
{
    return sent(s, PQsendQueryParams(s->postgres->connection, sql, 0, NULL, NULL, NULL, NULL, 1));
}

static bool sync(struct store *s)
{
    if (!PQpipelineSync(s->postgres->connection))
        return sent(s, 0);
    s->postgres->syncs++;
    return true;
}

void postgres_let_go(struct store *s)
{
    (void)sync(s);
}

/* Answers up to that of the last sync. After each statement's comes a NULL; two of them are the end. */
static PGresult *collect(struct store *s)
{
    struct postgres *p = s->postgres;
    PGresult *last = NULL;
    unsigned ends = 0;
    while (p->syncs && ends < 2) {
        PGresult *r = PQgetResult(p->connection);
        ExecStatusType status = PQresultStatus(r);
        ends = r ? 0 : ends + 1;
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            PQclear(last);
            last = r;
            continue;
        }
        if (status == PGRES_PIPELINE_SYNC)
            p->syncs--;
        else if (r && status != PGRES_PIPELINE_ABORTED)
            note_error(s, r);
        PQclear(r);
    }
    if (p->syncs || is_lost(s)) {
        p->syncs = 0;
        if (p->failure == STORE_FINE)
            postgres_fail(s, STORE_BROKEN, "the connection to the database is lost");
    }
    return last;
}

enum store_result postgres_wait(struct store *s, PGresult **ret)
{
    struct postgres *p = s->postgres;
    p->failure = STORE_FINE;
    if (!sync(s))
        return p->failure;
    PGresult *last = collect(s);
    p->queued = 0;
    if (p->failure != STORE_FINE || !ret) {
        PQclear(last);
        return p->failure;
    }
    *ret = last;
    return STORE_FINE;
}

enum store_result postgres_exec(struct store *s, const char *sql, PGresult **ret)
{
    return postgres_send_text(s, sql) ? postgres_wait(s, ret) : s->postgres->failure;
}
