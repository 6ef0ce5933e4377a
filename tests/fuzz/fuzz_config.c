/* Any bytes as a configuration: there is a config, or there is an error that says why not, never both. A
 * config is complete and resolved; printing the problems fits and shows no control characters; the same text
 * by way of a bundle is judged the same. The bytes as a bundle: refused or read, nothing else. */
#include "base/must.h"
#include "config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 8 << 20, PRINT_BYTES = 1 << 20, INPUT_MAX = 1 << 16 };

static const struct config_bundle_entry entries[] = {{{"a.pem", 5}, {"-----BEGIN CERTIFICATE-----", 27}},
                                                     {{"b.pem", 5}, {"-----BEGIN CERTIFICATE-----", 27}},
                                                     {{"crl.pem", 7}, {"-----BEGIN X509 CRL-----", 24}},
                                                     {{"a.ocsp", 6}, {"\x30\x00", 2}},
                                                     {{"a.html", 6}, {"<p>", 3}}};
enum { ENTRY_COUNT = sizeof entries / sizeof *entries };

static bool read_entry(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (str_eq(entries[i].path, path)) {
            *ret_bytes = entries[i].bytes;
            return true;
        }
    *ret_error = STR("no such file");
    return false;
}

static void must_be_complete(const struct config *c)
{
    must(c->listener_count && c->cluster_count && c->upstream_count);
    must(c->gate.workers >= 1 && c->gate.workers <= 64 && c->gate.run_directory.n);
    for (unsigned i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        must(l->index == i && l->address.port && l->limits.header_bytes >= l->limits.target_bytes);
        must(l->has_tls == (l->certificate_count > 0));
        for (unsigned j = 0; j < l->certificate_count; j++)
            must(l->certificates[j] && l->certificates[j]->chain_pem.n);
        must(l->client_certificate == CLIENT_CERT_OFF || l->client_ca_pem.n);
    }
    for (unsigned i = 0, endpoints = 0; i < c->upstream_count; i++) {
        const struct config_upstream *u = &c->upstreams[i];
        must(u->endpoint_count >= 1 && u->endpoint_count <= 64 && u->first_endpoint == endpoints);
        must(!u->tls || !u->tls_verify || u->tls_ca_pem.n);
        endpoints += u->endpoint_count;
    }
}

static void must_route(const struct config *c)
{
    for (unsigned i = 0; i < c->cluster_count; i++) {
        const struct config_cluster *k = &c->clusters[i];
        must(k->host_count && k->route_count && k->name.n && k->index == i);
        for (unsigned j = 0; j < k->route_count; j++) {
            must(k->routes[j].upstream && k->routes[j].path.p[0] == '/' && k->routes[j].index == j);
            must(j == 0 || k->routes[j - 1].path.n >= k->routes[j].path.n);
        }
    }
}

static void must_print(struct str yaml, const struct config_problem *problems, unsigned count)
{
    char *text = malloc(PRINT_BYTES);
    must(text);
    struct buf b = buf_over(text, PRINT_BYTES);
    config_problems_print(&b, STR("polder.yaml"), yaml, problems, count, false);
    must(!buf_overflowed(&b));
    for (size_t i = 0; i < b.n; i++)
        must((unsigned char)text[i] >= 0x20 || text[i] == '\n');
    free(text);
}

static void must_bundle(struct str yaml, const struct config *expected)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    size_t n = config_bundle_size(STR("polder.yaml"), yaml, entries, ENTRY_COUNT);
    char *memory = malloc(n);
    must(arena && memory);
    struct buf b = buf_over(memory, n);
    struct str error = STR_NONE;
    config_bundle_write(&b, STR("polder.yaml"), yaml, entries, ENTRY_COUNT);
    must(b.n == n && !buf_overflowed(&b));
    struct config *config = config_from_bundle(buf_text(&b), arena, &error);
    must((config == NULL) == (expected == NULL));
    must(!config || memcmp(config->digest, expected->digest, sizeof config->digest) == 0);
    must(config || error.n);
    config_free(config);
    free(memory);
    arena_free(arena);
}

static void raw_bundle(struct str bytes)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct str error = STR_NONE;
    must(arena);
    struct config *config = config_from_bundle(bytes, arena, &error);
    must((config == NULL) == (error.n > 0));
    config_free(config);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str yaml = {(const char *)data, size};
    struct config_files files = {read_entry, NULL};
    struct config_problem *problems;
    unsigned count, errors = 0;
    if (size > INPUT_MAX)
        return 0;
    struct arena *arena = arena_new(ARENA_BYTES);
    must(arena);
    struct config *config = config_parse(STR("polder.yaml"), yaml, &files, arena, &problems, &count);
    for (unsigned i = 0; i < count; i++) {
        errors += !problems[i].is_warning;
        must(problems[i].text.n && (i == 0 || i == 100 || problems[i].line >= problems[i - 1].line));
    }
    must((config == NULL) == (errors > 0));
    if (config) {
        must_be_complete(config);
        must_route(config);
    }
    must_print(yaml, problems, count);
    must_bundle(yaml, config);
    raw_bundle(yaml);
    config_free(config);
    arena_free(arena);
    return 0;
}
