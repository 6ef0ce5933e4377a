/* filter/load.c - the programs and their tables into the kernel, or adopted from there.
 *
 * Pins:  PINS/layout-N/NAME   the tables of layout N
 *        PINS/in-IFINDEX, PINS/out-IFINDEX   the links (attach.c)
 *        PINS/programs-HASH/NAME             the programs of a build (keep.c)
 *
 * Invariants
 * 1. What is attached is never touched here: a load that fails leaves everything filtering as it did.
 * 2. A level is never lost: it is read from every layout that is pinned, and the strictest goes on. One that
 * cannot be read counts as the strictest there is.
 * 3. The level is in its table before any program that reads it can be attached. */
#include "filter/internal.h"

#include "base/must.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* the generated code */
#include "filter/filter.skel.h"
#pragma GCC diagnostic pop

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    BPF_FS_MAGIC_NUMBER = 0xcafe4a11,
    PATH_MAX_BYTES = 512,
    JUDGE_FRAME_MAX = 2048,
    JUDGE_DATA_BYTES = 4096
};

/* The last thing that libbpf complained of: it speaks through one function for the whole process. */
static char last_complaint[200];

[[gnu::format(printf, 2, 0)]] static int keep_complaint(enum libbpf_print_level level, const char *format,
                                                        va_list arguments)
{
    if (level == LIBBPF_WARN) {
        (void)vsnprintf(last_complaint, sizeof last_complaint, format, arguments);
        last_complaint[strcspn(last_complaint, "\n")] = '\0';
    }
    return 0;
}

const char *filter_pin_path(const struct filter *f, const char *name, unsigned number, char *memory,
                            size_t cap)
{
    struct buf out = buf_over(memory, cap - 1);
    buf_printf(&out, "%s/%s-%u", f->pins, name, number);
    must(!buf_overflowed(&out));
    memory[out.n] = '\0';
    return memory;
}

static int prepare_folder(const char *path, struct filter_problem *problem)
{
    struct statfs fs;
    if (strlen(path) > PATH_MAX_BYTES - 64)
        return filter_problem_set(problem, -ENAMETOOLONG, "%s is too long", path);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return filter_problem_set(problem, -errno, "cannot make %s: %s", path, strerror(errno));
    if (statfs(path, &fs) < 0)
        return filter_problem_set(problem, -errno, "cannot look at %s: %s", path, strerror(errno));
    if ((unsigned long)fs.f_type != BPF_FS_MAGIC_NUMBER)
        return filter_problem_set(problem, -EINVAL,
                                  "%s is not in a BPF file system: mount one (mount -t bpf)", path);
    return 0;
}

/* What another layout's control table says; false: not readable, and then nothing is believed. */
static bool control_read(const char *path, struct filter_control *ret)
{
    struct bpf_map_info info = {0};
    __u32 size = sizeof info, first = 0;
    int fd = bpf_obj_get(path);
    bool read = false;
    if (fd < 0)
        return false;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.value_size >= sizeof *ret &&
        info.value_size <= 65'536) {
        char *value = malloc(info.value_size);
        read = value && bpf_map_lookup_elem(fd, &first, value) == 0;
        if (read)
            memcpy(ret, value, sizeof *ret);
        free(value);
    }
    close(fd);
    return read && ret->magic == FILTER_MAGIC;
}

static uint32_t stricter(uint32_t a, uint32_t b)
{
    a = a < FILTER_LEVEL_COUNT ? a : FILTER_LEVEL_SEALED;
    b = b < FILTER_LEVEL_COUNT ? b : FILTER_LEVEL_SEALED;
    return a > b ? a : b;
}

static void control_join(struct filter_control *to, const char *path)
{
    struct filter_control other;
    if (!control_read(path, &other)) {
        to->level = FILTER_LEVEL_SEALED;
        return;
    }
    to->level = stricter(to->level, other.level);
    for (unsigned i = 0; i < FILTER_CLUSTERS; i++)
        to->cluster_level[i] = stricter(to->cluster_level[i], other.cluster_level[i]);
}

