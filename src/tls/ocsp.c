/* tls/ocsp.c - is this OCSP answer one to staple, and how long? */
#include "tls/ocsp.h"

#include "base/unconst.h"

#include <openssl/ocsp.h>

#include <time.h>

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* By serial number when the issuer is not in the chain. */
static bool is_about(OCSP_SINGLERESP *single, X509 *leaf, X509 *issuer)
{
    OCSP_CERTID *id = unconst(OCSP_SINGLERESP_get0_id(single));
    ASN1_INTEGER *serial = NULL;
    ASN1_OBJECT *digest = NULL;
    if (OCSP_id_get0_info(NULL, &digest, NULL, &serial, id) != 1 ||
        ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(digest);
    OCSP_CERTID *expected = issuer && md ? OCSP_cert_to_id(md, leaf, issuer) : NULL;
    bool ok = !issuer || (expected && OCSP_id_cmp(id, expected) == 0);
    OCSP_CERTID_free(expected);
    return ok;
}

static bool read_single(OCSP_SINGLERESP *single, int64_t *ret_from_s, int64_t *ret_until_s)
{
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    int status = OCSP_single_get0_status(single, NULL, NULL, &this_update, &next_update);
    if (status != V_OCSP_CERTSTATUS_GOOD || !next_update)
        return false;
    *ret_from_s = seconds_of(this_update);
    *ret_until_s = seconds_of(next_update);
    return true;
}

bool ocsp_read(struct str der, X509 *leaf, X509 *issuer, int64_t *ret_from_s, int64_t *ret_until_s)
{
    const unsigned char *p = (const unsigned char *)der.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
    OCSP_BASICRESP *basic = response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
                                ? OCSP_response_get1_basic(response)
                                : NULL;
    bool ok = false;
    for (int i = 0; basic && !ok && i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ok = is_about(single, leaf, issuer) && read_single(single, ret_from_s, ret_until_s);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return ok;
}
