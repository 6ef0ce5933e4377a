/* rest/subscription.h - subscriptions by topic (Subscriptions R5 Backport, R4 form:
 * http://hl7.org/fhir/uv/subscriptions-backport): what a Subscription asks for, which changes fit it, and the
 * notification that tells them.
 *
 * What always holds: an event is what its subscriber sees at the moment it is told, by the view of the call.
 * Numbers of events are sequences of the store: each is higher than the one before, but they do not count,
 * for that would tell how many others there are. */
#ifndef POLDER_REST_SUBSCRIPTION_H
#define POLDER_REST_SUBSCRIPTION_H

#include "rest/request.h"

#define REST_TOPIC_BASE "urn:polder:topic:"
#define REST_SUBSCRIBER "urn:polder:subscriber" /* system of the tag that says whose a Subscription is */

enum rest_payload { REST_PAYLOAD_EMPTY, REST_PAYLOAD_ID, REST_PAYLOAD_FULL };

struct rest_subscription {
    struct str id, topic; /* topic: the name, without its base */
    struct str *filters;  /* "Type?a=b" */
    unsigned filter_count;
    enum rest_payload payload;
    uint32_t heartbeat_s; /* 0: none asked for */
    int64_t end_us;       /* INT64_MAX: none */
    bool is_active;       /* not off, and not over */
};

struct rest_topic {
    struct str name, title;
};
/* NULL: there is none of that index. */
const struct rest_topic *rest_topic_at(unsigned index);

/* Reads a Subscription; false: refused, in the words of a create. */
[[nodiscard]] bool rest_subscription_read(const struct rest_call *, const struct json_tape *, uint32_t object,
                                          struct rest_subscription *ret, struct rest_answer *);
/* For a create or update of one: it is checked; "requested" becomes "active", since whoever listens needs no
 * handshake, and it says whose it is. *io_tape: of the body, and afterwards of what is to be stored. */
[[nodiscard]] bool rest_subscription_settle(const struct rest_call *, struct json_tape *io_tape,
                                            struct rest_answer *);
/* The one with that id as it is now. False: refused; 404 where it is not seen. */
[[nodiscard]] bool rest_subscription_find(const struct rest_call *, struct str id,
                                          struct rest_subscription *ret, struct rest_answer *);

struct rest_event {
    struct store_record record; /* the version that the event tells of */
};
struct rest_events {
    struct rest_event *at;
    size_t n;
    uint64_t upto; /* the sequence up to which all was looked at */
    bool has_more;
};
/* Changes after a sequence that fit, at most so many. */
enum store_result rest_subscription_events(const struct rest_call *, const struct rest_subscription *,
                                           uint64_t after, unsigned count, struct rest_events *ret);

/* A notification Bundle; kind: "event-notification", "heartbeat", "handshake". events may be NULL. Empty: no
 * memory. */
struct str rest_notification_write(const struct rest_call *, const struct rest_subscription *,
                                   struct str kind, const struct rest_events *);

#endif
