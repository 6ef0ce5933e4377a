/* rest/request_parse.h - a request while it is parsed. Inside src/rest only. */
#ifndef POLDER_REST_REQUEST_PARSE_H
#define POLDER_REST_REQUEST_PARSE_H

#include "rest/request.h"

struct parsing {
    const struct rest_call *call;
    const struct rest_http *http;
    struct rest_request *request;
    struct rest_answer *answer;
};

/* Each returns false when it refused, with the answer filled. */
void request_take_accept(struct parsing *);  /* request_fields.c */
bool request_check_accept(struct parsing *); /* when the interaction and its parameters are known */
void request_take_conditions(struct parsing *);
void request_take_prefer(struct parsing *);
bool request_take_content_type(struct parsing *);
bool request_take_if_match(struct parsing *);
bool request_take_parameters(struct parsing *); /* request_parameters.c */
/* "application/fhir+json", "xml"; false: another one. */
bool request_format_of(struct str media, enum rest_format *ret);

#endif
