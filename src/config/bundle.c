/* config/bundle.c - the configuration and its files as one run of bytes.
 *
 *     magic, cpus u32, count u32, then texts: path, yaml, and count times path and contents;
 *     a text is its length, u32, and its bytes. Little endian, never leaves the machine. */
#include "config/parse.h"

#include "base/cursor.h"

static const char magic[8] = {'P', 'L', 'D', 'R', 'C', 'F', 'G', '1'};
enum { TEXT_HEAD_BYTES = 4, HEAD_BYTES = sizeof magic + 8 };

static void write_u32(struct buf *b, size_t value)
{
    uint32_t v = (uint32_t)value;
    if (v != value)
        b->overflowed = true;
    buf_add(b, &v, sizeof v);
}

static void write_text(struct buf *b, struct str s)
{
    write_u32(b, s.n);
    buf_str(b, s);
}

size_t config_bundle_size(struct str path, struct str yaml, const struct config_bundle_entry *entries,
                          unsigned count)
{
    size_t size = HEAD_BYTES + 2 * TEXT_HEAD_BYTES + path.n + yaml.n;
    for (unsigned i = 0; i < count; i++)
        size += 2 * TEXT_HEAD_BYTES + entries[i].path.n + entries[i].bytes.n;
    return size;
}

void config_bundle_write(struct buf *b, struct str path, struct str yaml,
                         const struct config_bundle_entry *entries, unsigned count)
{
    buf_add(b, magic, sizeof magic);
    write_u32(b, config_cpu_count());
    write_u32(b, count);
    write_text(b, path);
    write_text(b, yaml);
    for (unsigned i = 0; i < count; i++) {
        write_text(b, entries[i].path);
        write_text(b, entries[i].bytes);
    }
}

static struct str read_text_part(struct cursor *c)
{
    size_t n = cursor_uint(c, TEXT_HEAD_BYTES);
    const uint8_t *p = cursor_bytes(c, n);
    return (struct str){(const char *)p, p ? n : 0};
}

struct bundle {
    struct config_bundle_entry *entries;
    uint32_t count;
    unsigned cpus;
    struct str path, yaml;
};

static bool bundle_file(void *self, struct str path, struct str *ret_bytes, struct str *ret_error)
{
    const struct bundle *b = self;
    for (uint32_t i = 0; i < b->count; i++)
        if (str_eq(b->entries[i].path, path)) {
            *ret_bytes = b->entries[i].bytes;
            return true;
        }
    *ret_error = STR("it is not in the bundle");
    return false;
}

struct str config_list_name(struct arena *arena, struct str pattern)
{
    return arena_printf(arena, "\n%.*s", STR_ARG(pattern));
}

static bool bundle_list(void *self, struct str pattern, struct str *ret_lines)
{
    const struct bundle *b = self;
    for (uint32_t i = 0; i < b->count; i++) {
        struct str name = b->entries[i].path;
        if (name.n == pattern.n + 1 && name.p[0] == '\n' && str_eq(str_skip(name, 1), pattern)) {
            *ret_lines = b->entries[i].bytes;
            return true;
        }
    }
    return false;
}

static bool unpack(struct str bytes, struct arena *arena, struct bundle *ret)
{
    struct cursor c = cursor_over(bytes.p, bytes.n);
    const uint8_t *head = cursor_bytes(&c, sizeof magic);
    if (!head || memcmp(head, magic, sizeof magic) != 0)
        return false;
    ret->cpus = (unsigned)cursor_uint(&c, 4);
    ret->count = (uint32_t)cursor_uint(&c, 4);
    ret->path = read_text_part(&c);
    ret->yaml = read_text_part(&c);
    if (ret->count > cursor_left(&c) / (2 * TEXT_HEAD_BYTES))
        return false;
    ret->entries = arena_alloc(arena, (ret->count + (size_t)1) * sizeof *ret->entries);
    for (uint32_t i = 0; i < ret->count && ret->entries; i++) {
        ret->entries[i].path = read_text_part(&c);
        ret->entries[i].bytes = read_text_part(&c);
    }
    return ret->entries && cursor_consumed(&c);
}

/* The first error in a line: what a worker can tell the master. */
static struct str first_error(struct arena *arena, struct str path, const struct config_problem *problems,
                              unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!problems[i].is_warning)
            return arena_printf(arena, "%.*s:%u:%u: %.*s", STR_ARG(path), problems[i].line,
                                problems[i].column, STR_ARG(problems[i].text));
    return STR("no memory to read the configuration");
}

struct config *config_from_bundle(struct str bytes, struct arena *error_arena, struct str *ret_error)
{
    struct bundle b = {0};
    struct config_files files = {bundle_file, &b, bundle_list};
    struct config_problem *problems = NULL;
    unsigned count = 0;
    if (!unpack(bytes, error_arena, &b)) {
        *ret_error = STR("the bytes are not a configuration bundle");
        return NULL;
    }
    struct config *config = config_parse_for(b.cpus, b.path, b.yaml, &files, error_arena, &problems, &count);
    if (!config)
        *ret_error = first_error(error_arena, b.path, problems, count);
    return config;
}

bool config_bundle_files(struct str bytes, struct arena *arena, struct config_files *ret)
{
    struct bundle *b = arena_alloc(arena, sizeof *b);
    if (!b || !unpack(bytes, arena, b))
        return false;
    *ret = (struct config_files){bundle_file, b, bundle_list};
    return true;
}
