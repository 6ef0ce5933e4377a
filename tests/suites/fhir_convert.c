/* FHIR between XML and JSON, and patches, by hand and for suites:
 *
 *     fhir-convert xml FILE ...      resources in JSON as XML
 *     fhir-convert json FILE ...     resources in XML as JSON
 *     fhir-convert round FILE ...    resources in JSON as XML and back
 *     fhir-convert patch < cases     one a line: {"kind":"json" or "path","document":{...},"patch":...}
 *
 * A line for each: "fine TAB text as a JSON string", or "failed TAB where TAB what".
 */
#include "fhir/patch.h"
#include "fhir/xml_write.h"
#include "json/writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 64 << 20, OUT_MAX = 256 << 20, ARENA_BYTES = 512 << 20, LINE_MAX_BYTES = 4 << 20 };

static const struct hash_key test_key = {1, 2};
static char *input, *memory, *again;
static struct json_node *nodes;
static struct arena *arena;

static bool set_up(void)
{
    input = malloc(FILE_MAX);
    memory = malloc(OUT_MAX);
    again = malloc(OUT_MAX);
    nodes = malloc(json_nodes_max(FILE_MAX) * sizeof *nodes);
    arena = arena_new(ARENA_BYTES);
    return input && memory && again && nodes && arena;
}

static bool read_file(const char *path, struct str *ret)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    ret->p = input;
    ret->n = fread(input, 1, FILE_MAX, file);
    fclose(file);
    return true;
}

static void print_fine(struct str text)
{
    char *line = malloc(text.n * 6 + 16);
    struct buf out = buf_over(line, text.n * 6 + 16);
    struct json_writer w = json_writer_over(&out);
    json_str(&w, text);
    printf("fine\t%.*s\n", STR_ARG(buf_text(&out)));
    free(line);
}

static void print_failed(const struct fhir_xml_error *error)
{
    printf("failed\t%u:%u %.*s\t%.*s\n", error->line, error->column, STR_ARG(error->path),
           STR_ARG(error->what));
}

static bool resource_of(struct str text, struct json_tape *tape, struct fhir_value *ret)
{
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    return json_parse(text, 200, nodes, json_nodes_max(FILE_MAX), tape, NULL) == JSON_FINE &&
           fhir_value_of_resource(tape, 0, ret);
}

/* ---- the commands */

static bool write_xml(struct str text, struct buf *out)
{
    struct json_tape tape;
    struct fhir_value v;
    struct fhir_xml_error error = {.path = STR(""), .what = STR("no resource in JSON")};
    if (resource_of(text, &tape, &v) && fhir_xml_write(&v, false, &test_key, arena, out, &error))
        return true;
    print_failed(&error);
    return false;
}

static bool write_json(struct str text, struct buf *out)
{
    struct fhir_xml_error error;
    if (fhir_xml_read(text, &test_key, arena, out, &error))
        return true;
    print_failed(&error);
    return false;
}

static void convert(const char *how, const char *path)
{
    struct str text;
    struct buf first = buf_over(memory, OUT_MAX), second = buf_over(again, OUT_MAX);
    arena_reset(arena);
    if (!read_file(path, &text)) {
        printf("failed\t%s\tcannot be read\n", path);
        return;
    }
    if (strcmp(how, "json") == 0) {
        if (write_json(text, &first))
            print_fine(buf_text(&first));
    } else if (write_xml(text, &first)) {
        if (strcmp(how, "xml") == 0)
            print_fine(buf_text(&first));
        else if (write_json(buf_text(&first), &second))
            print_fine(buf_text(&second));
    }
}

/* Reads a member of the line as a document of its own. */
static bool part_of(const struct json_tape *line, const char *name, struct json_tape *ret)
{
    uint32_t node = json_get(line, 0, str_of(name));
    struct str text = node == JSON_NONE ? STR("") : json_source(line, node);
    size_t max = json_nodes_max(text.n);
    struct json_node *own = arena_alloc(arena, max * sizeof *own);
    return own && json_parse(text, 200, own, max, ret, NULL) == JSON_FINE;
}

static void patch_line(struct str text)
{
    static const char *const results[] = {"fine", "bad", "not possible", "test failed", "too much"};
    struct json_tape line, document, patch;
    struct fhir_value v;
    struct str result = STR("");
    struct fhir_patch_error error = {.what = STR("")};
    struct fhir_path_env env = {
        .steps_max = 1'000'000, .hash_key = test_key, .now = STR("2026-01-31T09:41:07.123Z")};
    enum fhir_patch_result code = FHIR_PATCH_BAD;
    arena_reset(arena);
    if (json_parse(text, 200, nodes, json_nodes_max(FILE_MAX), &line, NULL) == JSON_FINE &&
        part_of(&line, "document", &document) && part_of(&line, "patch", &patch)) {
        if (json_string_is(&line, json_get(&line, 0, STR("kind")), STR("json")))
            code = fhir_json_patch(&document, &patch, FILE_MAX, arena, &result, &error);
        else if (fhir_value_of_resource(&patch, 0, &v))
            code = fhir_path_patch(&document, &v, &env, FILE_MAX, arena, &result, &error);
    }
    if (code == FHIR_PATCH_FINE)
        print_fine(result);
    else
        printf("failed\t%s %u\t%.*s\n", results[code], error.operation, STR_ARG(error.what));
}

int main(int argc, char **argv)
{
    if (!set_up())
        return 1;
    if (argc == 2 && strcmp(argv[1], "patch") == 0) {
        while (fgets(input, LINE_MAX_BYTES, stdin))
            patch_line(str_of(input));
        return 0;
    }
    bool is_known = argc > 2 && (strcmp(argv[1], "xml") == 0 || strcmp(argv[1], "json") == 0 ||
                                 strcmp(argv[1], "round") == 0);
    if (!is_known) {
        fprintf(stderr, "usage: fhir-convert xml|json|round FILE ..., fhir-convert patch < cases\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        convert(argv[1], argv[i]);
    return 0;
}
