/* proxy/classes.h - who a client is to the gate: a listed partner, known, a stranger, or somebody who behaves
 * oddly. It decides who is served first (admit.h), never what may be reached.
 *
 * Nothing that a client says of itself counts: only its address, the certificate that its handshake proved,
 * and what the application answered to its credentials (classes_proof.c).
 *
 * client->class and client->partner are those of the connection: set at accept, again after the handshake,
 * and looked up anew while it is used; a request's own class may be better, for its user is known
 * (classes_request). Invariants
 *  1. client->partner is an index into config.partners of client->snapshot, or CLASSES_NO_PARTNER.
 *  2. Of a listed partner nothing is noted against its address, and the filter is told nothing. */
#ifndef POLDER_PROXY_CLASSES_H
#define POLDER_PROXY_CLASSES_H

#include "admission/sources.h"
#include "proxy/client.h"

enum { CLASSES_NO_PARTNER = UINT16_MAX };

/* What a client did that attackers do. */
enum classes_offence {
    CLASSES_WAF,         /* the firewall stopped a request of it */
    CLASSES_FLOOD,       /* its connection was ended because it flooded */
    CLASSES_GLITCH,      /* it broke a protocol */
    CLASSES_HANDSHAKE,   /* its handshake failed */
    CLASSES_EARLY_RETRY, /* it came back before Retry-After */
};

struct classes;                    /* what a worker remembers */
struct classes *classes_new(void); /* NULL: no memory */
void classes_free(struct classes *);

/* ---- partners by network, quickly: built once for a configuration */
struct classes_networks;
struct classes_networks *classes_networks_new(const struct config *); /* NULL: no memory */
void classes_networks_free(struct classes_networks *);
uint16_t classes_partner_of_address(const struct snapshot *, const struct addr *);
/* names: of a verified client certificate, in lower case, a line end behind each. */
uint16_t classes_partner_of_names(const struct config *, struct str names);

/* ---- of a connection */
void classes_accepted(struct client *);   /* its address is known: sets partner and class */
void classes_handshaken(struct client *); /* its certificate is known */
void classes_refresh(struct client *);    /* another configuration holds: partners may be others */
void classes_note(struct client *, enum classes_offence);

/* ---- of a request */
enum admission_class classes_request(struct exchange *); /* its class now; sets ex->user */
void classes_answered(struct exchange *);                /* the application's answer has begun */
void classes_refused(struct exchange *, enum http_refusal why);

#endif
