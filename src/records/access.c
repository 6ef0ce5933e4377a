/* records/access.c - see access.h. Nothing is fetched: keys come with the configuration. */
#include "records/access.h"

#include <stdlib.h>

static bool make_issuers(const struct config_records *c, struct rest_guard_options *o, struct buf *problem)
{
    struct access_issuer *list = calloc(c->issuer_count + 1, sizeof *list);
    o->issuers = list;
    o->issuer_count = c->issuer_count;
    for (unsigned i = 0; list && i < c->issuer_count; i++) {
        const struct config_records_issuer *from = &c->issuers[i];
        list[i] = (struct access_issuer){from->url, from->audience, access_keys_new(from->jwks, problem)};
        if (!list[i].keys) {
            buf_printf(problem, " (the keys of the issuer %.*s)", STR_ARG(from->url));
            return false;
        }
    }
    return list != NULL;
}

static const struct config_partner *find_partner(const struct config *c, struct str name)
{
    for (unsigned i = 0; i < c->partner_count; i++)
        if (str_eq(c->partners[i].name, name))
            return &c->partners[i];
    return NULL;
}

static bool make_partners(const struct config *c, struct rest_guard_options *o)
{
    struct rest_partner *list = calloc(c->records.partner_count + 1, sizeof *list);
    for (unsigned i = 0; list && i < c->records.partner_count; i++) {
        const struct config_records_partner *from = &c->records.partners[i];
        const struct config_partner *partner = find_partner(c, from->partner);
        list[i].organisation = from->organisation.n ? from->organisation : from->partner;
        list[i].names = partner ? partner->certificates : NULL;
        list[i].name_count = partner ? partner->certificate_count : 0;
    }
    o->partners = list;
    o->partner_count = c->records.partner_count;
    return list != NULL;
}

static bool make_roles(const struct config_records *c, struct rest_guard_options *o)
{
    struct access_role *list = calloc(c->role_count + 1, sizeof *list);
    for (unsigned i = 0; list && i < c->role_count; i++)
        list[i] = (struct access_role){
            c->roles[i].code, c->roles[i].kind == RECORDS_KIND_PHARMACY ? ACCESS_PHARMACY : ACCESS_PRACTICE};
    o->roles = list;
    o->role_count = c->role_count;
    return list != NULL;
}

bool records_guard_make(const struct config *c, struct buf *ret_problem, struct rest_guard **ret)
{
    struct rest_guard_options options = {.administrators = c->records.administrators,
                                         .administrator_count = c->records.administrator_count};
    if (c->records.issuer_count) {
        options.authorize_url = c->records.issuers[0].authorize;
        options.token_url = c->records.issuers[0].token;
    }
    *ret = NULL;
    if (c->records.access == RECORDS_ACCESS_OFF)
        return true;
    bool is_whole = make_issuers(&c->records, &options, ret_problem) && make_partners(c, &options) &&
                    make_roles(&c->records, &options);
    if (!is_whole)
        rest_guard_options_done(&options);
    if (!is_whole || !(*ret = rest_guard_new(&options))) {
        if (!ret_problem->n)
            BUF_LIT(ret_problem, "there is no memory");
        return false;
    }
    return true;
}
