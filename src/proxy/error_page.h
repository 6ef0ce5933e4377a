/* proxy/error_page.h - what a client sees when the gate answers itself: HTML, JSON or a FHIR
 * OperationOutcome, as its Accept field prefers (RFC 9110 12.5.1), with the reference number that also stands
 * in the log. */
#ifndef POLDER_PROXY_ERROR_PAGE_H
#define POLDER_PROXY_ERROR_PAGE_H

#include "proxy/exchange.h"

struct error_page {
    struct http_field fields[4];
    unsigned field_count;
    struct str body; /* in the exchange's arena */
};

void error_page_make(struct exchange *, uint16_t status, enum http_refusal why, struct error_page *ret);

/* Which of the three the Accept field asks for; HTML when it does not say. */
enum error_format { ERROR_HTML, ERROR_JSON, ERROR_FHIR };
enum error_format error_page_format(struct str accept);
/* The weight (times 1000) that an Accept field gives to this very type; 0: it does not name it. */
unsigned error_page_weight(struct str accept, struct str type);

#endif
