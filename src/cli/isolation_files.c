/* cli/isolation_files.c - record and journal of isolation as files: found, read, and written for the first
 * time. No gate is asked, so that all of it works when there is none. */
#include "cli/isolation.h"

#include "base/unconst.h"
#include "base/utc.h"
#include "config/value.h"
#include "isolation/record.h"
#include "sys/durable.h"
#include "tls/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_ARENA = 64 << 20, JOURNAL_MAX = 256 << 20, STATE_MODE = 0750 };

static const char default_config[] = "/etc/polder/polder.yaml";

/* ---- moments */

static int64_t now_us(void)
{
    return (int64_t)time(NULL) * 1'000'000;
}

static bool read_numbers(struct str text, const char *pattern, int ret[6], struct str *ret_rest)
{
    unsigned n = 0;
    for (; *pattern; pattern++) {
        uint64_t number;
        size_t digits = *pattern == '4' ? 4 : 2;
        if (*pattern != '4' && *pattern != '2') {
            if (!text.n || text.p[0] != *pattern)
                return false;
            text = str_skip(text, 1);
            continue;
        }
        if (text.n < digits || !str_parse_u64(str_take(text, digits), &number))
            return false;
        ret[n++] = (int)number;
        text = str_skip(text, digits);
    }
    *ret_rest = text;
    return true;
}

static bool local_us(struct tm *tm, int64_t *ret_us)
{
    tm->tm_isdst = -1;
    time_t at = mktime(tm);
    *ret_us = (int64_t)at * 1'000'000;
    return at > 0;
}

static bool of_today(struct str text, bool is_future, int64_t *ret_us)
{
    int n[6];
    struct tm tm;
    struct str rest;
    time_t now = time(NULL);
    if (!read_numbers(text, "2:2", n, &rest) || rest.n || n[0] > 23 || n[1] > 59 || !localtime_r(&now, &tm))
        return false;
    tm.tm_hour = n[0];
    tm.tm_min = n[1];
    tm.tm_sec = 0;
    if (local_us(&tm, ret_us) && is_future == (*ret_us > (int64_t)now * 1'000'000))
        return true;
    tm.tm_mday += is_future ? 1 : -1;
    return local_us(&tm, ret_us);
}

static bool of_date(struct str text, int64_t *ret_us)
{
    int n[6] = {0};
    struct str rest;
    if (!read_numbers(text, "4-2-2T2:2:2", n, &rest) && !read_numbers(text, "4-2-2T2:2", n, &rest))
        return false;
    if (n[0] < 1970 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 || n[5] > 59)
        return false;
    if (str_eq(rest, STR("Z"))) {
        *ret_us = time_from_civil(n[0], (unsigned)n[1], (unsigned)n[2], (unsigned)n[3], (unsigned)n[4],
                                  (unsigned)n[5]) *
                  1'000'000;
        return true;
    }
    struct tm tm = {.tm_year = n[0] - 1900,
                    .tm_mon = n[1] - 1,
                    .tm_mday = n[2],
                    .tm_hour = n[3],
                    .tm_min = n[4],
                    .tm_sec = n[5]};
    return !rest.n && local_us(&tm, ret_us);
}

bool isolation_moment(struct str text, bool is_future, int64_t *ret_us)
{
    uint64_t ms;
    if (of_today(text, is_future, ret_us) || of_date(text, ret_us))
        return true;
    if (!value_duration_ms(text, &ms) || !ms)
        return false;
    *ret_us = is_future ? now_us() + (int64_t)ms * 1000 : now_us() - (int64_t)ms * 1000;
    return true;
}

/* ---- the folder */

