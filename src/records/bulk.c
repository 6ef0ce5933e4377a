/* records/bulk.c - see bulk.h. */
#include "records/bulk.h"

#include "fhir/moment.h"
#include "fhir/reference.h"
#include "rest/document.h"
#include "rest/outcome.h"
#include "sys/durable.h"
#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE = 500,
    FILE_BYTES_MAX = 32 << 20, /* then the next one is begun */
    MEMBERS_MAX = 100'000,
    PATIENTS_PAGE = 100,
    ARENA_BYTES = 64 << 20,
    PATH_BYTES = 640,
    MANIFEST_MAX = 4 << 20,
    REQUEST_MAX = 8'000,
};

/* ---- files */

static void path_of(const struct bulk_job *j, const char *name, char *ret)
{
    struct buf b = buf_over(ret, PATH_BYTES);
    buf_printf(&b, "%s/%u.%s%c", j->folder, j->slot, name, 0);
}

static void name_of(struct str type, unsigned part, char *ret)
{
    struct buf b = buf_over(ret, PATH_BYTES);
    buf_printf(&b, "%.*s.%u.ndjson%c", STR_ARG(type), part, 0);
}

static int write_all(int fd, struct str text)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        text = str_skip(text, (size_t)n);
    }
    return 0;
}

static int write_whole(const struct bulk_job *j, const char *name, struct str text)
{
    char path[PATH_BYTES];
    path_of(j, name, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? -errno : durable_replace(fd, text);
    if (fd >= 0)
        close(fd);
    return error;
}

static bool read_whole(const struct bulk_job *j, const char *name, size_t limit, struct arena *arena,
                       struct str *ret)
{
    char path[PATH_BYTES];
    struct stat info;
    path_of(j, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool fine = fd >= 0 && fstat(fd, &info) == 0 && info.st_size >= 0 && (uint64_t)info.st_size <= limit;
    char *memory = fine ? arena_bytes(arena, (size_t)info.st_size + 1) : NULL;
    size_t n = 0;
    while (memory && n < (size_t)info.st_size) {
        ssize_t got = read(fd, memory + n, (size_t)info.st_size - n);
        if (got <= 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    fine = memory && n == (size_t)info.st_size;
    if (fd >= 0)
        close(fd);
    *ret = (struct str){memory, n};
    return fine;
}

/* Also of a job whose list was lost with the process that had it. */
static void remove_files(const struct bulk_job *j)
{
    char path[PATH_BYTES], name[PATH_BYTES];
    path_of(j, "manifest.json", path);
    unlink(path);
    for (unsigned i = 0; i < fhir_type_count(); i++)
        for (unsigned part = 0; fhir_type_is_resource(fhir_type_at(i)) && part < BULK_FILES_MAX; part++) {
            name_of(fhir_type_name(fhir_type_at(i)), part, name);
            path_of(j, name, path);
            if (unlink(path) < 0)
                break;
        }
    path_of(j, "job.json", path);
    unlink(path);
}

static void close_files(struct bulk_job *j)
{
    for (unsigned i = 0; i < j->file_count; i++) {
        if (j->files[i].fd >= 0)
            close(j->files[i].fd);
        j->files[i].fd = -1;
    }
}

/* ---- the end */

static void end(struct bulk_job *j, enum bulk_state state)
{
    close_files(j);
    j->state = state;
}

void bulk_fail(struct bulk_job *j, struct str why)
{
    j->problem = arena_copy(j->arena, why);
    if (!j->problem.n)
        j->problem = STR("there was no memory left");
    end(j, BULK_FAILED);
}

static void fail_disk(struct bulk_job *j, int error)
{
    bulk_fail(j, error == -ENOSPC ? STR("the disk is full") : STR("a file could not be written"));
}

static bool sync_files(struct bulk_job *j)
{
    for (unsigned i = 0; i < j->file_count; i++)
        if (j->files[i].fd >= 0 && fsync(j->files[i].fd) < 0)
            return false;
    return true;
}

static void put_output(const struct bulk_job *j, const struct rest_call *call, struct json_writer *w)
{
    json_put_array(w, STR("output"));
    for (unsigned i = 0; i < j->file_count; i++) {
        const struct bulk_file *f = &j->files[i];
        struct str type = fhir_type_name(f->type);
        json_object_begin(w);
        json_put_str(w, STR("type"), type);
        json_put_str(w, STR("url"),
                     arena_printf(call->arena, "%.*s/$export-file?job=%.*s&file=%.*s.%u",
                                  STR_ARG(call->site->base_url), STR_ARG(j->id), STR_ARG(type), f->part));
        json_put_u64(w, STR("count"), f->count);
        json_object_end(w);
    }
    json_array_end(w);
}

static void finish(struct bulk_job *j, const struct rest_call *call)
{
    size_t cap = 4'096 + j->url.n * 6 + (size_t)j->file_count * (512 + call->site->base_url.n);
    char *memory = arena_bytes(j->arena, cap);
    struct buf b = buf_over(memory, memory ? cap : 0);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("transactionTime"), j->begun);
    json_put_str(&w, STR("request"), j->url);
    json_put_bool(&w, STR("requiresAccessToken"), call->site->guard != NULL);
    put_output(j, call, &w);
    json_put_array(&w, STR("error"));
    json_array_end(&w);
    json_object_end(&w);
    j->manifest = buf_text(&b);
    int error = buf_overflowed(&b) ? -ENOMEM : sync_files(j) ? 0 : -EIO;
    if (!error)
        error = write_whole(j, "manifest.json", j->manifest);
    if (error)
        fail_disk(j, error);
    else
        end(j, BULK_DONE);
    j->ended_us = call->now_us;
}

/* ---- writing resources */

/* The file of that type that is being written; NULL: it cannot be made, *ret_error says why. */
static struct bulk_file *file_for(struct bulk_job *j, const struct fhir_type *type, int *ret_error)
{
    char path[PATH_BYTES], name[PATH_BYTES];
    unsigned part = 0;
    for (unsigned i = 0; i < j->file_count; i++) {
        if (j->files[i].type == type && j->files[i].fd >= 0)
            return &j->files[i];
        part += j->files[i].type == type;
    }
    *ret_error = -EFBIG;
    if (j->file_count == BULK_FILES_MAX)
        return NULL;
    name_of(fhir_type_name(type), part, name);
    path_of(j, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *ret_error = fd < 0 || ftruncate(fd, 0) < 0 ? -errno : 0;
    if (*ret_error && fd >= 0)
        close(fd);
    if (*ret_error)
        return NULL;
    j->files[j->file_count] = (struct bulk_file){.type = type, .part = part, .fd = fd};
    return &j->files[j->file_count++];
}

/* On one line: what ends one in JSON stands between its parts, where it says nothing. */
static struct str one_line(struct str body, struct arena *arena)
{
    char *memory = arena_bytes(arena, body.n + 1);
    size_t n = 0;
    for (size_t i = 0; memory && i < body.n; i++)
        if (body.p[i] != '\n' && body.p[i] != '\r')
            memory[n++] = body.p[i];
    if (memory)
        memory[n++] = '\n';
    return (struct str){memory, n};
}

static bool put(struct bulk_job *j, const struct rest_call *call, const struct store_record *r)
{
    int error = 0;
    struct bulk_file *f = file_for(j, r->type, &error);
    struct str line = one_line(r->body, call->arena);
    if (f && !line.n)
        error = -ENOMEM;
    if (!error)
        error = write_all(f->fd, line);
    if (error) {
        fail_disk(j, error);
        return false;
    }
    f->count++;
    f->bytes += line.n;
    j->resources++;
    if (f->bytes < FILE_BYTES_MAX)
        return true;
    bool is_synced = fsync(f->fd) == 0;
    close(f->fd);
    f->fd = -1;
    if (!is_synced)
        fail_disk(j, -EIO);
    return is_synced;
}

/* ---- searching */

static bool keep_position(struct bulk_job *j, char *to, size_t *to_n, struct str next)
{
    if (next.n > sizeof j->position) {
        bulk_fail(j, STR("a page has a name too long to be kept"));
        return false;
    }
    memcpy(to, next.n ? next.p : "", next.n);
    *to_n = next.n;
    return true;
}

static bool search(struct bulk_job *j, const struct rest_call *call, const struct fhir_query_context *with,
                   struct str query, struct str position, uint32_t count, struct store_found *ret)
{
    struct fhir_query_context context = *with;
    struct fhir_query_problems problems = {0};
    struct fhir_search_query q;
    context.base_url = arena_printf(call->arena, "%.*s/", STR_ARG(call->site->base_url));
    context.count_max = PAGE;
    context.now_us = call->now_us;
    *ret = (struct store_found){0};
    if (!fhir_search_query_parse(query, STR_NONE, &context, call->arena, &q, &problems)) {
        bulk_fail(j, problems.n ? problems.at[0].what : STR("what was asked for cannot be searched"));
        return false;
    }
    struct store_search s = {.query = &q, .count = count, .position = position};
    enum store_result result = store_search(call->site->store, call->view, &s, call->arena, ret);
    if (result != STORE_FINE)
        bulk_fail(j, store_result_text(result));
    return result == STORE_FINE;
}

/* A page; false: it has failed. *ret_more: there is another one. */
static bool put_page(struct bulk_job *j, const struct rest_call *call, const struct fhir_query_context *with,
                     bool *ret_more)
{
    struct store_found found;
    const struct fhir_type *patient = fhir_type_find(STR("Patient"));
    if (!search(j, call, with, j->filter, (struct str){j->position, j->position_n}, PAGE, &found))
        return false;
    for (size_t i = 0; i < found.match_count; i++) /* in a compartment the Patient itself was put before */
        if (!(with->compartment && found.matches[i].type == patient) && !put(j, call, &found.matches[i]))
            return false;
    *ret_more = found.next.n > 0;
    return keep_position(j, j->position, &j->position_n, found.next);
}

static struct str *ids_of(const struct store_found *found, struct arena *arena)
{
    struct str *ids = arena_alloc(arena, (found->match_count + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < found->match_count; i++)
        ids[i] = arena_copy(arena, found->matches[i].id);
    return ids;
}

/* The next page of patients. False: there are none left, or it has failed. */
static bool next_patients(struct bulk_job *j, const struct rest_call *call)
{
    struct fhir_query_context with = {.type = fhir_type_find(STR("Patient"))};
    struct store_found found;
    if (j->level == BULK_GROUP || j->is_last_patients ||
        !search(j, call, &with, STR_NONE, (struct str){j->patient_position, j->patient_position_n},
                PATIENTS_PAGE, &found))
        return false;
    j->patients = ids_of(&found, j->arena);
    j->patient_count = j->patients ? found.match_count : 0;
    j->patient_at = 0;
    j->is_last_patients = !found.next.n;
    return keep_position(j, j->patient_position, &j->patient_position_n, found.next) && j->patient_count;
}

/* The Patient, where it is asked for and fits; false: not seen, or failed. */
static bool put_patient(struct bulk_job *j, const struct rest_call *call, struct str id)
{
    struct fhir_query_context with = {.type = fhir_type_find(STR("Patient"))};
    struct str filter = j->filter, since = STR_NONE;
    struct store_found found;
    while (filter.n) {
        struct str pair = str_cut(&filter, '&');
        since = str_starts(pair, STR("_lastUpdated=")) ? pair : since;
    }
    struct str query =
        arena_printf(call->arena, "_id=%.*s%s%.*s", STR_ARG(id), since.n ? "&" : "", STR_ARG(since));
    if (!j->wants_patients)
        return true;
    return search(j, call, &with, query, STR_NONE, 1, &found) &&
           (!found.match_count || put(j, call, &found.matches[0]));
}

static void step_patients(struct bulk_job *j, const struct rest_call *call)
{
    bool has_more = false;
    if (j->patient_at == j->patient_count && !next_patients(j, call)) {
        if (j->state == BULK_RUNS)
            finish(j, call);
        return;
    }
    struct str id = j->patients[j->patient_at];
    struct fhir_query_context with = {.compartment = fhir_type_find(STR("Patient")), .compartment_id = id};
    if ((!j->position_n && !put_patient(j, call, id)) || !put_page(j, call, &with, &has_more))
        return;
    j->patient_at += !has_more;
}

void bulk_step(struct bulk_job *j, const struct rest_call *call)
{
    const struct fhir_query_context all = {0};
    bool has_more = false;
    if (j->level != BULK_SYSTEM)
        step_patients(j, call);
    else if (put_page(j, call, &all, &has_more) && !has_more)
        finish(j, call);
}

/* ---- the beginning */

static bool take_types(struct bulk_job *j, const struct rest_call *call, struct str list, struct buf *b,
                       struct rest_answer *answer)
{
    j->wants_patients = false;
    BUF_LIT(b, "_type=");
    for (bool is_first = true; list.n; is_first = false) {
        struct str name = str_trim(str_cut(&list, ','));
        const struct fhir_type *type = fhir_type_find(name);
        if (!type || !rest_type_is_kept(type))
            return rest_refuse(call, answer, 400, "value", STR("http._type"),
                               "\"%.*s\" is no resource type of FHIR R4", STR_ARG(str_take(name, 64)));
        j->wants_patients |= str_eq(name, STR("Patient"));
        buf_str(b, is_first ? STR("") : STR(","));
        buf_str(b, name);
    }
    return true;
}

static bool take_since(const struct rest_call *call, struct str value, struct buf *b,
                       struct rest_answer *answer)
{
    struct fhir_moment moment;
    if (!fhir_moment_parse(value, &moment) || moment.kind == FHIR_MOMENT_TIME)
        return rest_refuse(call, answer, 400, "value", STR("http._since"),
                           "_since is a moment: 2026-01-31T09:41:07Z");
    buf_str(b, b->n ? STR("&_lastUpdated=ge") : STR("_lastUpdated=ge"));
    for (size_t i = 0; i < value.n; i++)
        buf_str(b, value.p[i] == '+' ? STR("%2B") : (struct str){value.p + i, 1});
    return true;
}

static bool check_format(const struct rest_call *call, struct str value, struct rest_answer *answer)
{
    /* a '+' of a query comes as a blank from whoever does not know */
    static const char *const known[] = {"application/fhir+ndjson", "application/fhir ndjson",
                                        "application/ndjson", "ndjson"};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq_nocase(value, str_of(known[i])))
            return true;
    return rest_refuse(call, answer, 400, "not-supported", STR("http._outputFormat"),
                       "files are written as application/fhir+ndjson");
}

static bool take_parameters(struct bulk_job *j, const struct rest_call *call, const struct rest_request *r,
                            struct rest_answer *answer)
{
    struct rest_pair *pairs = NULL;
    unsigned n = 0;
    char *memory = arena_bytes(j->arena, r->query.n * 3 + 64);
    struct buf b = buf_over(memory, memory ? r->query.n * 3 + 64 : 0);
    j->wants_patients = true;
    if (r->query.n && !rest_pairs_parse(r->query, call->arena, &pairs, &n))
        return rest_refuse(call, answer, 400, "invalid", STR("http.query"), "the query cannot be read");
    for (unsigned pass = 0; pass < 2; pass++) /* _type first, as the filter is written */
        for (unsigned i = 0; i < n; i++) {
            struct str name = pairs[i].name, value = pairs[i].value;
            bool is_type = str_eq(name, STR("_type")), is_since = str_eq(name, STR("_since"));
            bool is_format = str_eq(name, STR("_outputFormat"));
            if (pass == 0 && is_type && b.n)
                return rest_refuse(call, answer, 400, "invalid", STR("http._type"),
                                   "_type stands there twice");
            if (pass == 0 && is_type && !take_types(j, call, value, &b, answer))
                return false;
            if (pass == 1 && is_since && !take_since(call, value, &b, answer))
                return false;
            if (pass == 1 && is_format && !check_format(call, value, answer))
                return false;
            if (pass == 1 && !is_type && !is_since && !is_format && !str_eq(name, STR("_format")) &&
                !r->is_lenient)
                return rest_refuse(call, answer, 400, "not-supported", STR("http.query"),
                                   "$export has no parameter \"%.*s\" here: _type, _since, _outputFormat",
                                   STR_ARG(str_take(name, 64)));
        }
    j->filter = buf_text(&b);
    return !buf_overflowed(&b) || rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

/* Members of a group that are patients of this server. */
static bool take_members(struct bulk_job *j, const struct rest_call *call, const struct rest_request *r,
                         struct rest_answer *answer)
{
    struct store_record group;
    struct json_tape t;
    enum store_result result = store_read(call->site->store, call->view, r->type, r->id, call->arena, &group);
    if (result != STORE_FINE)
        return rest_refuse_store(call, answer, result);
    if (rest_json_parse(group.body, call->arena, &t, NULL) != JSON_FINE)
        return rest_refuse_store(call, answer, STORE_NO_MEMORY);
    uint32_t list = fhir_member(&t, 0, STR("member"));
    uint32_t n = list != JSON_NONE && json_type(&t, list) == JSON_ARRAY ? json_count(&t, list) : 0;
    if (n > MEMBERS_MAX)
        return rest_refuse(call, answer, 403, "too-costly", STR("Group.member"), "more than %u members",
                           MEMBERS_MAX);
    j->patients = arena_alloc(j->arena, (n + 1) * sizeof *j->patients);
    for (uint32_t at = n ? json_first(&t, list) : 0; j->patients && n > 0; n--, at = json_next(&t, at)) {
        uint32_t entity = fhir_member(&t, at, STR("entity"));
        struct str inactive = fhir_member_text(&t, at, STR("inactive"), call->arena);
        struct fhir_reference to = fhir_reference_parse(
            entity == JSON_NONE ? STR_NONE : fhir_member_text(&t, entity, STR("reference"), call->arena));
        if (to.type && !to.base.n && !str_eq(inactive, STR("true")) &&
            str_eq(fhir_type_name(to.type), STR("Patient")))
            j->patients[j->patient_count++] = arena_copy(j->arena, to.id);
    }
    return j->patients || rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

static bool copy_request(struct bulk_job *j, const struct rest_call *call, const struct rest_http *http,
                         struct rest_answer *answer)
{
    struct http_field *fields = arena_alloc(j->arena, (http->field_count + 1) * sizeof *fields);
    char instant[40];
    struct buf now = buf_over(instant, sizeof instant);
    for (unsigned i = 0; fields && i < http->field_count; i++)
        fields[i] = (struct http_field){arena_copy(j->arena, http->fields[i].name),
                                        arena_copy(j->arena, http->fields[i].value), http->fields[i].id};
    rest_instant_write(&now, call->now_us);
    j->http = (struct rest_http){.method = http->method,
                                 .fields = fields,
                                 .field_count = http->field_count,
                                 .is_behind_gate = http->is_behind_gate};
    j->http.path = arena_copy(j->arena, http->path);
    j->begun = arena_copy(j->arena, buf_text(&now));
    j->url = arena_printf(j->arena, "%.*s%.*s%s%.*s", STR_ARG(call->site->base_url), STR_ARG(http->path),
                          http->query.n ? "?" : "", STR_ARG(http->query));
    if (j->url.n > REQUEST_MAX)
        return rest_refuse(call, answer, 400, "too-long", STR("http.query"),
                           "the request is too long to be kept");
    return (fields && !arena_overflowed(j->arena)) || rest_refuse_store(call, answer, STORE_NO_MEMORY);
}

static bool write_job(struct bulk_job *j, const struct rest_call *call, struct rest_answer *answer)
{
    char memory[6 * REQUEST_MAX + 256];
    struct buf b = buf_over(memory, sizeof memory);
    struct json_writer w = json_writer_over(&b);
    json_object_begin(&w);
    json_put_str(&w, STR("id"), j->id);
    json_put_str(&w, STR("request"), j->url);
    json_object_end(&w);
    int error = buf_overflowed(&b) ? -ENOMEM : write_whole(j, "job.json", buf_text(&b));
    return !error || rest_refuse(call, answer, error == -ENOSPC ? 507 : 500, "no-store", STR_NONE,
                                 "the export could not be begun: its folder cannot be written");
}

static void clear(struct bulk_job *j)
{
    arena_free(j->arena);
    *j = (struct bulk_job){.folder = j->folder, .slot = j->slot};
}

bool bulk_begin(struct bulk_job *j, const struct rest_call *call, const struct rest_request *r,
                const struct rest_http *http, struct str id, struct rest_answer *answer)
{
    j->level = r->shape == REST_SHAPE_SYSTEM_OPERATION ? BULK_SYSTEM : r->id.n ? BULK_GROUP : BULK_PATIENT;
    j->arena = arena_new(ARENA_BYTES);
    bool fine = j->arena || rest_refuse_store(call, answer, STORE_NO_MEMORY);
    if (fine)
        j->id = arena_copy(j->arena, id);
    j->files = fine ? arena_alloc(j->arena, BULK_FILES_MAX * sizeof *j->files) : NULL;
    fine = fine && (j->files || rest_refuse_store(call, answer, STORE_NO_MEMORY)) &&
           copy_request(j, call, http, answer) && take_parameters(j, call, r, answer) &&
           (j->level != BULK_GROUP || take_members(j, call, r, answer)) && write_job(j, call, answer);
    if (fine)
        j->state = BULK_RUNS;
    else
        clear(j);
    return fine;
}

void bulk_remove(struct bulk_job *j)
{
    close_files(j);
    remove_files(j);
    clear(j);
}

/* ---- what is there */

static bool read_files(struct bulk_job *j)
{
    struct json_tape t;
    if (rest_json_parse(j->manifest, j->arena, &t, NULL) != JSON_FINE)
        return false;
    uint32_t list = fhir_member(&t, 0, STR("output"));
    uint32_t n = list != JSON_NONE && json_type(&t, list) == JSON_ARRAY ? json_count(&t, list) : 0;
    for (uint32_t at = n ? json_first(&t, list) : 0; n > 0 && j->file_count < BULK_FILES_MAX;
         n--, at = json_next(&t, at)) {
        struct bulk_file *f = &j->files[j->file_count];
        *f = (struct bulk_file){.type = fhir_type_find(fhir_member_text(&t, at, STR("type"), j->arena)),
                                .fd = -1};
        for (unsigned i = 0; i < j->file_count; i++)
            f->part += j->files[i].type == f->type;
        j->file_count += f->type != NULL;
    }
    return true;
}

/* What was asked for, from the file; false: it cannot be read. */
static bool read_job(struct bulk_job *j, struct str text)
{
    struct json_tape t;
    j->files = arena_alloc(j->arena, BULK_FILES_MAX * sizeof *j->files);
    if (!j->files || rest_json_parse(text, j->arena, &t, NULL) != JSON_FINE)
        return false;
    j->id = fhir_member_text(&t, 0, STR("id"), j->arena);
    j->url = fhir_member_text(&t, 0, STR("request"), j->arena);
    return j->id.n > 0;
}

void bulk_restore(struct bulk_job *j)
{
    struct str text;
    j->arena = arena_new(ARENA_BYTES);
    if (!j->arena || !read_whole(j, "job.json", MANIFEST_MAX, j->arena, &text)) {
        clear(j); /* it is written before all other files, and removed after them */
        return;
    }
    if (!read_job(j, text)) {
        bulk_remove(j);
        return;
    }
    j->state = BULK_FAILED;
    j->problem = STR("it was broken off when the service ended under it; ask for it anew");
    if (read_whole(j, "manifest.json", MANIFEST_MAX, j->arena, &j->manifest) && read_files(j))
        j->state = BULK_DONE;
}

bool bulk_read(const struct bulk_job *j, struct str name, struct arena *arena, struct str *ret)
{
    struct str part = name, type = str_cut(&part, '.');
    char file[PATH_BYTES];
    uint64_t number;
    if (!str_parse_u64(part, &number))
        return false;
    for (unsigned i = 0; i < j->file_count; i++) {
        const struct bulk_file *f = &j->files[i];
        if (f->part != number || !str_eq(fhir_type_name(f->type), type))
            continue;
        name_of(type, f->part, file); /* a name of ours, not the one that came */
        return read_whole(j, file, FILE_BYTES_MAX + STORE_BODY_MAX, arena, ret);
    }
    return false;
}
