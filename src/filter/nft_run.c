/* filter/nft_run.c - nftables text into the kernel by libnftables: one transaction, in this process, so that
 * a role that may execute nothing can do it. */
#include "filter/filter.h"

#include "filter/internal.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdlib.h>

struct filter_nft {
    struct nft_ctx *context;
};

struct filter_nft *filter_nft_open(void)
{
    struct filter_nft *n = calloc(1, sizeof *n);
    if (n)
        n->context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (n && n->context && nft_ctx_buffer_error(n->context) == 0 && nft_ctx_buffer_output(n->context) == 0)
        return n;
    filter_nft_close(n);
    return NULL;
}

void filter_nft_close(struct filter_nft *n)
{
    if (n && n->context)
        nft_ctx_free(n->context);
    free(n);
}

int filter_nft_run(struct filter_nft *n, struct str text, struct filter_problem *problem)
{
    char *z = malloc(text.n + 1);
    if (!z)
        return filter_problem_set(problem, -ENOMEM, "no memory for the rules");
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    int error = nft_run_cmd_from_buffer(n->context, z);
    struct str complaint = str_of(nft_ctx_get_error_buffer(n->context));
    complaint = str_take(complaint,
                         str_find(complaint, STR("\n")) < 0 ? 200 : (size_t)str_find(complaint, STR("\n")));
    free(z);
    if (error)
        return filter_problem_set(problem, -EINVAL,
                                  "nftables refuses the rules, and what was there holds: %.*s",
                                  STR_ARG(complaint));
    return 0;
}
