/* config/config.h - the gate's configuration, read and checked.
 *
 * A configuration is one YAML file plus the files it names (certificates, keys, CAs, CRLs, OCSP
 * answers, error pages). All of a struct config lies in one arena and is immutable. Whatever came out
 * of config_parse without errors is complete: every default is filled in, every name resolved to a
 * pointer, every number inside its bounds. The keys, their defaults, bounds and help stand in one
 * table, config/keys.def, from which parser, JSON Schema, example and polder.yaml(5) are made. */
#ifndef POLDER_CONFIG_CONFIG_H
#define POLDER_CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/utc.h"

/* ---- where file contents come from: the disk in the master and in `polder check`, a bundle in the
 * workers, which can open nothing. */
struct config_files {
    /* The contents of a file the configuration names; config_parse copies them. False: *ret_error says why
     * in words ("no such file"). Both live until config_parse has returned. */
    bool (*read)(void *self, struct str path, struct str *ret_bytes, struct str *ret_error);
    void *self;
    /* The files whose names match, in order, as `read` takes them: lines, each with its line feed; none is
     * fine. False: the pattern cannot be followed. NULL: there are no patterns to follow here. */
    bool (*list)(void *self, struct str pattern, struct str *ret_lines);
};

struct config_problem {
    unsigned line, column; /* from 1, in characters; 0: the file as a whole */
    bool is_warning;       /* the configuration can be used all the same */
    struct str text;       /* what is wrong, what it means */
    struct str hint;       /* what to do ("did you mean 'listeners'?"); may be empty */
};

struct config_certificate {
    struct str name;
    struct str chain_path, key_path, ocsp_path; /* ocsp may be empty */
    struct str chain_pem, ocsp_der;             /* contents; the key's contents are never read here */
    unsigned index;                             /* place in config.certificates */
};

enum config_client_certificate { CLIENT_CERT_OFF, CLIENT_CERT_OPTIONAL, CLIENT_CERT_REQUIRED };
enum config_proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };
enum config_underscore { UNDERSCORE_REFUSE, UNDERSCORE_KEEP };

struct config_limits {     /* all on by default; per listener, inherited from the top-level `limits` */
    uint32_t header_count; /* fields of one message, cookie crumbs included; default 100 */
    uint32_t header_bytes; /* a message's head; default 32 KiB, at most 64 KiB - 1 KiB */
    uint32_t target_bytes; /* the request target; default 8 KiB */
    uint64_t body_bytes;   /* a request body; default 64 MiB; a route may set its own */
    uint32_t connections_per_address;      /* per /32 or /64; default 256; 0: no limit */
    uint32_t connections;                  /* per worker; default 16,000 */
    uint32_t h2_streams;                   /* concurrent, per connection; default 100 */
    uint32_t h2_resets_per_minute;         /* default 200 */
    uint32_t h2_control_frames_per_minute; /* PING and SETTINGS; default 60 each */
    uint32_t handshake_timeout_ms;         /* TLS, and PROXY protocol; default 10 s */
    uint32_t header_timeout_ms;            /* a whole head; default 10 s */
    uint32_t idle_timeout_ms;              /* keep-alive without a request; default 75 s */
    uint32_t stall_timeout_ms;             /* a body or answer that does not move at all; default 30 s */
    uint32_t min_body_rate_bps; /* bytes per second, averaged from the 6th second on; default 240; 0: off */
    uint32_t tunnel_idle_timeout_ms; /* WebSocket without traffic; default 1 h */
    enum config_underscore underscores;
};

struct config_listener {
    struct str name;
    struct addr address;
    bool has_tls;
    const struct config_certificate **certificates; /* the first is the default */
    unsigned certificate_count;
    bool tls12; /* TLS 1.2 as well as 1.3 */
    bool http2; /* offered by ALPN; on clear text: prior knowledge */
    bool session_tickets;
    enum config_client_certificate client_certificate;
    struct str client_ca_path, client_ca_pem, client_crl_path, client_crl_pem;
    uint32_t hsts_max_age_s; /* 0: no header */
    uint16_t redirect_port;  /* plain listener that only redirects to https; 0: serves */
    bool redirects;
    bool proxy_protocol;                           /* expected, v1 or v2, from proxy_protocol_from only */
    const struct addr_prefix *proxy_protocol_from; /* empty with proxy_protocol: anyone (warned about) */
    unsigned proxy_protocol_from_count;
    struct config_limits limits;
    unsigned index;
};

