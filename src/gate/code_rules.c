#include "gate/code_rules.h"

#include "proxy/inspect_rules.h"
#include "sys/shm.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BUNDLE_LIMIT = 64 << 20, ERRORS_BYTES = 1 << 20 };

static struct inspect_rules *load(struct str bundle, struct arena *errors)
{
    struct waf_problems problems;
    struct config_files files;
    struct str error;
    struct config *config = config_from_bundle(bundle, errors, &error);
    struct inspect_rules *rules = NULL;
    if (config && config->waf.is_set && config_bundle_files(bundle, errors, &files))
        rules = inspect_rules_load(config, &files, NULL, &problems);
    config_free(config);
    return rules;
}

/* "7f00-7fff rwxp ...": a line of /proc/thread-self/maps whose pages can be written and executed. */
static bool is_code(const char *line, uintptr_t *ret_begin, uintptr_t *ret_end)
{
    char *rest;
    *ret_begin = strtoul(line, &rest, 16);
    if (*rest != '-')
        return false;
    *ret_end = strtoul(rest + 1, &rest, 16);
    return strncmp(rest, " rwxp", 5) == 0;
}

static bool seal_code(void)
{
    char line[512];
    uintptr_t begin, end;
    FILE *maps = fopen("/proc/thread-self/maps", "re");
    bool ok = maps != NULL;
    while (ok && fgets(line, sizeof line, maps))
        if (is_code(line, &begin, &end))
            ok = mprotect((void *)begin, end - begin, PROT_READ | PROT_EXEC) == 0;
    if (maps)
        fclose(maps);
    return ok;
}

struct inspect_rules *code_rules_make(int bundle_fd)
{
    struct str bundle;
    struct arena *errors = arena_new(ERRORS_BYTES);
    struct inspect_rules *rules = NULL;
    if (errors && shm_map_sealed(bundle_fd, BUNDLE_LIMIT, &bundle)) {
        rules = load(bundle, errors);
        shm_unmap_sealed(bundle);
    }
    arena_free(errors);
    if (!rules)
        return NULL;
    waf_rules_make_code(inspect_rules_of(rules));
    if (seal_code())
        return rules;
    fputs("polder-gate: the rules of the firewall could not be sealed; the worker does not run so\n", stderr);
    exit(1);
}