static bool read_config(struct isolation_files *f, const char *path)
{
    struct config_problem *problems;
    unsigned count;
    struct str yaml, error = STR("no memory");
    struct config_disk *disk = config_disk_new(str_of(path));
    f->arena = arena_new(CONFIG_ARENA);
    if (f->arena && disk && config_disk_open(disk, &yaml, &error)) {
        struct config_files files = config_disk_files(disk);
        f->config = config_parse(str_of(path), yaml, &files, f->arena, &problems, &count);
        error = STR("it has mistakes; `polder check` says which");
    }
    config_disk_free(disk);
    if (!f->config)
        cli_complain(
            "the configuration %s cannot be used: %.*s. --state FOLDER names the state directory itself",
            path, STR_ARG(error));
    return f->config != NULL;
}

static bool is_inside(const char *folder)
{
    char path[320];
    struct stat st;
    struct buf b = buf_over(path, sizeof path);
    buf_printf(&b, "%s/journal%c", folder, 0);
    return !buf_overflowed(&b) && stat(path, &st) == 0;
}

bool isolation_files_find(struct isolation_files *f, const struct cli *cli)
{
    *f = (struct isolation_files){0};
    struct buf b = buf_over(f->folder, sizeof f->folder);
    if (!cli->state && !read_config(f, cli->config ? cli->config : default_config))
        return false;
    struct str state = cli->state ? str_of(cli->state) : f->config->gate.state_directory;
    bool is_given_itself = cli->state && is_inside(cli->state);
    buf_str(&b, state);
    buf_str(&b, is_given_itself ? STR_NONE : STR("/isolation"));
    buf_char(&b, '\0');
    if (buf_overflowed(&b))
        cli_complain("the path of the state directory is too long");
    return !buf_overflowed(&b);
}

/* ---- reading */

static int read_one(int folder, const char *name, size_t limit, struct str *ret)
{
    int fd = durable_open_reader(folder, name);
    *ret = STR_NONE;
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int error = durable_read(fd, limit, ret);
    close(fd);
    return error;
}

static bool read_record(struct isolation_files *f, int folder)
{
    struct str slots[2];
    int error = read_one(folder, "record.0", ISOLATION_RECORD_MAX, &slots[0]);
    int second = read_one(folder, "record.1", ISOLATION_RECORD_MAX, &slots[1]);
    struct arena *scratch = arena_new(ISOLATION_RECORD_ARENA);
    f->state = calloc(1, sizeof *f->state);
    if (scratch && f->state && !error && !second)
        f->has_state =
            isolation_record_choose(slots[0], slots[1], scratch, f->state).choice != ISOLATION_RECORD_NONE;
    arena_free(scratch);
    free(unconst(slots[0].p));
    free(unconst(slots[1].p));
    if (error || second)
        cli_complain("the record in %s cannot be read: %s", f->folder, strerror(error ? -error : -second));
    return f->state && !error && !second;
}

static void complain_of_folder(const struct isolation_files *f, int error)
{
    if (error == EACCES)
        cli_complain("%s is for those who may read the gate's state: run this as root", f->folder);
    else
        cli_complain(
            "the folder %s cannot be opened: %s. `polder isolation init` makes it; --state names another",
            f->folder, strerror(error));
}

/* The record first: the journal only grows, so what the record remembers must be in what is read later. */
bool isolation_files_open(struct isolation_files *f, const struct cli *cli)
{
    if (!isolation_files_find(f, cli))
        return false;
    int folder = durable_open_folder(f->folder);
    if (folder < 0) {
        complain_of_folder(f, -folder);
        return false;
    }
    f->scratch = arena_new(ISOLATION_JOURNAL_ARENA);
    bool ok = f->scratch && read_record(f, folder);
    int error = ok ? read_one(folder, "journal", JOURNAL_MAX, &f->journal) : 0;
    close(folder);
    if (error)
        cli_complain("the journal in %s cannot be read: %s", f->folder, strerror(-error));
    if (!ok || error)
        return false;
    isolation_journal_verify(f->journal, digest_sha256, f->has_state ? &f->state->anchor : NULL, f->scratch,
                             &f->finding);
    return true;
}

