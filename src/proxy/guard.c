/* proxy/guard.c - a worker's copy of the isolation in force, and answers made from it: see guard.h.
 *
 * While nothing is isolated every question is answered by one flag. Otherwise answers are kept in cells, by
 * cluster, partner and class, and made when they are first asked for; a newer state or configuration makes
 * all of them old at once. What an exception could change is asked anew each time. */
#include "proxy/guard.h"

#include "isolation/codec.h"

#include <stdlib.h>

enum { CELLS = 1024 };

struct cell {       /* names by value: configurations come and go */
    uint64_t epoch; /* 0: empty */
    struct guard_verdict verdict;
    struct isolation_name cluster, partner;
    uint8_t class;
    bool may_be_excepted;
};

struct guard {
    struct proxy *proxy;
    struct deferred cut; /* of a state that a request found */
    uint64_t sequence;   /* of the copy; 0: none was published */
    uint64_t epoch;      /* of the cells: counts states and configurations */
    bool is_open;        /* everybody passes everywhere */
    bool is_sealed;      /* in every cluster only the management line passes */
    bool is_applied;     /* what the copy refuses was cut */
    struct isolation_state state;
    struct cell cells[CELLS];
};

/* ---- the copy */

/* What holds before anybody said anything. Order 1 is nobody's: it only cuts the partners off. */
static void close_all(struct guard *g)
{
    isolation_state_init(&g->state, loop_wall_us(g->proxy->loop));
    g->state.order = 1;
    g->state.scope[0].now.layer[0] =
        (struct isolation_layer){.order = 1, .cut = 1, .level = ISOLATION_CLOSED};
}

static bool stack_is_bounded(const struct isolation_stack *s)
{
    for (unsigned i = 0; i < s->depth && s->depth <= ISOLATION_LAYERS; i++)
        if (s->layer[i].level >= ISOLATION_LEVEL_COUNT)
            return false;
    return s->depth <= ISOLATION_LAYERS;
}

/* Every count and length inside its array, so that the rest of isolation/ may look at it. */
static bool is_bounded(const struct isolation_state *s)
{
    if (s->scope_count > ISOLATION_SCOPES || s->exception_count > ISOLATION_EXCEPTIONS ||
        s->standing_count > ISOLATION_STANDINGS)
        return false;
    for (unsigned i = 0; i < s->scope_count; i++)
        if (s->scope[i].cluster.n > ISOLATION_NAME_MAX || s->scope[i].who.n > ISOLATION_NAME_MAX ||
            !stack_is_bounded(&s->scope[i].now) || !stack_is_bounded(&s->scope[i].before))
            return false;
    for (unsigned i = 0; i < s->exception_count; i++)
        if (s->exception[i].cluster.n > ISOLATION_NAME_MAX ||
            s->exception[i].partner.n > ISOLATION_NAME_MAX || s->exception[i].prefix.bits > 128)
            return false;
    for (unsigned i = 0; i < s->standing_count; i++)
        if (s->standing[i].cluster.n > ISOLATION_NAME_MAX || s->standing[i].partner.n > ISOLATION_NAME_MAX ||
            s->standing[i].stage >= ISOLATION_STAGE_COUNT)
            return false;
    return true;
}

static bool everybody_passes(const struct isolation_state *s)
{
    return s->scope_count == 1 && isolation_level(s, STR_NONE) == ISOLATION_OPEN &&
           s->scope[0].now.layer[s->scope[0].now.depth - 1].cut == 0 && s->standing_count == 0;
}

static bool is_sealed_everywhere(const struct guard *g)
{
    const struct snapshot *s = g->proxy->snapshot;
    unsigned sealed = 0;
    if (isolation_level(&g->state, STR_NONE) == ISOLATION_SEALED)
        return true;
    for (unsigned i = 0; s && i < s->config->cluster_count; i++)
        sealed += isolation_level(&g->state, s->config->clusters[i].name) == ISOLATION_SEALED;
    return s && sealed == s->config->cluster_count;
}

static void compile(struct guard *g)
{
    g->epoch++;
    g->is_open = everybody_passes(&g->state);
    g->is_sealed = is_sealed_everywhere(g);
    g->is_applied = false;
    counter_set(g->proxy->counts, COUNTER_isolation_level, isolation_level(&g->state, STR_NONE));
}

/* True: it was not this one that we had. */
static bool take(struct guard *g)
{
    const struct perimeter *from = &g->proxy->perimeter;
    if (!from->area || perimeter_sequence(from) == g->sequence)
        return false;
    g->sequence = perimeter_read(from, &g->state);
    if (!g->sequence || !is_bounded(&g->state) || !state_is_sane(&g->state))
        close_all(g);
    compile(g);
    return true;
}

static void cut(struct guard *g)
{
    loop_undefer(&g->cut);
    if (!g->is_applied)
        guard_cut(g->proxy);
    g->is_applied = true;
    atomic_store_explicit(&g->proxy->counts->isolation_applied, g->sequence, memory_order_release);
}

static void cut_deferred(struct deferred *d)
{
    cut(container_of(d, struct guard, cut));
}

void guard_look(struct proxy *p)
{
    take(p->guard);
    if (!p->guard->is_applied)
        cut(p->guard);
}

/* Below a request, where nobody else may be closed yet. */
static void refresh(struct guard *g)
{
    if (take(g))
        loop_defer(g->proxy->loop, &g->cut);
}

