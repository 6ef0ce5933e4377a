/* gate/observer_config.c - a configuration as the observer knows it: names for numbers, slots in shared
 * memory, and when the certificates end. */
#include "base/must.h"
#include "gate/observer.h"
#include "sys/shm.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BUNDLE_MAX = 256 << 20 };

/* Seconds since 1970, or 0 when it cannot be read. (timegm would look for time zone data.) */
static int64_t not_after_of(struct str chain_pem)
{
    struct tm tm = {0};
    int64_t seconds = 0;
    if (chain_pem.n == 0 || chain_pem.n > INT32_MAX)
        return 0;
    BIO *bio = BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (leaf && ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1)
        seconds = time_from_civil(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday,
                                  (unsigned)tm.tm_hour, (unsigned)tm.tm_min, (unsigned)tm.tm_sec);
    X509_free(leaf);
    BIO_free(bio);
    return seconds;
}

static void set_endpoints(struct observed_config *o)
{
    for (unsigned u = 0; u < o->config->upstream_count; u++) {
        const struct config_upstream *upstream = &o->config->upstreams[u];
        for (unsigned i = 0; i < upstream->endpoint_count; i++) {
            unsigned global = upstream->first_endpoint + i;
            must(global < o->config->endpoint_count);
            o->endpoints[global] =
                (struct observed_endpoint){upstream, &upstream->endpoints[i], SHARED_NO_SLOT, 0, false};
        }
    }
}

/* What was so before is no event. */
static void note_state(struct observed_endpoint *e, const struct shared_endpoint *state, uint64_t now_ms)
{
    e->seen_health = atomic_load_explicit(&state->health, memory_order_relaxed);
    e->seen_ejected = atomic_load_explicit(&state->ejected_until_ms, memory_order_relaxed) > now_ms;
}

void observed_config_bind(struct observed_config *o, const struct shared *shared, uint64_t now_ms)
{
    for (unsigned i = 0; i < o->config->cluster_count; i++) {
        uint64_t key = shared_cluster_key(o->config->clusters[i].name);
        o->cluster_slots[i] = shared->header ? shared_cluster_find(shared, key) : SHARED_NO_SLOT;
    }
    for (unsigned i = 0; i < o->config->endpoint_count; i++) {
        struct observed_endpoint *e = &o->endpoints[i];
        must(e->upstream && e->endpoint);
        uint64_t key = shared_endpoint_key(e->upstream->name, e->endpoint->host, e->endpoint->port);
        e->slot = shared->header ? shared_endpoint_find(shared, key) : SHARED_NO_SLOT;
        if (e->slot != SHARED_NO_SLOT)
            note_state(e, shared_endpoint(shared, e->slot), now_ms);
    }
}

enum { PATCH_ARENA_BYTES = 64 << 20 };

/* The master has checked them. */
static bool set_patches(struct observed_config *o)
{
    const struct config_waf *waf = &o->config->waf;
    o->patch_arena = arena_new(PATCH_ARENA_BYTES);
    o->patches = calloc(waf->patch_count + 1, sizeof *o->patches);
    o->patch_told = calloc((size_t)waf->patch_count * o->config->cluster_count + 1, sizeof *o->patch_told);
    for (unsigned i = 0; o->patch_arena && o->patches && i < waf->patch_count; i++) {
        struct config_problem *problems;
        unsigned count;
        if (!waf_patch_read(waf->patches[i].path, waf->patches[i].yaml, o->patch_arena, &o->patches[i],
                            &problems, &count))
            o->patches[i] = (struct waf_patch){.path = waf->patches[i].path};
    }
    return o->patch_arena && o->patches && o->patch_told;
}

static void set_certificates(struct observed_config *o)
{
    for (unsigned i = 0; i < o->config->certificate_count; i++) {
        const struct config_certificate *c = &o->config->certificates[i];
        o->certificates[i] = (struct observed_certificate){c->name, not_after_of(c->chain_pem)};
    }
}

struct observed_config *observed_config_of(struct config *config, uint64_t generation,
                                           const struct shared *shared)
{
    struct observed_config *o = calloc(1, sizeof *o);
    if (!o) {
        config_free(config);
        return NULL;
    }
    o->generation = generation;
    o->config = config;
    o->cluster_slots = calloc(config->cluster_count + 1, sizeof *o->cluster_slots);
    o->endpoints = calloc(config->endpoint_count + 1, sizeof *o->endpoints);
    o->certificates = calloc(config->certificate_count + 1, sizeof *o->certificates);
    if (!o->cluster_slots || !o->endpoints || !o->certificates || !set_patches(o)) {
        observed_config_free(o);
        return NULL;
    }
    set_endpoints(o);
    set_certificates(o);
    observed_config_bind(o, shared, 0);
    return o;
}

struct observed_config *observed_config_new(int fd, uint64_t generation, const struct shared *shared,
                                            struct arena *error_arena, struct str *ret_error)
{
    struct str bundle;
    bool is_mapped = shm_map_sealed(fd, BUNDLE_MAX, &bundle);
    close(fd);
    if (!is_mapped) {
        *ret_error = STR("the bundle is not sealed, or larger than 256 MiB");
        return NULL;
    }
    struct config *config = config_from_bundle(bundle, error_arena, ret_error);
    struct observed_config *o = config ? observed_config_of(config, generation, shared) : NULL;
    if (!o) {
        if (config)
            *ret_error = STR("the observer has no memory for it");
        shm_unmap_sealed(bundle);
        return NULL;
    }
    o->bundle = bundle;
    return o;
}

void observed_config_free(struct observed_config *o)
{
    if (!o)
        return;
    config_free(o->config);
    shm_unmap_sealed(o->bundle);
    free(o->cluster_slots);
    free(o->endpoints);
    free(o->certificates);
    arena_free(o->patch_arena);
    free(o->patches);
    free(o->patch_told);
    free(o);
}