/* The strictest of all layouts that are pinned but our own. True: there was one. */
static bool others_join(const struct filter *f, struct filter_control *to)
{
    char path[PATH_MAX_BYTES];
    bool found = false;
    DIR *folder = opendir(f->pins);
    if (!folder)
        return false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        uint64_t layout;
        struct str name = str_of(entry->d_name);
        if (!str_starts(name, STR("layout-")) || !str_parse_u64(str_skip(name, 7), &layout) ||
            layout == FILTER_LAYOUT)
            continue;
        (void)snprintf(path, sizeof path, "%s/layout-%u/control", f->pins, (unsigned)layout);
        if (access(path, F_OK) == 0) {
            control_join(to, path);
            found = true;
        }
    }
    closedir(folder);
    return found;
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void fds_close(struct filter *f)
{
#define TABLE(name) fd_close(&f->fd.name);
    FILTER_TABLES(TABLE)
#undef TABLE
    for (unsigned way = 0; way < 2; way++) {
        fd_close(&f->program[way]);
        fd_close(&f->judge[way]);
    }
    fd_close(&f->judge_data);
}

static int pins_set(const struct filter *f, struct polder_filter *programs, struct filter_problem *problem)
{
    char folder[PATH_MAX_BYTES], path[PATH_MAX_BYTES + 32];
    struct bpf_map *map;
    filter_pin_path(f, "layout", FILTER_LAYOUT, folder, sizeof folder);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return filter_problem_set(problem, -errno, "cannot make %s: %s", folder, strerror(errno));
    bpf_object__for_each_map(map, programs->obj)
    {
        if (bpf_map__is_internal(map))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, bpf_map__name(map));
        int error = bpf_map__set_pin_path(map, path);
        if (error)
            return filter_problem_set(problem, error, "cannot pin %s", path);
    }
    return 0;
}

