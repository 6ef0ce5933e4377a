/* cli/records_load_state.c - how far which file is loaded where: .polder-loaded beside the data, a line for
 * each: base URL, name, size, time of change, bytes done, first resource; tabs between.
 *
 * It only saves work. What it says of a file that has changed is not believed, nor what it says of a service
 * that does not have the file's first resource; and what is loaded twice is the same as loaded once. */
#include "cli/records_load.h"

#include "base/unconst.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MARKS_MAX = 4096, TEXT_MAX = 4 << 20 };

struct line {
    struct str base;
    struct load_mark mark;
};

struct load_state {
    struct load *load;
    struct str path, part;
    struct line lines[MARKS_MAX];
    unsigned count;
    bool cannot_write;
};

static bool parse_line(struct load_state *s, struct str line)
{
    struct line *l = &s->lines[s->count];
    struct str rest = line;
    l->base = str_cut(&rest, '\t');
    l->mark.name = str_cut(&rest, '\t');
    if (!str_parse_u64(str_cut(&rest, '\t'), &l->mark.size) ||
        !str_parse_u64(str_cut(&rest, '\t'), &l->mark.time_ns) ||
        !str_parse_u64(str_cut(&rest, '\t'), &l->mark.done))
        return false;
    l->mark.first = rest;
    return l->base.n && l->mark.name.n && l->mark.done <= l->mark.size;
}

static void read_lines(struct load_state *s)
{
    char *memory = arena_bytes(s->load->arena, TEXT_MAX);
    int fd = open(s->path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = memory && fd >= 0 ? read(fd, memory, TEXT_MAX) : 0;
    struct str text = {memory, n > 0 ? (size_t)n : 0};
    while (text.n && s->count < MARKS_MAX)
        s->count += parse_line(s, str_cut(&text, '\n'));
    if (fd >= 0)
        close(fd);
}

struct load_state *load_state_open(struct load *load, struct str folder)
{
    struct load_state *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->load = load;
    s->path = arena_printf(load->arena, "%.*s/.polder-loaded%c", STR_ARG(folder), 0);
    s->part = arena_printf(load->arena, "%.*s/.polder-loaded.part%c", STR_ARG(folder), 0);
    read_lines(s);
    return s;
}

static struct line *find(struct load_state *s, struct str name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (str_eq(s->lines[i].base, s->load->target.base) && str_eq(s->lines[i].mark.name, name))
            return &s->lines[i];
    return NULL;
}

const struct load_mark *load_state_find(const struct load_state *s, const struct load_mark *file)
{
    const struct line *l = find(unconst(s), file->name);
    return l && l->mark.size == file->size && l->mark.time_ns == file->time_ns ? &l->mark : NULL;
}

static bool write_lines(const struct load_state *s, FILE *out)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct line *l = &s->lines[i];
        const struct load_mark *m = &l->mark;
        if (fprintf(out, "%.*s\t%.*s\t%llu\t%llu\t%llu\t%.*s\n", STR_ARG(l->base), STR_ARG(m->name),
                    (unsigned long long)m->size, (unsigned long long)m->time_ns, (unsigned long long)m->done,
                    STR_ARG(m->first)) < 0)
            return false;
    }
    return true;
}

void load_state_set(struct load_state *s, const struct load_mark *mark)
{
    struct line *l = find(s, mark->name);
    if (!l && s->count < MARKS_MAX)
        l = &s->lines[s->count++];
    if (!l || s->cannot_write)
        return;
    struct str first = arena_copy(s->load->arena, mark->first);
    *l = (struct line){s->load->target.base, *mark};
    l->mark.first = first;
    FILE *out = fopen(s->part.p, "we");
    bool ok = out && write_lines(s, out);
    ok = out && fclose(out) == 0 && ok && rename(s->part.p, s->path.p) == 0;
    if (ok)
        return;
    s->cannot_write = true;
    records_progress_end(&s->load->progress);
    cli_complain("%s cannot be written (%s): a next run will begin from the beginning", s->path.p,
                 strerror(errno));
}

void load_state_close(struct load_state *s)
{
    free(s);
}
