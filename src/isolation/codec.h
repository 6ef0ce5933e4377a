/* isolation/codec.h - orders and states as JSON, and back. What is written is canonical: reading it and
 * writing it again gives the same bytes. */
#ifndef POLDER_ISOLATION_CODEC_H
#define POLDER_ISOLATION_CODEC_H

#include "isolation/types.h"

#include "json/tape.h"
#include "json/writer.h"

void order_write(struct json_writer *, const struct isolation_order *);
void state_write(struct json_writer *, const struct isolation_state *, uint64_t sequence);
/* False: not what state_write writes, or a state that no order leads to. */
bool state_read(const struct json_tape *, uint32_t object, struct isolation_state *ret,
                uint64_t *ret_sequence);
/* 64 digits, lower case. */
bool hash_parse(struct str, uint8_t ret[ISOLATION_HASH_BYTES]);
/* What every state has in common, see the heads of state.c and scope.c. */
bool state_is_sane(const struct isolation_state *);

#endif
