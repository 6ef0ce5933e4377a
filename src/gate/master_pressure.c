/* gate/master_pressure.c - whether the machine runs out of memory, told to the workers through the memory of
 * admission: they may open no file. Documentation/accounting/psi.rst; a kernel without it says nothing. */
#include "gate/master.h"

#include "admission/budget.h"

#include <fcntl.h>
#include <unistd.h>

enum { LOOK_MS = 1000 };

/* "some avg10=1.23 avg60=..." of that line, in permille; 0: it is not there. */
static unsigned avg10(struct str text, struct str line)
{
    static const struct str name = {" avg10=", 7};
    ptrdiff_t at = str_find(text, line);
    text = at < 0 ? STR_NONE : str_skip(text, (size_t)at + line.n);
    if (!str_starts(text, name))
        return 0;
    unsigned permille = 0, digits = 0;
    text = str_skip(text, name.n);
    for (size_t i = 0; i < text.n && digits < 2 && permille < 1000; i++) {
        if (text.p[i] >= '0' && text.p[i] <= '9') {
            permille = permille * 10 + (unsigned)(text.p[i] - '0');
            digits += digits > 0;
        } else if (text.p[i] == '.' && digits == 0) {
            digits = 1;
        } else {
            break;
        }
    }
    return digits == 2 ? permille : permille * 10;
}

static void look(struct timer *t)
{
    struct master *m = container_of(t, struct master, pressure_timer);
    char text[512];
    int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return; /* it never comes */
    struct str all = {text, (size_t)n};
    const struct admission_psi psi = {.memory_some = avg10(all, STR("some")),
                                      .memory_full = avg10(all, STR("full"))};
    admission_pressure_note(m->pressure, &psi, loop_now_us(m->loop));
    timer_set(m->loop, t, loop_now_ms(m->loop) + LOOK_MS);
}

bool pressure_begin(struct master *m)
{
    m->pressure = admission_new(m->admission.area, m->admission.area_size, 0);
    if (!m->pressure)
        return false;
    timer_init(&m->pressure_timer, look);
    timer_set(m->loop, &m->pressure_timer, loop_now_ms(m->loop) + LOOK_MS);
    return true;
}
