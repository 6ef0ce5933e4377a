/* config/checks.c - what one key alone cannot tell: settings that contradict each other or lead nowhere. */
#include "config/reader.h"

#include <stdlib.h>

static struct problems *problems(struct reader *r)
{
    return r->problems;
}

/* ---- gate, limits, certificates */

static bool is_loopback(const struct addr *a)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    return a->is_v4 ? a->ip[12] == 127 : memcmp(a->ip, v6_loopback, 16) == 0;
}

void gate_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_gate *gate = base;
    if (gate->management.port && !is_loopback(&gate->management))
        problem_warn(problems(r), node_place(node, "management"),
                     STR("use 127.0.0.1 and forward it with care"),
                     "metrics and status are shown to anyone who reaches this address");
}

void limits_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_limits *l = base;
    const char *later = node_child(node, "target_bytes") ? "target_bytes" : "header_bytes";
    if (l->target_bytes > l->header_bytes)
        problem_error(problems(r), node_place(node, later), STR_NONE,
                      "target_bytes (%u) cannot be more than header_bytes (%u), which it is part of",
                      l->target_bytes, l->header_bytes);
}

void certificate_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    ((struct config_certificate *)base)->index = index;
}

/* ---- partners */

/* What says who a peer is may say it of one partner only. */
static void claim_partner(struct reader *r, const struct node *node, const struct config_partner *p)
{
    for (unsigned i = 0; i < p->network_count; i++) {
        char text[ADDR_TEXT_MAX];
        struct buf b = buf_over(text, sizeof text);
        addr_write_prefix(&b, &p->networks[i]);
        reader_claim(r, CLAIM_PARTNER, 0, arena_copy(r->scratch, buf_text(&b)), node_place(node, "networks"));
    }
    for (unsigned i = 0; i < p->certificate_count; i++)
        if (p->certificates[i].n)
            reader_claim(r, CLAIM_PARTNER, 1, p->certificates[i], node_place(node, "certificates"));
}

void partner_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_partner *p = base;
    p->index = index;
    if (!p->network_count && !p->certificate_count)
        problem_error(
            problems(r), node->at, STR("for example networks: [192.0.2.0/24]"),
            "a partner is known by its 'networks' or its 'certificates'; one of them must be there");
    claim_partner(r, node, p);
}

/* ---- upstreams */

static void claim_endpoints(struct reader *r, const struct node *node, const struct config_upstream *u)
{
    const struct node *list = node_child(node, "endpoints");
    const struct node *child = list ? list->first : NULL;
    for (unsigned i = 0; i < u->endpoint_count && child; i++, child = child->next) {
        const struct config_endpoint *e = &u->endpoints[i];
        if (e->host.n)
            reader_claim(r, CLAIM_ENDPOINT, u->index,
                         arena_printf(r->scratch, "%.*s:%u", STR_ARG(e->host), e->port),
                         node_place(child, "address"));
    }
}

void upstream_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_upstream *u = base;
    unsigned draining = 0;
    u->index = index;
    u->first_endpoint = r->root->config.endpoint_count;
    r->root->config.endpoint_count += u->endpoint_count;
    claim_endpoints(r, node, u);
    for (unsigned i = 0; i < u->endpoint_count; i++)
        draining += u->endpoints[i].drain;
    if (draining && draining == u->endpoint_count)
        problem_warn(problems(r), node_place(node, "endpoints"), STR_NONE,
                     "all endpoints drain: new sessions find none");
    if (u->balance == BALANCE_HASH && u->sticky_cookie.n)
        problem_warn(problems(r), node_place(node, "sticky_cookie"), STR_NONE,
                     "sticky_cookie goes before 'hash': a client with the cookie is never hashed");
}

void concurrency_end(struct reader *r, const struct node *node, void *base, unsigned index [[maybe_unused]])
{
    const struct config_upstream *u = base;
    if (u->concurrency_least > u->concurrency_most)
        problem_error(problems(r), node->at, STR("least must not be more than most"),
                      "an application cannot have at least %u requests and at most %u", u->concurrency_least,
                      u->concurrency_most);
}

