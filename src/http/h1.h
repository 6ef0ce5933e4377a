/* http/h1.h - HTTP/1.1 (RFC 9112), strict: whatever the RFC allows a recipient to reject is rejected.
 *
 * Pure: bytes in, slices out. Nothing is copied; slices point into the bytes given. */
#ifndef POLDER_HTTP_H1_H
#define POLDER_HTTP_H1_H

#include "http/message.h"

struct h1_limits {
    uint32_t head_bytes, field_count, target_bytes;
    bool keep_underscores;
};

/* Parses one request head from the beginning of `in`. Returns the length of the head (through the empty
 * line), 0 when more bytes are needed, -1 when it must be refused (*ret_refusal says why).
 * `scanned` is where the last call on the same head stopped (0 at first) and is updated, so that a head
 * that drips in costs linear time; set it to 0 again for the next head. On success *ret is filled except
 * scheme; ret->fields is an array of at most limits->field_count from the arena, which is not touched before
 * the head is complete. The target is canonical (http/url.h): path, query and authority may lie in the arena.
 * One empty line before the request line is skipped (RFC 9112 2.2). CONNECT and TRACE are refused. */
ptrdiff_t h1_parse_request(struct str in, size_t *scanned, const struct h1_limits *limits,
                           struct arena *arena, struct http_request *ret, enum http_refusal *ret_refusal);

/* The same for an answer. `request` is the method it answers (HEAD and CONNECT change the framing).
 * Also used on what an upstream sends: a refusal means 502. */
ptrdiff_t h1_parse_response(struct str in, size_t *scanned, const struct h1_limits *limits,
                            enum http_method request, struct arena *arena, struct http_response *ret,
                            enum http_refusal *ret_refusal);

/* Chunked decoder (RFC 9112 7.1). Zero-initialise; feed bytes as they come. */
struct h1_chunked {
    uint64_t left; /* bytes of the current chunk still to come */
    uint32_t state;
    uint32_t trailer_bytes;   /* so far, for the limit */
    uint32_t extension_bytes; /* of this body, for the limit (RFC 9112 7.1.1 warns) */
};

enum h1_chunked_result { CHUNKED_MORE, CHUNKED_DATA, CHUNKED_TRAILER, CHUNKED_END, CHUNKED_BAD };

/* Takes from in what it can: *ret_taken is how many bytes were consumed (data included).
 * MORE: everything was taken, nothing to hand on. DATA: *ret_data is body data inside `in`.
 * TRAILER: the last chunk was seen; the trailer section and its closing empty line must be parsed next, with
 * h1_parse_trailers (which takes at least "\r\n"). BAD: refuse. END is never returned before the trailers. */
enum h1_chunked_result h1_chunked_feed(struct h1_chunked *, struct str in, size_t *ret_taken,
                                       struct str *ret_data);

/* Trailer section through its empty line: like h1_parse_request 's return. Fields that frame or route a
 * message (RFC 9110 6.5.1) are refused. */
ptrdiff_t h1_parse_trailers(struct str in, size_t *scanned, const struct h1_limits *limits,
                            struct arena *arena, struct http_field **ret_fields, unsigned *ret_count,
                            enum http_refusal *ret_refusal);

/* May this field stand in a trailer section, in HTTP/2 as well? Not those that frame, route, authenticate or
 * direct (RFC 9110 6.5.1). */
bool h1_may_trail(const struct http_field *);

/* Writes the size line of a chunk: hex size and CR LF. */
void h1_chunk_write_size(struct buf *, uint64_t size);

/* Character classes of RFC 9110 5.6.2 and 5.5, shared with HTTP/2. */
bool h1_is_token(struct str);
bool h1_is_field_value(struct str); /* visible ASCII, obs-text, inner spaces and tabs; no other control */

#endif
