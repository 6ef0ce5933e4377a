/* tests/fuzz/replay_main.c - a fuzz target without the fuzzer: every file of the folders and files named is
 * given to it once. Part of every test run, so that what fuzzing found once stays found. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATH_ROOM = 4096, INPUT_MAX = 16 << 20 };

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) < 0 || info.st_size > INPUT_MAX) {
        perror(path);
        if (file)
            fclose(file);
        return false;
    }
    /* Exactly as large as the input: a sanitizer sees the first byte read past it. */
    size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size ? size : 1);
    bool is_read = bytes && fread(bytes, 1, size, file) == size;
    fclose(file);
    if (is_read)
        LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return is_read;
}

/* How many inputs were replayed; -1 when one could not be read. */
static int replay_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    int replayed = 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_ROOM];
        bool is_input = entries[i]->d_name[0] != '.';
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (is_input && replayed >= 0)
            replayed = replay_file(path) ? replayed + 1 : -1;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return count < 0 ? -1 : replayed;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool is_folder = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        int replayed = is_folder ? replay_folder(argv[i]) : replay_file(argv[i]) ? 1 : -1;
        if (replayed < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        total += replayed;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1; /* a corpus that is gone is a test that sees nothing */
}
