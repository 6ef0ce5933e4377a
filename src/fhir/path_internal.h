/* fhir/path_internal.h - what the parts of FHIRPath share: compiled nodes, a run, collections.
 *
 * Functions that evaluate return false when the run is over; why stands in the run. */
#ifndef POLDER_FHIR_PATH_INTERNAL_H
#define POLDER_FHIR_PATH_INTERNAL_H

#include "fhir/path.h"

enum path_op {
    PATH_NOTHING, /* {} */
    PATH_CONSTANT,
    PATH_THIS,
    PATH_INDEX,
    PATH_TOTAL,
    PATH_VARIABLE,
    PATH_MEMBER, /* left.name; without left: of $this, or the type's own name */
    PATH_AT,     /* left[right] */
    PATH_CALL,   /* left.name(arguments); without left: of $this */
    PATH_NEGATE,
    PATH_IS,
    PATH_AS,
    PATH_MULTIPLY,
    PATH_DIVIDE,
    PATH_DIV,
    PATH_MOD,
    PATH_PLUS,
    PATH_MINUS,
    PATH_JOIN, /* & */
    PATH_UNION,
    PATH_LESS,
    PATH_LESS_OR_SAME,
    PATH_MORE,
    PATH_MORE_OR_SAME,
    PATH_EQUAL,
    PATH_NOT_EQUAL,
    PATH_ALIKE, /* ~ */
    PATH_NOT_ALIKE,
    PATH_IN,
    PATH_CONTAINS,
    PATH_AND,
    PATH_OR,
    PATH_XOR,
    PATH_IMPLIES,
};

/* What "is" asks: a type of FHIR, one of FHIRPath's own, or (loose) either. */
struct path_type {
    const struct fhir_type *fhir;
    int system;                   /* enum fhir_item_kind; -1: none */
    enum fhir_moment_kind moment; /* of FHIR_ITEM_MOMENT */
    bool is_loose;
};

#define PATH_NO_NODE UINT32_MAX

struct path_node {
    uint8_t op, function, arguments;
    uint16_t depth;
    uint32_t left, right, next; /* of a call: right is the first argument, next the one after it */
    union {
        struct str name;
        const struct fhir_item *constant;
        const struct path_type *type;
    };
    const void *regex; /* of a call with a literal pattern */
};

struct fhir_path {
    const struct path_node *nodes;
    uint32_t count, root;
};

struct items {
    struct fhir_item *at;
    uint32_t n, room;
};

struct path_run {
    const struct fhir_path *path;
    const struct fhir_path_env *env;
    struct arena *arena;
    struct fhir_value context; /* %context */
    struct items this, total;
    int64_t index;
    uint64_t steps;
    unsigned depth;
    enum fhir_path_result result;
    struct str problem;
};

/* ---- a run (path_eval.c) */
bool path_fail(struct path_run *, const char *problem);
bool path_spend(struct path_run *, uint64_t steps); /* false: too costly */
bool path_eval(struct path_run *, uint32_t node, struct items *ret);
/* With another $this and $index. */
bool path_eval_on(struct path_run *, uint32_t node, struct items this, int64_t index, struct items *ret);
/* The children of that name of all items. */
bool path_members(struct path_run *, struct items in, struct str name, struct items *out);
bool path_children(struct path_run *, const struct fhir_item *, struct items *out);
bool path_of_type(const struct fhir_item *, const struct path_type *);
bool path_as_type_of(const struct fhir_item *, const struct path_type *);

/* ---- collections (path_items.c) */
bool items_add(struct path_run *, struct items *, struct fhir_item);
bool items_add_all(struct path_run *, struct items *, struct items);
bool items_add_boolean(struct path_run *, struct items *, bool);
bool items_add_integer(struct path_run *, struct items *, int64_t);
bool items_add_string(struct path_run *, struct items *, struct str);
static inline struct items items_slice(struct items i, uint32_t from, uint32_t n)
{
    if (from > i.n)
        from = i.n;
    if (n > i.n - from)
        n = i.n - from;
    return (struct items){i.at ? i.at + from : NULL, n, n};
}

enum path_truth { PATH_NO, PATH_YES, PATH_UNKNOWN };
static inline enum path_truth truth_of(bool b)
{
    return b ? PATH_YES : PATH_NO;
}
bool items_truth(struct path_run *, struct items, enum path_truth *ret);  /* singleton evaluation */
bool items_add_truth(struct path_run *, struct items *, enum path_truth); /* unknown: nothing */

enum path_taken { PATH_TOOK_FAILED, PATH_TOOK_NONE, PATH_TOOK_ONE };
/* The value of the only item. */
enum path_taken items_single(struct path_run *, struct items, struct fhir_item *ret);
enum path_taken items_string(struct path_run *, struct items, struct str *ret);
enum path_taken items_integer(struct path_run *, struct items, int64_t *ret);

/* A table of items in which each value stands once. */
struct path_set {
    uint32_t *slots;
    uint32_t size;
    struct items items;
};
bool path_set_begin(struct path_run *, struct path_set *, uint32_t items_max);
bool path_set_add(struct path_run *, struct path_set *, const struct fhir_item *, bool *ret_is_new);
bool path_set_has(struct path_run *, const struct path_set *, const struct fhir_item *, bool *ret);

/* ---- comparing (path_compare.c) */
bool path_equal(struct path_run *, const struct fhir_item *, const struct fhir_item *, enum path_truth *ret);
bool path_items_equal(struct path_run *, struct items, struct items, enum path_truth *ret);
bool path_items_alike(struct path_run *, struct items, struct items, bool *ret);
bool path_order(struct path_run *, const struct fhir_item *, const struct fhir_item *, enum fhir_order *ret);
bool path_hash(struct path_run *, const struct fhir_item *, uint64_t *ret);

/* ---- operators (path_operators.c) */
bool path_operate(struct path_run *, const struct path_node *, struct items *ret);

/* ---- regular expressions (path_regex.c) */
const void *path_regex_compile(struct str pattern, struct arena *); /* NULL: it is none */
bool path_regex_matches(struct path_run *, const void *regex, struct str subject, bool *ret);
bool path_regex_replace(struct path_run *, const void *regex, struct str subject, struct str by,
                        struct str *ret);

/* ---- functions (path_functions.def) */
typedef bool path_function(struct path_run *, const struct path_node *call, struct items in,
                           struct items *out);
struct path_function_row {
    struct str name;
    uint8_t least, most; /* arguments */
    path_function *run;  /* NULL: known, and not supported */
};
extern const struct path_function_row path_functions[];
extern const unsigned path_function_count;
uint32_t path_argument(const struct path_run *, const struct path_node *call, unsigned index);
bool path_eval_argument(struct path_run *, const struct path_node *call, unsigned index, struct items *ret);

#define F(name, least, most, function) path_function function;
#define U(name)
#include "fhir/path_functions.def"
#undef F
#undef U

#endif
