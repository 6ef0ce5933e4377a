/* sys/net.h - sockets. */
#ifndef POLDER_SYS_NET_H
#define POLDER_SYS_NET_H

#include "base/addr.h"

/* A listening TCP socket: non-blocking, close-on-exec, SO_REUSEADDR, SO_REUSEPORT when asked,
 * TCP_DEFER_ACCEPT off, IPV6_V6ONLY off for "[::]". TCP_NODELAY is on, and Linux hands it on to what is
 * accepted: no call per connection is needed. Negative errno. */
int net_listen(const struct addr *, bool reuse_port, int backlog);
/* Marks a listening socket as the second one of its owner, and tells it apart again, also in a process that
 * got it without a word about it. The mark is IP_FREEBIND, which means nothing to a socket that is bound. */
int net_mark_first(int fd); /* 0 or a negative errno */
bool net_is_first(int fd);
/* A connection, non-blocking, TCP_NODELAY; *ret_fd is connecting. 0 or a negative errno. */
int net_connect_start(const struct addr *, int *ret_fd);
int net_socket_error(int fd); /* SO_ERROR as a positive errno, 0 when fine */
/* A listening UNIX socket at path (replaced when stale), with that file mode. Negative errno. */
int net_listen_unix(const char *path, unsigned mode);
int net_set_nodelay(int fd); /* 0 or a negative errno */

#endif
