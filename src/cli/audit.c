/* cli/audit.c - `polder audit`: who looked at whose record, from the log of accesses that polder-records
 * keeps (records/audit.c), and whether its chain holds. Reads the file itself, so it works when nothing else
 * does, and takes who may read it.
 *
 * What always holds: a line is shown only when the chain held up to it, or with a warning in front. */
#include "cli/isolation.h"
#include "cli/records.h"

#include "base/utc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHAIN_BYTES = 32, AT_CHARACTERS = 23, OUT_BYTES = 1 << 16, LINE_BYTES_MAX = 2 << 20, DEPTH_MAX = 6 };

/* What is asked. */
struct wanted {
    struct str patient, user; /* "7" or "Patient/7"; "Practitioner/1"; empty: all */
    char from[AT_CHARACTERS], to[AT_CHARACTERS];
    bool has_from, has_to, only_verify;
};

struct reading {
    const struct cli *cli;
    struct wanted wanted;
    struct buf out;
    struct json_node *nodes;
    size_t node_count;
    EVP_MD_CTX *digest;
    uint8_t chain[CHAIN_BYTES];
    uint64_t lines, shown, broken_at; /* broken_at 0: whole */
    bool is_broken_output;
};

/* ---- the chain */

static bool hash_line(struct reading *r, struct str text)
{
    unsigned n = CHAIN_BYTES;
    return EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) &&
           EVP_DigestUpdate(r->digest, r->chain, CHAIN_BYTES) &&
           EVP_DigestUpdate(r->digest, text.p, text.n) && EVP_DigestFinal_ex(r->digest, r->chain, &n);
}

/* {"n":7,...,"chain":"..."}: whether the number and the hash are what they must be. */
static bool check_line(struct reading *r, struct str line)
{
    static const struct str key = STR(",\"chain\":\"");
    char memory[2 * CHAIN_BYTES], start[40];
    struct buf hex = buf_over(memory, sizeof memory), head = buf_over(start, sizeof start);
    size_t tail = key.n + 2 * (size_t)CHAIN_BYTES + 2;
    buf_printf(&head, "{\"n\":%llu,", (unsigned long long)r->lines);
    if (line.n < tail || !str_starts(line, buf_text(&head)) || !hash_line(r, str_take(line, line.n - tail)))
        return false;
    buf_hex(&hex, r->chain, CHAIN_BYTES);
    struct str end = str_skip(line, line.n - tail);
    return str_starts(end, key) &&
           str_eq(str_take(str_skip(end, key.n), 2 * (size_t)CHAIN_BYTES), buf_text(&hex));
}

/* ---- which lines */

static struct str text_of(const struct json_tape *t, uint32_t object, const char *name)
{
    uint32_t at = json_get(t, object, str_of(name));
    return at != JSON_NONE && json_type(t, at) == JSON_STRING ? json_text(t, at) : STR_NONE;
}

static bool lists(const struct json_tape *t, const char *name, struct str value)
{
    uint32_t list = json_get(t, 0, str_of(name));
    if (list == JSON_NONE || json_type(t, list) != JSON_ARRAY || !json_count(t, list))
        return false;
    uint32_t at = json_first(t, list);
    for (uint32_t n = json_count(t, list); n > 0; n--, at = json_next(t, at))
        if (json_string_is(t, at, value))
            return true;
    return false;
}

/* Also what was refused, where the request itself names the patient. */
static bool is_about(const struct json_tape *t, struct str patient)
{
    return lists(t, "patients", patient) ||
           (str_eq(text_of(t, 0, "type"), STR("Patient")) && str_eq(text_of(t, 0, "id"), patient));
}

static bool is_wanted(const struct reading *r, const struct json_tape *t)
{
    const struct wanted *w = &r->wanted;
    struct str at = str_take(text_of(t, 0, "at"), AT_CHARACTERS);
    if (w->has_from && str_compare(at, (struct str){w->from, AT_CHARACTERS}) < 0)
        return false;
    if (w->has_to && str_compare(at, (struct str){w->to, AT_CHARACTERS}) >= 0)
        return false;
    if (w->user.n && !str_eq(text_of(t, 0, "user"), w->user))
        return false;
    return !w->patient.n || is_about(t, w->patient);
}

/* ---- showing */

static void flush(struct reading *r)
{
    r->is_broken_output |= !cli_print(buf_text(&r->out));
    r->out.n = 0;
    r->out.overflowed = false;
}

static void put_word(struct reading *r, const struct json_tape *t, const char *name, const char *otherwise)
{
    struct str text = text_of(t, 0, name);
    print_safe(&r->out, text.n ? str_take(text, 200) : str_of(otherwise));
}

/* "Y---": authorised, treatment relation, consent, emergency. */
static void put_judgement(struct reading *r, const struct json_tape *t)
{
    static const char *const words[] = {"authorised", "treatment", "consent", "EMERGENCY"};
    struct str outcome = text_of(t, 0, "outcome");
    for (size_t i = 0; i < outcome.n && i < 4; i++)
        if (outcome.p[i] == 'Y' || (i == 0 && outcome.p[i] == 'N'))
            buf_printf(&r->out, "%s%s", i ? "+" : outcome.p[i] == 'N' ? "NOT " : "", words[i]);
}