void isolation_files_close(struct isolation_files *f)
{
    config_free(f->config);
    arena_free(f->arena);
    arena_free(f->scratch);
    free(unconst(f->journal.p));
    free(f->state);
    *f = (struct isolation_files){0};
}

/* ---- the first record */

static bool is_empty(int folder, const char *name)
{
    struct str text;
    bool ok = read_one(folder, name, JOURNAL_MAX, &text) == 0 && text.n == 0;
    free(unconst(text.p));
    return ok;
}

static int write_first(int folder)
{
    char *page = malloc(ISOLATION_RECORD_MAX);
    struct isolation_state *state = calloc(1, sizeof *state);
    struct buf text = buf_over(page, page ? ISOLATION_RECORD_MAX : 0);
    int record = durable_open(folder, "record.0"), other = durable_open(folder, "record.1");
    int journal = durable_open(folder, "journal"), error = page && state ? 0 : -ENOMEM;
    if (!error && (record < 0 || other < 0 || journal < 0))
        error = record < 0 ? record : other < 0 ? other : journal;
    if (!error) {
        isolation_state_init(state, now_us());
        isolation_record_write(&text, state, 1);
        error = buf_overflowed(&text) ? -EFBIG : durable_replace(record, buf_text(&text));
    }
    const int fds[] = {record, other, journal};
    for (unsigned i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(page);
    free(state);
    return error;
}

/* Root writes it for whoever the state belongs to: a gate that is started as that user. */
static void give_to_owner(int folder, const char *state)
{
    static const char *const names[] = {"record.0", "record.1", "journal"};
    struct stat st;
    if (geteuid() != 0 || stat(state, &st) != 0 || st.st_uid == 0)
        return;
    bool ok = fchown(folder, st.st_uid, st.st_gid) == 0;
    for (unsigned i = 0; i < 3; i++)
        ok &= fchownat(folder, names[i], st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0;
    if (!ok)
        cli_complain("%s could not be given to the owner of the state directory: %s", state, strerror(errno));
}

static int open_fresh_folder(const struct isolation_files *f, char *state, size_t cap)
{
    struct buf b = buf_over(state, cap);
    buf_str(&b, str_take(str_of(f->folder), strlen(f->folder) - (sizeof "/isolation" - 1)));
    buf_char(&b, '\0');
    if (mkdir(state, STATE_MODE) != 0 && errno != EEXIST)
        return -errno;
    return durable_folder(f->folder);
}

enum exit_status isolation_init(const struct cli *cli)
{
    struct isolation_files f;
    char state[300];
    enum exit_status status = EXIT_PROBLEMS;
    if (!isolation_files_find(&f, cli)) {
        isolation_files_close(&f);
        return EXIT_PROBLEMS;
    }
    bool is_state = str_ends(str_of(f.folder), STR("/isolation"));
    int folder = is_state ? open_fresh_folder(&f, state, sizeof state) : -EEXIST;
    if (folder < 0 && is_state) {
        cli_complain("%s cannot be made: %s", f.folder, strerror(-folder));
    } else if (!is_state || !is_empty(folder, "record.0") || !is_empty(folder, "record.1") ||
               !is_empty(folder, "journal")) {
        cli_complain("there is a record of the level in %s already, and it stays as it is. A level is "
                     "changed with `polder "
                     "isolate`; what holds is shown by `polder isolation status`",
                     f.folder);
    } else {
        int error = write_first(folder);
        give_to_owner(folder, state);
        if (error)
            cli_complain("the first record cannot be written to %s: %s", f.folder, strerror(-error));
        else
            status = cli_print(cli->json ? STR("{\"outcome\":\"done\",\"level\":\"open\"}\n")
                                         : STR("the first record of the level was written: open\n"))
                         ? EXIT_FINE
                         : EXIT_BROKEN;
    }
    if (folder >= 0)
        close(folder);
    isolation_files_close(&f);
    return status;
}
