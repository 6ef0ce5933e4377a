/* filter/pins.c - the folder of pins: whose it is, and what is attached by it. */
#include "filter/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 800 };

static int give_one(const char *path, unsigned uid, unsigned gid)
{
    return lchown(path, uid, gid) < 0 && errno != ENOENT ? -errno : 0;
}

/* But the programs, which stay root's (keep.c). */
static int give_folder(const char *folder, unsigned uid, unsigned gid, unsigned depth)
{
    char path[PATH_BYTES];
    DIR *entries = opendir(folder);
    int error = entries ? 0 : -errno;
    for (struct dirent *entry; !error && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.' || str_starts(str_of(entry->d_name), STR("programs-")))
            continue;
        struct buf b = buf_over(path, sizeof path);
        buf_printf(&b, "%s/%s%c", folder, entry->d_name, 0);
        if (buf_overflowed(&b))
            error = -ENAMETOOLONG;
        else if (depth && entry->d_type == DT_DIR)
            error = give_folder(path, uid, gid, depth - 1);
        else
            error = give_one(path, uid, gid);
    }
    if (entries)
        closedir(entries);
    return error ? error : give_one(folder, uid, gid);
}

int filter_pins_give(const char *pins, unsigned uid, unsigned gid)
{
    return give_folder(pins, uid, gid, 1);
}

size_t filter_pinned_interfaces(const char *pins, unsigned *ret, size_t room)
{
    DIR *entries = opendir(pins);
    size_t count = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        struct str name = str_of(entry->d_name);
        uint64_t interface;
        if (!str_starts(name, STR("in-")) || !str_parse_u64(str_skip(name, 3), &interface))
            continue;
        if (count < room)
            ret[count] = (unsigned)interface;
        count++;
    }
    if (entries)
        closedir(entries);
    return count;
}
