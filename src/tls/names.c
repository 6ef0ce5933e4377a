#include "tls/names.h"

#include <openssl/x509v3.h>

enum { NAME_MAX_BYTES = 253 };

static bool is_printable(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] > '~')
            return false;
    return true;
}

static void add_name(struct buf *b, size_t end, const ASN1_STRING *name)
{
    const unsigned char *p = ASN1_STRING_get0_data(name);
    size_t n = (size_t)ASN1_STRING_length(name);
    if (n == 0 || n > NAME_MAX_BYTES || b->n + n + 1 > end || !is_printable(p, n))
        return;
    for (size_t i = 0; i < n; i++)
        buf_char(b, ascii_lower((char)p[i]));
    buf_char(b, '\n');
}

void tls_names_write(struct buf *b, const X509 *certificate)
{
    size_t end = b->n + TLS_NAMES_MAX;
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type == GEN_DNS)
            add_name(b, end, g->d.dNSName);
    }
    GENERAL_NAMES_free(all);
    const X509_NAME *subject = X509_get_subject_name(certificate);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
        add_name(b, end, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}
