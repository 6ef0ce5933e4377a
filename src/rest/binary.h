/* rest/binary.h - Binary as what it holds (https://hl7.org/fhir/R4/binary.html#rest): read with its own media
 * type where no FHIR format is asked for, written from bytes as they are. */
#ifndef POLDER_REST_BINARY_H
#define POLDER_REST_BINARY_H

#include "rest/request.h"

/* Is the body of this create or update the content itself, and not a resource of type Binary? */
bool rest_binary_is_content(const struct rest_request *, struct str media, struct str body);
/* Such a body becomes a resource, in the request and in what is sent to the owner. False: refused. */
[[nodiscard]] bool rest_binary_wrap(const struct rest_call *, struct rest_request *, struct rest_http *,
                                    struct rest_answer *);
/* The content of a Binary that was read, and its media type. False: no memory, or no content that can be
 * decoded. */
[[nodiscard]] bool rest_binary_content(const struct rest_call *, struct str resource, struct str *ret_type,
                                       struct str *ret);

/* A compressed body (Content-Encoding: gzip, deflate) becomes a plain one; of others nothing is changed.
 * bytes_max: of the plain one. False: refused. (encoding.c) */
[[nodiscard]] bool rest_body_decode(const struct rest_call *, struct rest_http *, size_t bytes_max,
                                    struct rest_answer *);

#endif