struct config_endpoint {
    struct str host; /* name or address as written */
    uint16_t port;
    bool is_name;        /* host must be resolved, and again when it changes */
    struct addr address; /* when !is_name */
    uint16_t weight;     /* 1..256 */
    bool drain;          /* takes no new sessions */
};

/* Another house that care is exchanged with: known by its networks or by its certificate. */
struct config_partner {
    struct str name;
    const struct addr_prefix *networks; /* may be none, where certificates are given */
    unsigned network_count;
    const struct str *certificates; /* names (a DNS name or the common name) of client certificates */
    unsigned certificate_count;
    unsigned index;
};

/* Networks on this side of the gate: who comes from there is never a stranger. */
struct config_networks {
    const struct addr_prefix *inside, *management;
    unsigned inside_count, management_count;
};

struct config_text { /* written in the configuration, or in a file */
    struct str path, text;
};

/* What people see whom isolation keeps out (isolation/notice.h). A cluster has what it does not say from the
 * top level. */
struct config_notice {
    struct str name, phone;
    struct config_text message[3]; /* by enum isolation_language: nl, en, fy */
    int64_t next_us;               /* when the next message comes, since 1970; 0: not said */
    const struct str *languages; /* "nl", "en", "fy": the first is for who asks for none of them; none: all */
    unsigned language_count;
};

enum config_balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUESTS, BALANCE_HASH };
enum config_hash_on { HASH_ON_SOURCE, HASH_ON_PATH, HASH_ON_HEADER, HASH_ON_COOKIE };
enum config_check { CHECK_OFF, CHECK_TCP, CHECK_HTTP };

struct config_upstream {
    struct str name;
    const struct config_endpoint *endpoints;
    unsigned endpoint_count; /* 1..64 */
    enum config_balance balance;
    enum config_hash_on hash_on;
    struct str hash_name;     /* header or cookie name */
    struct str sticky_cookie; /* empty: no stickiness */
    uint32_t slow_start_ms;   /* an endpoint that comes back; 0: at once */
    bool tls;
    bool tls_verify; /* default true */
    struct str tls_ca_path,
        tls_ca_pem;             /* empty: the system's trust store is not used; refused when verifying */
    struct str tls_server_name; /* empty: the endpoint's host */
    const struct config_certificate *tls_certificate; /* the gate's own towards the upstream, or NULL */
    enum config_proxy_protocol proxy_protocol;
    struct str host_header;        /* empty: the client's authority is passed on */
    uint32_t keepalive;            /* idle connections kept per worker and endpoint; default 256 */
    uint32_t keepalive_timeout_ms; /* default 50 s */
    uint32_t connect_timeout_ms;   /* default 3 s */
    uint32_t response_timeout_ms;  /* to the head of the answer; default 60 s; a route may set its own */
    uint32_t max_retries;          /* per request; default 2 */
    uint32_t retry_budget_percent; /* retries as a share of requests; default 20 */
    enum config_check check;
    struct str check_path, check_host;
    uint16_t check_status_low, check_status_high;                         /* default 200..399 */
    uint32_t check_interval_ms, check_timeout_ms, check_rise, check_fall; /* 5 s, 2 s, 2, 3 */
    uint32_t outlier_failures;    /* consecutive 5xx or connection failures; default 5; 0: off */
    uint32_t outlier_eject_ms;    /* default 30 s, times the number of ejections, at most 10x */
    uint32_t outlier_max_percent; /* never eject more than this share; default 50 */
    uint32_t concurrency_least, concurrency_most; /* requests at it at once; default 2, 16,384 */
    unsigned index;                               /* place in config.upstreams */
    unsigned first_endpoint; /* place of endpoints[0] among all endpoints of all upstreams */
};

