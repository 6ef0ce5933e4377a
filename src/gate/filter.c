/* gate/filter.c - the place of the packet filter. It is not part of this version: the process says so in
 * `polder status`, behind the same walls, and does nothing else. */
#include "gate/role_process.h"

#include "sys/channel.h"

#include <unistd.h>

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes [[maybe_unused]],
                         int fd)
{
    if (fd >= 0)
        close(fd);
    if (number == MSG_STOP)
        loop_stop(r->loop);
    return true;
}

int filter_main(int argc, char **argv)
{
    static struct role_process r = {.role = ROLE_FILTER, .message = message_came};
    if (!role_process_begin(&r, argc, argv, SANDBOX_FILTER, NULL))
        return 1;
    int error = loop_run(r.loop);
    role_process_end(&r);
    return error < 0;
}
