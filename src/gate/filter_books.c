/* gate/filter_books.c - record and journal of isolation on disk, as src/isolation wants them kept: two slots
 * written in turn, and a file of lines that only grows. Opened before the walls; nothing here has a path. */
#include "gate/filter_desk.h"

#include "base/unconst.h"
#include "sys/durable.h"
#include "tls/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int open_one(struct books *b, int folder, const char *name)
{
    int fd = folder >= 0 ? durable_open(folder, name) : -ENOENT;
    if (fd >= 0)
        return fd;
    b->error = fd;
    return -1;
}

bool books_open(struct books *b, int folder)
{
    uint8_t warm[ISOLATION_HASH_BYTES];
    *b = (struct books){.chain.hash_of = digest_sha256, .next = {ISOLATION_RECORD_NONE, 0, 1}};
    digest_sha256("", 0, warm);
    b->slots[0] = open_one(b, folder, "record.0");
    b->slots[1] = open_one(b, folder, "record.1");
    b->journal = open_one(b, folder, "journal");
    owner_open(&b->owner, open_one(b, folder, "owner"));
    if (folder >= 0)
        close(folder);
    b->scratch = arena_new(ISOLATION_RECORD_ARENA);
    b->page = malloc(ISOLATION_RECORD_MAX);
    return b->scratch && b->page;
}

void books_close(struct books *b)
{
    for (unsigned i = 0; i < 2; i++)
        if (b->slots[i] >= 0)
            close(b->slots[i]);
    if (b->journal >= 0)
        close(b->journal);
    if (b->owner.fd >= 0)
        close(b->owner.fd);
    arena_free(b->scratch);
    free(b->page);
}

static int read_file(const struct books *b, int fd, size_t limit, struct str *ret)
{
    *ret = STR_NONE;
    return fd >= 0 ? durable_read(fd, limit, ret) : b->error ? b->error : -ENOENT;
}

/* A slot that cannot be read is told as damaged: it might be the newer one. */
static int read_slots(struct books *b, struct isolation_state *ret)
{
    static const char unreadable[] = "?";
    struct str text[2];
    int errors[2];
    for (unsigned i = 0; i < 2; i++) {
        errors[i] = read_file(b, b->slots[i], ISOLATION_RECORD_MAX, &text[i]);
        if (errors[i])
            text[i] = STR(unreadable);
    }
    b->next = isolation_record_choose(text[0], text[1], b->scratch, ret);
    for (unsigned i = 0; i < 2; i++)
        if (!errors[i])
            free(unconst(text[i].p));
    return errors[0] ? errors[0] : errors[1];
}

/* Where lines are missing that the record knows of, the chain goes on from what the record remembers: so the
 * gap stays visible for good. */
static void continue_chain(struct books *b, const struct isolation_anchor *anchor)
{
    b->chain.end = b->finding.end;
    if (anchor && anchor->sequence > b->chain.end.sequence)
        b->chain.end = *anchor;
}

static int read_journal(struct books *b, const struct isolation_anchor *anchor)
{
    struct str text;
    b->finding = (struct isolation_finding){0};
    int error = read_file(b, b->journal, JOURNAL_MAX, &text);
    if (error) {
        continue_chain(b, anchor);
        return error;
    }
    isolation_journal_verify(text, digest_sha256, anchor, b->scratch, &b->finding);
    b->journal_bytes = b->finding.whole_bytes;
    continue_chain(b, anchor);
    if (b->finding.torn_bytes)
        error = durable_cut(b->journal, b->journal_bytes);
    free(unconst(text.p));
    return error;
}

int books_read(struct books *b, struct isolation_state *ret, enum isolation_choice *ret_choice)
{
    int slots = read_slots(b, ret);
    *ret_choice = b->next.choice;
    int journal = read_journal(b, b->next.choice == ISOLATION_RECORD_NONE ? NULL : &ret->anchor);
    return slots ? slots : journal;
}

int books_record(struct books *b, const struct isolation_state *state, struct isolation_state *spare)
{
    struct buf page = buf_over(b->page, ISOLATION_RECORD_MAX);
    int fd = b->slots[b->next.next];
    if (fd < 0)
        return b->error;
    *spare = *state;
    spare->anchor = b->chain.end;
    isolation_record_write(&page, spare, b->next.sequence);
    int error = buf_overflowed(&page) ? -EFBIG : durable_replace(fd, buf_text(&page));
    if (error)
        return error;
    b->next.next = !b->next.next;
    b->next.sequence++;
    return 0;
}

struct buf books_line(const struct books *b)
{
    return buf_over(b->page, ISOLATION_LINE_MAX);
}

int books_append(struct books *b, const struct buf *line, const struct isolation_anchor *before)
{
    int error = b->journal < 0 ? b->error : buf_overflowed(line) ? -EFBIG : 0;
    if (!error && b->journal_bytes + line->n > JOURNAL_MAX)
        error = -EFBIG;
    if (!error)
        error = durable_append(b->journal, b->journal_bytes, buf_text(line));
    if (error)
        b->chain.end = *before;
    else
        b->journal_bytes += line->n;
    return error;
}
