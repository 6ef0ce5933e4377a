/* fhir/path_lex.h - the tokens of FHIRPath. Inside src/fhir only. */
#ifndef POLDER_FHIR_PATH_LEX_H
#define POLDER_FHIR_PATH_LEX_H

#include "fhir/path.h"

enum token_type { T_END, T_NAME, T_STRING, T_NUMBER, T_MOMENT, T_SYMBOL, T_DOLLAR, T_PERCENT, T_BAD };

struct token {
    enum token_type type;
    struct str text; /* of a string or a quoted name: what it says; of % and $: the name */
    size_t at;
    bool is_quoted; /* a name between backticks is no operator */
};

struct path_lexer {
    struct str source;
    size_t at;
    struct token token;  /* the one that is looked at */
    struct arena *arena; /* for texts with escapes */
    struct fhir_path_error error;
    bool has_failed;
};

void path_lex_next(struct path_lexer *);
void path_lex_fail(struct path_lexer *, size_t at, const char *what); /* the first one counts */
/* No expression has more tokens than that; at most max. */
uint32_t path_lex_count(struct str source, uint32_t max);

#endif
