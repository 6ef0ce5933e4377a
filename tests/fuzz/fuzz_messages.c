/* tests/fuzz/fuzz_messages.c - what a sibling process, perhaps taken over, may send.
 *
 * Property: a packet is accepted as at most one message, the one its number says; and what was accepted,
 * encoded again, is the same bytes: nothing was skipped, padded or made up. */
#include "base/must.h"
#include "ipc/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char again[CHANNEL_MESSAGE_MAX];

#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    static bool is_##name(struct str bytes)                                                                  \
    {                                                                                                        \
        static struct msg_##name m;                                                                          \
        struct buf b = buf_over(again, sizeof again);                                                        \
        if (!msg_##name##_decode(bytes, &m))                                                                 \
            return false;                                                                                    \
        must(msg_number_of(bytes) == MSG_##NAME);                                                            \
        must(msg_##name##_encode(&m, &b));                                                                   \
        must(str_eq(buf_text(&b), bytes));                                                                   \
        return true;                                                                                         \
    }
#include "ipc/messages.def"
#undef MESSAGE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str bytes = {(const char *)data, size};
    unsigned accepted = 0;
#define MESSAGE(name, NAME, number, from, to, help, fields) accepted += is_##name(bytes);
#include "ipc/messages.def"
#undef MESSAGE
    must(accepted <= 1);
    must(!accepted || msg_number_of(bytes) != MSG_NONE);
    return 0;
}
