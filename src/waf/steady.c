/* Which values stay the same, and where they lie, while a link runs. A variable that is not listed counts as
 * made anew each time: that is always right, and slower. */
#include "waf/plan.h"

enum steadiness variable_steadiness(enum variable v)
{
    switch (v) {
    case VAR_DURATION:
    case VAR_GEO:
    case VAR_GLOBAL:
    case VAR_HIGHEST_SEVERITY:
    case VAR_IP:
    case VAR_MATCHED_VAR:
    case VAR_MATCHED_VAR_NAME:
    case VAR_MATCHED_VARS:
    case VAR_MATCHED_VARS_NAMES:
    case VAR_REQBODY_PROCESSOR: /* ctl sets it */
    case VAR_RESOURCE:
    case VAR_RULE:
    case VAR_SESSION:
    case VAR_TX:
    case VAR_USER:
        return VOLATILE;
    case VAR_ARGS:
    case VAR_ARGS_GET:
    case VAR_ARGS_GET_NAMES:
    case VAR_ARGS_NAMES:
    case VAR_ARGS_POST:
    case VAR_ARGS_POST_NAMES:
    case VAR_FHIR_ATTACHMENT:
    case VAR_FHIR_TEXT:
    case VAR_FHIR_TYPE_ERROR:
    case VAR_FHIR_TYPED:
    case VAR_FILES:
    case VAR_FILES_NAMES:
    case VAR_MULTIPART_FILENAME:
    case VAR_MULTIPART_NAME:
    case VAR_MULTIPART_PART_HEADERS:
    case VAR_QUERY_STRING:
    case VAR_REMOTE_ADDR:
    case VAR_REQUEST_BASENAME:
    case VAR_REQUEST_BODY:
    case VAR_REQUEST_COOKIES:
    case VAR_REQUEST_COOKIES_NAMES:
    case VAR_REQUEST_FILENAME:
    case VAR_REQUEST_HEADERS:
    case VAR_REQUEST_HEADERS_NAMES:
    case VAR_REQUEST_LINE:
    case VAR_REQUEST_METHOD:
    case VAR_REQUEST_PROTOCOL:
    case VAR_REQUEST_URI:
    case VAR_REQUEST_URI_RAW:
    case VAR_RESPONSE_BODY:
    case VAR_RESPONSE_CONTENT_TYPE:
    case VAR_RESPONSE_HEADERS:
    case VAR_RESPONSE_HEADERS_NAMES:
    case VAR_RESPONSE_PROTOCOL:
    case VAR_SERVER_ADDR:
    case VAR_SERVER_NAME:
    case VAR_UNIQUE_ID:
    case VAR_XML:
        return LASTING;
    default:
        return STEADY;
    }
}