enum config_edit_op { EDIT_SET, EDIT_ADD, EDIT_REMOVE };
struct config_header_edit {
    enum config_edit_op op;
    struct str name, value; /* names in lower case */
};

enum config_waf_mode { WAF_MODE_UNSET, WAF_MODE_OFF, WAF_MODE_DETECT, WAF_MODE_BLOCK };
enum config_waf_answers { WAF_ANSWERS_UNSET, WAF_ANSWERS_OFF, WAF_ANSWERS_ON };
enum config_waf_profile { WAF_BODIES_PLAIN, WAF_BODIES_FHIR };

struct config_patch { /* a virtual patch's file (waf/patch.h) */
    struct str path, yaml;
};

struct config_waf {
    bool is_set;
    const struct config_patch *patches;
    struct config_patch *patch_room; /* the same, while it is read */
    unsigned patch_count;
    const struct str *rules; /* files, patterns expanded, in order; as config_files.read takes them */
    unsigned rule_count;
    struct str cache_directory;
    uint64_t memory_bytes; /* default 128 MiB */
};

struct config_cluster_waf {
    bool is_set;
    enum config_waf_mode mode;                      /* never UNSET */
    uint32_t paranoia;                              /* 0: as the rules say */
    uint32_t inbound_threshold, outbound_threshold; /* likewise */
    struct str exclusions_path, exclusions;         /* path empty: the text stands in the configuration */
    enum config_waf_profile profile;
    enum config_waf_answers answers;
    uint64_t body_bytes;                /* 0: as the rules say */
    const struct str *patch_exceptions; /* ids of virtual patches that this cluster is without */
    unsigned patch_exception_count;
};

struct config_route_waf { /* what the cluster says, where the route does not */
    enum config_waf_mode mode;
    enum config_waf_answers answers;
    uint64_t body_bytes;
};

struct config_route {
    struct str path; /* prefix on segment boundaries, canonical; "/" matches all */
    bool exact;
    const struct config_upstream *upstream;
    struct str rewrite; /* replaces the matched prefix; only when has_rewrite */
    bool has_rewrite;
    bool websocket;                                    /* upgrades allowed; default true */
    enum config_client_certificate client_certificate; /* at least what the listener asks */
    const struct config_header_edit *request_edits, *response_edits;
    unsigned request_edit_count, response_edit_count;
    uint64_t body_bytes;          /* 0: the listener's limit */
    uint32_t response_timeout_ms; /* 0: the upstream's */
    struct config_route_waf waf;
    unsigned index; /* place among the cluster's routes */
};

struct config_error_page {
    uint16_t status;
    struct str html; /* contents; $reference, $status and $cluster are filled in */
};

struct config_cluster {
    struct str name;
    const struct str
        *hosts; /* lower case; "*.example.nl" matches one label or more in front; "*": the default cluster */
    unsigned host_count;
    const struct config_route *routes; /* in order of match: longest path first, exact before prefix */
    unsigned route_count;
    const struct config_error_page *error_pages;
    unsigned error_page_count;
    struct str contact; /* shown on error pages: whom to call */
    struct config_cluster_waf waf;
    struct config_notice notice;
    unsigned weight; /* share of an upstream that several clusters want; default 1 */
    unsigned index;
};

struct config_gate {
    unsigned workers;             /* 1..62; `auto` is the number of CPUs */
    struct str user;              /* base of the roles' user names; default "polder" */
    struct str run_directory;     /* control socket and state of processes; default /run/polder */
    struct str state_directory;   /* default /var/lib/polder */
    struct str access_log;        /* a file, "-" for standard output, "off" */
    struct str event_log;         /* likewise, default "-" */
    struct str waf_log;           /* likewise, default waf.jsonl beside the access log */
    struct addr management;       /* metrics and status; port 0: off */
    uint32_t resolve_interval_ms; /* names of endpoints are looked up again; default 30 s */
    uint32_t drain_timeout_ms; /* a draining worker with tunnels is ended after this; default 1 h; 0: never */
    uint32_t ticket_rotation_ms;    /* default 8 h; the last two keys still open tickets */
    uint32_t signatures_per_second; /* per worker; default 5,000 */
};

