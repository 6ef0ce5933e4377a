#include "config/parse.h"

#include "base/must.h"
#include "config/reader.h"

#include <sched.h>

/* A config with its files; the tree of nodes, the claims. Far beyond any real configuration. */
enum { CONFIG_BYTES_MAX = 256 << 20, SCRATCH_BYTES_MAX = 256 << 20 };

unsigned config_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

/* Everything but the arenas: false when there is any error. */
static bool read_all(struct reader *r, struct str yaml)
{
    const struct node *tree = tree_read(yaml, r->scratch, r->problems);
    if (!tree)
        return false;
    must(EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) == 1);
    must(EVP_DigestUpdate(r->digest, yaml.p, yaml.n) == 1);
    reader_read_root(r, tree);
    must(EVP_DigestFinal_ex(r->digest, r->root->config.digest, NULL) == 1);
    if (arena_overflowed(r->arena) || arena_overflowed(r->scratch))
        problem_error(r->problems, (struct place){0}, STR("use smaller or fewer files"),
                      "the configuration and its files need more memory than it may have");
    return r->problems->error_count == 0;
}

static struct config *read_into(struct reader *r, struct str path, struct str yaml)
{
    r->root = arena_alloc(r->arena, sizeof *r->root);
    r->digest = EVP_MD_CTX_new();
    if (!r->root || !r->digest) {
        problem_error(r->problems, (struct place){0}, STR_NONE, "no memory to read the configuration");
        return NULL;
    }
    r->root->config.arena = r->arena;
    r->root->config.path = arena_copy(r->arena, path);
    return read_all(r, yaml) ? &r->root->config : NULL;
}

struct config *config_parse_for(unsigned cpus, struct str path, struct str yaml,
                                const struct config_files *files, struct arena *problems_arena,
                                struct config_problem **ret_problems, unsigned *ret_problem_count)
{
    struct problems problems = {.arena = problems_arena};
    struct reader r = {.arena = arena_new(CONFIG_BYTES_MAX),
                       .scratch = arena_new(SCRATCH_BYTES_MAX),
                       .problems = &problems,
                       .files = files,
                       .cpus = cpus};
    struct config *config = NULL;
    if (r.arena && r.scratch)
        config = read_into(&r, path, yaml);
    else
        problem_error(&problems, (struct place){0}, STR_NONE, "no memory to read the configuration");
    EVP_MD_CTX_free(r.digest);
    arena_free(r.scratch);
    if (!config)
        arena_free(r.arena);
    problems_finish(&problems, ret_problems, ret_problem_count);
    return config;
}

struct config *config_parse(struct str path, struct str yaml, const struct config_files *files,
                            struct arena *problems_arena, struct config_problem **ret_problems,
                            unsigned *ret_problem_count)
{
    return config_parse_for(config_cpu_count(), path, yaml, files, problems_arena, ret_problems,
                            ret_problem_count);
}

void config_free(struct config *config)
{
    if (config)
        arena_free(config->arena);
}
