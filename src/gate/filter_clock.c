/* gate/filter_clock.c - may time open anything? Only on a clock that is known: it is synchronised, or has run
 * on without a step since it was, measured against CLOCK_BOOTTIME, which nobody sets.
 *
 * Where no time service ever synchronised it, the clock may still end what was ordered while this process
 * watched it: a wrong clock that never stepped measures "eight hours" as well as a right one (decision 29).
 */
#include "gate/filter_desk.h"

#include <sys/timex.h>
#include <time.h>

#define STEP_US INT64_C(1'000'000) /* less than that in a second is a clock being slewed, 500 ppm at most */
#define SLEW    2000               /* a step is more than 1/2000 of the time that has passed, too */

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1'000'000 + t.tv_nsec / 1000;
}

int64_t desk_now_us(void)
{
    return read_us(CLOCK_REALTIME);
}

static bool is_synchronised(void)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    return state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
}

void clock_begin(struct clock_watch *c)
{
    *c = (struct clock_watch){desk_now_us(), read_us(CLOCK_BOOTTIME), is_synchronised()};
}

static bool has_stepped(const struct clock_watch *c, int64_t wall_us, int64_t boot_us)
{
    int64_t passed = boot_us - c->boot_us, off = wall_us - c->wall_us - passed;
    return (off < 0 ? -off : off) > STEP_US + passed / SLEW;
}

static bool began_before(const struct isolation_scope *scope, int64_t us)
{
    bool has_end = scope->now.depth > 1 || scope->confirm_by_us;
    return has_end && (scope->since_us < us || scope->now.depth > 2);
}

/* Whether everything that has an end was ordered after we began to watch. */
static bool was_watched(const struct clock_watch *c, const struct isolation_state *s)
{
    for (unsigned i = 0; i < s->scope_count; i++)
        if (began_before(&s->scope[i], c->wall_us))
            return false;
    return true;
}

struct isolation_moment clock_moment(struct clock_watch *c, const struct isolation_state *state)
{
    int64_t wall_us = desk_now_us(), boot_us = read_us(CLOCK_BOOTTIME);
    if (is_synchronised()) {
        *c = (struct clock_watch){wall_us, boot_us, true};
        return (struct isolation_moment){wall_us, true};
    }
    if (has_stepped(c, wall_us, boot_us)) { /* what is ordered from now on is measured by the new one */
        *c = (struct clock_watch){wall_us, boot_us, false};
        return (struct isolation_moment){wall_us, false};
    }
    return (struct isolation_moment){wall_us, c->was_synchronised || was_watched(c, state)};
}
