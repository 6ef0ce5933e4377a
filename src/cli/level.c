/* cli/level.c - the level of isolation in a line for the head of `polder status` and `polder top`, and a line
 * for each cluster that has one of its own: since when, by whom, and why. */
#include "cli/isolation.h"

static void print_one(struct buf *out, const struct document *d, uint32_t at, bool color)
{
    struct str level = document_text(d, at, "level"), since = document_text(d, at, "since");
    struct str who = document_text(d, at, "who"), reason = document_text(d, at, "reason");
    bool is_shut = !str_eq(level, STR("open"));
    buf_str(out, is_shut && color ? STR("\x1b[31m") : STR(""));
    print_safe(out, level);
    if (since.n && who.n) {
        BUF_LIT(out, "  since ");
        isolation_print_moment(out, since);
        BUF_LIT(out, "  by ");
        print_safe(out, who);
    }
    if (is_shut && reason.n) {
        BUF_LIT(out, ": ");
        print_safe(out, reason);
    }
    print_safe(out, document_text(d, at, "note"));
    buf_str(out, is_shut && color ? STR("\x1b[0m\n") : STR("\n"));
}

void print_isolation(struct buf *out, const struct document *d, bool color)
{
    uint32_t isolation = json_get(&d->tape, 0, STR("isolation")), count;
    if (isolation == JSON_NONE)
        return;
    BUF_LIT(out, "isolation ");
    print_one(out, d, isolation, color);
    uint32_t cluster = document_list(d, isolation, "clusters", &count);
    for (; count > 0; count--, cluster = json_next(&d->tape, cluster)) {
        BUF_LIT(out, "isolation of ");
        print_safe(out, document_text(d, cluster, "name"));
        buf_char(out, ' ');
        print_one(out, d, cluster, color);
    }
}
