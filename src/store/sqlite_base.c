/* Queries of whatever driver, and what errors are called. */
#include "store/sqlite_store.h"

enum store_result engine_fail(struct store *s, enum store_result result, const char *what)
{
    struct buf out = buf_over(s->problem, sizeof s->problem);
    buf_str(&out, str_take(str_of(what), sizeof s->problem - 1));
    s->problem[out.n] = 0;
    return result;
}

struct query *query_get(struct store *s, enum statement which)
{
    struct query *q = &s->statements[which];
    return q->own || s->driver->prepare(s, which, q) ? q : NULL;
}

int query_step(struct store *s, struct query *q)
{
    return q ? s->driver->step(s, q) : 0;
}

enum store_result query_run(struct store *s, struct query *q)
{
    return q ? s->driver->run(s, q) : query_failed(s, 0);
}

enum store_result query_do(struct store *s, enum statement which)
{
    return query_run(s, query_get(s, which));
}

enum store_result query_failed(struct store *s, int code)
{
    return s->driver->failed(s, code);
}

bool store_is_stopped(const struct store *s)
{
    return s->is_stopped;
}

struct str store_problem(const struct store *s)
{
    return str_of(s->problem);
}

struct str store_result_text(enum store_result result)
{
    static const char *const said[] = {
        [STORE_FINE] = "done",
        [STORE_NOT_FOUND] = "there is none",
        [STORE_DELETED] = "it was deleted",
        [STORE_CONFLICT] = "another version is current",
        [STORE_EXISTS] = "it exists already",
        [STORE_BAD_POSITION] = "this page is of another search",
        [STORE_NOT_INDEXED] = "there is no index for this search",
        [STORE_TOO_COSTLY] = "the search would look at too many resources",
        [STORE_TOO_LARGE] = "it is too large",
        [STORE_NO_MEMORY] = "there is not enough memory",
        [STORE_NO_SPACE] = "the disk is full",
        [STORE_BROKEN] = "the disk failed",
        [STORE_STOPPED] = "the disk failed before: nothing is written until the store is opened anew",
        [STORE_CORRUPT] = "what is stored is damaged",
        [STORE_BUSY] = "another process is at work on it",
        [STORE_OTHER] = "there is no such store",
        [STORE_OLD_INDEX] = "its keys are of another version and have to be made anew",
    };
    return str_of(said[result]);
}
