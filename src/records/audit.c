/* records/audit.c - the log of every access, for each cluster a file that only grows.
 *
 *   {"n":17,"at":"2026-01-31T09:41:07.123Z",...,"chain":"5e88..."}
 *
 * chain is SHA-256 over the chain of the line before (32 bytes; zeros before the first) and the line up to
 * ,"chain": so a line that is changed, moved or taken out breaks every later one. Lines of all workers that
 * came in one turn are written at once, made durable by one fdatasync, and only then confirmed.
 *
 * What always holds: what is confirmed is on disk. When a file cannot be written the role ends: nothing is
 * confirmed, no answer leaves. And what is in a file stays there: once all are open this process can neither
 * open nor shorten any, and a descriptor that writes only appends; none of a file can do both, or it could be
 * mapped and changed in memory. */
#include "records/process.h"

#include "rest/audit_event.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENTRY_BYTES_MAX = 1 << 20,
    CHAIN_BYTES = 32,
    TAIL_BYTES = ENTRY_BYTES_MAX + 4096,
    NAME_BYTES = 512,
    SCAN_BYTES = 32 << 20
};

struct book {
    int fd, read_fd;
    uint64_t n; /* of the last line */
    uint8_t chain[CHAIN_BYTES];
    char *bytes; /* lines of this turn */
    size_t used, room;
};

struct link {
    struct duct *duct;
    struct audit *audit;
    uint64_t last; /* sequence of the newest line of this worker */
    bool is_owed;
};

struct audit {
    struct process process;
    struct book *books;
    struct link links[RECORDS_WORKERS_MAX];
    struct deferred turn;
    EVP_MD_CTX *digest;
    const EVP_MD *sha256;
    bool is_stopping;
};

/* ---- lines */

static bool book_room(struct book *b, size_t more)
{
    if (more <= b->room - b->used)
        return true;
    size_t room = b->room ? b->room : 64 * 1024;
    while (room - b->used < more)
        room *= 2;
    char *p = realloc(b->bytes, room);
    if (!p)
        return false;
    b->bytes = p;
    b->room = room;
    return true;
}

static bool link_line(struct audit *a, struct book *b, struct str line)
{
    unsigned n = CHAIN_BYTES;
    return EVP_DigestInit_ex(a->digest, a->sha256, NULL) &&
           EVP_DigestUpdate(a->digest, b->chain, CHAIN_BYTES) &&
           EVP_DigestUpdate(a->digest, line.p, line.n) && EVP_DigestFinal_ex(a->digest, b->chain, &n);
}

/* A worker that was taken over can write nonsense into its line, but not into anybody else's. */
static bool is_line(struct str inside)
{
    for (size_t i = 0; i < inside.n; i++)
        if ((unsigned char)inside.p[i] < 0x20)
            return false;
    return inside.n > 2 && inside.p[0] == '"';
}

static bool add_line(struct audit *a, struct book *b, struct str inside)
{
    if (!book_room(b, inside.n + 256))
        return false;
    struct buf out = buf_over(b->bytes + b->used, b->room - b->used);
    buf_printf(&out, "{\"n\":%llu,", (unsigned long long)++b->n);
    buf_str(&out, inside);
    if (!link_line(a, b, buf_text(&out)))
        return false;
    BUF_LIT(&out, ",\"chain\":\"");
    buf_hex(&out, b->chain, CHAIN_BYTES);
    BUF_LIT(&out, "\"}\n");
    b->used += out.n;
    return !buf_overflowed(&out);
}

/* ---- questions: the newest lines that fit, from the end of the file. All in one go, and therefore not
 * further back than SCAN_BYTES: while it looks, nothing is confirmed. */

struct looking {
    const struct rest_audit_question *question;
    struct buf lines;
    uint32_t found;
};

/* False: enough. */
static bool look_at(struct looking *l, struct str line)
{
    if (!rest_audit_line_fits(line, l->question))
        return true;
    if (line.n + 1 > l->lines.cap - l->lines.n)
        return false;
    buf_str(&l->lines, line);
    buf_char(&l->lines, '\n');
    return ++l->found < l->question->count;
}

