/* proxy/websocket.h - the key and its answer in a WebSocket upgrade (RFC 6455 1.3 and 4.2.2). */
#ifndef POLDER_PROXY_WEBSOCKET_H
#define POLDER_PROXY_WEBSOCKET_H

#include "base/buf.h"

enum { WEBSOCKET_KEY_BYTES = 24, WEBSOCKET_ACCEPT_BYTES = 28 };

void websocket_key_write(char ret[WEBSOCKET_KEY_BYTES], const uint64_t random[2]); /* base64 of 16 bytes */
bool websocket_accept_write(char ret[WEBSOCKET_ACCEPT_BYTES],
                            struct str key); /* base64 of SHA-1 of key and GUID */

#endif
