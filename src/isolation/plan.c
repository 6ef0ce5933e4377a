/* isolation/plan.c - what an order would do to the sessions, partners and clusters there are: for a dry run,
 * before anything is changed. It asks the same judge as the workers. */
#include "isolation/parts.h"

static enum isolation_change change_of(enum isolation_answer old, enum isolation_answer new)
{
    if (new >= ISOLATION_NOTICE && old < ISOLATION_NOTICE)
        return ISOLATION_CUTS;
    return new > old ? ISOLATION_TIGHTENS : new < old ? ISOLATION_OPENS : ISOLATION_SAME;
}

static void note(enum isolation_change *array, size_t i, enum isolation_change change, size_t *cut)
{
    if (array)
        array[i] = change;
    *cut += change == ISOLATION_CUTS;
}

static enum isolation_change change_of_session(const struct isolation_state *old,
                                               const struct isolation_state *new,
                                               const struct isolation_session *session, int64_t now_us)
{
    const struct isolation_question q = {session->cluster, session->partner,   &session->peer,
                                         session->class,   session->direction, session->port};
    return change_of(isolation_judge(old, &q, now_us), isolation_judge(new, &q, now_us));
}

static bool has_leave(const struct isolation_state *s, struct str partner, int64_t now_us)
{
    const struct isolation_scope *site = &s->scope[0];
    for (unsigned i = 0; i < s->exception_count; i++)
        if (!s->exception[i].cluster.n && name_is(&s->exception[i].partner, partner) &&
            exception_holds(&s->exception[i], site, now_us))
            return true;
    return false;
}

/* A partner that only has leave for some ports or networks counts as limited. */
static enum isolation_answer answer_to_partner(const struct isolation_state *s, struct str partner,
                                               int64_t now_us)
{
    const struct isolation_question q = {
        .partner = partner, .class = ISOLATION_PARTNER, .direction = ISOLATION_IN, .port = 443};
    enum isolation_answer answer = isolation_judge(s, &q, now_us);
    return answer >= ISOLATION_NOTICE && has_leave(s, partner, now_us) ? ISOLATION_LIMITED : answer;
}

static enum isolation_answer answer_to_strangers(const struct isolation_state *s, struct str cluster,
                                                 int64_t now_us)
{
    const struct isolation_question q = {
        .cluster = cluster, .class = ISOLATION_UNKNOWN, .direction = ISOLATION_IN, .port = 443};
    return isolation_judge(s, &q, now_us);
}

void isolation_plan(const struct isolation_state *old, const struct isolation_state *new,
                    const struct isolation_inventory *inventory, int64_t now_us, struct isolation_plan *plan)
{
    plan->sessions_cut = plan->partners_cut = plan->clusters_cut = 0;
    for (size_t i = 0; i < inventory->session_count; i++)
        note(plan->sessions, i, change_of_session(old, new, &inventory->sessions[i], now_us),
             &plan->sessions_cut);
    for (size_t i = 0; i < inventory->partner_count; i++) {
        struct str partner = inventory->partners[i].name;
        note(plan->partners, i,
             change_of(answer_to_partner(old, partner, now_us), answer_to_partner(new, partner, now_us)),
             &plan->partners_cut);
    }
    for (size_t i = 0; i < inventory->cluster_count; i++) {
        struct str cluster = inventory->clusters[i];
        note(plan->clusters, i,
             change_of(answer_to_strangers(old, cluster, now_us), answer_to_strangers(new, cluster, now_us)),
             &plan->clusters_cut);
    }
}
