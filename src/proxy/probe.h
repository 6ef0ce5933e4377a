/* proxy/probe.h - after each commit: are the virtual patches effective? Each request of each patch goes the
 * way of a client's request, for each cluster: through the parser, the routes and the inspection. Where a
 * client's would be forwarded it ends: nothing reaches an application, and nothing is counted or logged.
 *
 * One worker of a gate does it (slot 0), between the requests of clients: one probe at a time, a few
 * milliseconds in a row while nothing else is to be done, half of one otherwise. What comes of it stands in
 * shared memory (shared_patch_set). */
#ifndef POLDER_PROXY_PROBE_H
#define POLDER_PROXY_PROBE_H

struct proxy;
struct probe;

struct probe *probe_new(struct proxy *); /* NULL: no memory */
void probe_free(struct probe *);         /* NULL is fine */
void probe_start(struct probe *);        /* anew, for the snapshot in force */
void probe_stop(struct probe *);         /* what is under way is forgotten */

#endif
