/* http/message.h - one canonical HTTP message, whatever protocol it came by.
 *
 * HTTP/1 and HTTP/2 both fill a struct http_request; everything behind it (route, admit, inspect,
 * forward, log) sees only this. All text is borrowed from the connection's buffer or the request's
 * arena and lives as long as the request. */
#ifndef POLDER_HTTP_MESSAGE_H
#define POLDER_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"

enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 };

enum http_method {
    METHOD_OTHER, /* any other token; its text stands in the request */
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_CONNECT,
    METHOD_TRACE,
};

/* Fields the gate itself reads, recognised once while parsing. */
enum http_field_id {
    FIELD_OTHER,
    FIELD_HOST,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_TE,
    FIELD_TRAILER,
    FIELD_UPGRADE,
    FIELD_KEEP_ALIVE,
    FIELD_PROXY_CONNECTION,
    FIELD_EXPECT,
    FIELD_COOKIE,
    FIELD_USER_AGENT,
    FIELD_ACCEPT,
    FIELD_ACCEPT_LANGUAGE,
    FIELD_CONTENT_TYPE,
    FIELD_FORWARDED,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_PROTO,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PORT,
    FIELD_X_REAL_IP,
    FIELD_X_REQUEST_ID,
    FIELD_TRACEPARENT,
    FIELD_TRACESTATE,
    FIELD_HTTP2_SETTINGS,
    FIELD_POLDER, /* x-polder-*: ours alone */
    FIELD_SEC_WEBSOCKET_KEY,
    FIELD_SEC_WEBSOCKET_ACCEPT,
    FIELD_SEC_WEBSOCKET_VERSION,
    FIELD_SET_COOKIE,
    FIELD_DATE,
    FIELD_SERVER,
    FIELD_RETRY_AFTER,
    FIELD_STRICT_TRANSPORT_SECURITY,
    FIELD_VIA,
    FIELD_X_FORWARDED_OTHER, /* any other x-forwarded-*: removed */
    FIELD_ID_COUNT
};

struct http_field {
    struct str name;  /* as it came (HTTP/1) or in lower case (HTTP/2) */
    struct str value; /* without white space around it */
    enum http_field_id id;
};

/* The id of a field name (a token), whatever its case. */
enum http_field_id http_field_id(struct str name);
enum http_method http_method_of(struct str token);

enum http_body {
    BODY_NONE,
    BODY_LENGTH,
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE /* answers only; also HTTP/2 without length */
};

struct http_request {
    enum http_version version;
    enum http_method method;
    struct str method_text;
    struct str target;    /* as it came; for who looks for attacks, not to be acted upon */
    struct str scheme;    /* "http" or "https": how it reached the gate, not what the client said */
    struct str authority; /* lower case host with the port as it came; never empty except in HTTP/1.0 */
    struct str host;      /* authority without port */
    struct str
        path; /* canonical: decoded where unambiguous, dot segments gone; begins with '/' (or is "*") */
    struct str query; /* after '?', canonical; has_query tells "" from none */
    bool has_query;
    bool keep_alive;
    bool expects_continue;
    bool has_upgrade; /* asks for WebSocket (Upgrade: websocket, or :protocol = websocket) */
    bool te_trailers;
    enum http_body body;
    uint64_t content_length; /* BODY_LENGTH */
    struct http_field *fields;
    unsigned field_count;
};

struct http_response {
    enum http_version version;
    uint16_t status;
    bool keep_alive;
    bool has_upgrade;
    enum http_body body;
    uint64_t content_length;
    struct http_field *fields;
    unsigned field_count;
};

/* First field with that id, or NULL. */
const struct http_field *http_find(const struct http_field *, unsigned count, enum http_field_id);
/* Value of the cookie `name` in a Cookie field value (RFC 6265 4.2.1), without quotes around it. The first
 * one of that name counts; the name's case does too. False: not there. */
bool http_cookie_get(struct str cookie_field_value, struct str name, struct str *ret_value);
/* Is `token` one of the comma-separated members of value? ASCII case does not count. */
bool http_list_has(struct str value, struct str token);
/* The standard phrase of a status ("Not Found"); empty for an unknown one. */
struct str http_reason(uint16_t status);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7); writes 29 bytes. */
void http_date_write(struct buf *, int64_t unix_seconds);
/* RFC 9110 9.2.2, and 9.2.1. */
bool http_method_is_idempotent(enum http_method);
bool http_method_is_safe(enum http_method);

/* Why a message was refused: each value is a counter, a status and a sentence (http/refusals.def). */
enum http_refusal {
    REFUSAL_NONE,
#define REFUSAL(name, label, status, text) REFUSAL_##name,
#include "http/refusals.def"
#undef REFUSAL
    REFUSAL_COUNT
};
uint16_t http_refusal_status(enum http_refusal);
struct str http_refusal_name(enum http_refusal); /* "length_and_transfer_encoding" */
struct str http_refusal_text(enum http_refusal); /* a sentence for the client */

#endif
