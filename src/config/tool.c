/* config/tool.c - for the build and its tests: `polder-config check FILE`, `schema`, `reference`, `example`.
 */
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROBLEM_BYTES = 1 << 20 };

static int print(const struct buf *b, FILE *to)
{
    if (buf_overflowed(b))
        return 1;
    return fwrite(b->p, 1, b->n, to) == b->n ? 0 : 1;
}

static int check(struct config_disk *disk, struct str path, struct arena *arena, struct buf *out)
{
    struct str yaml, error;
    struct config_files files = config_disk_files(disk);
    struct config_problem *problems;
    unsigned count;
    if (!config_disk_open(disk, &yaml, &error)) {
        buf_printf(out, "%.200s: %.*s\n", path.p, STR_ARG(error));
        return 1;
    }
    struct config *config = config_parse(path, yaml, &files, arena, &problems, &count);
    config_problems_print(out, path, yaml, problems, count, isatty(STDERR_FILENO));
    int status = config ? 0 : 1;
    config_free(config);
    return status;
}

static int check_file(struct str path)
{
    struct config_disk *disk = config_disk_new(path);
    struct arena *arena = arena_new(PROBLEM_BYTES);
    char *text = malloc(PROBLEM_BYTES);
    int status = 1;
    if (disk && arena && text) {
        struct buf out = buf_over(text, PROBLEM_BYTES);
        status = check(disk, path, arena, &out);
        print(&out, stderr);
    }
    config_disk_free(disk);
    arena_free(arena);
    free(text);
    return status;
}

int main(int argc, char **argv)
{
    static char text[CONFIG_TEXT_BYTES];
    struct buf out = buf_over(text, sizeof text);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check_file(str_of(argv[2]));
    if (argc == 2 && strcmp(argv[1], "schema") == 0)
        config_schema_write(&out);
    else if (argc == 2 && strcmp(argv[1], "reference") == 0)
        config_reference_write(&out);
    else if (argc == 2 && strcmp(argv[1], "example") == 0)
        config_example_write(&out);
    else {
        fputs("usage: polder-config check FILE | schema | reference | example\n", stderr);
        return 2;
    }
    return print(&out, stdout);
}
