/* rest/format.h - JSON and XML, in and out: everything behind this works on JSON. */
#ifndef POLDER_REST_FORMAT_H
#define POLDER_REST_FORMAT_H

#include "rest/request.h"

/* A body in XML becomes JSON, in the request and in what is sent to the owner. False: refused. */
[[nodiscard]] bool rest_body_to_json(const struct rest_call *, struct rest_request *, struct rest_http *,
                                     struct rest_answer *);
/* The body as the client wants it, and its media type. */
struct str rest_render(const struct rest_call *, const struct rest_request *, struct rest_answer *,
                       struct str *ret_type);

#endif