void upstream_tls_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_upstream *u = base;
    if (u->tls_verify && !node_child(node, "ca"))
        problem_error(problems(r), node->at, STR("name the authorities with `ca`"),
                      "tls to an upstream needs 'ca': the system's trust store is not used");
    if (!u->tls_verify)
        problem_warn(problems(r), node_place(node, "verify"),
                     STR("name the authorities with `ca` and verify"),
                     "anyone on the way to this upstream can pretend to be it");
}

void check_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    static const char *const http_only[] = {"path", "host", "status"};
    const struct config_upstream *u = base;
    if (u->check_timeout_ms > u->check_interval_ms)
        problem_error(problems(r), node_place(node, node_child(node, "timeout") ? "timeout" : "interval"),
                      STR_NONE, "the timeout of a check cannot be longer than its interval");
    for (size_t i = 0; i < 3; i++)
        if (u->check == CHECK_TCP && node_child(node, http_only[i]))
            problem_warn(problems(r), node_place(node, http_only[i]), STR("set `type: http`"),
                         "'%s' has no effect in a check of type tcp", http_only[i]);
}

/* ---- listeners */

void listener_begin(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_listener *l = base;
    l->limits = r->root->limits;
    l->index = index;
}

void listener_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_listener *l = base;
    l->redirects = l->redirect_port != 0;
    if (l->redirects && l->has_tls)
        problem_error(problems(r), node_place(node, "redirect_to_https"), STR("keep one of the two"),
                      "a listener with tls serves; it cannot redirect to https");
    if (l->has_tls && node_child(node, "http2"))
        problem_error(problems(r), node_place(node, "http2"), STR("it belongs in `tls`"),
                      "'http2' beside 'tls' is for clear text only");
}

void listener_tls_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    const struct config_listener *l = base;
    bool has_ca = node_child(node, "client_ca"), has_crl = node_child(node, "client_crl");
    if (l->client_certificate != CLIENT_CERT_OFF && !has_ca)
        problem_error(problems(r), node_place(node, "client_certificates"),
                      STR("name the authorities with `client_ca`"),
                      "client certificates cannot be verified without 'client_ca'");
    if (has_crl && !has_ca)
        problem_error(problems(r), node_place(node, "client_crl"),
                      STR("name the authorities with `client_ca`"), "'client_crl' needs 'client_ca'");
    if (l->client_certificate == CLIENT_CERT_OFF && has_ca)
        problem_warn(problems(r), node_place(node, "client_ca"), STR("set `client_certificates: optional`"),
                     "'client_ca' has no effect: no client certificate is asked for");
}

void proxy_in_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    if (!node_child(node, "from"))
        problem_warn(problems(r), node->at, STR("name the balancers: `from: [10.0.0.0/8]`"),
                     "anyone who can connect here may claim any client address");
}

/* ---- clusters and routes */

static bool any_listener_asks(const struct config *c)
{
    for (unsigned i = 0; i < c->listener_count; i++)
        if (c->listeners[i].has_tls && c->listeners[i].client_certificate != CLIENT_CERT_OFF)
            return true;
    return false;
}

void route_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_route *route = base;
    route->has_rewrite = route->rewrite.n > 0;
    if (route->client_certificate != CLIENT_CERT_OFF && !any_listener_asks(&r->root->config))
        problem_error(problems(r), node_place(node, "client_certificates"),
                      STR("set `client_certificates: optional` and `client_ca` in a listener's tls"),
                      "no listener asks for client certificates, so nobody could use this route");
}

static int by_match(const void *pa, const void *pb)
{
    const struct config_route *a = pa, *b = pb;
    if (a->path.n != b->path.n)
        return a->path.n > b->path.n ? -1 : 1;
    if (a->exact != b->exact)
        return a->exact ? -1 : 1;
    return str_compare(a->path, b->path);
}

static void claim_paths(struct reader *r, const struct node *node, const struct config_cluster *cluster)
{
    const struct node *list = node_child(node, "routes");
    const struct node *child = list ? list->first : NULL;
    for (unsigned i = 0; i < cluster->route_count && child; i++, child = child->next)
        if (cluster->routes[i].path.n)
            reader_claim(r, CLAIM_PATH, (uint64_t)cluster->index << 1 | cluster->routes[i].exact,
                         cluster->routes[i].path, node_place(child, "path"));
}

