/* json/writer.h - writes JSON (RFC 8259) into a buf, in one go, commas included.
 *
 * Whatever bytes come in, the text that goes out is valid: quotes, backslashes and controls are escaped (DEL
 * and the C1 controls too, since logs are looked at in terminals), and what is not UTF-8 becomes U+FFFD. Ask
 * buf_overflowed() at the end. Nesting is the caller's: every begin has its end, in an object every value has
 * its key. */
#ifndef POLDER_JSON_WRITER_H
#define POLDER_JSON_WRITER_H

#include "base/buf.h"

struct json_writer {
    struct buf *out;
    bool needs_comma;
};

static inline struct json_writer json_writer_over(struct buf *out)
{
    return (struct json_writer){out, false};
}

void json_object_begin(struct json_writer *);
void json_object_end(struct json_writer *);
void json_array_begin(struct json_writer *);
void json_array_end(struct json_writer *);
void json_key(struct json_writer *, struct str key);

void json_str(struct json_writer *, struct str);
void json_u64(struct json_writer *, uint64_t);
void json_i64(struct json_writer *, int64_t);
void json_fixed(struct json_writer *, int64_t value, unsigned decimals); /* (-1250, 3) is -1.250; up to 18 */
void json_bool(struct json_writer *, bool);
void json_null(struct json_writer *);
void json_raw(struct json_writer *,
              struct str valid_json); /* as it is: numbers kept as text, stored documents */

/* A string in pieces: begin, any number of parts, end. A sequence of UTF-8 may not be split over parts. */
void json_str_begin(struct json_writer *);
void json_str_part(struct json_writer *, struct str);
void json_str_end(struct json_writer *);

/* Members of an object: key and value in one call. */
void json_put_str(struct json_writer *, struct str key, struct str value);
void json_put_u64(struct json_writer *, struct str key, uint64_t value);
void json_put_i64(struct json_writer *, struct str key, int64_t value);
void json_put_fixed(struct json_writer *, struct str key, int64_t value, unsigned decimals);
void json_put_bool(struct json_writer *, struct str key, bool value);
void json_put_object(struct json_writer *, struct str key); /* and begins it */
void json_put_array(struct json_writer *, struct str key);

#endif
