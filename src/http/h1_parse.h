/* http/h1_parse.h - what the parsers of requests, answers and trailers share. Inside src/http only.
 *
 * A head is parsed in two steps. First its end is looked for (fast, remembered over calls, and where a head
 * that drips in spends its time); then the whole head is read once. So the reader never runs out of bytes:
 *  1. The head ends in LF, and that is its last byte. Loops over bytes stop there without counting.
 *  2. Every line before the last ends in CR LF. If the last one does not, reading is bound to fail there. */
#ifndef POLDER_HTTP_H1_PARSE_H
#define POLDER_HTTP_H1_PARSE_H

#include "http/h1.h"

struct h1_reader {
    const char *at;       /* next byte of the head */
    const char *end;      /* one past the head's last LF */
    const char *readable; /* one past the last byte that may be loaded (the input's end) */
    unsigned lines;       /* LFs in the head */
    struct arena *arena;
    const struct h1_limits *limits;
};

/* What the fields say about framing and connection, gathered field by field. */
struct h1_framing {
    enum http_refusal refusal; /* the first that a field brought, unless framing has a worse one */
    uint8_t hosts, lengths, codings;
    bool bad_length, bad_coding;
    bool says_close, says_keep_alive, says_upgrade; /* Connection options */
    bool wants_websocket, expects_continue, te_trailers;
    struct str host;
    uint64_t content_length;
};

struct h1_fields {
    struct http_field *items;
    unsigned count;
    struct h1_framing framing;
};

enum h1_head_kind { H1_HEAD, H1_TRAILERS };

/* Makes *ret read the head at the beginning of `in`. Returns as h1_parse_request does; when positive,
 * reading is what remains to be done, and it is certain to fail if the head ended in a bad line. */
ptrdiff_t h1_reader_init(struct h1_reader *ret, enum h1_head_kind kind, struct str in, size_t *scanned,
                         const struct h1_limits *limits, struct arena *arena, enum http_refusal *ret_refusal);

/* First byte at or after `at` that no field value may hold; there is one (rule 1). */
const char *h1_skip_value(const struct h1_reader *, const char *at);

/* CR LF at the reader's place: takes it. */
enum http_refusal h1_take_line_end(struct h1_reader *);

/* Field lines through the empty line. */
enum http_refusal h1_take_fields(struct h1_reader *, struct h1_fields *ret);

/* Takes "HTTP/1.x". False: not that form. VERSION as refusal for another digit is the caller's word. */
bool h1_take_version(struct h1_reader *, enum http_version *ret, bool *ret_supported);

/* Content-Length and Transfer-Encoding judged together (RFC 9112 6.3). BODY_NONE: neither is there. */
enum http_refusal h1_judge_framing(const struct h1_framing *, enum http_version, enum http_body *ret);

/* Does the connection stay open after this message (RFC 9112 9.3)? */
bool h1_stays_open(const struct h1_framing *, enum http_version);

#endif
