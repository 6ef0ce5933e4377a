/* proxy/guard_who.c - which class of isolation a peer is of: by its network, and for a partner by its
 * certificate.
 *
 * The management line comes first. Of a partner's network inside one of ours, or the other way round, the
 * narrower one says who it is. */
#include "proxy/guard.h"

#include "proxy/classes.h"

/* How many bits of the narrowest prefix that holds the address; -1: none does. */
static int bits_in(const struct addr_prefix *prefixes, unsigned count, const struct addr *address)
{
    int most = -1;
    for (unsigned i = 0; i < count; i++)
        if (prefixes[i].bits > most && addr_in_prefix(address, &prefixes[i]))
            most = prefixes[i].bits;
    return most;
}

static bool is_management(const struct config *config, const struct addr *address)
{
    return bits_in(config->networks.management, config->networks.management_count, address) >= 0;
}

const struct config_partner *guard_partner_at(const struct snapshot *s, const struct addr *address)
{
    const struct config_networks *own = &s->config->networks;
    uint16_t index = classes_partner_of_address(s, address);
    if (index >= s->config->partner_count)
        return NULL;
    const struct config_partner *partner = &s->config->partners[index];
    int bits = bits_in(partner->networks, partner->network_count, address);
    return bits >= bits_in(own->inside, own->inside_count, address) ? partner : NULL;
}

bool guard_is_management(const struct proxy *p, const struct addr *address)
{
    return p->snapshot && is_management(p->snapshot->config, address);
}

/* A connection goes on under the configuration it began with, but who is a partner is what holds now. */
static const struct config_partner *partner_of(const struct client *c)
{
    const struct config *began = c->snapshot->config, *now = c->proxy->snapshot->config;
    if (c->partner >= began->partner_count)
        return NULL;
    struct str name = began->partners[c->partner].name;
    for (unsigned i = 0; began != now && i < now->partner_count; i++)
        if (str_eq(now->partners[i].name, name))
            return &now->partners[i];
    return began == now ? &now->partners[c->partner] : NULL;
}

struct guard_peer guard_peer_of(const struct client *c)
{
    struct guard_peer peer = {
        .address = &c->peer, .port = c->listener->config->address.port, .class = ISOLATION_UNKNOWN};
    const struct config *now = c->proxy->snapshot->config;
    if (is_management(now, &c->peer)) {
        peer.class = ISOLATION_MANAGEMENT;
        return peer;
    }
    const struct config_partner *partner = partner_of(c);
    int inside = bits_in(now->networks.inside, now->networks.inside_count, &c->peer);
    if (inside >= 0 && (!partner || inside > bits_in(partner->networks, partner->network_count, &c->peer))) {
        peer.class = ISOLATION_INSIDE;
    } else if (partner) {
        peer.class = ISOLATION_PARTNER;
        peer.partner = partner->name;
    } else if (c->class == ADMISSION_KNOWN) {
        peer.class = ISOLATION_KNOWN;
    }
    return peer;
}
