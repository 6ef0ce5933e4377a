/* proxy/admit_pressure.c - how busy this worker is with itself: how late its loop comes to what was due.
 *
 * That says more than the kernel's numbers of who waited for a CPU: those rise with whatever else the machine
 * does at lower priority, while a loop that comes in time serves everybody in time. Memory is the master's to
 * look at
 * (/proc/pressure/memory), for a worker can open nothing. Whoever sees more pressure than the others decides.
 */
#include "proxy/admit_parts.h"

#include "admission/budget.h"

enum {
    SLACK_MS = 26, /* of a timer of 10 ms: its tick, and a turn of the loop */
    LATE_MOST_MS = 1000,
    SMOOTH = 8,
    NOTE_US = 1'000'000,
};

/* Lateness in milliseconds as shares of time (permille), on the scale of enum admission_psi. */
static unsigned as_share(unsigned late_ms)
{
    return late_ms >= 500 ? 950 : late_ms >= 250 ? 800 : late_ms >= 100 ? 600 : 0;
}

void admit_note_lateness(struct admit *a, uint64_t elapsed_ms, uint64_t now_us)
{
    uint64_t late_ms = elapsed_ms > SLACK_MS ? elapsed_ms - SLACK_MS : 0;
    late_ms = late_ms < LATE_MOST_MS ? late_ms : LATE_MOST_MS;
    a->late_ms_x8 += (unsigned)late_ms - a->late_ms_x8 / SMOOTH;
    if (now_us - a->lateness_noted_us < NOTE_US)
        return;
    a->lateness_noted_us = now_us;
    const struct admission_psi psi = {.cpu_some = as_share(a->late_ms_x8 / SMOOTH)};
    admission_pressure_note(a->core, &psi, now_us);
}
