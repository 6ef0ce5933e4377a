#include "store_corpus.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { UUID = 36, TYPES_SLOTS = 1 << 16 };

struct loading {
    struct arena *arena;
    struct corpus *out;
    size_t room;
    struct slot {
        char uuid[UUID];
        const struct fhir_type *type;
    } * types; /* of "urn:uuid:..." */
    unsigned copy;
};

static bool is_uuid(const char *p, const char *end)
{
    if (end - p < UUID)
        return false;
    for (int i = 0; i < UUID; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? p[i] != '-' : !((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
    }
    return true;
}

static struct slot *slot_of(struct loading *l, const char *uuid)
{
    size_t at = 0;
    for (int i = 0; i < UUID; i++)
        at = at * 31 + (unsigned char)uuid[i];
    struct slot *s = &l->types[at % TYPES_SLOTS];
    while (s->type && memcmp(s->uuid, uuid, UUID) != 0)
        s = s == &l->types[TYPES_SLOTS - 1] ? l->types : s + 1;
    return s;
}

/* The uuid of a copy: its last four digits are turned by the copy's number. */
static void add_uuid(struct loading *l, const char *uuid, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    char turned[UUID];
    memcpy(turned, uuid, UUID);
    for (int i = 0; i < 4; i++) {
        const char *p = strchr(digits, turned[UUID - 1 - i]);
        turned[UUID - 1 - i] = digits[((unsigned)(p - digits) ^ l->copy >> 4 * i) & 15];
    }
    buf_add(out, turned, UUID);
}

static void rewrite(struct loading *l, struct str in, struct buf *out)
{
    bool in_string = false;
    const char *end = in.p + in.n;
    for (const char *p = in.p; p < end; p++) {
        if (!in_string && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
            continue;
        if (in_string && *p == 'u' && end - p > 45 && memcmp(p, "urn:uuid:", 9) == 0 && is_uuid(p + 9, end) &&
            slot_of(l, p + 9)->type) {
            buf_str(out, fhir_type_name(slot_of(l, p + 9)->type));
            buf_char(out, '/');
            p += 9;
        }
        if (in_string && is_uuid(p, end)) {
            add_uuid(l, p, out);
            p += UUID - 1;
            continue;
        }
        if (in_string && *p == '\\') {
            buf_char(out, *p++);
        } else if (*p == '"') {
            in_string = !in_string;
        }
        buf_char(out, *p);
    }
}

static struct str with_meta(struct str body, struct arena *arena)
{
    static const char meta[] = "\"meta\":{";
    ptrdiff_t at = str_find(body, STR(meta));
    size_t cut = at < 0 ? 1 : (size_t)at + sizeof meta - 1;
    const char *added =
        at < 0 ? "\"meta\":{\"versionId\":\"1\",\"lastUpdated\":\"2026-01-31T09:41:07.123456Z\"},"
               : "\"versionId\":\"1\",\"lastUpdated\":\"2026-01-31T09:41:07.123456Z\",";
    return arena_printf(arena, "%.*s%s%.*s", (int)cut, body.p, added, (int)(body.n - cut), body.p + cut);
}

static void add(struct loading *l, const struct fhir_type *type, struct str id, struct str body)
{
    if (l->out->n == l->room) {
        l->room = l->room ? l->room * 2 : 4'096;
        l->out->at = realloc(l->out->at, l->room * sizeof *l->out->at);
    }
    l->out->at[l->out->n++] = (struct corpus_resource){type, id, body};
}

static void add_entry(struct loading *l, const struct json_tape *t, uint32_t resource)
{
    struct fhir_value v;
    if (!fhir_value_of_resource(t, resource, &v))
        return;
    struct str source = json_source(t, resource);
    struct buf out = buf_over(arena_bytes(l->arena, source.n + 4'096), source.n + 4'096);
    rewrite(l, source, &out);
    struct str id = json_text(t, json_get(t, resource, STR("id")));
    if (is_uuid(id.p, id.p + id.n)) {
        struct buf turned = buf_over(arena_bytes(l->arena, UUID), UUID);
        add_uuid(l, id.p, &turned);
        id = buf_text(&turned);
    }
    add(l, v.type, id, with_meta(buf_text(&out), l->arena));
}

static void note_type(struct loading *l, const struct json_tape *t, uint32_t entry)
{
    struct str url = json_text(t, json_get(t, entry, STR("fullUrl")));
    struct fhir_value v;
    if (!str_starts(url, STR("urn:uuid:")) || url.n != 9 + UUID ||
        !fhir_value_of_resource(t, json_get(t, entry, STR("resource")), &v))
        return;
    struct slot *s = slot_of(l, url.p + 9);
    memcpy(s->uuid, url.p + 9, UUID);
    s->type = v.type;
}

static bool read_file(const char *path, struct arena *arena, struct str *ret)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    char *p = arena_bytes(arena, n);
    rewind(file);
    bool fine = p && fread(p, 1, n, file) == n;
    fclose(file);
    *ret = (struct str){p, n};
    return fine;
}

static void load_bundle(struct loading *l, const struct json_tape *t, bool only_types)
{
    uint32_t entries = json_get(t, 0, STR("entry"));
    if (entries == JSON_NONE)
        return;
    for (uint32_t i = json_first(t, entries), n = json_count(t, entries); n > 0; n--, i = json_next(t, i)) {
        if (only_types)
            note_type(l, t, i);
        else
            add_entry(l, t, json_get(t, i, STR("resource")));
    }
}

bool corpus_load(const char *folder, unsigned copies, struct arena *arena, struct corpus *ret)
{
    glob_t found;
    struct loading l = {.arena = arena, .out = ret};
    struct str pattern = arena_printf(arena, "%s/*.json", folder);
    *ret = (struct corpus){0};
    if (glob(pattern.p, 0, NULL, &found) != 0)
        return false;
    struct json_tape *tapes = calloc(found.gl_pathc, sizeof *tapes);
    l.types = calloc(TYPES_SLOTS, sizeof *l.types);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct str text;
        if (!read_file(found.gl_pathv[i], arena, &text))
            continue;
        struct json_node *nodes = arena_alloc(arena, json_nodes_max(text.n) * sizeof *nodes);
        if (nodes && json_parse(text, 200, nodes, json_nodes_max(text.n), &tapes[i], NULL) == JSON_FINE)
            load_bundle(&l, &tapes[i], true);
    }
    for (l.copy = 0; l.copy < copies; l.copy++) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (tapes[i].count && !(l.copy > 0 && strstr(found.gl_pathv[i], "/0-"))) /* practices once */
                load_bundle(&l, &tapes[i], false);
        }
    }
    globfree(&found);
    free(tapes);
    free(l.types);
    return ret->n > 0;
}

