/* cli/waf_explain.c - `polder waf explain`: a record of the firewall in plain words. It comes from the gate's
 * memory, or else out of its log. */
#include "cli/waf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The record of that reference in a log file, as a document; the last one counts. */
static bool find_in_log(struct str path, struct str reference, struct document *ret)
{
    char z[4096];
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    bool is_found = false;
    snprintf(z, sizeof z, "%.*s", STR_ARG(path));
    FILE *file = fopen(z, "re");
    if (!file)
        return false;
    while ((n = getline(&line, &room, file)) > 0) {
        struct str text = {line, (size_t)n};
        struct document d;
        if (str_find(text, reference) < 0)
            continue;
        char *copy = malloc(text.n + 1);
        if (!copy)
            break;
        memcpy(copy, text.p, text.n);
        if (!document_open(&d, (struct str){copy, text.n}))
            continue;
        bool is_it = str_eq(document_text(&d, 0, "http.request.id"), reference);
        if (is_it && is_found)
            document_close(ret);
        if (is_it)
            *ret = d;
        else
            document_close(&d);
        is_found = is_found || is_it;
    }
    free(line);
    fclose(file);
    return is_found;
}

/* ---- words */

static struct str attack_words(struct str tag)
{
    static const struct {
        const char *tag, *words;
    } rows[] = {
        {"attack-sqli", "an attempt to slip SQL into a database (SQL injection)"},
        {"attack-xss", "an attempt to slip a script into a page (cross-site scripting)"},
        {"attack-lfi", "an attempt to reach files of the server by their path"},
        {"attack-rfi", "an attempt to make the server load a file from elsewhere"},
        {"attack-rce", "an attempt to run a command on the server"},
        {"attack-injection-php", "an attempt to slip PHP code in"},
        {"attack-injection-java", "an attempt to slip Java code in"},
        {"attack-injection-generic", "an attempt to slip code in"},
        {"attack-protocol", "a request that breaks the rules of HTTP, as tools of attackers do"},
        {"attack-reputation-scanner", "a program that searches for weak spots"},
        {"attack-fixation", "an attempt to set somebody else's session"},
        {"attack-disclosure", "an answer that tells what it should not"},
        {"attack-multipart-header", "a form whose parts are built wrongly"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(tag, str_of(rows[i].tag)))
            return str_of(rows[i].words);
    return STR("");
}

static struct str meaning_of(const struct document *d, uint32_t match)
{
    uint32_t count, tag = document_list(d, match, "tags", &count);
    for (uint32_t i = 0; i < count; i++, tag = json_next(&d->tape, tag)) {
        struct str words = json_type(&d->tape, tag) == JSON_STRING
                               ? attack_words(json_string(&d->tape, tag, d->arena))
                               : STR("");
        if (words.n)
            return words;
    }
    return STR("");
}

static void put(struct buf *out, const char *before, struct str text, const char *behind)
{
    buf_str(out, str_of(before));
    print_safe(out, text);
    buf_str(out, str_of(behind));
}

static void write_request(struct buf *out, const struct document *d, uint32_t r)
{
    put(out, "reference ", document_text(d, r, "http.request.id"), "\n");
    put(out, "", document_text(d, r, "@timestamp"), "  ");
    put(out, "", document_text(d, r, "http.request.method"), " ");
    put(out, "", document_text(d, r, "url.path"), "  ");
    put(out, "from ", document_text(d, r, "source.ip"), "  ");
    put(out, "cluster ", document_text(d, r, "polder.cluster"), ", ");
    put(out, "route ", document_text(d, r, "polder.route"), "\n\n");
}

static void write_scores(struct buf *out, const struct document *d, uint32_t r)
{
    uint64_t score = document_number(d, r, "polder.waf.inbound_score");
    uint64_t threshold = document_number(d, r, "polder.waf.inbound_threshold");
    uint64_t outbound = document_number(d, r, "polder.waf.outbound_score");
    if (score)
        buf_printf(out, " Its score was %llu; from %llu on a request is stopped.", (unsigned long long)score,
                   (unsigned long long)threshold);
    if (outbound)
        buf_printf(out, " Its answer's score was %llu of %llu.", (unsigned long long)outbound,
                   (unsigned long long)document_number(d, r, "polder.waf.outbound_threshold"));
}

static void write_what(struct buf *out, const struct document *d, uint32_t r)
{
    struct str action = document_text(d, r, "event.action");
    if (str_eq(action, STR("blocked")))
        buf_printf(out, "The firewall stopped it and answered %llu.",
                   (unsigned long long)document_number(d, r, "http.response.status_code"));
    else if (str_eq(action, STR("detected")))
        BUF_LIT(out, "Rules condemned it, but it was let through: the mode is detect.");
    else if (str_eq(action, STR("refused")))
        put(out, "It was larger than what can be looked through (", document_text(d, r, "polder.waf.limit"),
            "), so it was not let through uninspected.");
    else
        BUF_LIT(out, "It was let through: what rules found in it is not enough.");
    write_scores(out, d, r);
    BUF_LIT(out, "\n\n");
}

static void write_match(struct buf *out, const struct document *d, uint32_t m)
{
    struct str meaning = meaning_of(d, m), excerpt = document_text(d, m, "excerpt");
    buf_printf(out, "  rule %llu, ", (unsigned long long)document_number(d, m, "rule"));
    put(out, "", document_text(d, m, "message"), "\n");
    if (meaning.n)
        put(out, "      looks like ", meaning, "\n");
    put(out, "      in ", document_text(d, m, "target"), "");
    buf_printf(out, " (%llu bytes", (unsigned long long)document_number(d, m, "value_bytes"));
    if (document_number(d, m, "excerpt_from"))
        buf_printf(out, ", shown from byte %llu on",
                   (unsigned long long)document_number(d, m, "excerpt_from"));
    BUF_LIT(out, ")\n");
    if (excerpt.n)
        put(out, "      ", excerpt, "\n");
}

static void write_matches(struct buf *out, const struct document *d, uint32_t r)
{
    uint32_t count, m = document_list(d, r, "polder.waf.matches", &count);
    uint64_t left_out = document_number(d, r, "polder.waf.left_out");
    BUF_LIT(out, "What rules matched:\n");
    for (uint32_t i = 0; i < count; i++, m = json_next(&d->tape, m))
        write_match(out, d, m);
    if (left_out)
        buf_printf(out, "  and %llu more matches that had no room in the record\n",
                   (unsigned long long)left_out);
    if (document_flag(d, r, "polder.waf.clear"))
        BUF_LIT(out, "\nExcerpts are in clear, as an operator asked: they may hold patients' data.\n");
    else
        BUF_LIT(
            out,
            "\nExcerpts are shapes: a stands for a letter, 9 for a digit, h for an encoded byte; words that "
            "attacks are made of\nstay. `polder waf excerpts --clear` shows requests to come in clear for a "
            "time.\n");
}

static void write_advice(struct buf *out, const struct document *d, uint32_t r)
{
    struct str action = document_text(d, r, "event.action"), limit = document_text(d, r, "polder.waf.limit");
    uint64_t rule = document_number(d, r, "polder.waf.rule");
    BUF_LIT(out, "\nWhat to do: ");
    if (limit.n)
        BUF_LIT(
            out,
            "if such requests are regular here, raise the limit in the rules (SecRequestBodyLimit, "
            "SecArgumentsLimit,\nSecRequestBodyJsonDepthLimit) or the body_limit of the cluster or route.\n");
    else if (rule >= 8'800'000 && rule <= 8'899'999)
        BUF_LIT(
            out,
            "a virtual patch stopped it. `polder patches` says which; if the system behind is mended, or it "
            "is a false\nalarm, name the patch in patch_exceptions of the cluster.\n");
    else if (str_eq(action, STR("passed")))
        BUF_LIT(out, "nothing.\n");
    else
        put(out, "if it was a regular request, `polder waf tune --reference ",
            document_text(d, r, "http.request.id"),
            "` proposes the narrowest exclusion\nand says what else that would let through. If it was none, "
            "nothing: "
            "it did its work.\n");
}

static enum exit_status show(const struct cli *cli, const struct document *d, uint32_t record)
{
    if (cli->json)
        return cli_print(json_source(&d->tape, record)) && cli_print(STR("\n")) ? EXIT_FINE : EXIT_BROKEN;
    char *memory = malloc(WAF_PAGE_BYTES);
    struct buf out = buf_over(memory, memory ? WAF_PAGE_BYTES : 0);
    write_request(&out, d, record);
    write_what(&out, d, record);
    write_matches(&out, d, record);
    write_advice(&out, d, record);
    bool is_printed = !buf_overflowed(&out) && cli_print(buf_text(&out));
    free(memory);
    return is_printed ? EXIT_FINE : EXIT_BROKEN;
}

enum exit_status waf_explain(const struct cli *cli)
{
    char command[128];
    struct document d, in_log;
    struct str reference = str_of(cli->arguments[0]);
    if (reference.n != 32) {
        cli_complain("a reference has 32 characters, as the error page and the access log show it");
        return EXIT_USAGE;
    }
    snprintf(command, sizeof command, "waf-explain %.*s", STR_ARG(reference));
    enum exit_status status = gate_ask_document(cli, command, WAF_ASK_TIMEOUT_S, false, &d);
    if (status != EXIT_FINE)
        return status;
    uint32_t record = json_get(&d.tape, 0, STR("record"));
    if (record != JSON_NONE) {
        status = show(cli, &d, record);
    } else if (find_in_log(document_text(&d, 0, "log"), reference, &in_log)) {
        status = show(cli, &in_log, 0);
        document_close(&in_log);
    } else {
        struct str log = document_text(&d, 0, "log");
        cli_complain(
            "nothing is known of %.*s: the firewall found nothing in it, or its record is older than "
            "the log %.*s (or you may not read that)",
            STR_ARG(reference), STR_ARG(log));
        status = EXIT_PROBLEMS;
    }
    document_close(&d);
    return status;
}
