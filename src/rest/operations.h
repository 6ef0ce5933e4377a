/* rest/operations.h - "$name": what a resource, a type or the whole can be asked beyond reading and
 * searching. */
#ifndef POLDER_REST_OPERATIONS_H
#define POLDER_REST_OPERATIONS_H

#include "rest/request.h"
#include "rest/write.h"

enum rest_level { REST_LEVEL_SYSTEM = 1, REST_LEVEL_TYPE = 2, REST_LEVEL_INSTANCE = 4 };

typedef void rest_operation_fn(const struct rest_call *, const struct rest_request *, struct rest_answer *);
typedef enum rest_written rest_writing_fn(const struct rest_call *, const struct rest_request *,
                                          struct rest_answer *);
struct rest_operation {
    struct str name;
    rest_operation_fn *run; /* NULL: it writes */
    rest_writing_fn *write;
    unsigned levels;  /* enum rest_level */
    const char *type; /* NULL: of every type */
    const char *definition;
};
const struct rest_operation *rest_operations(unsigned *ret_count);

rest_operation_fn rest_operation_validate, rest_operation_meta, rest_operation_everything,
    rest_operation_lastn, rest_operation_document, rest_operation_status, rest_operation_events,
    rest_operation_bulk;
/* Is that an operation of an export which is built, where it was asked? */
bool rest_operation_is_bulk(const struct rest_request *);
rest_writing_fn rest_operation_label;

/* Does the operation of the request change something? */
bool rest_operation_writes(const struct rest_request *);
/* In the owner, inside a group. */
enum rest_written rest_operation_write(const struct rest_call *, const struct rest_request *,
                                       struct rest_answer *);
/* Parameters with the meta of a resource as "return". Empty: no memory. */
struct str rest_meta_parameters(const struct rest_call *, struct str resource);

/* A parameter of an operation that was asked by GET; empty: not there. */
struct str rest_operation_parameter(const struct rest_call *, const struct rest_request *, struct str name);

#endif
