#include "waf/rx.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct rx_room {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

/* Callers only see an opaque struct rx; it is PCRE2's own code. */
static struct rx *rx_of(pcre2_code *code)
{
    return (struct rx *)(void *)code;
}

static const pcre2_code *code_of(const struct rx *rx)
{
    return (const pcre2_code *)(const void *)rx;
}

struct rx *rx_new(struct str pattern, enum rx_kind kind, struct rx_problem *ret)
{
    uint32_t options = PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | (kind == RX_SELECTOR ? PCRE2_CASELESS : 0);
    int error;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n, options, &error, &at, NULL);
    if (!code) {
        ret->at = at;
        if (pcre2_get_error_message(error, (PCRE2_UCHAR *)ret->text, sizeof ret->text) < 0)
            ret->text[0] = 0;
        return NULL;
    }
    return rx_of(code);
}

void rx_make_code(struct rx *rx)
{
    (void)pcre2_jit_compile((pcre2_code *)(void *)rx, PCRE2_JIT_COMPLETE); /* else it is interpreted */
}

void rx_free(struct rx *rx)
{
    pcre2_code_free((pcre2_code *)(void *)rx);
}

struct rx_room *rx_room_new(uint32_t match_limit)
{
    enum { STACK_START = 32 << 10, STACK_MAX = 1 << 20 };
    struct rx_room *room = calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->context = pcre2_match_context_create(NULL);
    room->data = pcre2_match_data_create(RX_CAPTURES, NULL);
    room->stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, NULL);
    if (!room->context || !room->data || !room->stack) {
        rx_room_free(room);
        return NULL;
    }
    pcre2_set_match_limit(room->context, match_limit);
    pcre2_jit_stack_assign(room->context, NULL, room->stack);
    return room;
}

void rx_room_free(struct rx_room *room)
{
    if (!room)
        return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    pcre2_jit_stack_free(room->stack);
    free(room);
}

enum rx_result rx_match(const struct rx *rx, struct rx_room *room, struct str subject,
                        struct str captures[RX_CAPTURES], unsigned *ret_count)
{
    PCRE2_SPTR text = (PCRE2_SPTR)(subject.n ? subject.p : "");
    int rc = pcre2_match(code_of(rx), text, subject.n, 0, 0, room->data, room->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code_of(rx), text, subject.n, 0, PCRE2_NO_JIT, room->data, room->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return RX_MISS;
    if (rc < 0)
        return RX_LIMIT;
    if (!captures)
        return RX_HIT;
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(room->data);
    unsigned count = rc ? (unsigned)rc : RX_CAPTURES; /* 0: more groups than there is room for */
    for (unsigned i = 0; i < count; i++) {
        bool is_set = ends[2 * i] != PCRE2_UNSET && ends[2 * i] <= ends[2 * i + 1];
        captures[i] =
            is_set ? (struct str){subject.n ? subject.p + ends[2 * i] : "", ends[2 * i + 1] - ends[2 * i]}
                   : STR_NONE;
    }
    *ret_count = count;
    return RX_HIT;
}
