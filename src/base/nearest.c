#include "base/nearest.h"

enum { NEAREST_MAX = 48 };

struct nearest nearest_to(struct str wanted)
{
    /* A third of the letters may be wrong; beyond that a suggestion is a guess. */
    return (struct nearest){wanted, STR_NONE, (unsigned)(wanted.n < 3 ? 1 : wanted.n / 3) + 1};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b: optimal string alignment. */
static unsigned edit_distance(struct str a, struct str b)
{
    unsigned rows[3][NEAREST_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            bool same = ascii_lower(a.p[i - 1]) == ascii_lower(b.p[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1, UINT32_MAX);
        }
    }
    return rows[a.n % 3][b.n];
}

void nearest_try(struct nearest *near, struct str candidate)
{
    size_t longer = near->wanted.n > candidate.n ? near->wanted.n : candidate.n;
    size_t shorter = near->wanted.n + candidate.n - longer;
    if (shorter == 0 || longer > NEAREST_MAX || longer - shorter >= near->best_distance)
        return;
    unsigned distance = edit_distance(near->wanted, candidate);
    if (distance < near->best_distance) {
        near->best = candidate;
        near->best_distance = distance;
    }
}
