/* A journal: whatever comes, what is found lies inside it; a chain that is found whole is the one that its
 * own lines make, so that a line may be added and it is whole still; and a report of it can be written. The
 * hash is a short one: then fuzzing finds lines that fit. */
#include "base/must.h"
#include "isolation/journal.h"
#include "isolation/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 14, ROOM = INPUT_MAX + ISOLATION_LINE_MAX, PAPER = 1 << 19 };

/* One byte of a sum; the rest stays zero. */
static void short_hash(const void *bytes, size_t n, uint8_t ret[ISOLATION_HASH_BYTES])
{
    const uint8_t *p = bytes;
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum * 31 + p[i]);
    memset(ret, 0, ISOLATION_HASH_BYTES);
    ret[0] = sum & 1;
}

static void must_lie_inside(const struct isolation_finding *f, struct str text)
{
    uint64_t feeds = 0;
    for (size_t i = 0; i < text.n; i++)
        feeds += text.p[i] == '\n';
    must(f->lines == feeds && f->line <= f->lines && (f->line > 0) == (f->how != ISOLATION_CHAIN_WHOLE));
    must(f->whole_bytes + f->torn_bytes == text.n);
    must(f->whole_bytes == 0 || text.p[f->whole_bytes - 1] == '\n');
}

static void must_go_on(struct str text, const struct isolation_finding *f, struct arena *arena)
{
    static char memory[ROOM];
    struct buf out = buf_over(memory, sizeof memory);
    struct isolation_journal journal = {short_hash, f->end};
    struct isolation_order o = {.event = ISOLATION_EVENT_ISOLATE};
    struct isolation_finding again;
    buf_str(&out, str_take(text, f->whole_bytes));
    isolation_journal_refused(&journal, &out, &o, ISOLATION_REFUSED_WHO, 0);
    must(!buf_overflowed(&out));
    isolation_journal_verify(buf_text(&out), short_hash, NULL, arena, &again);
    must(again.how == f->how && again.line == f->line && again.lines == f->lines + 1 &&
         again.torn_bytes == 0);
    must(f->how || again.end.sequence == f->end.sequence + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char paper[PAPER];
    static struct arena *arena;
    struct str text = {(const char *)data, size};
    struct isolation_finding found;
    if (size > INPUT_MAX)
        return 0;
    if (!arena)
        arena = arena_new(ISOLATION_JOURNAL_ARENA);
    must(arena);
    isolation_journal_verify(text, short_hash, NULL, arena, &found);
    must_lie_inside(&found, text);
    if (found.end.sequence < INT64_MAX - 1)
        must_go_on(text, &found, arena);
    struct buf out = buf_over(paper, sizeof paper);
    const struct isolation_report report = {
        .site = STR("x"), .journal = text, .finding = &found, .scratch = arena};
    isolation_report_timeline(&out, &report);
    must(!buf_overflowed(&out));
    return 0;
}