/* Newest first. Where the bytes begin inside a line, that one is left out. */
static bool look_backwards(struct looking *l, struct str bytes, bool begins_whole)
{
    while (bytes.n) {
        const char *end = memrchr(bytes.p, '\n', bytes.n - 1);
        if (!end && !begins_whole)
            return false;
        size_t from = end ? (size_t)(end - bytes.p) + 1 : 0;
        if (!look_at(l, (struct str){bytes.p + from, bytes.n - 1 - from}))
            return false;
        bytes.n = from;
    }
    return begins_whole;
}

static bool answer_question(struct audit *a, struct link *link, uint32_t cluster, struct str bytes)
{
    struct rest_audit_question question;
    struct stat info;
    uint8_t head[9];
    if (cluster >= a->process.config->records.cluster_count ||
        !rest_audit_question_parse(str_skip(bytes, 12), &question))
        return false;
    const struct book *b = &a->books[cluster];
    off_t size = fstat(b->fd, &info) == 0 ? info.st_size : 0,
          from = size > SCAN_BYTES ? size - SCAN_BYTES : 0;
    char *file = malloc((size_t)(size - from) + 1), *out = malloc(REST_AUDIT_LINES_MAX);
    struct looking l = {&question, buf_over(out, out ? REST_AUDIT_LINES_MAX : 0), 0};
    bool is_read = file && out && pread(b->read_fd, file, (size_t)(size - from), from) == size - from;
    bool is_all = is_read && look_backwards(&l, (struct str){file, (size_t)(size - from)}, from == 0);
    memcpy(head, bytes.p + 4, 8);
    head[8] = !is_all;
    const struct str parts[] = {{(const char *)head, sizeof head}, buf_text(&l.lines)};
    if (is_read && !duct_send(link->duct, parts, 2))
        process_say(&a->process, "worker %u does not read its answers", (unsigned)(link - a->links));
    free(file);
    free(out);
    return true;
}

static bool line_came(void *self, struct duct *duct [[maybe_unused]], struct str bytes)
{
    struct link *link = self;
    struct audit *a = link->audit;
    uint32_t cluster;
    if (bytes.n < 12)
        return false;
    memcpy(&cluster, bytes.p, 4);
    struct str inside = str_skip(bytes, 12);
    if (cluster & AUDIT_IS_ASKED)
        return answer_question(a, link, cluster & ~AUDIT_IS_ASKED, bytes);
    if (cluster >= a->process.config->records.cluster_count || !is_line(inside))
        return false;
    if (!add_line(a, &a->books[cluster], inside)) {
        process_say(&a->process, "there is no memory for the log of accesses");
        loop_stop(a->process.loop);
        return true;
    }
    memcpy(&link->last, bytes.p + 4, 8);
    link->is_owed = true;
    loop_defer(a->process.loop, &a->turn);
    return true;
}

static void link_broke(void *self, struct duct *duct)
{
    struct link *link = self;
    process_say(&link->audit->process, "worker %u writes nonsense; its duct is closed",
                (unsigned)(link - link->audit->links));
    duct_close(duct);
    link->duct = NULL;
}

/* ---- a turn */

