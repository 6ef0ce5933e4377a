/* cli/records_load.c - `polder records load`: files into a record service, several parcels at once.
 *
 * Files go one after another, by name, so that what is referred to is there first (a service that checks that
 * finds it); the parcels of a file in any order. A mark says up to where a file is loaded without a gap and
 * without a refusal: that far a second run passes over it. */
#include "cli/records_load.h"

#include "fhir/validate.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ARENA_BYTES = 64 << 20,
    FILES_MAX = 4096,
    MARK_EVERY_MS = 2'000,
    LOOK_EVERY_MS = 200,
    ANSWER_WITHIN_MS = 180'000,
};

struct file {
    struct str path;
    struct load_mark mark;
};

struct run {
    struct load load;
    struct load_state *state;
    struct file *files;
    unsigned file_count;
    struct link links[LOAD_LINKS];
    uint64_t waits_until_ms[LOAD_LINKS]; /* a parcel that is sent again then */
    uint64_t sent_ms[LOAD_LINKS];
    uint64_t bytes, bytes_before; /* of all files; of those that are done */
    uint64_t clean_until;         /* of the file: the first parcel with a refusal begins here */
    uint64_t marked_ms;
    bool is_hopeless;
};

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number [[maybe_unused]])
{
    is_interrupted = 1;
}

/* ---- which files */

static bool is_data(struct str name)
{
    return name.n && name.p[0] != '.' &&
           (str_ends(name, STR(".ndjson")) || str_ends(name, STR(".jsonl")) || str_ends(name, STR(".json")));
}

static bool add_file(struct run *r, struct str folder, struct str name)
{
    struct stat s;
    struct arena *arena = r->load.arena;
    struct str path = arena_printf(arena, "%.*s/%.*s%c", STR_ARG(folder), STR_ARG(name), 0);
    if (!path.p || r->file_count == FILES_MAX) {
        cli_complain("there are more than %d files in %.*s", FILES_MAX, STR_ARG(folder));
        return false;
    }
    if (stat(path.p, &s) != 0) {
        cli_complain("cannot read %s: %s", path.p, strerror(errno));
        return false;
    }
    struct file *f = &r->files[r->file_count++];
    f->path = str_take(path, path.n - 1);
    f->mark = (struct load_mark){.name = arena_copy(arena, name),
                                 .size = (uint64_t)s.st_size,
                                 .time_ns = (uint64_t)s.st_mtim.tv_sec * 1'000'000'000 +
                                            (uint64_t)s.st_mtim.tv_nsec};
    r->bytes += f->mark.size;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return str_compare(((const struct file *)a)->mark.name, ((const struct file *)b)->mark.name);
}

static bool list_folder(struct run *r, const char *path)
{
    DIR *list = opendir(path);
    bool ok = true;
    if (!list) {
        cli_complain("cannot read %s: %s", path, strerror(errno));
        return false;
    }
    for (struct dirent *d; ok && (d = readdir(list));)
        ok = !is_data(str_of(d->d_name)) || add_file(r, str_of(path), str_of(d->d_name));
    closedir(list);
    if (ok && r->file_count == 0) {
        cli_complain("there is nothing to load in %s: files that end in .ndjson, .jsonl or .json", path);
        return false;
    }
    qsort(r->files, r->file_count, sizeof *r->files, by_name);
    return ok;
}