static void show(struct reading *r, const struct json_tape *t)
{
    put_word(r, t, "at", "?");
    BUF_LIT(&r->out, "  ");
    put_word(r, t, "user", "(nobody)");
    BUF_LIT(&r->out, " [");
    put_word(r, t, "role", "-");
    BUF_LIT(&r->out, "; ");
    put_word(r, t, "organisation", "-");
    BUF_LIT(&r->out, "]  ");
    put_word(r, t, "interaction", "?");
    BUF_LIT(&r->out, " ");
    put_word(r, t, "type", "");
    BUF_LIT(&r->out, "/");
    put_word(r, t, "id", "");
    BUF_LIT(&r->out, "  ");
    put_judgement(r, t);
    if (text_of(t, 0, "reason").n) {
        BUF_LIT(&r->out, "  reason: ");
        put_word(r, t, "reason", "");
    }
    BUF_LIT(&r->out, "  from ");
    put_word(r, t, "from", "?");
    BUF_LIT(&r->out, "\n");
}

static void look_at(struct reading *r, struct str line)
{
    struct json_tape t;
    if (r->wanted.only_verify || json_nodes_max(line.n) > r->node_count ||
        json_parse(line, DEPTH_MAX, r->nodes, r->node_count, &t, NULL) != JSON_FINE || !is_wanted(r, &t))
        return;
    r->shown++;
    if (r->cli->json) {
        flush(r);
        r->is_broken_output |= !cli_print(line) || !cli_print(STR("\n"));
        return;
    }
    show(r, &t);
    if (r->out.n > OUT_BYTES / 2)
        flush(r);
}

/* A last line without its end was never confirmed: it does not count. */
static void read_lines(struct reading *r, struct str text)
{
    while (text.n && !r->is_broken_output) {
        ptrdiff_t end = str_find_char(text, '\n');
        if (end < 0)
            break;
        struct str line = str_take(text, (size_t)end);
        text = str_skip(text, (size_t)end + 1);
        r->lines++;
        if (!r->broken_at && !check_line(r, line)) {
            r->broken_at = r->lines;
            flush(r);
            cli_complain("THE CHAIN IS BROKEN at line %llu: that line, or one before it, was changed, moved "
                         "or taken out. "
                         "Keep a copy of the file before anything else is done",
                         (unsigned long long)r->broken_at);
        }
        look_at(r, line);
    }
    flush(r);
}

/* ---- one file */

static enum exit_status read_file(struct reading *r, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &info) < 0) {
        cli_complain("%s cannot be read: %s. It takes root, or the user of the audit", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return EXIT_BROKEN;
    }
    void *bytes = info.st_size ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (bytes == MAP_FAILED) {
        cli_complain("%s cannot be read: %s", path, strerror(errno));
        return EXIT_BROKEN;
    }
    read_lines(r, (struct str){bytes, (size_t)info.st_size});
    if (bytes)
        munmap(bytes, (size_t)info.st_size);
    if (r->is_broken_output)
        return EXIT_BROKEN;
    return r->broken_at ? EXIT_PROBLEMS : EXIT_FINE;
}

static void tell_end(const struct reading *r, struct str cluster)
{
    char memory[512];
    struct buf b = buf_over(memory, sizeof memory);
    if (r->cli->json)
        return;
    if (!r->wanted.only_verify)
        buf_printf(&b, "%.*s: %llu of %llu accesses. ", STR_ARG(cluster), (unsigned long long)r->shown,
                   (unsigned long long)r->lines);
    if (!r->broken_at)
        buf_printf(&b, "The chain of %llu lines is whole.", (unsigned long long)r->lines);
    buf_char(&b, '\n');
    cli_print(buf_text(&b));
}

static enum exit_status read_cluster(struct reading *r, const struct records_place *p)
{
    struct str folder = records_folder_of(p, p->cluster);
    struct str path = records_file_in(p, folder, "audit/accesses.jsonl");
    enum exit_status status = path.n ? read_file(r, path.p) : EXIT_BROKEN;
    if (status == EXIT_FINE || status == EXIT_PROBLEMS)
        tell_end(r, p->cluster->name);
    return status;
}

/* ---- the command */

static bool read_moment(const char *option, const char *text, char ret[AT_CHARACTERS], bool *ret_has)
{
    char memory[64];
    struct buf b = buf_over(memory, sizeof memory);
    int64_t us;
    if (!text)
        return true;
    if (!isolation_moment(str_of(text), false, &us)) {
        cli_complain("%s is a time back, like 2h, or a moment like 2026-01-31T09:00, not '%s'", option, text);
        return false;
    }
    time_write_utc(&b, us);
    memcpy(ret, b.p, AT_CHARACTERS);
    *ret_has = true;
    return true;
}

enum exit_status command_audit(const struct cli *cli)
{
    struct records_place place;
    struct reading r = {
        .cli = cli, .wanted.only_verify = cli->verify, .node_count = json_nodes_max(LINE_BYTES_MAX)};
    struct str patient = str_of(cli->patient);
    r.wanted.patient = str_starts(patient, STR("Patient/")) ? str_skip(patient, 8) : patient;
    r.wanted.user = str_of(cli->user);
    if (!read_moment("--from", cli->from, r.wanted.from, &r.wanted.has_from) ||
        !read_moment("--to", cli->to, r.wanted.to, &r.wanted.has_to))
        return EXIT_USAGE;
    enum exit_status status = records_place_open(&place, cli, false);
    if (status == EXIT_FINE) {
        struct arena *arena = arena_new(64 << 20);
        r.nodes = arena ? arena_alloc(arena, r.node_count * sizeof *r.nodes) : NULL;
        r.out = buf_over(arena ? arena_bytes(arena, OUT_BYTES) : NULL, OUT_BYTES);
        r.digest = EVP_MD_CTX_new();
        status = r.nodes && r.out.p && r.digest ? read_cluster(&r, &place) : EXIT_BROKEN;
        EVP_MD_CTX_free(r.digest);
        arena_free(arena);
    }
    records_place_close(&place);
    return status;
}
