/* proxy/admit_uploads.c - bodies that come slowly hold no place.
 *
 * An application begins with a request when its body is there, so a place is for what is there. Where there
 * is room a body streams from its first byte. Where there is not, a first part of it (or all) is collected
 * before it asks for a place. Who was let in and then sends little gives the place back: what comes goes on
 * to the application, but its end, without which nothing begins there, waits for a place of its own.
 *
 * Invariants:
 *  1. What is collected has a bound for each request and for the worker. Beyond it a request asks with what
 *     it has.
 *  2. Not more requests whose end waits are at a pool than its limit, and no request begins with a body to
 *     come while half of the places are taken by either kind.
 *  3. The end of a body leaves only in state ADMIT_INSIDE, or when the answer came before it. */
#include "proxy/admit_parts.h"

enum {
    FIRST_PART_BYTES = EXCHANGE_QUEUE_HIGH,
    COLLECTED_MOST_BYTES = 64 << 20,
    LOOK_US = 250'000,
    MOVES_BYTES = 16 * 1024, /* in that time; or it is the client that is waited for */
};

static struct admit_pool *pool_of(struct exchange *ex)
{
    return &ex->proxy->admit->pools[admit_route_of(ex)->pool];
}

static bool has_room(struct admit *a, const struct admit_pool *pool)
{
    struct admission_view view;
    admission_look(a->core, (unsigned)(pool - a->pools), &view);
    return !view.waiting && 2 * (view.in_use + view.granted + pool->ends_waiting) < view.limit;
}

bool admit_wants_body(struct exchange *ex)
{
    return !ex->body_done && !ex->req.has_upgrade && !has_room(ex->proxy->admit, pool_of(ex));
}

bool admit_collects_on(struct exchange *ex)
{
    struct admit *a = ex->proxy->admit;
    size_t held = (ex->req_body.bytes / CHUNK_BYTES + 1) * CHUNK_BYTES;
    a->collected_bytes += held - ex->admit.collected_bytes;
    ex->admit.collected_bytes = (uint32_t)held;
    if (!ex->body_done && ex->req_body.bytes < FIRST_PART_BYTES && a->collected_bytes <= COLLECTED_MOST_BYTES)
        return true;
    admit_collected(ex);
    return false;
}

void admit_collected(struct exchange *ex)
{
    if (!ex->admit.collected_bytes)
        return;
    ex->proxy->admit->collected_bytes -= ex->admit.collected_bytes;
    ex->admit.collected_bytes = 0;
}

/* ---- those inside */

static void look_from_now(struct admit_pool *pool, struct exchange *ex, uint64_t now_us)
{
    struct admit_ticket *t = &ex->admit;
    t->looked_us = now_us;
    t->looked_bytes = ex->body_received;
    list_push_back(&pool->uploads, &t->upload);
}

void admit_upload_begin(struct admit_pool *pool, struct exchange *ex)
{
    list_init(&ex->admit.upload);
    if (!ex->body_done && !ex->req.has_upgrade)
        look_from_now(pool, ex, loop_now_us(ex->proxy->loop));
}

static bool is_waited_for(const struct exchange *ex)
{
    return ex->up && !ex->body_paused && ex->req_body.bytes == 0 &&
           ex->body_received - ex->admit.looked_bytes < MOVES_BYTES;
}

static struct exchange *oldest_upload(struct admit_pool *pool, uint64_t now_us)
{
    if (list_is_empty(&pool->uploads))
        return NULL;
    struct admit_ticket *t = container_of(pool->uploads.next, struct admit_ticket, upload);
    return now_us - t->looked_us >= LOOK_US ? container_of(t, struct exchange, admit) : NULL;
}

void admit_uploads_look(struct admit *a, struct admit_pool *pool, uint64_t now_us)
{
    struct exchange *ex;
    struct admission_view view;
    while ((ex = oldest_upload(pool, now_us))) {
        list_remove(&ex->admit.upload);
        if (ex->body_done || ex->admit.head_us)
            continue;
        admission_look(a->core, (unsigned)(pool - a->pools), &view);
        if (!is_waited_for(ex) || has_room(a, pool) || pool->ends_waiting >= view.limit) {
            look_from_now(pool, ex, now_us);
            continue;
        }
        admit_leave(ex);
        ex->admit.end_waits = true;
        pool->ends_waiting++;
    }
}

void admit_end_goes(struct exchange *ex)
{
    if (!ex->admit.end_waits)
        return;
    ex->admit.end_waits = false;
    pool_of(ex)->ends_waiting--;
}

bool admit_holds_end(const struct exchange *ex)
{
    bool is_all =
        ex->body_done || (ex->req.body == BODY_LENGTH && ex->body_received >= ex->req.content_length);
    return ex->admit.end_waits && is_all;
}
