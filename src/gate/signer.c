/* gate/signer.c - the signer's process: the only one that holds private keys. It signs handshakes, nothing
 * else (tls/keyring.c builds what is signed), at most so many a second for each worker, and can reach
 * nothing. */
#include "gate/role_process.h"

#include "sys/channel.h"
#include "tls/context.h"
#include "tls/signer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 64, PEER_QUEUE = 16384, KEY_FILE_BYTES = 64 * 1024, ERRORS_BYTES = 8192 };

struct signer;

struct asker { /* a worker */
    struct signer *signer;
    struct channel *channel;
    uint64_t tokens_x1000, filled_ms;
};

struct signer {
    struct role_process process;
    struct keyring *keys;
    uint32_t signatures_per_second;
    uint64_t committed; /* generation */
    bool tls12;
    struct asker askers[SLOTS];
};

/* A token bucket that holds one second's worth. */
static bool may_sign(struct asker *a)
{
    const struct signer *s = a->signer;
    uint64_t now = loop_now_ms(s->process.loop), full = 1000ULL * s->signatures_per_second;
    a->tokens_x1000 += (now - a->filled_ms) * s->signatures_per_second;
    a->filled_ms = now;
    if (a->tokens_x1000 > full)
        a->tokens_x1000 = full;
    if (a->tokens_x1000 < 1000)
        return false;
    a->tokens_x1000 -= 1000;
    return true;
}

static bool asked(void *self, struct channel *channel, struct str bytes, int fd)
{
    struct asker *a = self;
    struct msg_sign m;
    struct msg_signature answer;
    if (msg_welcome(bytes, fd, ROLE_WORKER, ROLE_SIGNER) != MSG_SIGN || !msg_sign_decode(bytes, &m)) {
        if (fd >= 0)
            close(fd);
        role_process_accuse(&a->signer->process, (unsigned)(a - a->signer->askers));
        return false;
    }
    answer.id = m.id;
    answer.signature_len = 0;
    if (may_sign(a) && !keyring_sign(a->signer->keys, &m, a->signer->tls12, &answer)) {
        answer.id = m.id;
        answer.signature_len = 0;
    }
    int error = msg_signature_send(channel, &answer, -1);
    if (error == -ENOBUFS)
        role_process_accuse(&a->signer->process, (unsigned)(a - a->signer->askers));
    return error == 0;
}

static void asker_gone(void *self, struct channel *channel)
{
    struct asker *a = self;
    channel_free(channel);
    a->channel = NULL;
}

static bool take_peer(struct signer *s, struct str bytes, int fd)
{
    struct msg_peer m;
    if (!msg_peer_decode(bytes, &m) || m.role != ROLE_WORKER || m.slot >= SLOTS) {
        close(fd);
        return false;
    }
    struct asker *a = &s->askers[m.slot];
    channel_free(a->channel);
    *a = (struct asker){.signer = s,
                        .filled_ms = loop_now_ms(s->process.loop),
                        .tokens_x1000 = 1000ULL * s->signatures_per_second};
    a->channel = channel_new(s->process.loop, fd, PEER_QUEUE, (struct channel_events){asked, asker_gone, a});
    return a->channel != NULL;
}

static size_t read_all(int fd, char *memory, size_t cap)
{
    size_t got = 0;
    while (got < cap) {
        ssize_t n = pread(fd, memory + got, cap - got, (off_t)got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

static bool take_key(struct signer *s, struct str bytes, int fd)
{
    static char pem[KEY_FILE_BYTES];
    struct msg_load_key m;
    struct arena *errors = arena_new(ERRORS_BYTES);
    struct str error = STR("out of memory");
    if (!errors || !msg_load_key_decode(bytes, &m)) {
        arena_free(errors);
        close(fd);
        return false;
    }
    struct msg_key_loaded answer = {.generation = m.generation, .index = m.index, .public_sha256_len = 32};
    size_t n = read_all(fd, pem, sizeof pem);
    close(fd);
    answer.ok =
        keyring_add(s->keys, m.generation, (struct str){pem, n}, answer.public_sha256, errors, &error);
    explicit_bzero(pem, sizeof pem);
    if (!answer.ok) {
        error = str_take(error, sizeof answer.error);
        answer.error_len = (uint16_t)error.n;
        memcpy(answer.error, error.p, error.n);
    }
    arena_free(errors);
    return s->process.master && msg_key_loaded_send(s->process.master, &answer, -1) == 0;
}

static bool take_limits(struct signer *s, struct str bytes)
{
    struct msg_signer_limits m;
    if (!msg_signer_limits_decode(bytes, &m))
        return false;
    s->signatures_per_second = m.signatures_per_second;
    s->tls12 = m.tls12 != 0;
    return true;
}

static bool take_commit(struct signer *s, struct str bytes)
{
    struct msg_commit m;
    if (!msg_commit_decode(bytes, &m))
        return false;
    /* Handshakes that began under the one before still need its keys. Numbers in between were given up. */
    keyring_keep_from(s->keys, s->committed ? s->committed : m.generation);
    s->committed = m.generation;
    return true;
}

static bool message_came(struct role_process *r, enum msg_number number, struct str bytes, int fd)
{
    struct signer *s = container_of(r, struct signer, process);
    switch (number) {
    case MSG_LOAD_KEY:
        return take_key(s, bytes, fd);
    case MSG_PEER:
        return take_peer(s, bytes, fd);
    case MSG_SIGNER_LIMITS:
        return take_limits(s, bytes);
    case MSG_COMMIT:
        return take_commit(s, bytes);
    case MSG_ABORT:
        return true; /* keys of that generation go with the next commit */
    case MSG_STOP:
        loop_stop(r->loop);
        return true;
    default: /* shared memory and configurations are sent to every role; this one needs neither */
        if (fd >= 0)
            close(fd);
        return number == MSG_SHARED || number == MSG_PREPARE;
    }
}

static bool prepare(struct role_process *r)
{
    struct signer *s = container_of(r, struct signer, process);
    s->keys = keyring_new();
    return s->keys && tls_init() == 0;
}

int signer_main(int argc, char **argv)
{
    static struct signer s;
    s.process = (struct role_process){.role = ROLE_SIGNER, .message = message_came};
    s.signatures_per_second = 5000;
    if (!role_process_begin(&s.process, argc, argv, SANDBOX_SIGNER, prepare))
        return 1;
    int error = loop_run(s.process.loop);
    for (unsigned i = 0; i < SLOTS; i++)
        channel_free(s.askers[i].channel);
    keyring_free(s.keys);
    role_process_end(&s.process);
    return error < 0;
}
