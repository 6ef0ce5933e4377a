/* Regular expressions of matches() and replaceMatches(), by PCRE2: compiled into an arena, matched within
 * limits of backtracking and of the arena's memory. FHIR's own patterns are written for whole values; what
 * FHIRPath says of matches() is "anywhere", and a '.' takes line ends too. */
#include "fhir/path_internal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PATTERN_MAX = 2'048, MATCH_LIMIT = 20'000, HEAP_LIMIT_KIB = 512, REPLACEMENTS_MAX = 10'000 };

static void *take_memory(PCRE2_SIZE n, void *arena)
{
    return arena_alloc(arena, n);
}

static void leave_memory(void *memory, void *arena)
{
    (void)memory;
    (void)arena;
}

const void *path_regex_compile(struct str pattern, struct arena *arena)
{
    int error;
    PCRE2_SIZE at;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, leave_memory, arena);
    pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
    if (!context || pattern.n > PATTERN_MAX)
        return NULL;
    pcre2_set_parens_nest_limit(context, 50);
    return pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n, PCRE2_DOTALL | PCRE2_UTF,
                         &error, &at, context);
}

struct matcher {
    const pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static bool matcher_begin(struct path_run *run, const void *regex, struct matcher *ret)
{
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, leave_memory, run->arena);
    ret->code = regex;
    ret->context = memory ? pcre2_match_context_create(memory) : NULL;
    ret->data = memory ? pcre2_match_data_create_from_pattern(ret->code, memory) : NULL;
    if (!ret->context || !ret->data)
        return path_fail(run, "the evaluation needs too much memory");
    pcre2_set_match_limit(ret->context, MATCH_LIMIT);
    pcre2_set_heap_limit(ret->context, HEAP_LIMIT_KIB);
    return true;
}

/* Where the pattern is found at or behind from; false: the run is over. */
static bool find(struct path_run *run, const struct matcher *m, struct str subject, size_t from,
                 bool *ret_found)
{
    int result = pcre2_match(m->code, (PCRE2_SPTR)(subject.n ? subject.p : ""), subject.n, from,
                             PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH) {
        run->result = FHIR_PATH_TOO_COSTLY;
        return path_fail(run, "the regular expression takes too long");
    }
    *ret_found = result >= 0;
    return path_spend(run, 16 + (subject.n - from) / 16);
}

bool path_regex_matches(struct path_run *run, const void *regex, struct str subject, bool *ret)
{
    struct matcher m;
    return matcher_begin(run, regex, &m) && find(run, &m, subject, 0, ret);
}

struct piece {
    struct piece *next;
    struct str text;
};

static bool add_piece(struct path_run *run, struct piece ***tail, struct str text, size_t *length)
{
    struct piece *piece = arena_alloc(run->arena, sizeof *piece);
    if (!piece || text.n > SIZE_MAX - *length)
        return path_fail(run, "the evaluation needs too much memory");
    piece->text = text;
    **tail = piece;
    *tail = &piece->next;
    *length += text.n;
    return true;
}

static bool join_pieces(struct path_run *run, const struct piece *piece, size_t length, struct str *ret)
{
    char *memory = arena_bytes(run->arena, length);
    struct buf out = buf_over(memory, memory ? length : 0);
    for (; piece && memory; piece = piece->next)
        buf_str(&out, piece->text);
    *ret = buf_text(&out);
    return memory || path_fail(run, "the evaluation needs too much memory");
}

/* What replaces a match is taken as it stands: $1 is no group. */
bool path_regex_replace(struct path_run *run, const void *regex, struct str subject, struct str by,
                        struct str *ret)
{
    struct matcher m;
    struct piece *first = NULL, **tail = &first;
    size_t from = 0, length = 0;
    bool found = true;
    if (!matcher_begin(run, regex, &m))
        return false;
    for (unsigned i = 0; i < REPLACEMENTS_MAX && from < subject.n; i++) {
        if (!find(run, &m, subject, from, &found))
            return false;
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(m.data);
        if (!found || place[1] <= place[0] || place[0] < from) /* an empty match replaces nothing */
            break;
        if (!add_piece(run, &tail, (struct str){subject.p + from, place[0] - from}, &length) ||
            !add_piece(run, &tail, by, &length))
            return false;
        from = place[1];
    }
    return add_piece(run, &tail, str_skip(subject, from), &length) && join_pieces(run, first, length, ret);
}
