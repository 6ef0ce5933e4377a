/* tests/breach/breach.c - every attack from inside every role, and the proof that the test can see.
 *
 * For each attack and role:
 *   1. behind all walls it must be blocked: refused, or the process killed;
 *   2. the canary: with the walls that attacks.def names removed it must succeed;
 *   3. each of those walls, standing alone, must block it again, so that none is named in vain.
 * Prints TAP. As an ordinary user some canaries are not to be had; their rows say so and still do step 1. */
#include "trial.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { CONCLUSIVE_MIN = 30, TEXT_MAX = 1000 };

static const struct role {
    enum sandbox_profile profile;
    unsigned bit;
    const char *name;
} roles[] = {
    {SANDBOX_WORKER, ON_WORKER, "worker"},
    {SANDBOX_SIGNER, ON_SIGNER, "signer"},
    {SANDBOX_OBSERVER, ON_OBSERVER, "observer"},
    {SANDBOX_DIALER, ON_DIALER, "dialer"},
    {SANDBOX_FILTER, ON_FILTER, "filter"},
    {SANDBOX_COMPILER, ON_COMPILER, "compiler"},
    {SANDBOX_RECORDS_WORKER, ON_RECORDS_WORKER, "records-worker"},
    {SANDBOX_RECORDS_OWNER, ON_RECORDS_OWNER, "records-owner"},
    {SANDBOX_RECORDS_AUDIT, ON_RECORDS_AUDIT, "records-audit"},
    {SANDBOX_RECORDS_EXPORTER, ON_RECORDS_EXPORTER, "records-exporter"},
};

enum verdict { ROW_PASSED, ROW_FAILED, ROW_INCONCLUSIVE, ROW_NEEDS_ROOT };
enum { VERDICT_COUNT = 4 };

struct tally {
    unsigned row, of[VERDICT_COUNT], conclusive_attacks;
};

/* One attack from one role, and why it ended as it did. */
struct row {
    struct scene *scene;
    const struct attack *attack;
    const struct role *role;
    uint32_t stands; /* the walls of this kernel and user */
    struct buf why;
};

static struct trial_result row_try(struct row *row, uint32_t without)
{
    return trial_run(row->scene, row->attack, row->role->profile, without);
}

static void row_explain(struct row *row, const char *when, struct trial_result r)
{
    buf_printf(&row->why, "%s: ", when);
    trial_describe(&row->why, r);
}

/* Unprivileged processes may raise these only under no_new_privs, which then cannot be left out. */
static uint32_t with_companions(uint32_t wall)
{
    const uint32_t leaning =
        WALL_SECCOMP | WALL_WRITE_XOR_EXECUTE | WALL_LANDLOCK_FS | WALL_LANDLOCK_NET | WALL_LANDLOCK_SCOPE;
    return wall & leaning ? wall | WALL_NO_NEW_PRIVS : wall;
}

/* The walls that should each hold this attack off, of those that stand here. */
static uint32_t walls_holding(const struct row *row)
{
    uint32_t holding = row->attack->walls & row->stands;
    if (row->role->bit & row->attack->lacks.profiles)
        holding &= ~row->attack->lacks.walls;
    if (geteuid() != 0)
        holding &=
            ~(uint32_t)(WALL_USER | WALL_CAPABILITIES); /* they stand because there was nothing to drop */
    return holding;
}

static bool each_wall_holds_alone(struct row *row)
{
    uint32_t removed = row->attack->walls | row->attack->also, holding = walls_holding(row);
    for (unsigned i = 0; i < WALL_COUNT; i++) {
        uint32_t wall = 1U << i;
        if (!(holding & wall))
            continue;
        struct str name = sandbox_wall_name((enum sandbox_wall)wall);
        struct trial_result r = row_try(row, removed & ~with_companions(wall));
        if (!trial_was_blocked(r)) {
            buf_printf(&row->why, "behind %.*s alone, ", STR_ARG(name));
            row_explain(row, "it", r);
            return false;
        }
        buf_printf(&row->why, "%.*s%s", STR_ARG(name), holding >> (i + 1) ? ", " : "");
    }
    return true;
}

/* True when the canary failed because nobody can do this here, walls or not. */
static bool is_absent(const struct row *row, struct trial_result r)
{
    int absent = row->attack->absent;
    if (r.end == TRIAL_DIED)
        return r.detail == SIGSEGV && absent == EFAULT;
    return r.end == TRIAL_REFUSED && (r.detail == ENOSYS || (absent && r.detail == absent) ||
                                      (r.detail == EPERM && !row->scene->is_own_machine));
}