void cluster_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    struct config_cluster *cluster = base;
    cluster->index = index;
    config_inherit_notice(r, &cluster->notice);
    claim_paths(r, node, cluster);
    if (!cluster->route_count)
        return;
    struct config_route *routes = arena_alloc(r->arena, cluster->route_count * sizeof *routes);
    if (!routes)
        return;
    memcpy(routes, cluster->routes, cluster->route_count * sizeof *routes);
    config_inherit_waf(r, cluster, routes);
    qsort(routes, cluster->route_count, sizeof *routes, by_match);
    for (unsigned i = 0; i < cluster->route_count; i++)
        routes[i].index = i;
    cluster->routes = routes;
}

/* ---- the whole */

static void check_redirects(struct reader *r, const struct node *listeners)
{
    const struct config *c = &r->root->config;
    const struct node *child = listeners ? listeners->first : NULL;
    for (unsigned i = 0; i < c->listener_count && child; i++, child = child->next) {
        bool found = !c->listeners[i].redirects;
        for (unsigned j = 0; j < c->listener_count && !found; j++)
            found = c->listeners[j].has_tls && c->listeners[j].address.port == c->listeners[i].redirect_port;
        if (!found)
            problem_warn(problems(r), node_place(child, "redirect_to_https"),
                         STR("right only when something in front of the gate takes this port"),
                         "no listener with tls has port %u", c->listeners[i].redirect_port);
    }
}

static void warn_unused(struct reader *r, const struct node *list, const bool *used, const char *noun,
                        const char *by)
{
    const struct node *child = list ? list->first : NULL;
    for (unsigned i = 0; child && used; i++, child = child->next)
        if (!used[i])
            problem_warn(problems(r), child->at, STR_NONE, "%s is not used by any %s", noun, by);
}

static void check_used_upstreams(struct reader *r, const struct node *list)
{
    const struct config *c = &r->root->config;
    bool *used = arena_alloc(r->scratch, c->upstream_count + 1);
    for (unsigned i = 0; i < c->cluster_count && used; i++)
        for (unsigned j = 0; j < c->clusters[i].route_count; j++)
            if (c->clusters[i].routes[j].upstream)
                used[c->clusters[i].routes[j].upstream->index] = true;
    warn_unused(r, list, used, "the upstream", "route");
}

static void check_used_certificates(struct reader *r, const struct node *list)
{
    const struct config *c = &r->root->config;
    bool *used = arena_alloc(r->scratch, c->certificate_count + 1);
    for (unsigned i = 0; i < c->listener_count && used; i++)
        for (unsigned j = 0; j < c->listeners[i].certificate_count; j++)
            if (c->listeners[i].certificates[j])
                used[c->listeners[i].certificates[j]->index] = true;
    for (unsigned i = 0; i < c->upstream_count && used; i++)
        if (c->upstreams[i].tls_certificate)
            used[c->upstreams[i].tls_certificate->index] = true;
    warn_unused(r, list, used, "the certificate", "listener or upstream");
}

/* Beside the access log, and only where there is a firewall that writes into it. */
static void choose_waf_log(struct reader *r, struct config *c)
{
    struct str beside = c->gate.access_log;
    size_t n = beside.n;
    while (n && beside.p[n - 1] != '/')
        n--;
    if (c->gate.waf_log.n)
        return;
    c->gate.waf_log =
        n && c->waf.is_set ? arena_printf(r->arena, "%.*s/waf.jsonl", (int)n - 1, beside.p) : STR("off");
}

void root_end(struct reader *r, const struct node *node, void *base, unsigned index)
{
    choose_waf_log(r, &((struct config_root *)base)->config);
    check_redirects(r, node_child(node, "listeners"));
    if (problems(r)->error_count)
        return; /* what is unused shows only when the rest is right */
    check_used_upstreams(r, node_child(node, "upstreams"));
    check_used_certificates(r, node_child(node, "certificates"));
}
