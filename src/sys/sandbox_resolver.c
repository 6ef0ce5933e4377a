/* sys/sandbox_resolver.c - name service modules, loaded before code can no longer be loaded.
 *
 * Since glibc 2.34 `files` and `dns` are part of libc itself; whatever else /etc/nsswitch.conf lists for
 * hosts (myhostname, resolve, mymachines, mdns4_minimal) is a shared object libnss_NAME.so.2 that
 * getaddrinfo(3) loads at its first use. A module loaded here is found by its name later, without a system
 * call. */
#include "base/buf.h"
#include "sys/sandbox.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

enum { NSSWITCH_MAX = 16384, MODULE_NAME_MAX = 64 };

static struct str nsswitch_read(char *memory, size_t cap)
{
    int fd = open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, memory, cap);
    if (fd >= 0)
        close(fd);
    return (struct str){memory, n > 0 ? (size_t)n : 0};
}

static void module_load(struct str service)
{
    char memory[MODULE_NAME_MAX];
    struct buf name = buf_over(memory, sizeof memory);
    BUF_LIT(&name, "libnss_");
    buf_str(&name, service);
    BUF_LIT(&name, ".so.2");
    buf_char(&name, '\0');
    if (!buf_overflowed(&name) && !dlopen(memory, RTLD_NOW))
        (void)dlerror(); /* getaddrinfo skips a module that is not there, and so do we */
}

/* "hosts: files mdns4_minimal [NOTFOUND=return] dns": what stands between brackets is no module. */
static void modules_load(struct str services)
{
    while (services.n) {
        struct str service = str_trim(str_cut(&services, ' '));
        if (service.n && service.p[0] != '[' && service.p[service.n - 1] != ']' &&
            str_find_char(service, '/') < 0)
            module_load(service);
    }
}

void sandbox_warm_resolver(void)
{
    char memory[NSSWITCH_MAX];
    struct str text = nsswitch_read(memory, sizeof memory);
    while (text.n) {
        struct str line = str_trim(str_cut(&text, '\n'));
        line = str_cut(&line, '#');
        if (str_starts(line, STR("hosts:")))
            modules_load(str_skip(line, 6));
    }
}
