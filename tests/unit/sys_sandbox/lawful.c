#include "lawful.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NEED(step)                                                                                           \
    if (!(step))                                                                                             \
    return #step

enum { MEMORY_SIZE = 4096, SORTED_COUNT = 100'000, PORT_FIRST = 24'000, PORT_LAST = 24'999 };

/* -- before */

static bool certificate_make(struct lawful *l)
{
    X509 *cert = X509_new();
    l->key = EVP_EC_gen("P-256");
    l->tls = SSL_CTX_new(TLS_method());
    bool fine = cert && l->key && l->tls && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
                X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) && X509_set_pubkey(cert, l->key) &&
                X509_sign(cert, l->key, EVP_sha256()) && SSL_CTX_use_certificate(l->tls, cert) == 1 &&
                SSL_CTX_use_PrivateKey(l->tls, l->key) == 1;
    X509_free(cert);
    return fine;
}

static bool listen_somewhere(struct lawful *l)
{
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (l->port = PORT_FIRST; l->port <= PORT_LAST; l->port++) {
        struct sockaddr_in here = {
            .sin_family = AF_INET, .sin_port = htons(l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(l->listener, (struct sockaddr *)&here, sizeof here) == 0)
            return listen(l->listener, 8) == 0;
    }
    return false;
}

static bool connect_to_it(int fd, uint16_t port)
{
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd >= 0 && connect(fd, (struct sockaddr *)&there, sizeof there) == 0;
}

const char *lawful_prepare(struct lawful *l)
{
    NEED(certificate_make(l));
    NEED(listen_somewhere(l));
    NEED((l->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    NEED(connect_to_it(l->client, l->port));
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->channel) == 0);
    NEED((l->epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    NEED((l->memory = memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING)) >= 0);
    NEED(ftruncate(l->memory, MEMORY_SIZE) == 0);
    NEED((l->log = open("/tmp", O_TMPFILE | O_WRONLY | O_APPEND | O_CLOEXEC, 0600)) >= 0);
    return NULL;
}

/* -- inside */

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* qsort asks how much memory the machine has. */
static bool sorts(void)
{
    int *numbers = calloc(SORTED_COUNT, sizeof *numbers);
    if (numbers)
        qsort(numbers, SORTED_COUNT, sizeof *numbers, compare_ints);
    free(numbers);
    return numbers != NULL;
}

/* malloc by brk and by mmap, and mremap. */
static bool grows(size_t from, size_t to)
{
    char *p = malloc(from), *larger = p ? realloc(p, to) : NULL;
    if (larger)
        memset(larger, 1, to);
    free(larger ? larger : p);
    return larger != NULL;
}

static bool passes_a_descriptor(struct lawful *l)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char text[8] = "hello";
    struct iovec iov = {text, sizeof text};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &l->memory, sizeof(int));
    return sendmsg(l->channel[0], &m, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof text &&
           recvmsg(l->channel[1], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == sizeof text;
}

static bool waits_for_events(struct lawful *l)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET}, got;
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->channel[1], &e) == 0 &&
           epoll_wait(l->epoll, &got, 1, 1) == 0 &&
           epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->channel[1], NULL) == 0;
}

static bool maps_shared_memory(struct lawful *l)
{
    struct stat info;
    if (fstat(l->memory, &info) < 0 || fcntl(l->memory, F_GET_SEALS) < 0)
        return false;
    void *p = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, l->memory, 0);
    return p != MAP_FAILED && munmap(p, MEMORY_SIZE) == 0;
}

static bool reads_clocks(void)
{
    struct timespec t, moment = {0, 1000};
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 && clock_gettime(CLOCK_REALTIME, &t) == 0 &&
           nanosleep(&moment, NULL) == 0;
}

const char *lawful_common(struct lawful *l)
{
    unsigned char random[32];
    NEED(sorts());
    NEED(grows(100, 100'000));
    NEED(grows(8U << 20, 32U << 20));
    NEED(passes_a_descriptor(l));
    NEED(waits_for_events(l));
    NEED(maps_shared_memory(l));
    NEED(reads_clocks());
    NEED(RAND_bytes(random, sizeof random) == 1);
    NEED(fprintf(stderr, "%s", "") == 0);
    return NULL;
}

/* Both ends in this process, over memory: every step of the handshake happens inside. */
static bool handshakes(struct lawful *l)
{
    BIO *near_end, *far_end;
    SSL *server = SSL_new(l->tls), *client = SSL_new(l->tls);
    if (!server || !client || BIO_new_bio_pair(&near_end, 0, &far_end, 0) != 1)
        return false;
    SSL_set_bio(server, near_end, near_end);
    SSL_set_bio(client, far_end, far_end);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < 10; i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    char text[5] = {0};
    bool fine = SSL_is_init_finished(server) && SSL_write(client, "hello", 5) == 5 &&
                SSL_read(server, text, sizeof text) == 5 && memcmp(text, "hello", 5) == 0;
    SSL_free(server);
    SSL_free(client);
    return fine;
}

static bool answers(int fd)
{
    int on = 1;
    char text[8];
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && write(fd, "hello", 5) == 5 &&
           send(fd, "again", 5, MSG_NOSIGNAL | MSG_DONTWAIT) == 5 &&
           recv(fd, text, sizeof text, MSG_DONTWAIT) < 0 && shutdown(fd, SHUT_WR) == 0 && close(fd) == 0;
}

const char *lawful_worker(struct lawful *l)
{
    NEED(lawful_common(l) == NULL);
    NEED(answers(accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)));
    NEED(handshakes(l));
    return NULL;
}

const char *lawful_signer(struct lawful *l)
{
    unsigned char signature[256];
    size_t n = sizeof signature;
    static char secret[MEMORY_SIZE];
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    NEED(lawful_common(l) == NULL);
    NEED(mlock(secret, MEMORY_SIZE) == 0);
    NEED(munlock(secret, MEMORY_SIZE) == 0);
    NEED(EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, l->key) == 1);
    NEED(EVP_DigestSign(sign, signature, &n, (const unsigned char *)"text", 4) == 1);
    EVP_MD_CTX_free(sign);
    return NULL;
}

const char *lawful_observer(struct lawful *l)
{
    NEED(lawful_common(l) == NULL);
    NEED(answers(accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)));
    NEED(write(l->log, "line\n", 5) == 5);
    NEED(fdatasync(l->log) == 0);
    NEED(fsync(l->log) == 0);
    return NULL;
}

const char *lawful_dialer(struct lawful *l)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    NEED(lawful_common(l) == NULL);
    NEED(getaddrinfo("localhost", "443", &hints, &found) == 0);
    freeaddrinfo(found);
    NEED(connect_to_it(fd, l->port));
    NEED(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    NEED(close(fd) == 0);
    return NULL;
}