void guard_reconfigured(struct proxy *p)
{
    compile(p->guard);
    loop_defer(p->loop, &p->guard->cut);
}

struct guard *guard_new(struct proxy *p)
{
    struct guard *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->proxy = p;
    deferred_init(&g->cut, cut_deferred);
    close_all(g);
    compile(g);
    g->is_applied = true; /* there is nobody yet */
    return g;
}

void guard_free(struct guard *g)
{
    if (g)
        loop_undefer(&g->cut);
    free(g);
}

void proxy_perimeter(struct proxy *p, const struct perimeter *perimeter)
{
    p->perimeter = *perimeter;
    guard_look(p);
}

const struct isolation_state *guard_state(const struct proxy *p)
{
    return &p->guard->state;
}

/* ---- answers */

static struct isolation_question question_of(const struct config_cluster *cluster,
                                             const struct guard_peer *peer)
{
    return (struct isolation_question){.cluster = cluster ? cluster->name : STR_NONE,
                                       .partner = peer->partner,
                                       .address = peer->address,
                                       .class = peer->class,
                                       .direction = ISOLATION_IN,
                                       .port = peer->port};
}

static bool may_be_excepted(const struct isolation_state *s, struct str cluster, struct str partner)
{
    for (unsigned i = 0; i < s->exception_count; i++) {
        struct str of = ISOLATION_STR(s->exception[i].cluster);
        if (str_eq(ISOLATION_STR(s->exception[i].partner), partner) && (!of.n || str_eq(of, cluster)))
            return true;
    }
    return false;
}

static struct cell *cell_of(struct guard *g, const struct isolation_question *q)
{
    uint64_t key = hash_bytes(&g->proxy->seed, q->cluster.p, q->cluster.n);
    key ^= hash_mix(hash_bytes(&g->proxy->seed, q->partner.p, q->partner.n) + q->class);
    return &g->cells[key % CELLS];
}

static bool is_of(const struct guard *g, const struct cell *c, const struct isolation_question *q)
{
    return c->epoch == g->epoch && c->class == q->class && str_eq(ISOLATION_STR(c->cluster), q->cluster) &&
           str_eq(ISOLATION_STR(c->partner), q->partner);
}

static void fill(struct guard *g, struct cell *c, const struct isolation_question *q)
{
    *c = (struct cell){.epoch = g->epoch, .class = (uint8_t)q->class};
    if (!isolation_name_set(&c->cluster, q->cluster) || !isolation_name_set(&c->partner, q->partner))
        c->epoch = 0; /* good for this once */
    c->verdict.answer = isolation_judge(&g->state, q, loop_wall_us(g->proxy->loop));
    c->verdict.level = isolation_level(&g->state, q->cluster);
    if (q->class == ISOLATION_PARTNER) {
        isolation_stage(&g->state, q->cluster, q->partner, &c->verdict.rate_per_s);
        c->may_be_excepted = may_be_excepted(&g->state, q->cluster, q->partner);
    }
}

struct guard_verdict guard_judge(struct proxy *p, const struct config_cluster *cluster,
                                 const struct guard_peer *peer)
{
    struct guard *g = p->guard;
    refresh(g);
    if (g->is_open)
        return (struct guard_verdict){ISOLATION_PASS, ISOLATION_OPEN, 0};
    const struct isolation_question q = question_of(cluster, peer);
    struct cell *c = cell_of(g, &q);
    if (!is_of(g, c, &q))
        fill(g, c, &q);
    struct guard_verdict verdict = c->verdict;
    if (c->may_be_excepted)
        verdict.answer = isolation_judge(&g->state, &q, loop_wall_us(p->loop));
    return verdict;
}

static bool endpoint_address(const struct proxy *p, const struct endpoint *e, struct addr *ret)
{
    *ret = e->config->address;
    return !e->config->is_name || (e->shared != SHARED_NO_SLOT &&
                                   shared_endpoint_address(shared_endpoint(p->shared, e->shared), ret));
}

uint8_t guard_judge_out(const struct exchange *ex)
{
    const struct guard *g = ex->proxy->guard;
    uint8_t worst = ISOLATION_PASS;
    if (g->is_open || !ex->route)
        return worst;
    const struct pool *pool = &ex->snapshot->pools[ex->route->upstream->index];
    for (unsigned i = 0; i < pool->endpoint_count; i++) {
        struct addr address;
        const struct config_partner *partner = endpoint_address(ex->proxy, &pool->endpoints[i], &address)
                                                   ? guard_partner_at(ex->snapshot, &address)
                                                   : NULL;
        struct isolation_question q = {.cluster = ex->cluster->name,
                                       .address = &address,
                                       .class = ISOLATION_PARTNER,
                                       .direction = ISOLATION_OUT,
                                       .port = pool->endpoints[i].config->port};
        if (!partner)
            continue;
        q.partner = partner->name;
        uint8_t answer = (uint8_t)isolation_judge(&g->state, &q, loop_wall_us(ex->proxy->loop));
        worst = answer > worst ? answer : worst;
    }
    return worst;
}

bool guard_may_come(struct proxy *p, const struct addr *peer)
{
    struct guard *g = p->guard;
    refresh(g);
    return !g->is_sealed || guard_is_management(p, peer);
}
