/* cli/records_load_report.c - what is told of a load: each refusal when it comes, all of it at the end. */
#include "cli/records_load.h"

#include "json/writer.h"

#include <stdarg.h>
#include <stdio.h>

enum { SUMMARY_BYTES = 1 << 20 };

/* ---- errors */

void load_failed(struct load *load, unsigned line, unsigned entries, const char *format, ...)
{
    char text[1500] = "", safe_memory[2000];
    struct buf safe = buf_over(safe_memory, sizeof safe_memory);
    bool is_told = load->told < LOAD_ERRORS_TOLD;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args); /* what does not fit is cut off */
    va_end(args);
    print_safe(&safe, str_of(text));
    records_progress_end(&load->progress);
    if (is_told) {
        struct str said = buf_text(&safe);
        load->errors[load->told] = (struct load_error){load->file, arena_copy(load->arena, said), line};
        if (line)
            fprintf(stderr, "%.*s:%u: %.*s\n", STR_ARG(load->file), line, STR_ARG(said));
        else
            fprintf(stderr, "%.*s: %.*s\n", STR_ARG(load->file), STR_ARG(said));
    } else if (load->told == LOAD_ERRORS_TOLD) {
        fputs("more are not told, only counted\n", stderr);
    }
    load->told++;
    load->failed += entries;
}

/* ---- the end */

static void write_json(struct buf *out, const struct load *l, bool is_complete, double seconds)
{
    struct json_writer w = json_writer_over(out);
    json_object_begin(&w);
    json_put_str(&w, STR("target"), l->target.base);
    json_put_bool(&w, STR("dry_run"), l->cli->dry_run);
    json_put_u64(&w, STR("loaded"), l->loaded);
    json_put_u64(&w, STR("failed"), l->failed);
    json_put_u64(&w, STR("skipped_bytes"), l->skipped);
    json_put_bool(&w, STR("complete"), is_complete);
    json_put_fixed(&w, STR("seconds"), (int64_t)(seconds * 1000), 3);
    json_put_array(&w, STR("errors"));
    for (unsigned i = 0; i < l->told && i < LOAD_ERRORS_TOLD; i++) {
        json_object_begin(&w);
        json_put_str(&w, STR("file"), l->errors[i].file);
        json_put_u64(&w, STR("line"), l->errors[i].line);
        json_put_str(&w, STR("text"), l->errors[i].text);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    buf_char(out, '\n');
}

static void write_text(struct buf *out, const struct load *l, double seconds)
{
    print_count(out, l->loaded);
    buf_printf(out, " resources %s %.*s in %.1f s", l->cli->dry_run ? "could be loaded into" : "loaded into",
               STR_ARG(l->target.base), seconds);
    if (seconds > 0.1) {
        BUF_LIT(out, " (");
        print_count(out, (uint64_t)((double)l->loaded / seconds));
        BUF_LIT(out, "/s)");
    }
    if (l->skipped) {
        BUF_LIT(out, "; ");
        print_bytes(out, l->skipped);
        BUF_LIT(out, " were loaded before");
    }
    if (l->failed) {
        BUF_LIT(out, "; refused: ");
        print_count(out, l->failed);
    }
    BUF_LIT(out, "\n");
}

bool load_tell(struct load *l, bool is_complete, double seconds)
{
    char *memory = arena_bytes(l->arena, SUMMARY_BYTES);
    struct buf out = buf_over(memory, memory ? SUMMARY_BYTES : 0);
    if (l->cli->json)
        write_json(&out, l, is_complete, seconds);
    else
        write_text(&out, l, seconds);
    return !buf_overflowed(&out) && cli_print(buf_text(&out));
}
