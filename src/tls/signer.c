/* tls/signer.c - the worker's side of the key process: which handshakes wait for which answer.
 *
 * An id is the slot of its request (low 16 bits) and a serial number, so that a late answer to a slot's
 * former request is known as such. */
#include "tls/request.h"

#include "base/must.h"

#include <stdlib.h>

enum { SLOT_BITS = 16 };

struct tls_signer {
    struct tls_signer_events events;
    struct sign_request *slots[REQUESTS_MAX];
    uint16_t free_slots[REQUESTS_MAX];
    unsigned free_count;
    uint64_t serial;
};

struct tls_signer *tls_signer_new(struct tls_signer_events events)
{
    struct tls_signer *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->events = events;
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        s->free_slots[s->free_count++] = (uint16_t)(REQUESTS_MAX - 1 - i);
    return s;
}

/* Connections that wait point here: they go first. */
void tls_signer_free(struct tls_signer *s)
{
    if (!s)
        return;
    must(tls_signer_waiting(s) == 0);
    free(s);
}

unsigned tls_signer_waiting(const struct tls_signer *s)
{
    return REQUESTS_MAX - s->free_count;
}

bool request_send(struct sign_request *r)
{
    struct tls_signer *s = r->asker->signer;
    if (s->free_count == 0)
        return false;
    uint16_t slot = s->free_slots[--s->free_count];
    s->slots[slot] = r;
    r->message.id = ++s->serial << SLOT_BITS | slot;
    s->events.send(s->events.self, &r->message); /* not sent: tls_signer_resend does it later */
    return true;
}

static struct sign_request *request_by_id(const struct tls_signer *s, uint64_t id)
{
    size_t slot = id & ((1U << SLOT_BITS) - 1);
    struct sign_request *r = slot < REQUESTS_MAX ? s->slots[slot] : NULL;
    return r && r->message.id == id ? r : NULL;
}

void request_forget(struct sign_request *r)
{
    struct tls_signer *s = r->asker->signer;
    if (request_by_id(s, r->message.id) != r)
        return;
    uint16_t slot = (uint16_t)(r->message.id & ((1U << SLOT_BITS) - 1));
    s->slots[slot] = NULL;
    s->free_slots[s->free_count++] = slot;
}

void tls_signer_answer(struct tls_signer *s, const struct msg_signature *m)
{
    struct sign_request *r = request_by_id(s, m->id);
    if (!r || r->is_answered)
        return;
    r->is_answered = true;
    if (m->signature_len <= r->signature_max) {
        memcpy(r->signature, m->signature, m->signature_len);
        r->signature_n = m->signature_len;
    }
    void *owner = r->asker->owner;
    bool is_paused = r->is_paused;
    request_forget(r);
    if (is_paused) /* otherwise the answer came from within `send`, and the handshake is still running */
        s->events.ready(s->events.self, owner);
}

void tls_signer_resend(struct tls_signer *s)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        if (s->slots[i])
            s->events.send(s->events.self, &s->slots[i]->message);
}
