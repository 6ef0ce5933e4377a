/* filter/keep.c - programs that were loaded once are found again by the next process of the same build: the
 * kernel need not look through them anew, which takes it a second, and longer on a busy machine.
 *
 * Pins:  PINS/programs-HASH/NAME   HASH: of the object that the programs were loaded from
 *
 * Invariants
 * 1. The folder belongs to root, also when the tables are another user's: who can write tables cannot put a
 *    program in the place of one of ours.
 * 2. What is found is used only when it is whole, and works on the very tables that are pinned now. */
#include "filter/internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 640, MAPS_OF_A_PROGRAM = 64 };

static const char *const names[FILTER_KEPT] = {[FILTER_KEPT_IN] = "in",
                                               [FILTER_KEPT_OUT] = "out",
                                               [FILTER_KEPT_JUDGE_IN] = "judge_in",
                                               [FILTER_KEPT_JUDGE_OUT] = "judge_out",
                                               [FILTER_KEPT_JUDGE_DATA] = "judge_data",
                                               [FILTER_KEPT_ACCEPT] = "accept"};

static uint64_t hash_of(const void *bytes, size_t n) /* FNV-1a: which build, not a secret */
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
    return hash;
}

void filter_keep_name(struct filter *f, const void *object, size_t n)
{
    f->build = f->build * 31 + hash_of(object, n);
}

static void folder_path(const struct filter *f, char *path)
{
    (void)snprintf(path, PATH_BYTES, "%s/programs-%016llx", f->pins, (unsigned long long)f->build);
}

/* Root's, and nobody else's to write. */
static bool folder_is_ours(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == 0 && !(s.st_mode & 022);
}

static uint32_t map_id(int fd)
{
    struct bpf_map_info info = {0};
    __u32 size = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

/* Does the program work on that table? */
static bool works_on(int program, int map)
{
    uint32_t ids[MAPS_OF_A_PROGRAM], wanted = map_id(map);
    struct bpf_prog_info info = {.nr_map_ids = MAPS_OF_A_PROGRAM, .map_ids = (uint64_t)(uintptr_t)ids};
    __u32 size = sizeof info;
    bool found = false;
    if (!wanted || bpf_obj_get_info_by_fd(program, &info, &size) < 0 || info.nr_map_ids > MAPS_OF_A_PROGRAM)
        return false;
    for (uint32_t i = 0; i < info.nr_map_ids && !found; i++)
        found = ids[i] == wanted;
    return found;
}

bool filter_keep_find(struct filter *f, enum filter_kept first, enum filter_kept last, int ret[])
{
    char folder[PATH_BYTES], path[PATH_BYTES + 32];
    bool whole = f->pins != NULL;
    if (whole)
        folder_path(f, folder);
    whole = whole && folder_is_ours(folder);
    for (unsigned k = first; k <= (unsigned)last; k++)
        ret[k - first] = -1;
    for (unsigned k = first; whole && k <= (unsigned)last; k++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        ret[k - first] = bpf_obj_get(path);
        whole =
            ret[k - first] >= 0 && (k == FILTER_KEPT_JUDGE_DATA || works_on(ret[k - first], f->fd.class24));
    }
    for (unsigned k = first; !whole && k <= (unsigned)last; k++) {
        if (ret[k - first] >= 0)
            close(ret[k - first]);
        ret[k - first] = -1;
    }
    return whole;
}

/* Half of them is as good as none; the next load puts all of them there again. */
void filter_keep_store(struct filter *f, enum filter_kept what, int fd)
{
    char folder[PATH_BYTES], path[PATH_BYTES + 32];
    if (!f->pins || geteuid() != 0)
        return;
    folder_path(f, folder);
    if (mkdir(folder, 0700) < 0 && !(errno == EEXIST && folder_is_ours(folder)))
        return;
    (void)snprintf(path, sizeof path, "%s/%s", folder, names[what]);
    unlink(path);
    (void)bpf_obj_pin(fd, path);
}

static void remove_folder(const char *folder)
{
    char path[PATH_BYTES + 400];
    for (unsigned k = 0; k < FILTER_KEPT; k++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
}

void filter_keep_forget_others(const struct filter *f)
{
    char own[PATH_BYTES], path[PATH_BYTES + 300];
    DIR *entries = f->pins ? opendir(f->pins) : NULL;
    if (entries)
        folder_path(f, own);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        struct buf b = buf_over(path, sizeof path - 1);
        buf_printf(&b, "%s/%s%c", f->pins, entry->d_name, 0);
        if (!buf_overflowed(&b) && str_starts(str_of(entry->d_name), STR("programs-")) &&
            strcmp(path, own) != 0)
            remove_folder(path);
    }
    if (entries)
        closedir(entries);
}