struct config_isolation {           /* who may change the level, and how partners come back */
    bool two_to_close, two_to_open; /* a second person approves */
    uint32_t approval_ms;           /* how long an order waits for its second person */
    uint32_t exception_ms;          /* the longest exception */
    uint32_t stage_ms, quiet_ms;    /* a partner stays at a stage, and after an alarm, at least this long */
    uint32_t probation_per_s;
    struct str site; /* the house's name, for letters; may be empty */
    enum time_zone time_zone;
};

enum config_filter_protocol {
    FILTER_PROTOCOL_ANY,
    FILTER_PROTOCOL_TCP,
    FILTER_PROTOCOL_UDP,
    FILTER_PROTOCOL_ICMP
};
enum config_filter_serves { FILTER_SERVES_CARE, FILTER_SERVES_LINK, FILTER_SERVES_MANAGE };

enum config_accept_queues { ACCEPT_QUEUES_OFF, ACCEPT_QUEUES_AUTO };

struct config_filter_rule {
    struct addr_prefix network;
    uint16_t port_from, port_to; /* 0: no ports are named */
    enum config_filter_protocol protocol;
};

struct config_filter_address {
    struct addr address;
    struct str cluster; /* may be empty */
};

struct config_filter_port {
    uint16_t port;
    enum config_filter_protocol protocol; /* TCP or UDP */
    enum config_filter_serves serves;
};

struct config_filter_rate { /* packets a second; 0: no limit */
    uint32_t source, network, total;
};

struct config_filter {
    bool is_set;
    const struct str *interfaces; /* none: nothing is filtered */
    unsigned interface_count;
    const struct config_filter_rule *allow, *block;
    unsigned allow_count, block_count;
    const struct config_filter_address *addresses;
    unsigned address_count;
    const struct config_filter_port *ports;
    unsigned port_count;
    struct {
        struct config_filter_rate unknown, suspect, known;
    } rates[2];       /* while open; guarded */
    uint64_t dry_run; /* bits of base/filter_reasons.def */
    uint32_t syn_per_s, samples_per_s;
    struct str pins;
    enum config_accept_queues accept_queues;
};

struct config_records_listener {
    struct addr address;
    bool is_behind_gate; /* what its requests say of the client was written by the gate */
};

/* Who signs tokens. */
struct config_records_issuer {
    struct str url, audience, jwks_path, jwks;
    struct str authorize, token; /* where clients find it; may be empty */
};

enum config_records_access { RECORDS_ACCESS_ON, RECORDS_ACCESS_OFF };
enum config_records_kind { RECORDS_KIND_PRACTICE, RECORDS_KIND_PHARMACY };

struct config_records_role {
    struct str code;
    enum config_records_kind kind;
};

struct config_records_partner {
    struct str partner;
    struct str organisation; /* id; empty: the partner's name */
};

/* A cluster of practices and pharmacies as the records serve it: a base URL, and a folder of its own below
 * the data directory. Its name is the same as in the gate's clusters, where one file describes both. */
struct config_records_cluster {
    struct str name;
    struct str path;         /* of its base URL, canonical, without a '/' at the end; never "/" */
    struct str url;          /* the whole base URL as clients see it, without a '/' at the end */
    struct str organisation; /* whose records these are, for people */
    struct str store;        /* "postgresql://...": its database; empty: its folder */
    unsigned index;
};

/* Uids where the machine has no "polder-records" and "polder-audit". Owner and worker share one: a database
 * in WAL mode has no readers that are not its user. What a worker may not do there, Landlock says. */
enum { RECORDS_UID = 64'420, AUDIT_UID = 64'421 };

struct config_records { /* polder-records */
    bool is_set;
    unsigned workers; /* 1..32; `auto` is the number of CPUs */
    unsigned owners;  /* processes that write; a cluster belongs to one of them */
    struct str user, data_directory;
    const struct config_records_listener *listeners;
    unsigned listener_count;
    const struct config_records_cluster *clusters;
    unsigned cluster_count;
    enum config_records_access access;
    const struct config_records_issuer *issuers;
    unsigned issuer_count;
    const struct str *administrators; /* ids of clients */
    unsigned administrator_count;
    const struct config_records_role *roles;
    unsigned role_count;
    const struct config_records_partner *partners;
    unsigned partner_count;
    uint64_t body_bytes;   /* of a request */
    uint32_t connections;  /* per worker */
    uint32_t page_entries; /* of a search without _count */
    uint32_t page_entries_max;
    uint32_t idle_timeout_ms, request_timeout_ms;
};

