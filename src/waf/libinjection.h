/* waf/libinjection.h - what we call of libinjection 3.9 (Debian: inside libmodsecurity.a, which brings no
 * header for it). Inside src/waf only. */
#ifndef POLDER_WAF_LIBINJECTION_H
#define POLDER_WAF_LIBINJECTION_H

#include <stddef.h>

enum { LIBINJECTION_FINGERPRINT_MAX = 8 };

/* Not 0: it looks like an attack; fingerprint then ends in a NUL. */
int libinjection_sqli(const char *text, size_t n, char fingerprint[LIBINJECTION_FINGERPRINT_MAX]);
int libinjection_xss(const char *text, size_t n);

#endif
