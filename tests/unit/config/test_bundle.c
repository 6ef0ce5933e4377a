#include "fake.h"

#include <sys/stat.h>
#include <unistd.h>

static const char yaml[] = "certificates: [{name: a, chain: a.pem, key: a.key}]\n"
                           "listeners: [{name: s, address: 127.0.0.1:8443, tls: {certificates: a}}]\n"
                           "upstreams: [{name: app, endpoints: ['127.0.0.1:8101']}]\n"
                           "clusters: [{name: n, hosts: n.example, error_pages: {503: sub/503.html},\n"
                           "            routes: [{path: /, upstream: app}]}]\n";

static struct str bundle_of(struct arena *arena, const struct config_bundle_entry *entries, unsigned count)
{
    size_t size = config_bundle_size(STR("polder.yaml"), STR(yaml), entries, count);
    struct buf b = buf_over(arena_bytes(arena, size), size);
    config_bundle_write(&b, STR("polder.yaml"), STR(yaml), entries, count);
    assert_false(buf_overflowed(&b));
    assert_int_equal(b.n, size);
    return buf_text(&b);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    struct buf b = buf_over(path, sizeof path - 1);
    buf_printf(&b, "%s/%s", folder, name);
    path[b.n] = '\0';
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A folder with a configuration and its files; polder.yaml's path. */
static struct str make_folder(struct arena *arena, char *folder)
{
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(arena_copy_z(arena, arena_printf(arena, "%s/sub", folder)), 0700), 0);
    write_file(folder, "polder.yaml", yaml);
    write_file(folder, "a.pem", "-----BEGIN CERTIFICATE-----\n");
    write_file(folder, "sub/503.html", "<p>closed</p>");
    return arena_printf(arena, "%s/polder.yaml", folder);
}

static void remove_folder(struct arena *arena, const char *folder)
{
    static const char *const names[] = {"/polder.yaml", "/a.pem", "/sub/503.html"};
    for (size_t i = 0; i < 3; i++)
        unlink(arena_copy_z(arena, arena_printf(arena, "%s%s", folder, names[i])));
    rmdir(arena_copy_z(arena, arena_printf(arena, "%s/sub", folder)));
    rmdir(folder);
}

static void disk_and_bundle_give_the_same(void **state)
{
    char folder[] = "/tmp/polder-config-XXXXXX";
    struct arena *arena = arena_new(1 << 20);
    struct config_disk *disk = config_disk_new(make_folder(arena, folder));
    struct config_files files = config_disk_files(disk);
    struct config_problem *problems;
    struct str text, error;
    unsigned count;
    assert_true(config_disk_open(disk, &text, &error));
    struct config *direct = config_parse(STR("polder.yaml"), text, &files, arena, &problems, &count);
    assert_non_null(direct);
    const struct config_bundle_entry *entries = config_disk_read(disk, &count);
    assert_int_equal(count, 2); /* the key is not among them */
    struct config *bundled = config_from_bundle(bundle_of(arena, entries, count), arena, &error);
    assert_non_null(bundled);
    assert_memory_equal(direct->digest, bundled->digest, 32);
    assert_int_equal(direct->gate.workers, bundled->gate.workers);
    assert_str(bundled->path, "polder.yaml");
    assert_str(bundled->clusters[0].error_pages[0].html, "<p>closed</p>");
    struct str key = config_disk_resolve(disk, direct->certificates[0].key_path);
    assert_true(str_ends(key, STR("/a.key")) && key.p[0] == '/');
    assert_str(config_disk_resolve(disk, STR("/etc/x")), "/etc/x");
    config_disk_free(disk); /* a config keeps nothing of the disk */
    assert_str(direct->certificates[0].chain_pem, "-----BEGIN CERTIFICATE-----\n");
    config_free(direct);
    config_free(bundled);
    remove_folder(arena, folder);
    arena_free(arena);
}

static void disk_says_why_not(void **state)
{
    char folder[] = "/tmp/polder-config-XXXXXX";
    struct arena *arena = arena_new(1 << 20);
    struct config_disk *disk = config_disk_new(make_folder(arena, folder));
    struct config_files files = config_disk_files(disk);
    struct str bytes, error;
    assert_false(files.read(files.self, STR("gone.pem"), &bytes, &error));
    assert_str(error, "no such file");
    assert_false(files.read(files.self, STR("sub"), &bytes, &error));
    assert_str(error, "not a regular file");
    assert_false(files.read(files.self, STR("/dev/null"), &bytes, &error));
    assert_str(error, "not a regular file");
    config_disk_free(disk);
    disk = config_disk_new(STR("/nowhere/polder.yaml"));
    assert_non_null(disk);
    assert_false(config_disk_open(disk, &bytes, &error));
    assert_str(error, "no such file");
    config_disk_free(disk);
    config_disk_free(NULL);
    remove_folder(arena, folder);
    arena_free(arena);
}

/* Every cut of a bundle is refused, and so is one with a byte too many. */
static void broken_bundles_are_refused(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    const struct config_bundle_entry entries[] = {{STR("a.pem"), STR("-----BEGIN CERTIFICATE-----")},
                                                  {STR("sub/503.html"), STR("x")}};
    struct str whole = bundle_of(arena, entries, 2), error = STR_NONE;
    struct config *config = config_from_bundle(whole, arena, &error);
    assert_non_null(config);
    config_free(config);
    for (size_t n = 0; n < whole.n; n++) {
        assert_null(config_from_bundle(str_take(whole, n), arena, &error));
        assert_str(error, "the bytes are not a configuration bundle");
    }
    struct str longer = arena_printf(arena, "%s", "");
    char *more = arena_bytes(arena, whole.n + 1);
    memcpy(more, whole.p, whole.n);
    more[whole.n] = 0;
    longer = (struct str){more, whole.n + 1};
    assert_null(config_from_bundle(longer, arena, &error));
    arena_free(arena);
}

static void a_file_missing_from_the_bundle_is_told(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    const struct config_bundle_entry entry = {STR("a.pem"), STR("-----BEGIN CERTIFICATE-----")};
    struct str error = STR_NONE;
    assert_null(config_from_bundle(bundle_of(arena, &entry, 1), arena, &error));
    assert_str(error,
               "polder.yaml:4:59: 'error_pages' cannot be read from 'sub/503.html': it is not in the bundle");
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_and_bundle_give_the_same),
        cmocka_unit_test(disk_says_why_not),
        cmocka_unit_test(broken_bundles_are_refused),
        cmocka_unit_test(a_file_missing_from_the_bundle_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