static void seed_set(struct polder_filter *programs)
{
    uint64_t seed = 0;
    must(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    programs->rodata->seed = seed;
}

/* Their descriptors are ours; the skeleton goes. */
static int programs_take(struct filter *f, struct polder_filter *programs)
{
#define TABLE(name) f->fd.name = fcntl(bpf_map__fd(programs->maps.name), F_DUPFD_CLOEXEC, 3);
    FILTER_TABLES(TABLE)
#undef TABLE
    f->program[FILTER_IN] = fcntl(bpf_program__fd(programs->progs.polder_in), F_DUPFD_CLOEXEC, 3);
    f->program[FILTER_OUT] = fcntl(bpf_program__fd(programs->progs.polder_out), F_DUPFD_CLOEXEC, 3);
    filter_keep_store(f, FILTER_KEPT_IN, f->program[FILTER_IN]);
    filter_keep_store(f, FILTER_KEPT_OUT, f->program[FILTER_OUT]);
    return f->program[FILTER_IN] < 0 || f->program[FILTER_OUT] < 0 ? -errno : 0;
}

static int programs_load_from(struct filter *f, struct polder_filter *programs,
                              struct filter_problem *problem)
{
    seed_set(programs);
    int error = f->pins ? pins_set(f, programs, problem) : 0;
    if (error)
        return error;
    error = polder_filter__load(programs);
    if (!error)
        error = programs_take(f, programs);
    if (error == -EPERM)
        return filter_problem_set(problem, error,
                                  "the kernel loads no packet programs for this process (CAP_BPF "
                                  "and CAP_NET_ADMIN are needed): %s",
                                  last_complaint);
    if (error)
        return filter_problem_set(problem, error,
                                  "the kernel refuses the packet programs or their pinned tables; "
                                  "what is attached filters on: %s",
                                  last_complaint);
    return 0;
}

static int programs_load(struct filter *f, struct filter_problem *problem)
{
    struct polder_filter *programs = polder_filter__open();
    if (!programs)
        return filter_problem_set(problem, -ENOMEM, "the packet programs cannot be opened: %s",
                                  last_complaint);
    int error = programs_load_from(f, programs, problem);
    polder_filter__destroy(programs);
    return error;
}

static int table_open(const char *folder, const char *name)
{
    char path[PATH_MAX_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return bpf_obj_get(path);
}

/* What an earlier process of this build left: tables and programs. False: something is missing. */
static bool programs_adopt(struct filter *f)
{
    char folder[PATH_MAX_BYTES];
    bool whole = f->pins != NULL;
    if (!whole)
        return false;
    filter_pin_path(f, "layout", FILTER_LAYOUT, folder, sizeof folder);
#define TABLE(name) whole = (f->fd.name = table_open(folder, #name)) >= 0 && whole;
    FILTER_TABLES(TABLE)
#undef TABLE
    if (whole && filter_keep_find(f, FILTER_KEPT_IN, FILTER_KEPT_OUT, f->program))
        return true;
    fds_close(f);
    return false;
}

static void *table_map(int fd, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int tables_map(struct filter *f, struct filter_problem *problem)
{
    f->control = table_map(f->fd.control, sizeof *f->control);
    f->settings = table_map(f->fd.settings, sizeof *f->settings);
    f->class16 = table_map(f->fd.class16, FILTER_CELLS16);
    f->class24 = table_map(f->fd.class24, FILTER_CELLS24);
    f->gate6 = table_map(f->fd.gate6, FILTER_CELLS6);
    f->ports = table_map(f->fd.ports, FILTER_PORT_BYTES);
    if (f->control && f->settings && f->class16 && f->class24 && f->gate6 && f->ports)
        return 0;
    return filter_problem_set(problem, -errno, "the filter's tables cannot be mapped: %s", strerror(errno));
}

/* Ours, as it was pinned; or of another layout; or of the options. */
static void control_begin(struct filter *f, uint32_t level)
{
    bool is_adopted = f->control->magic == FILTER_MAGIC && f->control->layout == FILTER_LAYOUT;
    struct filter_control begin = {.magic = FILTER_MAGIC, .layout = FILTER_LAYOUT};
    bool has_others = f->pins && others_join(f, &begin);
    f->is_adopted = is_adopted || has_others;
    if (is_adopted)
        return;
    if (!has_others)
        begin.level = level < FILTER_LEVEL_COUNT ? level : FILTER_LEVEL_SEALED;
    uint32_t magic = begin.magic;
    begin.magic = 0;
    memcpy(f->control, &begin, sizeof begin);
    __atomic_store_n(&f->control->magic, magic, __ATOMIC_RELEASE); /* last: a crash before it begins anew */
}

static int levels_write(struct filter *f, struct filter_problem *problem)
{
    for (uint32_t number = 0; number < FILTER_LEVEL_MAX; number++)
        if (bpf_map_update_elem(f->fd.levels, &number, filter_level_default(number), BPF_ANY) < 0)
            return filter_problem_set(problem, -errno, "the levels cannot be written: %s", strerror(errno));
    return 0;
}

static int open_all(struct filter *f, const struct filter_options *options, struct filter_problem *problem)
{
    int error = options->pins ? prepare_folder(options->pins, problem) : 0;
    if (!error && options->pins && !(f->pins = strdup(options->pins)))
        error = filter_problem_set(problem, -ENOMEM, "no memory");
    if (!error && !programs_adopt(f))
        error = programs_load(f, problem);
    if (!error)
        error = tables_map(f, problem);
    if (error)
        return error;
    control_begin(f, options->level);
    filter_sysctls_find(f, options->set_sysctls);
    return levels_write(f, problem);
}

/* Which programs these are: both objects make one build. */
static void build_name(struct filter *f)
{
    size_t n;
    const void *object = polder_filter__elf_bytes(&n);
    filter_keep_name(f, object, n);
    object = filter_accept_object(&n);
    filter_keep_name(f, object, n);
}

struct filter *filter_open(const struct filter_options *options, struct filter_problem *problem,
                           int *ret_error)
{
    struct filter *f = calloc(1, sizeof *f);
    libbpf_set_print(keep_complaint);
    last_complaint[0] = '\0';
    if (!f) {
        *ret_error = filter_problem_set(problem, -ENOMEM, "no memory");
        return NULL;
    }
    f->syncookies_fd = f->expedite_fd = f->judge_data = -1;
    f->program[0] = f->program[1] = f->judge[0] = f->judge[1] = -1;
#define TABLE(name) f->fd.name = -1;
    FILTER_TABLES(TABLE)
#undef TABLE
    build_name(f);
    *ret_error = open_all(f, options, problem);
    if (*ret_error == 0)
        return f;
    filter_close(f);
    return NULL;
}

static void table_unmap(void *at, size_t bytes)
{
    if (at)
        munmap(at, bytes);
}

void filter_close(struct filter *f)
{
    if (!f)
        return;
    table_unmap(f->control, sizeof *f->control);
    table_unmap(f->settings, sizeof *f->settings);
    table_unmap(f->class16, FILTER_CELLS16);
    table_unmap(f->class24, FILTER_CELLS24);
    table_unmap(f->gate6, FILTER_CELLS6);
    table_unmap(f->ports, FILTER_PORT_BYTES);
    ring_buffer__free(f->ring);
    filter_sysctls_close(f);
    filter_accept_close(f);
    table_unmap(f->judged_level, JUDGE_DATA_BYTES);
    fds_close(f);
    free(f->pins);
    free(f);
}

void filter_pins_are_here(struct filter *f)
{
    must(f->pins && f->pins[0]);
    f->pins[0] = '.';
    f->pins[1] = '\0';
}

bool filter_is_adopted(const struct filter *f)
{
    return f->is_adopted;
}

int filter_program_fd(const struct filter *f, enum filter_direction direction)
{
    return f->program[direction];
}

static int judge_take(struct filter *f, struct polder_filter *judge)
{
    f->judge[FILTER_IN] = fcntl(bpf_program__fd(judge->progs.polder_in), F_DUPFD_CLOEXEC, 3);
    f->judge[FILTER_OUT] = fcntl(bpf_program__fd(judge->progs.polder_out), F_DUPFD_CLOEXEC, 3);
    f->judge_data = fcntl(bpf_map__fd(judge->maps.data), F_DUPFD_CLOEXEC, 3);
    filter_keep_store(f, FILTER_KEPT_JUDGE_IN, f->judge[FILTER_IN]);
    filter_keep_store(f, FILTER_KEPT_JUDGE_OUT, f->judge[FILTER_OUT]);
    filter_keep_store(f, FILTER_KEPT_JUDGE_DATA, f->judge_data);
    return f->judge[FILTER_IN] < 0 || f->judge[FILTER_OUT] < 0 || f->judge_data < 0 ? -errno : 0;
}

static int judge_load(struct filter *f)
{
    struct polder_filter *judge = polder_filter__open();
    int error = judge ? 0 : -ENOMEM;
    if (!error) {
        judge->rodata->is_judge = 1;
#define TABLE(name) error = error ? error : bpf_map__reuse_fd(judge->maps.name, f->fd.name);
        FILTER_TABLES(TABLE)
#undef TABLE
    }
    if (!error)
        error = polder_filter__load(judge);
    if (!error)
        error = judge_take(f, judge);
    polder_filter__destroy(judge);
    return error;
}

/* Once more, with the same tables, as a judge. */
int filter_judge_load(struct filter *f, struct filter_problem *problem)
{
    int found[3], error = 0;
    if (f->judged_level)
        return 0;
    if (filter_keep_find(f, FILTER_KEPT_JUDGE_IN, FILTER_KEPT_JUDGE_DATA, found)) {
        f->judge[FILTER_IN] = found[0];
        f->judge[FILTER_OUT] = found[1];
        f->judge_data = found[2];
    } else {
        error = judge_load(f);
    }
    char *data = error ? NULL : table_map(f->judge_data, JUDGE_DATA_BYTES);
    if (!error && !data)
        error = -errno;
    if (error)
        return filter_problem_set(problem, error, "the packet programs cannot be loaded to judge: %s",
                                  last_complaint);
    f->judged_level = (uint32_t *)(void *)(data + offsetof(struct polder_filter__data, judged_level));
    return 0;
}

/* 1: passes, 0: does not, or a negative errno. */
int filter_judge_run(struct filter *f, uint32_t level, enum filter_direction direction, const void *frame,
                     size_t n)
{
    char out[JUDGE_FRAME_MAX];
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (__u32)n, .data_out = out,
                .data_size_out = sizeof out, .repeat = 1);
    if (n > JUDGE_FRAME_MAX)
        return -EMSGSIZE;
    *(volatile uint32_t *)f->judged_level = level;
    int error = bpf_prog_test_run_opts(f->judge[direction], &run);
    if (error)
        return error;
    return direction == FILTER_IN ? run.retval == XDP_PASS : run.retval == 0 /* TC_ACT_OK */;
}

static void layout_remove(const char *folder)
{
    char path[PATH_MAX_BYTES + 300];
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (entries)
        closedir(entries);
    rmdir(folder);
}

int filter_forget_others(struct filter *f)
{
    char path[PATH_MAX_BYTES];
    DIR *folder = f->pins ? opendir(f->pins) : NULL;
    if (!folder)
        return f->pins ? -errno : 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        uint64_t layout;
        struct str name = str_of(entry->d_name);
        if (str_starts(name, STR("layout-")) && str_parse_u64(str_skip(name, 7), &layout) &&
            layout != FILTER_LAYOUT)
            layout_remove(filter_pin_path(f, "layout", (unsigned)layout, path, sizeof path));
    }
    closedir(folder);
    return 0;
}

void filter_forget_programs(struct filter *f)
{
    filter_keep_forget_others(f);
}
