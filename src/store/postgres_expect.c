/* Resources that will be asked for one after another, fetched at once. */
#include "store/postgres_store.h"

enum { INT8_OID = 20, LIST_HEAD = 20 };

void postgres_expect_nothing(struct postgres *p)
{
    PQclear(p->expected);
    p->expected = NULL;
}

/* https://www.postgresql.org/docs/15/protocol-overview.html#PROTOCOL-FORMAT-CODES: array_recv */
static struct str list_of(const uint32_t *numbers, size_t n, struct buf *out)
{
    key_write(out, 1, 4);
    key_write(out, 0, 4);
    key_write(out, INT8_OID, 4);
    key_write(out, n, 4);
    key_write(out, 1, 4);
    for (size_t i = 0; i < n; i++) {
        key_write(out, 8, 4);
        key_write(out, numbers[i], 8);
    }
    return buf_text(out);
}

void postgres_expect(struct store *s, const uint32_t *resources, size_t n)
{
    char memory[LIST_HEAD + ENGINE_EXPECTED_MAX * 12];
    struct buf out = buf_over(memory, sizeof memory);
    struct query *q = s->postgres->is_reading ? query_get(s, STATEMENT_EXPECTED) : NULL;
    postgres_expect_nothing(s->postgres);
    if (!q)
        return;
    query_bind_bytes(q, 1, list_of(resources, n, &out));
    if (postgres_send(s, q->own))
        (void)postgres_wait(s, &s->postgres->expected);
}

static uint64_t number_at(const PGresult *r, int row)
{
    return key_read(PQgetvalue(r, row, 0), 8);
}

bool postgres_find_expected(struct postgres *p, struct postgres_query *q)
{
    uint64_t wanted = q->which == STATEMENT_RESOURCE && p->expected ? key_read(q->values[0], 8) : 0;
    int low = 0, high = wanted ? PQntuples(p->expected) : 0;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (number_at(p->expected, middle) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (!wanted || low == PQntuples(p->expected) || number_at(p->expected, low) != wanted)
        return false;
    q->rows = p->expected;
    q->row = low;
    q->is_expected = true;
    return true;
}
