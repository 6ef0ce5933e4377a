/* cli/records_load_target.c - where it goes: a base URL, or a cluster of a configuration; and the token for
 * it. */
#include "cli/records_load.h"

#include "config/value.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOKEN_MAX = 8192 };

static bool resolve(struct str host, uint16_t port, struct addr *ret)
{
    char name[256], number[8];
    struct buf n = buf_over(name, sizeof name - 1), s = buf_over(number, sizeof number - 1);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    buf_str(&n, host);
    name[n.n] = '\0';
    buf_u64(&s, port);
    number[s.n] = '\0';
    int error = buf_overflowed(&n) ? EAI_NONAME : getaddrinfo(name, number, &hints, &found);
    if (error)
        cli_complain("the host %s is not known: %s", name, gai_strerror(error));
    bool ok = !error && addr_from_sockaddr(found->ai_addr, found->ai_addrlen, ret);
    if (!error)
        freeaddrinfo(found);
    return ok;
}

bool load_target_of_url(struct load *load, struct str url)
{
    struct load_target *t = &load->target;
    if (str_starts(url, STR("https://"))) {
        cli_complain(
            "load speaks plain http, to the record service itself: take an address in 'listeners' of the "
            "records, like http://127.0.0.1:8090/noord/fhir");
        return false;
    }
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    struct str rest = str_skip(url, sizeof "http://" - 1), host;
    ptrdiff_t slash = str_find_char(rest, '/');
    uint16_t port = 80;
    t->base = url;
    t->authority = slash < 0 ? rest : str_take(rest, (size_t)slash);
    t->path = slash < 0 ? STR("") : str_skip(rest, (size_t)slash);
    if (!str_starts(url, STR("http://")) || !t->authority.n || !t->path.n) {
        cli_complain("'%.*s' is no base URL like http://127.0.0.1:8090/noord/fhir", STR_ARG(url));
        return false;
    }
    if (!value_split_port(t->authority, &host, &port))
        host = t->authority;
    if (host.n > 1 && host.p[0] == '[')
        host = str_take(str_skip(host, 1), host.n - 2);
    return resolve(host, port, &t->address);
}

/* The first listener of a configuration, and the path of the cluster there. */
enum exit_status load_target_of_config(struct load *load)
{
    struct records_place place;
    enum exit_status status = records_place_open(&place, load->cli, false);
    if (status == EXIT_FINE) {
        static const uint8_t any6[16], any4[16] = {[10] = 0xff, [11] = 0xff};
        struct addr address = place.config->records.listeners[0].address;
        char memory[ADDR_TEXT_MAX];
        struct buf b = buf_over(memory, sizeof memory);
        if (memcmp(address.ip, any6, 16) == 0 || memcmp(address.ip, any4, 16) == 0)
            addr_parse_ip(address.is_v4 ? STR("127.0.0.1") : STR("::1"), &address);
        address.port = place.config->records.listeners[0].address.port;
        addr_write(&b, &address);
        load->target.address = address;
        load->target.authority = arena_copy(load->arena, buf_text(&b));
        load->target.path = arena_copy(load->arena, place.cluster->path);
        load->target.base = arena_printf(load->arena, "http://%.*s%.*s", STR_ARG(load->target.authority),
                                         STR_ARG(load->target.path));
    }
    records_place_close(&place);
    return status;
}

bool load_read_token(struct load *load)
{
    const char *path = load->cli->token;
    char *memory = path ? arena_bytes(load->arena, TOKEN_MAX) : NULL;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = memory && fd >= 0 ? read(fd, memory, TOKEN_MAX) : 0;
    if (fd >= 0)
        close(fd);
    struct str token = {memory, n > 0 ? (size_t)n : 0};
    while (token.n && (uint8_t)token.p[token.n - 1] <= ' ')
        token.n--;
    load->target.token = token;
    for (size_t i = 0; i < token.n; i++)
        if ((uint8_t)token.p[i] <= ' ' || (uint8_t)token.p[i] >= 0x7f)
            token.n = 0;
    if (path && !token.n)
        cli_complain("%s holds no token (or cannot be read)", path);
    return !path || token.n;
}
