/* waf/load.h - the parts of the SecLang compiler to each other. Inside src/waf only.
 *
 * Every text that is parsed knows for each of its bytes where in the file it stood: a problem can be reported
 * to the column even behind quotes, escapes and continued lines. */
#ifndef POLDER_WAF_LOAD_H
#define POLDER_WAF_LOAD_H

#include "waf/rules.h"

struct source {
    struct str name, text;
};

struct token {
    struct str text;
    const uint32_t *at; /* text.n + 1 offsets into the source */
};

enum { TOKENS_MAX = 1024 };

/* What SecDefaultAction says for a phase. */
struct rule_defaults {
    bool is_set, is_logged, is_audited;
    enum decision decision;
    unsigned status;
    struct transformations transformations;
};

struct loader {
    struct waf_rules *rules; /* const once an overlay is loaded */
    struct arena *arena;     /* what is made lives here */
    struct regexes *regexes;
    const struct regexes *like; /* NULL, or where the same patterns may be compiled already */
    size_t like_next;           /* where in it the next one probably is */
    const struct waf_files *files;
    struct waf_problems *problems;
    struct arena *scratch; /* one directive's */
    const struct source *source;
    uint32_t at; /* where the directive begins */
    struct {
        const char *text; /* the source it counts in */
        uint32_t at;
        unsigned line;
    } counted;          /* lines so far: counting from the beginning for every rule would be quadratic */
    unsigned depth;     /* of Include */
    struct rule *chain; /* the last rule of a chain that wants another */
    struct rule *chain_head;
    struct rule_defaults defaults[PHASES + 1];
    struct waf_overlay *overlay;         /* not NULL: the text is an overlay's exclusions */
    struct target_exclusion *exclusions; /* that the overlay collects */
    size_t exclusion_cap;
};

/* Each of these returns false after having reported. */
[[gnu::format(printf, 3, 4)]] bool load_problem(struct loader *, uint32_t at, const char *format, ...);
bool load_no_memory(struct loader *);
bool load_text(struct loader *, const struct source *);

/* A directive's words, starting with its name. Returns where the next line begins. False in *ret_fine:
 * reported. */
size_t lex_directive(struct loader *, size_t at, struct token *tokens, size_t *ret_count, bool *ret_fine);
struct token token_skip(struct token, size_t n);
struct token token_take(struct token, size_t n);

bool load_targets(struct loader *, struct token, struct targets *ret, struct targets *ret_excluded);
bool load_target(struct loader *, struct token, struct target *ret);
uint32_t load_slot(struct loader *, struct str name); /* of a name of TX */
bool load_macro(struct loader *, struct token, struct macro *ret);
bool load_operator(struct loader *, struct token, struct rule *);
bool load_actions(struct loader *, struct token, struct rule *, bool *ret_chain);
bool load_default_action(struct loader *, struct token);
bool load_ctl(struct loader *, struct token, struct step *ret);
bool load_selection(struct loader *, struct token, enum rule_choice, struct rule_selection *ret);
bool load_regex(struct loader *, struct token, enum rx_kind, struct rx **ret);
bool load_finish(struct loader *); /* resolve what needs all rules to be known */
/* Directives that take away or add; update: BY_... and the new targets. */
bool load_remove(struct loader *, struct token, enum rule_choice);
bool load_update(struct loader *, struct token which, struct token targets, enum rule_choice);
bool load_unicode_map(struct loader *, struct token file, struct token page);
bool load_add_item(struct loader *, struct rule *);

/* What runs a directive: its words, their number. */
typedef bool directive_fn(struct loader *, const struct token *, size_t);
#define DIRECTIVE(name, function, least, most) directive_fn directive_##function;
#include "waf/directives.def"
#undef DIRECTIVE

/* One list action cut from "name:value,name:'value'"; false and *ret_fine: the end. */
struct list_item {
    struct token name, value;
    bool has_value;
};
bool lex_list_item(struct loader *, struct token *rest, const char *separators, struct list_item *ret,
                   bool *ret_fine);

#endif
