/* config/table.h - keys.def and kinds.def as data. */
#ifndef POLDER_CONFIG_TABLE_H
#define POLDER_CONFIG_TABLE_H

#include "config/config.h"

/* What the top level is read into: the limits there are only the start of each listener's own. */
struct config_root {
    struct config config;
    struct config_limits limits;
};

enum config_kind {
#define KIND(id, shape, reader, schema, words) KIND_##id,
#include "config/kinds.def"
};

enum config_section_id {
#define CHOICE(...)
#define KEY(...)
#define SECTION(id, ...) SECTION_##id,
#include "config/keys.def"
    SECTION_END
};

enum config_choices_id {
    CHOICES_CLIENT_CERTIFICATES,
    CHOICES_PROXY_PROTOCOL,
    CHOICES_UNDERSCORES,
    CHOICES_CHECK_TYPES,
    CHOICES_WAF_MODES,
    CHOICES_WAF_ANSWERS,
    CHOICES_WAF_PROFILES,
    CHOICES_FILTER_PROTOCOLS,
    CHOICES_FILTER_SERVES,
    CHOICES_RECORDS_ACCESS,
    CHOICES_RECORDS_KINDS,
    CHOICES_ACCEPT_QUEUES,
    CHOICES_TIME_ZONES,
};

enum kind_shape { SHAPE_WORD, SHAPE_NUMBER, SHAPE_MANY, SHAPE_FREE, SHAPE_INNER };

struct reader;
struct node;
struct config_key;

/* Reads a value into the struct at base; a problem was reported when it could not. */
typedef void kind_reader(struct reader *, const struct config_key *, const struct node *value, void *base);
/* Around the reading of one section: before its keys (defaults are in), and after them. index: its place
 * in the list it stands in. */
typedef void section_hook(struct reader *, const struct node *section, void *base, unsigned index);

struct config_kind_info {
    enum kind_shape shape;
    kind_reader *read;
    const char *schema, *words;
};

struct config_section {
    const char *id; /* as in keys.def */
    const char *title, *noun;
    size_t size;           /* of its struct */
    const char *shorthand; /* the key a bare word stands for, or NULL */
    section_hook *begin, *end;
    const char *help;
};

struct config_where {
    size_t offset, size; /* of the field; size 0: nowhere */
    size_t second;       /* of the second field */
};

struct config_key {
    enum config_section_id section;
    enum config_kind kind;
    const char *name;
    struct config_where where;
    const char *standard; /* the default as written; NULL: none; config_required: the key must be there */
    uint64_t min, max;
    const char *example, *help;
    unsigned of; /* enum config_section_id or config_choices_id */
};

struct config_choice {
    const char *word;
    enum config_choices_id set;
    unsigned value;
};

extern const char config_required[];

static inline bool key_is_required(const struct config_key *key)
{
    return key->standard == config_required;
}

static inline bool key_has_standard(const struct config_key *key)
{
    return key->standard && key->standard != config_required;
}

const struct config_section *config_section(enum config_section_id);
const struct config_key *config_keys(enum config_section_id, unsigned *ret_count);
const struct config_kind_info *config_kind_info(enum config_kind);
const struct config_choice *config_choices(unsigned *ret_count); /* of all sets */

/* The hooks and readers the tables name. */
#define KIND(id, shape, reader, schema, words) kind_reader reader;
#include "config/kinds.def"
section_hook root_end, gate_end, limits_end, certificate_end, partner_end, notice_end, upstream_end,
    concurrency_end, upstream_tls_end, check_end, listener_begin, listener_end, listener_tls_end,
    proxy_in_end, waf_end, cluster_waf_end, route_waf_end, cluster_end, route_end, records_end,
    records_cluster_end, records_issuer_end, filter_end, filter_rule_end, filter_address_end;

#endif
