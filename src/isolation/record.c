/* isolation/record.c - the state written, read, and chosen between two slots. */
#include "isolation/record.h"
#include "isolation/codec.h"
#include "isolation/parts.h"

#include "base/must.h"

enum { DEPTH_MAX = 8, CHECK_DIGITS = 16, CHECK_BYTES = 1 + CHECK_DIGITS + 1 };

static void write_check(struct buf *out, struct str line)
{
    static const struct hash_key key = {0x706f6c646572, 0x69736f6c6174696f};
    uint64_t sum = hash_bytes(&key, line.p, line.n);
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(sum >> (56 - 8 * i));
    buf_char(out, '\n');
    buf_hex(out, bytes, sizeof bytes);
    buf_char(out, '\n');
}

void isolation_record_write(struct buf *out, const struct isolation_state *s, uint64_t sequence)
{
    must(!s->is_drill);
    size_t begin = out->n;
    struct json_writer w = json_writer_over(out);
    state_write(&w, s, sequence);
    write_check(out, (struct str){out->p + begin, out->n - begin});
}

static bool has_check(struct str text, struct str *ret_line)
{
    char memory[CHECK_BYTES];
    struct buf check = buf_over(memory, sizeof memory);
    if (text.n <= CHECK_BYTES || text.n > ISOLATION_RECORD_MAX)
        return false;
    *ret_line = str_take(text, text.n - CHECK_BYTES);
    write_check(&check, *ret_line);
    return str_eq(str_skip(text, ret_line->n), buf_text(&check));
}

static bool is_canonical(struct str text, const struct isolation_state *s, uint64_t sequence,
                         struct arena *scratch)
{
    struct buf again = buf_over(arena_bytes(scratch, text.n), text.n);
    if (!again.p)
        return false;
    isolation_record_write(&again, s, sequence);
    return !buf_overflowed(&again) && str_eq(buf_text(&again), text);
}

bool isolation_record_read(struct str text, struct arena *scratch, struct isolation_state *ret,
                           uint64_t *ret_sequence)
{
    struct json_tape tape;
    struct str line;
    arena_reset(scratch);
    if (!has_check(text, &line))
        return false;
    size_t room = json_nodes_max(line.n);
    struct json_node *nodes = arena_alloc(scratch, room * sizeof *nodes);
    if (!nodes || json_parse(line, DEPTH_MAX, nodes, room, &tape, NULL) != JSON_FINE)
        return false;
    return json_type(&tape, 0) == JSON_OBJECT && state_read(&tape, 0, ret, ret_sequence) &&
           is_canonical(text, ret, *ret_sequence, scratch);
}

struct isolation_slots isolation_record_choose(struct str slot0, struct str slot1, struct arena *scratch,
                                               struct isolation_state *ret)
{
    const struct str slots[] = {slot0, slot1};
    bool is_valid[2];
    uint64_t sequence[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++)
        is_valid[i] = isolation_record_read(slots[i], scratch, ret, &sequence[i]);
    unsigned newest = is_valid[1] && (!is_valid[0] || sequence[1] > sequence[0]);
    if (!is_valid[newest] || !isolation_record_read(slots[newest], scratch, ret, &sequence[newest]))
        return (struct isolation_slots){ISOLATION_RECORD_NONE, 0, 1};
    bool is_damaged = !is_valid[!newest] && slots[!newest].n > 0;
    return (struct isolation_slots){is_damaged ? ISOLATION_RECORD_DAMAGED : ISOLATION_RECORD_FINE, !newest,
                                    sequence[newest] + 1};
}

static void close_site(struct isolation_state *s)
{
    struct isolation_scope *site = &s->scope[0];
    uint8_t strictest = ISOLATION_CLOSED;
    for (unsigned i = 0; i < site->now.depth; i++)
        if (site->now.layer[i].level > strictest)
            strictest = site->now.layer[i].level;
    struct isolation_layer layer = {0, s->order + 1, s->order + 1, strictest};
    site->now = (struct isolation_stack){.layer = {layer}, .depth = 1};
    site->before = (struct isolation_stack){0};
    site->confirm_by_us = 0;
    s->order++;
    state_tidy(s);
}

void isolation_record_boot(enum isolation_choice choice, struct isolation_state *s,
                           struct isolation_moment now, struct isolation_state scratch2[2])
{
    int64_t next_us;
    if (choice == ISOLATION_RECORD_NONE)
        isolation_state_init(s, now.us);
    if (isolation_tick(s, now, &scratch2[0], &next_us)) {
        state_stricter(s, &scratch2[0], &scratch2[1]);
        *s = scratch2[1];
    }
    if (choice != ISOLATION_RECORD_FINE)
        close_site(s);
}
