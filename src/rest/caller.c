/* rest/caller.c - what a request says of who asks. Its fields come from the gate, or from this machine. */
#include "rest/access.h"
#include "rest/request.h"

static struct str field(const struct rest_http *http, struct str name)
{
    for (unsigned i = 0; i < http->field_count; i++)
        if (str_eq_nocase(http->fields[i].name, name))
            return http->fields[i].value;
    return STR_NONE;
}

/* "initialRequestID=x; requestID=y", as AORTA-on-FHIR has it; both must be logged. */
static void read_aorta(struct str value, struct rest_caller *ret)
{
    while (value.n) {
        struct str part = str_trim(str_cut(&value, ';'));
        struct str name = str_trim(str_cut(&part, '='));
        if (str_eq_nocase(name, STR("requestID")))
            ret->reference = str_trim(part);
        else if (str_eq_nocase(name, STR("initialRequestID")))
            ret->initial_reference = str_trim(part);
    }
}

void rest_caller_read(const struct rest_http *http, struct str peer, struct rest_caller *ret)
{
    struct str forwarded = http->is_behind_gate ? field(http, STR("x-forwarded-for")) : STR_NONE;
    *ret = (struct rest_caller){.address = peer, .reference = field(http, STR("x-request-id"))};
    if (forwarded.n && forwarded.n < 64)
        ret->address = str_trim(str_cut(&forwarded, ','));
    read_aorta(field(http, STR("aorta-id")), ret);
    ret->reference = str_take(ret->reference, 200);
    ret->initial_reference = str_take(ret->initial_reference, 200);
}
