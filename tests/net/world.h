/* world.h - two hosts in name spaces of their own, joined by a veth pair: the gate (this process, interface
 * g0, 192.0.2.1 and 2001:db8::1) and the outside (o0; 203.0.113.1-3, 198.51.100.1, 2001:db8:1::1,
 * 2001:db8:4::1). All of it goes with the process. */
#ifndef POLDER_TESTS_NET_WORLD_H
#define POLDER_TESTS_NET_WORLD_H

#include "packets.h"

#include <sys/types.h>

struct world {
    char pins[64];
    unsigned interface;
    int outside; /* its network name space */
    pid_t holder;
};

void world_make(struct world *);
void world_end(struct world *);
[[gnu::format(printf, 1, 2)]] void ip(const char *format, ...); /* runs ip(8); fails the test when it fails */
/* Runs in the outside, in a process of its own; ends with what `act` returns. */
pid_t outside_start(const struct world *, int (*act)(void *), void *context);
int outside_run(const struct world *, int (*act)(void *), void *context); /* and waits */
void outside_kill(pid_t);

#endif
