/* http/inflate.h - Content-Encoding taken off a whole body (RFC 9110 8.4): gzip (RFC 1952) and deflate
 * (RFC 1950, or RFC 1951 without its wrapper, as some clients send), at most two of them.
 *
 * Pure: zlib works in the caller's arena. Nothing comes out that readers could differ on: bytes behind the
 * end (a second gzip member too), a body that is deflate with and without wrapper, a coding nobody knows.
 * Every step does a bounded piece of work, so a bomb costs its sender's turn and nobody else's. */
#ifndef POLDER_HTTP_INFLATE_H
#define POLDER_HTTP_INFLATE_H

#include "base/arena.h"

enum http_coding { CODING_GZIP, CODING_DEFLATE };

enum { HTTP_CODINGS_MAX = 2 };

/* In the order they were applied, so the last comes off first. Zero-initialise. */
struct http_codings {
    enum http_coding items[HTTP_CODINGS_MAX];
    unsigned count; /* 0: the body is not encoded */
};

/* Adds what one Content-Encoding field lists; call it for each such field, in order. "identity" adds nothing.
 * False: a coding we do not know, or too many of them; the body cannot be looked at. */
bool http_codings_add(struct http_codings *, struct str field_value);

struct http_inflate_limits {
    size_t bytes;   /* of each decoded form */
    unsigned ratio; /* a body may become so many times larger, or HTTP_INFLATE_FREE_BYTES */
};

enum { HTTP_INFLATE_FREE_BYTES = 64 << 10 };

enum http_inflate_result {
    INFLATE_MORE, /* step again */
    INFLATE_DONE,
    INFLATE_DAMAGED,   /* not in this coding, broken off, or a wrong checksum */
    INFLATE_AMBIGUOUS, /* readers differ: bytes behind the end, or two ways to read it */
    INFLATE_TOO_LARGE, /* over the limits */
    INFLATE_NO_MEMORY, /* the arena's limit */
};

struct http_inflate;

/* in is borrowed until the last step. Room for the largest result allowed comes out of the arena at once
 * (and is touched only as far as it is filled), with 80 KiB for each coding. NULL: no room in the arena. An
 * empty body is done at once: there is nothing to decode. */
struct http_inflate *http_inflate_new(const struct http_codings *, struct str in,
                                      const struct http_inflate_limits *, struct arena *);
/* A piece of work: at most HTTP_INFLATE_STEP_OUT bytes written, HTTP_INFLATE_STEP_IN read; well below 0.5 ms.
 * After a result other than MORE it says the same again. */
enum http_inflate_result http_inflate_step(struct http_inflate *);
/* After DONE: the decoded body, in the arena. */
struct str http_inflate_output(const struct http_inflate *);

enum { HTTP_INFLATE_STEP_OUT = 32 << 10, HTTP_INFLATE_STEP_IN = 2 << 10 };

/* All steps at once. */
enum http_inflate_result http_inflate(const struct http_codings *, struct str in,
                                      const struct http_inflate_limits *, struct arena *,
                                      struct str *ret_out);

#endif
