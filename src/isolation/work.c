/* isolation/work.c - the steps by which an order is carried out, and why they stand in this order.
 *
 * What an order closes and what it opens go in two halves; either can be empty. `strict` is as strict as the
 * old state and the new one, for everybody and at every later moment; when nothing opens it is the new state.
 *
 *        step                               after a crash behind it
 *     1  FILTER, WORKERS (strict)  closes   enforced is stricter than the record; kept, and recorded as found
 *     2  WRITE (strict)            closes   the record closes, also after a reboot; the journal is caught up
 *     3  JOURNAL_ORDER             always   who, why and what are known; nothing is open yet that was not
 *     4  WRITE (new)               opens    the record opens, also after a reboot
 *     5  FILTER, WORKERS (new)     opens    carried out
 *     6  CUT                       closes   the sessions that are refused are gone
 *     7  JOURNAL_DONE              always   only now is the order reported as done
 *
 * Invariants, at every instant and after every crash, reboots included (test_crash.c)
 *  1. What is enforced is at least as strict as the newest record, and that as what the journal says was
 * done.
 *  2. Nothing opens, neither in the kernel nor for a reboot, that does not stand in the journal.
 *  3. To close takes no disk: the filter's store comes first. */
#include "isolation/parts.h"

static void add_enforcement(struct isolation_work *work, const struct isolation_state *state)
{
    work_add(work, ISOLATION_EFFECT_FILTER, state);
    work_add(work, ISOLATION_EFFECT_WORKERS, state);
}

static void close_first(struct isolation_work *work, const struct isolation_state *strict)
{
    add_enforcement(work, strict);
    work_add(work, ISOLATION_EFFECT_WRITE, strict);
}

void isolation_work_make(const struct isolation_state *old, const struct isolation_state *new,
                         struct isolation_state *strict, struct isolation_work *ret)
{
    struct comparison c = state_compare(old, new);
    *ret = (struct isolation_work){.tightens = c.tightens, .opens = c.opens};
    if (c.tightens && !new->is_drill) {
        state_stricter(old, new, strict);
        close_first(ret, strict);
    }
    work_add(ret, ISOLATION_EFFECT_JOURNAL_ORDER, new);
    if ((c.opens || !c.tightens) && !new->is_drill)
        work_add(ret, ISOLATION_EFFECT_WRITE, new);
    if (c.opens && !new->is_drill)
        add_enforcement(ret, new);
    if (c.tightens && !new->is_drill)
        work_add(ret, ISOLATION_EFFECT_CUT, new);
    work_add(ret, ISOLATION_EFFECT_JOURNAL_DONE, new);
}
