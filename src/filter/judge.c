/* filter/judge.c - what would become of a frame: the program itself answers, loaded once more so that it
 * counts and remembers nothing. So there is no second reading of lists and levels that could differ from the
 * first. */
#include "filter/internal.h"

#include <errno.h>

int filter_judge(struct filter *f, uint32_t level, enum filter_direction direction, struct str frame,
                 struct filter_verdict *ret, struct filter_problem *problem)
{
    int error = filter_judge_load(f, problem);
    if (error)
        return error;
    int passes = filter_judge_run(f, level, direction, frame.p, frame.n);
    if (passes < 0)
        return filter_problem_set(problem, passes, "a frame of %zu bytes cannot be judged: %s", frame.n,
                                  strerror(-passes));
    ret->passes = passes;
    return 0;
}
