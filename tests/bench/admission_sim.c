/* tests/bench/admission_sim.c - prints what src/admission makes of each scenario, in virtual time: for each
 * sort of clients how many were served, refused or gave up, and how long they waited; then how much of the
 * origin was used and what limit the gate had found. `admission-sim N` runs one of them, with seeds 1 to 5.
 */
#include "admission_scenarios.h"

#include <stdio.h>
#include <stdlib.h>

static double share(uint64_t part, uint64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

static void print_group(const struct model_result *r, unsigned g, const char *name)
{
    uint64_t offered = r->groups[g].offered;
    printf("  %-10s %8llu offered  %6.2f %% served  %6.2f %% refused  %6.2f %% gave up   p50 %7.1f  p99 "
           "%7.1f ms\n",
           name, (unsigned long long)offered, share(r->groups[g].served, offered),
           share(r->groups[g].refused, offered), share(r->groups[g].gave_up, offered), r->groups[g].p50_ms,
           r->groups[g].p99_ms);
}

static void print_run(const struct model *m)
{
    struct model_result r;
    model_run(m, &r);
    printf("\n%s\n", m->name);
    for (unsigned g = 0; g < MODEL_GROUPS_MAX && m->groups[g].name; g++)
        if (r.groups[g].offered)
            print_group(&r, g, m->groups[g].name);
    printf("  origin: %.1f %% used, its p99 %.1f ms; limit %.0f to %.0f, mean %.1f; over the limit %llu, "
           "idle while "
           "waiting %llu, wasted %llu\n",
           100 * r.used, r.origin_p99_ms, r.limit_low, r.limit_high, r.limit_mean,
           (unsigned long long)r.over_limit, (unsigned long long)r.idle_waits, (unsigned long long)r.wasted);
    fflush(stdout);
}

int main(int count, char **words)
{
    unsigned one = count > 1 ? (unsigned)strtoul(words[1], NULL, 10) : SCENARIO_COUNT;
    if (one < SCENARIO_COUNT) {
        struct model m = scenarios[one];
        for (m.seed = 1; m.seed <= 5; m.seed++)
            print_run(&m);
        return 0;
    }
    for (unsigned i = 0; i < SCENARIO_COUNT; i++)
        print_run(&scenarios[i]);
    return 0;
}
