/* waf/tx.h - one transaction, as the parts of the evaluator see it. Inside src/waf only. */
#ifndef POLDER_WAF_TX_H
#define POLDER_WAF_TX_H

#include "waf/rules.h"
#include "waf/text.h"

/* What a multipart body did wrong (MULTIPART_STRICT_ERROR is any of the first ones). */
enum multipart_flag {
    MULTIPART_BOUNDARY_QUOTED = 1 << 0,
    MULTIPART_BOUNDARY_WHITESPACE = 1 << 1,
    MULTIPART_DATA_BEFORE = 1 << 2,
    MULTIPART_DATA_AFTER = 1 << 3,
    MULTIPART_HEADER_FOLDING = 1 << 4,
    MULTIPART_LF_LINE = 1 << 5,
    MULTIPART_MISSING_SEMICOLON = 1 << 6,
    MULTIPART_INVALID_QUOTING = 1 << 7,
    MULTIPART_INVALID_PART = 1 << 8,
    MULTIPART_INVALID_HEADER_FOLDING = 1 << 9,
    MULTIPART_FILE_LIMIT = 1 << 10,
    MULTIPART_STRICT = (1 << 11) - 1,
    MULTIPART_CRLF_LINE = 1 << 11, /* a line ended in CR LF; wrong only beside one that ended in LF */
    MULTIPART_UNMATCHED_BOUNDARY = 1 << 12,
};

/* What a body's parser found. Lists grow in the transaction's arena. */
struct body {
    enum body_processor processor;
    bool was_parsed, has_error;
    struct str error;
    unsigned multipart;
    struct pairs args;
    struct pairs files;       /* name of the part, name of the file */
    struct pairs file_sizes;  /* name of the part, size */
    struct pairs part_fields; /* name of the part, "Header: value" */
    struct str multipart_name, multipart_filename;
    uint64_t file_bytes;
    struct str xml_text;
    bool has_xml;
    struct pairs xml_attributes;
    unsigned bad_encodings;
    enum waf_limit limit;
};

/* A parser reads bytes and fills in body; it says what it could not read in body->error. */
struct body_input {
    struct str bytes, content_type;
    const struct waf_limits *limits;
    size_t args_before; /* already there, from the query */
    struct arena *arena;
};

void body_parse_urlencoded(const struct body_input *, struct body *);
void body_parse_multipart(const struct body_input *, struct body *);
void body_parse_json(const struct body_input *, struct body *);
void body_parse_xml(const struct body_input *, struct body *);
/* One more argument. False: one too many, or no memory; both are noted in body. */
bool body_add_arg(const struct body_input *, struct body *, struct str name, struct str value);
void body_fail(struct body *, const struct body_input *, const char *what);
/* "a=1&b=2" */
void form_parse(const struct body_input *, struct body *, struct str text);

/* A record of a store: what a collection such as IP holds for one key. */
struct store_record;

struct collection {
    enum variable variable;
    struct store_record *record; /* NULL: not opened */
};

enum { COLLECTIONS = 5 };

struct waf_tx {
    const struct waf_rules *rules;
    const struct waf_overlay *overlay;
    const struct waf_request *request;
    struct waf_store *store;
    struct arena *arena, *scratch;

    enum waf_mode mode; /* may be changed by ctl */
    bool request_body_access, response_body_access, force_request_body;
    enum body_processor wanted_processor;

    struct str path, query, uri, basename;
    bool has_query, has_basename;
    struct pairs fields, cookies, get;
    struct body body;       /* its args are the ones of the body */
    struct body query_body; /* only its args count: those of the query */
    struct str request_bytes;
    bool has_request_bytes;
    size_t body_length;

    const struct waf_response *response;
    struct pairs response_fields;
    struct str response_type, response_bytes;
    bool has_response_bytes;
    uint64_t duration_us;

    struct pairs vars; /* TX */
    struct collection collections[COLLECTIONS];
    struct pairs matched, matched_before; /* full name and value: of this link, of the one before */
    struct str matched_name, matched_value;
    unsigned highest_severity;
    bool hit_regex_limit;

    struct rule_set removed;
    struct target_exclusion *exclusions;
    size_t exclusion_count, exclusion_cap;

    const struct rule *head; /* of the chain that runs: what %{RULE.id} means */
    uint8_t phase;
    bool is_decided, is_allowed, is_request_allowed, is_phase_allowed;
    struct waf_verdict verdict;
    struct waf_match *matches;
    size_t match_cap;
};

/* One value of a target. Its name in full is "ARGS:name", or "REQUEST_URI" when it has none. */
struct value {
    enum variable variable;
    bool is_count, has_name;
    struct str name, text;
};

struct values {
    struct value *items;
    size_t n, cap;
};

/* All values a link of a chain looks at, exclusions applied; in the scratch. */
void collect_values(struct waf_tx *, const struct rule *head, const struct rule *link, struct values *ret);
/* One value, for a macro; false: there is none. selector may be { NULL, 0 }. */
bool collect_one(struct waf_tx *, enum variable, struct str selector, struct str *ret);
struct str value_full_name(const struct value *, struct arena *);

/* In the arena given. */
struct str macro_expand(struct waf_tx *, const struct macro *, struct arena *);

/* TX and the collections of the store. */
void vars_set(struct waf_tx *, enum variable collection, struct str name, struct str value);
void vars_unset(struct waf_tx *, enum variable collection, struct str name);
void vars_expire(struct waf_tx *, enum variable collection, struct str name, int64_t seconds);
const struct pairs *vars_of(struct waf_tx *, enum variable collection); /* NULL: not opened */
void vars_open(struct waf_tx *, enum variable collection, struct str key);
bool vars_is_pinned(const struct waf_tx *,
                    struct str name); /* set by the cluster, not to be changed by rules */
void vars_pin(struct waf_tx *);       /* what the cluster sets */

void steps_run(struct waf_tx *, const struct rule *link);
void run_phase(struct waf_tx *, uint8_t phase);

struct store_record *store_open(struct waf_store *, enum variable collection, struct str key, int64_t now_s,
                                uint64_t timeout_s);
const struct pairs *store_vars(const struct store_record *);
bool store_set(struct store_record *, struct str name, struct str value);
void store_unset(struct store_record *, struct str name);
void store_expire(struct store_record *, struct str name, int64_t at_s);

#endif
