/* What the body parsers share, and form bodies (WHATWG URL, application/x-www-form-urlencoded, as ModSecurity
 * reads it: empty names count, what is no encoding stays). */
#include "waf/tx.h"

#include "base/must.h"

static const char *const processor_names[] = {
    [PROCESSOR_NONE] = "Request body",   [PROCESSOR_URLENCODED] = "Request body",
    [PROCESSOR_MULTIPART] = "Multipart", [PROCESSOR_JSON] = "JSON",
    [PROCESSOR_XML] = "XML parser",
};

void body_fail(struct body *body, const struct body_input *in, const char *what)
{
    if (!body->has_error)
        body->error = arena_printf(in->arena, "%s parsing error: %s", processor_names[body->processor], what);
    body->has_error = true;
}

bool body_add_arg(const struct body_input *in, struct body *body, struct str name, struct str value)
{
    if (in->args_before + body->args.n >= in->limits->arguments) {
        body->limit = WAF_LIMIT_ARGUMENTS;
        body_fail(body, in, "more arguments than SecArgumentsLimit");
        return false;
    }
    if (in->tx)
        tx_work(in->tx, name.n + value.n + 60);
    if (pairs_add(&body->args, in->arena, name, value))
        return true;
    body->limit = WAF_LIMIT_MEMORY;
    body_fail(body, in, "no memory for more arguments");
    return false;
}

void body_hold(const struct body_input *in, void *held, void (*release)(void *))
{
    if (!in->tx)
        return;
    must(!in->tx->held.p);
    in->tx->held.p = held;
    in->tx->held.release = release;
}

void body_release(const struct body_input *in, void *held, void (*release)(void *))
{
    if (in->tx)
        in->tx->held.p = NULL;
    release(held);
}

void form_parse(const struct body_input *in, struct body *body, struct str text)
{
    while (text.n) { /* what follows the last & counts only if it is not empty */
        struct str value = str_cut(&text, '&'), name = str_cut(&value, '=');
        name = text_url_decode(name, in->arena, &body->bad_encodings);
        value = text_url_decode(value, in->arena, &body->bad_encodings);
        if (!body_add_arg(in, body, name, value))
            return;
    }
}

void body_parse_urlencoded(const struct body_input *in, struct body *body)
{
    form_parse(in, body, in->bytes);
}
