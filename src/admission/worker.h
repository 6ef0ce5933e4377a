/* admission/worker.h - the inside of a struct admission, for the files of this folder. */
#ifndef POLDER_ADMISSION_WORKER_H
#define POLDER_ADMISSION_WORKER_H

#include "admission/area.h"
#include "admission/queue.h"

struct admission {
    struct area area;
    unsigned worker;
    struct pool *pools;
    struct flow **flows; /* NULL: not in this configuration */
};

#endif