struct config {
    struct arena *arena; /* owns everything here, itself included */
    struct str path;
    struct config_gate gate;
    struct config_waf waf;
    struct config_filter filter;
    struct config_records records;
    struct config_isolation isolation;
    const struct config_certificate *certificates;
    unsigned certificate_count;
    const struct config_listener *listeners;
    unsigned listener_count;
    const struct config_cluster *clusters;
    unsigned cluster_count;
    struct config_networks networks;
    struct config_notice notice;
    const struct config_partner *partners;
    unsigned partner_count;
    const struct config_upstream *upstreams;
    unsigned upstream_count;
    unsigned endpoint_count; /* of all upstreams together */
    uint8_t
        digest[32]; /* SHA-256 of the file and all it names, keys excluded: which configuration is in force */
};

/* Parses and checks yaml. All problems are found in one run, in order of line. Returns NULL when there
 * is any error-level problem; *ret_problems (in `arena`) then says which. Warnings may come with a
 * config. `path` is for messages and as the base of relative paths. Never reads a private key. */
struct config *config_parse(struct str path, struct str yaml, const struct config_files *files,
                            struct arena *problems_arena, struct config_problem **ret_problems,
                            unsigned *ret_problem_count);
void config_free(struct config *); /* NULL is fine */

/* The problems as an operator reads them: file:line:column, the line itself, a caret, the hint. */
void config_problems_print(struct buf *, struct str path, struct str yaml, const struct config_problem *,
                           unsigned count, bool color);

/* From keys.def: the JSON Schema (2020-12), polder.yaml(5), a file with every key and its help.
 * CONFIG_TEXT_BYTES are enough for each. */
enum { CONFIG_TEXT_BYTES = 128 << 10 };
void config_schema_write(struct buf *);
void config_reference_write(struct buf *); /* the whole manual page, mdoc */
void config_example_write(struct buf *);

/* Names of files the configuration reads, in the order it reads them, keys excluded: what the master puts
 * into the bundle for the workers. */
struct config_bundle_entry {
    struct str path, bytes;
};

/* config_files over the disk. Relative paths are taken from the configuration file's folder. Remembers
 * what it read, for the bundle. */
struct config_disk;
struct config_disk *config_disk_new(struct str config_path);
/* The configuration file itself; not remembered among the others. */
bool config_disk_open(struct config_disk *, struct str *ret_yaml, struct str *ret_error);
struct config_files config_disk_files(struct config_disk *);
const struct config_bundle_entry *config_disk_read(const struct config_disk *, unsigned *ret_count);
struct str config_disk_resolve(struct config_disk *,
                               struct str path); /* absolute path, lives with the disk */
void config_disk_free(struct config_disk *);

/* A bundle is the configuration text and its files as one run of bytes (length-prefixed pairs), for a
 * sealed memfd. Writing fails (false) only when out of room; size it with config_bundle_size. */
size_t config_bundle_size(struct str path, struct str yaml, const struct config_bundle_entry *,
                          unsigned count);
void config_bundle_write(struct buf *, struct str path, struct str yaml, const struct config_bundle_entry *,
                         unsigned count);
/* Parses a bundle into a config, which keeps nothing of the bundle's bytes. NULL: *ret_error says why. Makes
 * no system call but for memory; OpenSSL must have been initialised before where reading its own
 * configuration is forbidden. What `workers: auto` means was counted when the bundle was written. */
struct config *config_from_bundle(struct str bundle, struct arena *error_arena, struct str *ret_error);
/* The files in a bundle, and what its patterns matched. What is read lies in the bundle; the arena holds the
 * rest. False: no bundle, or no memory. */
bool config_bundle_files(struct str bundle, struct arena *, struct config_files *ret);

#endif
