#include "tls/digest.h"

#include "base/must.h"

#include <openssl/evp.h>

void digest_sha256(const void *bytes, size_t n, uint8_t ret[32])
{
    unsigned length = 0;
    must(EVP_Digest(bytes, n, ret, &length, EVP_sha256(), NULL) == 1 && length == 32);
}
