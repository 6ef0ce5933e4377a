/* proxy/classes_networks.c - which partner an address or a certificate's name belongs to.
 *
 * Networks lie in one open-addressed table by their bits and length; an address is looked up once for each
 * length that occurs, the longest first. A list of a thousand partners has a handful of lengths. */
#include "proxy/classes.h"

#include <stdlib.h>

enum { LENGTHS = 129 };

struct network {
    struct addr_prefix prefix;
    uint16_t partner; /* CLASSES_NO_PARTNER: free */
};

struct classes_networks {
    struct network *table;
    unsigned mask, length_count;
    uint8_t lengths[LENGTHS]; /* that occur, the longest first */
};

static struct addr_prefix masked(const uint8_t ip[16], unsigned bits)
{
    struct addr_prefix p = {.bits = (uint8_t)bits};
    memcpy(p.ip, ip, bits / 8);
    if (bits % 8)
        p.ip[bits / 8] = (uint8_t)(ip[bits / 8] & 0xff << (8 - bits % 8));
    return p;
}

static struct network *place_of(const struct classes_networks *n, const struct addr_prefix *p)
{
    static const struct hash_key fixed = {0x706f6c646572ULL,
                                          0x6e657473ULL}; /* the operator chooses what is in it */
    uint64_t at = hash_bytes(&fixed, p, sizeof *p);
    while (n->table[at & n->mask].partner != CLASSES_NO_PARTNER &&
           memcmp(&n->table[at & n->mask].prefix, p, sizeof *p) != 0)
        at++;
    return &n->table[at & n->mask];
}

static void fill(struct classes_networks *n, const struct config *config)
{
    bool occurs[LENGTHS] = {false};
    for (unsigned i = 0; i < config->partner_count; i++)
        for (unsigned k = 0; k < config->partners[i].network_count; k++) {
            const struct addr_prefix *given = &config->partners[i].networks[k];
            struct addr_prefix p = masked(given->ip, given->bits);
            *place_of(n, &p) = (struct network){p, (uint16_t)i};
            occurs[given->bits] = true;
        }
    for (unsigned bits = LENGTHS; bits-- > 0;)
        if (occurs[bits])
            n->lengths[n->length_count++] = (uint8_t)bits;
}

struct classes_networks *classes_networks_new(const struct config *config)
{
    unsigned count = 0, size = 16;
    struct classes_networks *n = calloc(1, sizeof *n);
    for (unsigned i = 0; i < config->partner_count; i++)
        count += config->partners[i].network_count;
    while (size < 2 * count)
        size *= 2;
    struct network *table = calloc(size, sizeof *table);
    if (!n || !table) {
        free(n);
        free(table);
        return NULL;
    }
    n->table = table;
    n->mask = size - 1;
    for (unsigned i = 0; i < size; i++)
        table[i].partner = CLASSES_NO_PARTNER;
    fill(n, config);
    return n;
}

void classes_networks_free(struct classes_networks *n)
{
    if (!n)
        return;
    free(n->table);
    free(n);
}

uint16_t classes_partner_of_address(const struct snapshot *s, const struct addr *address)
{
    const struct classes_networks *n = s->partners;
    for (unsigned i = 0; i < n->length_count; i++) {
        struct addr_prefix p = masked(address->ip, n->lengths[i]);
        uint16_t partner = place_of(n, &p)->partner;
        if (partner != CLASSES_NO_PARTNER)
            return partner;
    }
    return CLASSES_NO_PARTNER;
}

static bool has_certificate(const struct config_partner *p, struct str name)
{
    for (unsigned i = 0; i < p->certificate_count; i++)
        if (str_eq(p->certificates[i], name))
            return true;
    return false;
}

uint16_t classes_partner_of_names(const struct config *config, struct str names)
{
    while (names.n) {
        struct str name = str_cut(&names, '\n');
        for (unsigned i = 0; name.n && i < config->partner_count; i++)
            if (has_certificate(&config->partners[i], name))
                return (uint16_t)i;
    }
    return CLASSES_NO_PARTNER;
}