static enum verdict row_judge(struct row *row)
{
    if ((row->attack->needs & NEEDS_USERS) == NEEDS_USERS && geteuid() != 0) {
        buf_printf(&row->why, "not without users of their own");
        return ROW_NEEDS_ROOT;
    }
    struct trial_result behind_all = row_try(row, 0);
    row->stands = behind_all.walls;
    if (!trial_was_blocked(behind_all)) {
        row_explain(row, "behind all walls", behind_all);
        return ROW_FAILED;
    }
    if ((row->attack->needs & NEEDS_ROOT) && geteuid() != 0) {
        row_explain(row, "the canary needs root; behind all walls", behind_all);
        return ROW_NEEDS_ROOT;
    }
    struct trial_result canary = row_try(row, row->attack->walls | row->attack->also);
    if (canary.end != TRIAL_SUCCEEDED) {
        row_explain(row, "without its walls", canary);
        return is_absent(row, canary) ? ROW_INCONCLUSIVE : ROW_FAILED;
    }
    row_explain(row, "behind all walls", behind_all);
    buf_printf(&row->why, "; without its walls: succeeded; held by each of: ");
    return each_wall_holds_alone(row) ? ROW_PASSED : ROW_FAILED;
}

static void row_print(struct row *row, enum verdict v, struct tally *tally)
{
    static const char *const skips[] = {
        [ROW_INCONCLUSIVE] = " # SKIP inconclusive: ", [ROW_NEEDS_ROOT] = " # SKIP blocked; "};
    printf("%sok %u - %s/%s%s%.*s\n", v == ROW_FAILED ? "not " : "", ++tally->row, row->role->name,
           row->attack->name, v == ROW_INCONCLUSIVE || v == ROW_NEEDS_ROOT ? skips[v] : " # ",
           STR_ARG(buf_text(&row->why)));
    fflush(stdout);
    tally->of[v]++;
}

static void attack_test(struct scene *scene, const struct attack *attack, struct tally *tally)
{
    bool is_conclusive = false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        char why[TEXT_MAX];
        if (!(attack->profiles & roles[i].bit))
            continue;
        struct row row = {scene, attack, &roles[i], 0, buf_over(why, sizeof why)};
        enum verdict v = row_judge(&row);
        row_print(&row, v, tally);
        is_conclusive |= v == ROW_PASSED;
    }
    tally->conclusive_attacks += is_conclusive;
}

static void tally_print(struct tally *tally)
{
    bool is_enough = tally->conclusive_attacks >= CONCLUSIVE_MIN;
    printf("%sok %u - count # %u attacks conclusive, at least %d wanted\n", is_enough ? "" : "not ",
           ++tally->row, tally->conclusive_attacks, CONCLUSIVE_MIN);
    printf("1..%u\n", tally->row);
    printf(
        "# %u attacks: %u rows blocked and proven, %u failed, %u inconclusive here, %u blocked but unproven "
        "without root\n",
        attack_count, tally->of[ROW_PASSED], tally->of[ROW_FAILED], tally->of[ROW_INCONCLUSIVE],
        tally->of[ROW_NEEDS_ROOT]);
    if (!is_enough)
        tally->of[ROW_FAILED]++;
}

/* The table, for live.py: a name and its numbers on each line, in the order of struct attack. */
static int list(void)
{
    for (unsigned i = 0; i < attack_count; i++) {
        const struct attack *a = &attacks[i];
        printf("%s %u %u %u %u %d\n", a->name, a->profiles, a->walls, a->also, a->needs, a->absent);
    }
    for (unsigned i = 0; i < WALL_COUNT; i++)
        printf("wall %.*s %u\n", STR_ARG(sandbox_wall_name((enum sandbox_wall)(1U << i))), 1U << i);
    return 0;
}

/* breach HELPER [ATTACK...], or breach --list */
int main(int argc, char **argv)
{
    struct scene scene;
    struct tally tally = {0};
    if (argc == 2 && str_eq(str_of(argv[1]), STR("--list")))
        return list();
    if (argc < 2 || !scene_open(&scene, argv[1])) {
        printf("Bail out! the scene cannot be set: %s\n",
               argc < 2 ? "no helper program given" : strerror(errno));
        return 99;
    }
    for (unsigned i = 0; i < attack_count; i++) {
        bool is_wanted = argc == 2;
        for (int k = 2; k < argc; k++)
            is_wanted |= str_eq(str_of(argv[k]), str_of(attacks[i].name));
        if (is_wanted)
            attack_test(&scene, &attacks[i], &tally);
    }
    scene_close(&scene);
    tally_print(&tally);
    return tally.of[ROW_FAILED] ? 1 : 0;
}