static bool write_out(struct book *b)
{
    size_t done = 0;
    while (done < b->used) {
        ssize_t n = write(b->fd, b->bytes + done, b->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    b->used = 0;
    return fdatasync(b->fd) == 0;
}

static void confirm(struct audit *a)
{
    for (unsigned i = 0; i < RECORDS_WORKERS_MAX; i++) {
        struct link *link = &a->links[i];
        const struct str sequence = {(const char *)&link->last, sizeof link->last};
        if (link->is_owed && link->duct && !duct_send(link->duct, &sequence, 1))
            process_say(&a->process, "worker %u does not read its confirmations", i);
        link->is_owed = false;
    }
}

static void take_turn(struct deferred *d)
{
    struct audit *a = container_of(d, struct audit, turn);
    for (unsigned i = 0; i < a->process.config->records.cluster_count; i++)
        if (a->books[i].used && !write_out(&a->books[i])) {
            process_say(&a->process,
                        "the log of accesses of %.*s cannot be written: %s. Nothing is answered until it can",
                        STR_ARG(a->process.config->records.clusters[i].name), strerror(errno));
            loop_stop(a->process.loop);
            return;
        }
    confirm(a);
    if (a->is_stopping)
        loop_stop(a->process.loop);
}

/* ---- opening */

static bool read_number(struct str line, uint64_t *ret)
{
    struct str rest = str_skip(line, strlen("{\"n\":"));
    return str_starts(line, STR("{\"n\":")) && str_parse_u64(str_cut(&rest, ','), ret);
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_chain(struct str line, uint8_t *ret)
{
    static const struct str key = STR(",\"chain\":\""), end = STR("\"}");
    size_t tail = key.n + 2 * CHAIN_BYTES + end.n;
    if (line.n < tail || !str_starts(str_skip(line, line.n - tail), key) || !str_ends(line, end))
        return false;
    const char *hex = line.p + line.n - end.n - 2 * (size_t)CHAIN_BYTES;
    for (unsigned i = 0; i < CHAIN_BYTES; i++) {
        int high = hex_of(hex[2 * i]), low = hex_of(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* A line without its end was never confirmed: it goes. The last whole one is where the chain goes on. */
static bool read_tail(struct book *b, char *memory, off_t size)
{
    off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t n = pread(b->read_fd, memory, (size_t)(size - from), from);
    if (n != size - from)
        return false;
    size_t end = (size_t)n;
    while (end && memory[end - 1] != '\n')
        end--;
    if ((size_t)n != end && ftruncate(b->fd, from + (off_t)end) < 0)
        return false;
    if (end == 0)
        return from == 0;
    size_t begin = end - 1;
    while (begin && memory[begin - 1] != '\n')
        begin--;
    struct str line = {memory + begin, end - 1 - begin};
    return read_number(line, &b->n) && read_chain(line, b->chain);
}

static bool open_book(struct audit *a, unsigned cluster)
{
    char path[NAME_BYTES];
    struct buf p = buf_over(path, sizeof path);
    struct book *b = &a->books[cluster];
    struct stat info;
    char *memory = malloc(TAIL_BYTES);
    records_audit_folder(a->process.config, cluster, &p);
    p.n--;
    BUF_LIT(&p, "/accesses.jsonl\0");
    b->fd = memory ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    b->read_fd = b->fd >= 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    bool ok = b->read_fd >= 0 && fstat(b->fd, &info) == 0;
    if (!ok)
        process_say(&a->process, "%s cannot be opened: %s", path, strerror(errno));
    else if (!(ok = info.st_size == 0 || read_tail(b, memory, info.st_size)))
        process_say(&a->process, "%s does not end like a log of accesses: look at it, and move it away",
                    path);
    free(memory);
    return ok;
}

static bool prepare(struct process *p)
{
    struct audit *a = container_of(p, struct audit, process);
    unsigned n = p->config->records.cluster_count;
    a->books = calloc(n, sizeof *a->books);
    a->digest = EVP_MD_CTX_new();
    a->sha256 = EVP_sha256();
    if (!a->books || !a->digest) {
        process_say(p, "there is no memory");
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        if (!open_book(a, i))
            return false;
    int error = sandbox_append_only(p->walls);
    if (error < 0)
        process_say(p, "its logs cannot be kept from being changed (%s); it does not run without that",
                    strerror(-error));
    return error == 0;
}

static bool link_came(struct process *p, enum role other, unsigned slot, struct duct_parts take,
                      unsigned side)
{
    struct audit *a = container_of(p, struct audit, process);
    if (other != ROLE_WORKER || slot >= RECORDS_WORKERS_MAX) {
        duct_parts_close(&take);
        return false;
    }
    struct link *link = &a->links[slot];
    duct_close(link->duct);
    *link = (struct link){.audit = a};
    link->duct = duct_open(p->loop, take, side, ENTRY_BYTES_MAX, 2 * REST_AUDIT_LINES_MAX,
                           (struct duct_events){line_came, link_broke, link});
    return link->duct != NULL;
}

static void stop(struct process *p, uint32_t drain_ms [[maybe_unused]])
{
    struct audit *a = container_of(p, struct audit, process);
    a->is_stopping = true;
    loop_defer(p->loop, &a->turn);
}

int audit_main(int argc, char **argv)
{
    static struct audit a;
    a.process = (struct process){.role = ROLE_AUDIT, .link = link_came, .stop = stop};
    deferred_init(&a.turn, take_turn);
    if (!process_begin(&a.process, argc, argv, prepare))
        return 1;
    return loop_run(a.process.loop) < 0 ? 1 : 0;
}
