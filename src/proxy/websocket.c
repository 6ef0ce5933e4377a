#include "proxy/websocket.h"

#include <openssl/evp.h>

enum { KEY_MAX = 64 };

void websocket_key_write(char ret[WEBSOCKET_KEY_BYTES], const uint64_t random[2])
{
    unsigned char text[WEBSOCKET_KEY_BYTES + 1];
    EVP_EncodeBlock(text, (const unsigned char *)random, 16);
    memcpy(ret, text, WEBSOCKET_KEY_BYTES);
}

bool websocket_accept_write(char ret[WEBSOCKET_ACCEPT_BYTES], struct str key)
{
    char input[KEY_MAX + 36];
    unsigned char digest[20], text[WEBSOCKET_ACCEPT_BYTES + 1];
    struct buf b = buf_over(input, sizeof input);
    buf_str(&b, key);
    BUF_LIT(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    if (buf_overflowed(&b) || !EVP_Digest(b.p, b.n, digest, NULL, EVP_sha1(), NULL))
        return false;
    EVP_EncodeBlock(text, digest, sizeof digest);
    memcpy(ret, text, WEBSOCKET_ACCEPT_BYTES);
    return true;
}
