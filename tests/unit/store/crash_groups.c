/* What the tests of crashes write and look for. */
#include "crash_groups.h"

#include <stdio.h>

enum { IN_GROUP = 4 };

static char name_of[40], body_of[400];

static void name_resource(unsigned group, unsigned i)
{
    snprintf(name_of, sizeof name_of, "Patient/g%u-%u", group, i);
    snprintf(
        body_of, sizeof body_of,
        "{'resourceType':'Patient','id':'g%u-%u','name':[{'family':'Group%u'}],'birthDate':'2001-01-0%u'}",
        group, i, group, 1 + i);
}

enum store_result crash_write_group(struct store *s, unsigned group)
{
    struct store_write writes[IN_GROUP], last;
    int64_t now;
    size_t failed;
    char text[200];
    for (unsigned i = 0; i < IN_GROUP; i++) {
        name_resource(group, i);
        writes[i] =
            kit_write(STORE_CREATE, arena_copy_z(kit.arena, str_of(name_of)), body_of, STORE_NO_VERSION);
    }
    snprintf(text, sizeof text, "{'resourceType':'Patient','id':'last','name':[{'family':'Last%u'}]}", group);
    last = kit_write(STORE_UPDATE, "Patient/last", text, (int64_t)group - 1);
    enum store_result result = store_begin(s, (int64_t)group * 1'000'000, &now);
    if (result == STORE_FINE)
        result = store_apply(s, writes, IN_GROUP, &failed);
    if (result == STORE_FINE)
        result = store_apply(s, &last, 1, &failed);
    return result == STORE_FINE ? store_commit(s) : result;
}

unsigned crash_read_back(enum store_result *ret_last, bool *ret_lied)
{
    struct store_record r;
    unsigned complete = 0;
    const struct fhir_type *type = fhir_type_find(STR("Patient"));
    *ret_lied = false;
    *ret_last = store_read(kit.reader, NULL, type, STR("last"), kit.arena, &r);
    unsigned versions = *ret_last == STORE_FINE ? (unsigned)r.version : 0;
    for (unsigned group = 1; group <= CRASH_GROUPS; group++) {
        unsigned there = 0;
        for (unsigned i = 0; i < IN_GROUP; i++) {
            name_resource(group, i);
            there += store_read(kit.reader, NULL, type, str_of(name_of + 8), kit.arena, &r) == STORE_FINE;
        }
        *ret_lied |= there != 0 && there != IN_GROUP;
        *ret_lied |= there != 0 && complete != group - 1;
        complete += there == IN_GROUP;
    }
    *ret_lied |= versions != complete;
    return complete;
}
