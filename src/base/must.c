#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_die(const char *file, int line, const char *what)
{
    fprintf(stderr, "polder: internal error at %s:%d: %s\n", file, line, what);
    abort();
}
