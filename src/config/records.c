/* config/records.c - what one key alone cannot tell of the record service. */
#include "config/reader.h"

static void check_paths(struct reader *r, const struct node *node, const struct config_records_cluster *c)
{
    if (c->path.n && c->path.p[c->path.n - 1] == '/')
        problem_error(r->problems, node_place(node, "path"), STR("leave it out"),
                      "the path of a cluster has no '/' at its end");
    if (c->url.n && !str_starts(c->url, STR("http://")) && !str_starts(c->url, STR("https://")))
        problem_error(r->problems, node_place(node, "url"), STR("for example https://noord.example.nl/fhir"),
                      "'url' must begin with https:// or http://");
    if (c->url.n && c->url.p[c->url.n - 1] == '/')
        problem_error(r->problems, node_place(node, "url"), STR("leave it out"),
                      "a base URL has no '/' at its end");
}

void records_cluster_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_records_cluster *c = base;
    c->index = index;
    check_paths(r, node, c);
    if (c->store.n && !str_starts(c->store, STR("postgresql://")))
        problem_error(r->problems, node_place(node, "store"), STR("for example postgresql:///noord"),
                      "it does not begin with postgresql://");
    reader_claim(r, CLAIM_PATH, SECTION_RECORDS_CLUSTER, c->path, node_place(node, "path"));
    if (c->url.n)
        reader_claim(r, CLAIM_HOST, SECTION_RECORDS_CLUSTER, c->url, node_place(node, "url"));
}

/* One path inside another one would make it unclear whose a resource is. */
static void check_nesting(struct reader *r, const struct node *list, const struct config_records *c)
{
    const struct node *at = list ? list->first : NULL;
    for (unsigned i = 0; i < c->cluster_count && at; i++, at = at->next)
        for (unsigned j = 0; j < c->cluster_count; j++) {
            struct str inner = c->clusters[i].path, outer = c->clusters[j].path;
            if (i != j && inner.n > outer.n && str_starts(inner, outer) && inner.p[outer.n] == '/')
                problem_error(r->problems, node_place(at, "path"), STR_NONE,
                              "the path lies inside that of the cluster '%.*s'",
                              STR_ARG(c->clusters[j].name));
            if (j < i && c->clusters[i].store.n && str_eq(c->clusters[i].store, c->clusters[j].store))
                problem_error(r->problems, node_place(at, "store"), STR("a database for each cluster"),
                              "the cluster '%.*s' has this database already", STR_ARG(c->clusters[j].name));
        }
}

void records_issuer_end(struct reader *r, const struct node *node, void *base,
                        unsigned index [[maybe_unused]])
{
    const struct config_records_issuer *i = base;
    struct str tail = STR_NONE;
    if (str_starts(i->url, STR("http://")))
        tail = str_skip(i->url, 7);
    if (i->url.n && !str_starts(i->url, STR("https://")) && !str_starts(tail, STR("127.0.0.1")))
        problem_error(r->problems, node_place(node, "url"), STR("for example https://inloggen.example.nl"),
                      "an issuer's 'url' begins with https:// (http:// only at 127.0.0.1)");
}

/* ---- who may ask */

static bool is_on_loopback(const struct config_records *c)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    for (unsigned i = 0; i < c->listener_count; i++) {
        const struct addr *a = &c->listeners[i].address;
        if (a->is_v4 ? a->ip[12] != 127 : memcmp(a->ip, v6_loopback, 16) != 0)
            return false;
    }
    return true;
}

static void check_access(struct reader *r, const struct node *node, const struct config_records *c)
{
    if (c->access == RECORDS_ACCESS_OFF && !is_on_loopback(c))
        problem_error(
            r->problems, node_place(node, "access"), STR("access: on, with issuers"),
            "'access: off' opens all records to whoever reaches a listener: all of them must be on loopback");
    if (c->access == RECORDS_ACCESS_ON && !c->issuer_count && !c->partner_count)
        problem_error(r->problems, node->at, STR("access: off, to try things out on this machine alone"),
                      "records needs 'issuers': without them nobody could ask for anything");
    if (c->access == RECORDS_ACCESS_OFF && c->issuer_count)
        problem_warn(r->problems, node_place(node, "access"), STR_NONE,
                     "'access: off': the issuers are not asked, everybody sees everything");
}

/* "Patient/1" is somebody in every cluster: a token must say which one it is for. */
static void check_audiences(struct reader *r, const struct node *list, const struct config_records *c)
{
    const struct node *at = list ? list->first : NULL;
    for (unsigned i = 0; i < c->issuer_count && at && c->cluster_count > 1; i++, at = at->next)
        if (c->issuers[i].audience.n)
            problem_error(
                r->problems, node_place(at, "audience"),
                STR("leave it out: then aud is the cluster's base URL"),
                "with several clusters one audience would let a token of one cluster in at another");
}

static bool has_partner(const struct config *c, struct str name)
{
    for (unsigned i = 0; i < c->partner_count; i++)
        if (str_eq(c->partners[i].name, name))
            return c->partners[i].certificate_count > 0;
    return false;
}

static void check_partners(struct reader *r, const struct node *list, const struct config *c)
{
    bool is_behind = false;
    const struct node *at = list ? list->first : NULL;
    for (unsigned i = 0; i < c->records.listener_count; i++)
        is_behind |= c->records.listeners[i].is_behind_gate;
    if (c->records.partner_count && !is_behind)
        problem_error(r->problems, list->at,
                      STR("behind_gate: true, on a listener that only the gate reaches"),
                      "partners come through the gate: a listener must be 'behind_gate'");
    for (unsigned i = 0; i < c->records.partner_count && at; i++, at = at->next)
        if (!has_partner(c, c->records.partners[i].partner))
            problem_error(r->problems, at->at, STR_NONE,
                          "there is no partner '%.*s' with certificates in 'partners'",
                          STR_ARG(c->records.partners[i].partner));
}

/* The base URL where none is given: the first listener's. */
static void choose_urls(struct reader *r, struct config_records *c)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = buf_over(text, sizeof text);
    struct config_records_cluster *clusters = NULL;
    if (!c->listener_count || !c->cluster_count)
        return;
    addr_write(&b, &c->listeners[0].address);
    clusters = arena_alloc(r->arena, c->cluster_count * sizeof *clusters);
    if (!clusters)
        return;
    memcpy(clusters, c->clusters, c->cluster_count * sizeof *clusters);
    for (unsigned i = 0; i < c->cluster_count; i++)
        if (!clusters[i].url.n)
            clusters[i].url =
                arena_printf(r->arena, "http://%.*s%.*s", STR_ARG(buf_text(&b)), STR_ARG(clusters[i].path));
    c->clusters = clusters;
}

void records_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_records *c = &((struct config_root *)base)->config.records;
    if (c->page_entries > c->page_entries_max)
        problem_error(r->problems, node_place(node, "page"), STR_NONE,
                      "a page (%u) cannot have more entries than page_limit (%u)", c->page_entries,
                      c->page_entries_max);
    check_nesting(r, node_child(node, "clusters"), c);
    check_access(r, node, c);
    check_audiences(r, node_child(node, "issuers"), c);
    check_partners(r, node_child(node, "partners"), &((struct config_root *)base)->config);
    choose_urls(r, c);
}
