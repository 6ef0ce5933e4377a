/* proxy/proxy.h - the data path of one worker: client connections, requests, upstream connections.
 *
 * The way of a request, in files: client.c (accept, PROXY protocol, TLS) -> client_h1.c or client_h2.c (a
 * canonical request) -> exchange.c (route, admit, inspect, forward, answer) -> forward.c (heads written
 * anew) -> upstream.c (pool, balance) -> upstream_h1.c (the answer) -> back through exchange.c -> event.c.
 *
 * It creates no socket and opens no file: listening sockets, upstream connections and configurations are
 * handed to it, and it asks for them through struct proxy_events. */
#ifndef POLDER_PROXY_PROXY_H
#define POLDER_PROXY_PROXY_H

#include "ipc/messages.h"
#include "proxy/perimeter.h"
#include "proxy/shared.h"
#include "sys/loop.h"

struct inspect_rules;
struct proxy;

struct proxy_events {
    bool (*dial)(void *self,
                 const struct msg_dial *); /* false: no dialer now; proxy_dial_again will follow */
    bool (*sign)(void *self,
                 const struct msg_sign *); /* false: no signer now; proxy_sign_again will follow */
    void (*drained)(void *self);           /* after proxy_drain: the last connection is gone */
    void (*classify)(void *self,
                     const struct msg_classify *); /* something was learned of an address, for the filter */
    void *self;
};

struct proxy *proxy_new(struct loop *, struct shared *, unsigned slot,
                        struct proxy_events); /* NULL: no memory */
void proxy_free(struct proxy *);

/* A configuration is built beside the one in use (false: *ret_error in errors says why), gets its listening
 * sockets, and takes over at once or is forgotten. Connections live through it. `bundle` must stay mapped
 * until `release` is called with it. */
bool proxy_prepare(struct proxy *, uint64_t generation, struct str bundle, void (*release)(struct str bundle),
                   struct arena *errors, struct str *ret_error);
bool proxy_listener(struct proxy *, uint64_t generation, unsigned index,
                    int fd); /* takes fd; false: no such one */
bool proxy_listener_first(struct proxy *, uint64_t generation, unsigned index,
                          int fd); /* the same: the queue of those who go first */
bool proxy_commit(struct proxy *, uint64_t generation);
void proxy_abort(struct proxy *, uint64_t generation);

void proxy_dialed(struct proxy *, const struct msg_dialed *, int fd); /* takes fd (or -1) */
void proxy_dial_again(struct proxy *);
void proxy_signature(struct proxy *, const struct msg_signature *);
void proxy_sign_again(struct proxy *);
/* Rules compiled before the walls were raised, when they could be made into machine code: whatever
 * configuration reads the same texts uses them. They are never freed. */
void proxy_take_rules(struct proxy *, struct inspect_rules *);
/* What rules with that key use to be faster. False: no memory, and bytes were not taken; otherwise release is
 * called with them when nobody uses them any more. */
bool proxy_prefilter(struct proxy *, struct str key, struct str bytes, void (*release)(struct str));
/* Isolation in force lies there from now on: before the first configuration. */
void proxy_perimeter(struct proxy *, const struct perimeter *);
/* The memory of admission, which stays the caller's: before the first configuration. False: not of this
 * build, or no memory. */
bool proxy_admission(struct proxy *, void *memory, size_t size);
/* The eventfd of a worker: our own, to be woken by, or a sibling's. Takes fd. */
void proxy_wake(struct proxy *, unsigned slot, int fd);
void proxy_ticket_keys(struct proxy *, struct str keys);

/* Stops accepting; answers what comes over open connections and closes each after its next answer, or when it
 * has been idle for its idle timeout (at once when the time is short); tunnels live until timeout_ms (0: as
 * long as they like). Called again it can only shorten the time. */
void proxy_drain(struct proxy *, uint32_t timeout_ms);
uint32_t proxy_drain_timeout_ms(const struct proxy *); /* as the configuration in force says */

#endif