static bool list_files(struct run *r, const char *path)
{
    struct stat s;
    struct str folder = STR("."), name = str_of(path);
    r->files = arena_alloc(r->load.arena, FILES_MAX * sizeof *r->files);
    if (!r->files || stat(path, &s) != 0) {
        cli_complain("cannot read %s: %s", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(s.st_mode)) {
        folder = str_of(path);
        if (!list_folder(r, path))
            return false;
    } else {
        const char *slash = strrchr(path, '/');
        folder = slash ? (struct str){path, (size_t)(slash - path)} : folder;
        if (!add_file(r, folder, slash ? str_of(slash + 1) : name))
            return false;
    }
    r->state = load_state_open(&r->load, folder);
    return r->state != NULL;
}

/* ---- progress */

static void show(struct run *r, uint64_t file_at)
{
    char memory[120];
    struct buf extra = buf_over(memory, sizeof memory);
    double seconds = records_progress_seconds(&r->load.progress);
    print_count(&extra, r->load.loaded);
    BUF_LIT(&extra, " resources, ");
    print_count(&extra, seconds > 0.1 ? (uint64_t)((double)r->load.loaded / seconds) : 0);
    BUF_LIT(&extra, "/s");
    if (r->load.failed) {
        BUF_LIT(&extra, ", ");
        print_count(&extra, r->load.failed);
        BUF_LIT(&extra, " refused");
    }
    records_progress_show(&r->load.progress, r->bytes_before + file_at, r->bytes, buf_text(&extra));
}

/* Up to where the file is loaded without a gap, when the reader stands at `at`. */
static uint64_t done_until(const struct run *r, uint64_t at)
{
    uint64_t done = at < r->clean_until ? at : r->clean_until;
    for (unsigned i = 0; i < LOAD_LINKS; i++)
        if (r->links[i].parcel && r->links[i].parcel->begin < done)
            done = r->links[i].parcel->begin;
    return done;
}

static void mark(struct run *r, struct file *f, uint64_t at, bool is_last)
{
    uint64_t now = records_now_ms(), done = done_until(r, at);
    if ((!is_last && now - r->marked_ms < MARK_EVERY_MS) || done <= f->mark.done)
        return;
    r->marked_ms = now;
    f->mark.done = done;
    load_state_set(r->state, &f->mark);
}

/* ---- parcels on their way */

static void parcel_done(struct run *r, unsigned i)
{
    parcel_free(r->links[i].parcel);
    r->links[i].parcel = NULL;
}

static void dirty(struct run *r, const struct parcel *p)
{
    r->clean_until = p->begin < r->clean_until ? p->begin : r->clean_until;
}

static void send_parcel(struct run *r, unsigned i, struct parcel *p)
{
    r->waits_until_ms[i] = 0;
    r->sent_ms[i] = records_now_ms();
    if (link_send(&r->links[i], &r->load.target, p))
        return;
    int error = errno;
    if (p->tries < 10 && r->load.loaded) { /* it was there a moment ago */
        r->waits_until_ms[i] = records_now_ms() + 250 * p->tries;
        return;
    }
    records_progress_end(&r->load.progress);
    if (!r->is_hopeless)
        cli_complain("nobody answers at %.*s: %s. Is polder-records running?", STR_ARG(r->load.target.base),
                     strerror(error));
    r->is_hopeless = true;
}

static void take_answer(struct run *r, unsigned i)
{
    unsigned wait_ms = 0;
    struct parcel *p = r->links[i].parcel;
    uint64_t failed = r->load.failed;
    switch (link_receive(&r->links[i], &r->load, &wait_ms)) {
    case SENT_WAITS:
        return;
    case SENT_AGAIN:
        if (wait_ms == 0)
            send_parcel(r, i, p);
        else
            r->waits_until_ms[i] = records_now_ms() + wait_ms;
        return;
    case SENT_HOPELESS:
        r->is_hopeless = true;
        return;
    default:
        if (r->load.failed != failed)
            dirty(r, p);
        parcel_done(r, i);
    }
}

static void give_up(struct run *r)
{
    records_progress_end(&r->load.progress);
    cli_complain("%.*s has not answered for %d s", STR_ARG(r->load.target.base), ANSWER_WITHIN_MS / 1000);
    r->is_hopeless = true;
}

static void wait_answers(struct run *r)
{
    struct pollfd fds[LOAD_LINKS];
    uint64_t now = records_now_ms();
    for (unsigned i = 0; i < LOAD_LINKS; i++) {
        bool waits = r->links[i].parcel && !r->waits_until_ms[i];
        fds[i] = (struct pollfd){.fd = waits ? r->links[i].fd : -1, .events = POLLIN};
    }
    if (poll(fds, LOAD_LINKS, LOOK_EVERY_MS) < 0)
        return;
    for (unsigned i = 0; i < LOAD_LINKS && !r->is_hopeless; i++) {
        if (fds[i].fd >= 0 && fds[i].revents)
            take_answer(r, i);
        else if (r->waits_until_ms[i] && r->waits_until_ms[i] <= now)
            send_parcel(r, i, r->links[i].parcel);
        else if (fds[i].fd >= 0 && now - r->sent_ms[i] > ANSWER_WITHIN_MS)
            give_up(r);
    }
}

static int free_link(const struct run *r)
{
    for (int i = 0; i < LOAD_LINKS; i++)
        if (!r->links[i].parcel)
            return i;
    return -1;
}

static bool is_under_way(const struct run *r)
{
    for (unsigned i = 0; i < LOAD_LINKS; i++)
        if (r->links[i].parcel)
            return true;
    return false;
}

static bool goes_on(const struct run *r)
{
    return !r->is_hopeless && !is_interrupted;
}

/* A parcel that was read: on its way, or in a dry run only counted. */
static void begin_parcel(struct run *r, struct file *f, struct parcel *p, unsigned link)
{
    if (!f->mark.first.n && !p->is_whole)
        f->mark.first = arena_copy(r->load.arena, str_of(p->entries[0].name));
    if (!r->load.cli->dry_run) {
        send_parcel(r, link, p);
        return;
    }
    r->load.loaded += p->count;
    parcel_free(p);
}

static bool read_parcel(struct run *r, struct file *f, struct load_reader *reader, unsigned link,
                        uint64_t *at)
{
    struct parcel *p = calloc(1, sizeof *p);
    uint64_t failed = r->load.failed;
    if (!p) {
        cli_complain("out of memory");
        r->is_hopeless = true;
        return false;
    }
    enum load_read read = load_reader_next(reader, p);
    if (r->load.failed != failed)
        dirty(r, p);
    *at = p->end;
    if (read == LOAD_PARCEL) {
        begin_parcel(r, f, p, link);
        return true;
    }
    parcel_free(p);
    return false;
}

/* ---- a file */

static void load_file(struct run *r, struct file *f)
{
    uint64_t at = f->mark.done;
    struct load_reader *reader = load_reader_open(&r->load, f->path.p, at);
    bool more = reader != NULL;
    r->clean_until = UINT64_MAX;
    while (goes_on(r) && (more || is_under_way(r))) {
        int link = free_link(r);
        if (more && link >= 0)
            more = read_parcel(r, f, reader, (unsigned)link, &at);
        else
            wait_answers(r);
        show(r, at);
        if (!r->load.cli->dry_run)
            mark(r, f, at, false);
    }
    if (reader && !r->load.cli->dry_run)
        mark(r, f, at, true);
    load_reader_close(reader);
}

/* How far it is loaded already: what the mark says, when the service bears it out. */
static void take_mark(struct run *r, struct file *f)
{
    const struct load_mark *m = load_state_find(r->state, &f->mark);
    if (!m || !m->done || r->load.cli->dry_run)
        return;
    if (m->first.n && !load_is_there(&r->load.target, m->first))
        return;
    f->mark.done = m->done;
    f->mark.first = m->first;
    r->load.skipped += m->done;
}

static void load_files(struct run *r)
{
    for (unsigned i = 0; i < r->file_count && goes_on(r); i++) {
        struct file *f = &r->files[i];
        r->load.file = f->path;
        take_mark(r, f);
        if (f->mark.done < f->mark.size)
            load_file(r, f);
        r->bytes_before += f->mark.size;
    }
    records_progress_end(&r->load.progress);
    for (unsigned i = 0; i < LOAD_LINKS; i++) {
        parcel_done(r, i);
        link_close(&r->links[i]);
        free(r->links[i].in.p);
    }
}

/* ---- the end */

static enum exit_status finish(struct run *r)
{
    double seconds = records_progress_seconds(&r->load.progress);
    bool is_told = load_tell(&r->load, goes_on(r) && !r->load.failed, seconds);
    if (!goes_on(r))
        cli_complain("not all was loaded: the same command goes on where it stopped");
    if (!is_told)
        return EXIT_BROKEN;
    return goes_on(r) && !r->load.failed ? EXIT_FINE : EXIT_PROBLEMS;
}

static bool prepare_checks(struct load *load)
{
    if (!load->cli->dry_run)
        return true;
    load->checks = arena_new(ARENA_BYTES);
    load->scratch = arena_new(ARENA_BYTES);
    load->validator = fhir_validator_new(load->arena);
    return load->checks && load->scratch && load->validator;
}

static enum exit_status prepare(struct run *r)
{
    const struct cli *cli = r->load.cli;
    enum exit_status status = EXIT_FINE;
    if (cli->url)
        status = load_target_of_url(&r->load, str_of(cli->url)) ? EXIT_FINE : EXIT_USAGE;
    else if (cli->dry_run && !cli->config)
        r->load.target.base = STR("a record service");
    else
        status = load_target_of_config(&r->load);
    if (status == EXIT_FINE &&
        (!load_read_token(&r->load) || !list_files(r, cli->arguments[0]) || !prepare_checks(&r->load)))
        status = EXIT_PROBLEMS;
    return status;
}

enum exit_status records_load(const struct cli *cli)
{
    static struct run run;
    struct sigaction action = {.sa_handler = interrupt};
    run.load.cli = cli;
    run.load.arena = arena_new(ARENA_BYTES);
    for (unsigned i = 0; i < LOAD_LINKS; i++)
        run.links[i].fd = -1;
    enum exit_status status = run.load.arena ? prepare(&run) : EXIT_PROBLEMS;
    if (status == EXIT_FINE) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        records_progress_begin(&run.load.progress, cli->dry_run ? "check" : "load");
        load_files(&run);
        status = finish(&run);
    }
    load_state_close(run.state);
    arena_free(run.load.checks);
    arena_free(run.load.scratch);
    arena_free(run.load.arena);
    return status;
}
