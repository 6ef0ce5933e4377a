/* tests/breach/attacks.c - the table of attacks, and running one by its name. */
#include "attack_list.h"

#define GATE_STRICT      (ON_WORKER | ON_SIGNER | ON_OBSERVER | ON_COMPILER)
#define RECORDS_WRITING  (ON_RECORDS_OWNER | ON_RECORDS_EXPORTER)
#define RECORDS_READING  (ON_RECORDS_WORKER | ON_RECORDS_EXPORTER)
#define RECORDS          (ON_RECORDS_WORKER | ON_RECORDS_AUDIT | RECORDS_WRITING)
#define ALL              (GATE_STRICT | ON_DIALER | ON_FILTER | RECORDS)
#define BUT(roles)       (ALL & ~(unsigned)(roles))
#define OPENING          (ON_DIALER | OPENING_TO_WRITE) /* open files, the dialer for reading only */
#define OPENING_TO_WRITE (ON_FILTER | RECORDS_READING | ON_RECORDS_OWNER)
#define REMOVING         (ON_FILTER | RECORDS_WRITING)
/* clang-format off */
#define HOLDS               {0, 0} /* each wall, in each role */
#define LACKS(roles, walls) {roles, walls}
/* clang-format on */
#define NO_NEW_PRIVS      WALL_NO_NEW_PRIVS
#define USER              WALL_USER
#define CAPABILITIES      WALL_CAPABILITIES
#define SECCOMP           WALL_SECCOMP
#define LANDLOCK_FS       WALL_LANDLOCK_FS
#define LANDLOCK_NET      WALL_LANDLOCK_NET
#define LANDLOCK_SCOPE    WALL_LANDLOCK_SCOPE
#define LANDLOCK_ANY      (WALL_LANDLOCK_FS | WALL_LANDLOCK_NET | WALL_LANDLOCK_SCOPE)
#define NET_NAMESPACE     WALL_NET_NAMESPACE
#define WRITE_XOR_EXECUTE WALL_WRITE_XOR_EXECUTE
#define NOT_DUMPABLE      WALL_NOT_DUMPABLE
#define LIMITS            WALL_LIMITS

#define ATTACK(name, profiles, walls, also, lacks, needs, absent, help)                                      \
    {#name, help, profiles, walls, also, lacks, needs, absent},
const struct attack attacks[] = {
#include "attacks.def"
};
#undef ATTACK

const unsigned attack_count = sizeof attacks / sizeof *attacks;

#define ATTACK(name, ...) attack_##name,
static attack_function *const functions[] = {
#include "attacks.def"
};
#undef ATTACK

int attack_run(struct str name, const struct attack_world *world)
{
    for (unsigned i = 0; i < attack_count; i++)
        if (str_eq(str_of(attacks[i].name), name)) {
            errno = 0;
            return functions[i](world);
        }
    return ATTACK_UNKNOWN;
}
