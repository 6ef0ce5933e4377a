#include "disk.h"

#include <glob.h>
#include <stdio.h>

bool disk_read(const char *path, struct arena *arena, struct str *ret_text)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = size < 0 ? NULL : arena_bytes(arena, (size_t)size);
    bool fine = text && fseek(file, 0, SEEK_SET) == 0 && fread(text, 1, (size_t)size, file) == (size_t)size;
    if (fine)
        *ret_text = (struct str){text, (size_t)size};
    return fclose(file) == 0 && fine;
}

/* path as seen from the file from; ends in a NUL. */
static const char *resolve(struct str from, struct str path, struct arena *arena)
{
    size_t n = from.n;
    while (n && from.p[n - 1] != '/')
        n--;
    if (path.n && path.p[0] == '/')
        n = 0;
    struct str whole = arena_printf(arena, "%.*s%.*s", (int)n, n ? from.p : "", STR_ARG(path));
    return arena_copy_z(arena, whole);
}

static bool read_one(void *, struct str from, struct str path, struct arena *arena, struct str *ret_text)
{
    const char *file = resolve(from, path, arena);
    return file && disk_read(file, arena, ret_text);
}

static bool list_all(void *, struct str from, struct str pattern, struct arena *arena, struct str **ret_paths,
                     size_t *ret_count)
{
    glob_t found;
    const char *whole = resolve(from, pattern, arena);
    if (!whole || glob(whole, 0, NULL, &found) != 0)
        return false;
    struct str *paths = arena_alloc(arena, found.gl_pathc * sizeof *paths);
    for (size_t i = 0; paths && i < found.gl_pathc; i++)
        paths[i] = arena_copy(arena, str_of(found.gl_pathv[i]));
    *ret_paths = paths;
    *ret_count = paths ? found.gl_pathc : 0;
    globfree(&found);
    return paths != NULL;
}

const struct waf_files disk_files = {.read = read_one, .list = list_all};