void corpus_make(unsigned patients, struct arena *arena, struct corpus *ret)
{
    struct loading l = {.arena = arena, .out = ret};
    const struct fhir_type *patient = fhir_type_find(STR("Patient")),
                           *observation = fhir_type_find(STR("Observation"));
    *ret = (struct corpus){0};
    for (unsigned p = 0; p < patients; p++) {
        struct str id = arena_printf(arena, "00000000-0000-4000-8000-%012x", p);
        add(&l, patient, id,
            arena_printf(arena,
                         "{\"resourceType\":\"Patient\",\"id\":\"%.*s\",\"name\":[{\"family\":\"Jansen%u\"}],"
                         "\"birthDate\":\"19%02u-03-04\"}",
                         STR_ARG(id), p % 97, p % 100));
        for (unsigned i = 0; i < 40; i++) {
            struct str own = arena_printf(arena, "00000000-0000-4000-9000-%06x%06x", p, i);
            add(&l, observation, own,
                arena_printf(
                    arena,
                    "{\"resourceType\":\"Observation\",\"id\":\"%.*s\",\"status\":\"final\",\"category\":"
                    "[{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/"
                    "observation-category\","
                    "\"code\":\"vital-signs\"}]}],\"code\":{\"coding\":[{\"system\":\"http://loinc.org\","
                    "\"code\":\"%u-4\",\"display\":\"Measurement %u\"}],\"text\":\"Measurement %u\"},"
                    "\"subject\":{\"reference\":\"Patient/%.*s\"},\"effectiveDateTime\":"
                    "\"20%02u-%02u-11T08:%02u:00+01:00\",\"valueQuantity\":{\"value\":%u.%u,\"unit\":"
                    "\"mg/dL\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"mg/dL\"}}",
                    STR_ARG(own), 8000 + i % 8, i % 8, i % 8, STR_ARG(id), i % 25, 1 + p % 12, i, p % 200,
                    i % 10));
        }
    }
}
