#include "gate/roles.h"

static bool starts_role(struct str name, enum role *ret)
{
    for (unsigned r = ROLE_WORKER; r < ROLE_COUNT; r++) {
        if (str_eq(name, role_name((enum role)r))) {
            *ret = (enum role)r;
            return true;
        }
    }
    return false;
}

bool role_start_parse(int argc, char *const argv[], struct role_start *ret)
{
    struct role_start start = {.user = STR("polder")};
    for (int i = 1; i < argc; i++) {
        struct str value = str_of(argv[i]);
        struct str key = str_cut(&value, '=');
        uint64_t number = 0;
        bool is_number = str_parse_u64(value, &number) && number <= UINT32_MAX;
        if (str_eq(key, STR("role")) && starts_role(value, &start.role))
            continue;
        if (str_eq(key, STR("slot")) && is_number)
            start.slot = (unsigned)number;
        else if (str_eq(key, STR("user")) && value.n)
            start.user = value;
        else if (str_eq(key, STR("without")) && is_number)
            start.without = (uint32_t)number;
#ifdef POLDER_BREACH
        else if (str_eq(key, STR("breach")) && is_number && number <= INT32_MAX)
            start.breach_fd = (int)number;
#endif
        else
            return false;
    }
    if (start.role == ROLE_ANY)
        return false;
    *ret = start;
    return true;
}

bool role_argv(const struct role_start *start, struct buf *memory, char *ret_argv[ROLE_ARGV_MAX])
{
    unsigned n = 0;
    struct str role = role_name(start->role);
    ret_argv[n++] = memory->p + memory->n;
    BUF_LIT(memory, "polder-gate\0");
    ret_argv[n++] = memory->p + memory->n;
    buf_printf(memory, "role=%.*s%c", STR_ARG(role), 0);
    ret_argv[n++] = memory->p + memory->n;
    buf_printf(memory, "slot=%u%c", start->slot, 0);
    ret_argv[n++] = memory->p + memory->n;
    buf_printf(memory, "user=%.*s%c", STR_ARG(start->user), 0);
    if (start->without) {
        ret_argv[n++] = memory->p + memory->n;
        buf_printf(memory, "without=%u%c", start->without, 0);
    }
#ifdef POLDER_BREACH
    if (start->breach_fd) {
        ret_argv[n++] = memory->p + memory->n;
        buf_printf(memory, "breach=%d%c", start->breach_fd, 0);
    }
#endif
    ret_argv[n] = NULL;
    return !buf_overflowed(memory);
}

struct str role_run_name(enum role_run run)
{
    static const struct str names[ROLE_RUN_COUNT] = {
        [ROLE_RUN_STARTING] = STR("starting"), [ROLE_RUN_UP] = STR("up"),
        [ROLE_RUN_DRAINING] = STR("draining"), [ROLE_RUN_STOPPED] = STR("stopped"),
        [ROLE_RUN_DIED] = STR("died"),
    };
    return (unsigned)run < ROLE_RUN_COUNT ? names[run] : STR("unknown");
}

struct str order_kind_name(enum order_kind kind)
{
    static const struct str names[] = {
        [ORDER_RELOAD] = STR("reload"),
        [ORDER_DRAIN] = STR("drain"),
        [ORDER_UPGRADE] = STR("upgrade"),
    };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : STR("unknown");
}
