/* gate/observer.h - what the parts of the observer share: it counts, writes the logs, and answers on the
 * management address and the control socket. Internal to gate/.
 *
 * It holds no data-path socket and can open nothing; all it shows comes from the shared memory, from the
 * messages of the master and from the configuration bundle. */
#ifndef POLDER_GATE_OBSERVER_H
#define POLDER_GATE_OBSERVER_H

#include "base/utc.h"
#include "config/config.h"
#include "gate/role_process.h"
#include "isolation/isolation.h"
#include "proxy/admit_memory.h"
#include "proxy/perimeter.h"
#include "proxy/shared.h"
#include "sys/loop.h"
#include "waf/patch.h"
#include "json/tape.h"
#include "json/writer.h"

/* ---- a log file: lines gather in memory and go out in few writes. What the file does not take waits; when
 * the memory is full, reading the event rings stops and the workers count what is lost. */
enum { LOG_BUFFER_BYTES = 1 << 18, LOG_LINE_MAX = 1 << 13 };

struct log_out {
    int fd; /* -1: off */
    bool is_file;
    struct buf waiting;
    uint64_t lines, failures; /* failures: writes the file refused */
    int last_error;           /* positive errno */
};

bool log_out_init(struct log_out *, int fd); /* takes fd; /dev/null is "off"; false: no memory */
void log_out_done(struct log_out *);
void log_out_reopen(struct log_out *,
                    int fd); /* takes fd; what waits still goes to the old one, as far as it takes it */
/* Room for one more line of LOG_LINE_MAX; flushes when there is none. False: wait. */
bool log_out_has_room(struct log_out *);
void log_out_line(struct log_out *,
                  struct str line); /* with its line feed; dropped and counted when there is no room */
void log_out_flush(struct log_out *);

/* ---- a configuration as the observer knows it */
struct observed_endpoint {
    const struct config_upstream *upstream;
    const struct config_endpoint *endpoint;
    uint32_t slot; /* in shared memory; SHARED_NO_SLOT: not counted */
    uint32_t seen_health;
    bool seen_ejected;
};

struct observed_certificate {
    struct str name;
    int64_t not_after_s; /* seconds since 1970; 0: unreadable */
};

struct observed_config {
    uint64_t generation;
    struct str bundle; /* mapped; the config's text lies in it */
    struct config *config;
    uint32_t *cluster_slots;             /* config->cluster_count */
    struct observed_endpoint *endpoints; /* config->endpoint_count */
    struct observed_certificate *certificates;
    struct arena *patch_arena;
    struct waf_patch *patches; /* config->waf.patch_count; one that cannot be read is empty */
    bool *patch_told;          /* for each cluster and patch: the event log has it */
};

/* Takes fd. NULL: *ret_error says why. Slots are those claimed when this is called. */
struct observed_config *observed_config_new(int fd, uint64_t generation, const struct shared *,
                                            struct arena *error_arena, struct str *ret_error);
struct observed_config *observed_config_of(struct config *take, uint64_t generation, const struct shared *);
void observed_config_free(struct observed_config *); /* NULL is fine */
/* Looks the slots up again, and takes the states of the endpoints as known: when it comes into force, or the
 * shared memory is another one. */
void observed_config_bind(struct observed_config *, const struct shared *, uint64_t now_ms);

/* ---- access log lines: pure */
struct access_names {
    struct str cluster, route, listener, upstream, endpoint_host; /* empty: none */
    uint16_t endpoint_port;
};

/* Names for an event's numbers; all empty when the configuration is NULL or they are out of range. */
struct access_names access_names_of(const struct observed_config *, const struct access_event *);
void access_line_write(struct buf *, const struct access_event *, const struct access_names *);

/* ---- the event log */
enum log_event {
#define LOG_EVENT_ROW(name, level, help) EVENT_##name,
#include "gate/log_events.def"
#undef LOG_EVENT_ROW
    LOG_EVENT_COUNT
};

/* One line of the event log. */
struct event_line {
    enum log_event event;
    int64_t at_us;
    struct str message;                           /* a sentence for people */
    struct str role, cluster, upstream, endpoint; /* empty: none */
    uint32_t pid;                                 /* 0: none */
};

void event_line_write(struct buf *, const struct event_line *);

/* ---- roles, as the master tells */
enum { OBSERVED_ROLES_MAX = 2 * SHARED_WORKERS_MAX + ROLE_COUNT }; /* a dialer for each worker */

struct observed_role {
    enum role role;
    enum role_run run;
    unsigned slot;
    uint32_t pid, restarts, walls;
    uint64_t since_ms;
    char detail[200];
    unsigned detail_len;
};

/* ---- clients of the control socket and of the management address */
struct observer;
struct observer_client;
enum client_kind { CLIENT_CONTROL, CLIENT_MANAGEMENT, CLIENT_KIND_COUNT };

struct observer_server {
    struct io io;
    struct observer *observer;
    enum client_kind kind;
    struct list clients;
    unsigned client_count;
};

void server_init(struct observer_server *, struct observer *, enum client_kind,
                 int fd); /* fd may be /dev/null */
void server_done(struct observer_server *);
/* Another observer serves now: accepts nobody any more, and answers who still waits for the master of old. */
void server_succeeded(struct observer_server *);
/* The answer of the master to an order given by a client of the control socket, if that one is still there.
 */
void server_order_result(struct observer_server *, const struct msg_order_result *);

/* The filter's answer to a person's order or question; and that there will be none. */
void server_isolated(struct observer_server *, uint64_t id, struct str answer);
void server_isolation_lost(struct observer_server *);

/* ---- what the firewall found: records of the workers, in the log and, the last of them, in memory */
enum { KEPT_BYTES = 4 << 20, KEPT_MAX = 4096, RULE_NAMES_MAX = 1024, RULE_NAME_BYTES = 120 };

struct kept_record { /* lies in memory[at..at + n) */
    uint32_t at, n;
    char reference[32];
};

struct rule_name { /* as records say it */
    uint64_t id;
    unsigned length;
    char text[RULE_NAME_BYTES];
};

struct observer_waf {
    struct log_out log;
    char *memory;             /* KEPT_BYTES */
    struct kept_record *kept; /* KEPT_MAX; record k lies in kept[k % KEPT_MAX], k from first to end */
    uint64_t first, end;
    uint32_t write_at;
    struct rule_name *names;
    unsigned name_count;
    struct json_node *nodes;  /* to parse one record */
    uint64_t records, broken; /* taken; not taken, since they were no records */
    uint64_t seen_lost;
    bool is_clear; /* excerpts are in clear, as far as the event log knows */
};

/* gate/observer_waf.c */
bool observer_waf_init(struct observer *); /* false: no memory */
void observer_waf_done(struct observer *);
void observer_waf_drain(struct observer *);
void observer_waf_watch(struct observer *); /* events: records lost, excerpts masked again, patches */
/* Takes one record as a worker wrote it; false: it is none. */
bool observer_waf_take(struct observer *, struct str record);

/* gate/observer_waf_answers.c. True: it was a command of the firewall, and *out has its answer. */
bool observer_waf_command(struct observer *, struct str command, uid_t, struct buf *out);
void observer_waf_write_status(const struct observer *, struct json_writer *); /* a member "waf" */
void observer_waf_write_metrics(const struct observer *, struct buf *);

/* ---- observer_admission.c */
void observer_admission_write_status(const struct observer *,
                                     struct json_writer *); /* a member "admission" */
void observer_admission_write_metrics(const struct observer *, struct buf *);
/* What the last replay showed; false: nothing yet. */
bool observed_patch_result(const struct observer *, unsigned cluster, unsigned patch,
                           struct patch_result *ret);
struct str patch_state_word(enum patch_state); /* "effective" */
/* Why, in a sentence; what it says of requests needs the patch. */
void patch_reason_write(struct buf *, const struct waf_patch *, const struct patch_result *);

/* ---- all of it */
struct observer {
    struct role_process process;
    struct loop *loop; /* the process's */
    uid_t starter;     /* who started the gate: may give orders, as root may */
    gid_t group;       /* the group of gate.user, or (gid_t)-1 */

    struct shared shared; /* header NULL: not here yet */
    struct perimeter perimeter;
    struct admit_memory admission_places;
    struct admission *admission; /* only to be looked into */
    struct channel *filter;      /* NULL: none now */
    uint64_t next_isolate;
    struct isolation_state isolation; /* as published, when it was last looked at */
    uint8_t packets_mode;             /* as the event log knows it */
    bool has_packets_mode;
    uint64_t isolation_sequence;
    struct observed_config *current, *previous, *prepared;
    uint64_t config_generation, config_since_ms;
    uint8_t config_digest[32];
    struct buf config_error;
    char config_error_memory[4096];
    struct observed_role roles[OBSERVED_ROLES_MAX];
    unsigned role_count;

    struct log_out access_log, event_log;
    struct observer_waf waf;
    struct observer_server control, management;
    struct timer drain_timer, watch_timer;
    uint64_t drain_interval_ms;
    uint64_t next_order;
    bool is_succeeded;                             /* another observer serves; this one only logs */
    uint64_t seen_floods, seen_refused, seen_lost; /* counters at the last watch */
    uint64_t flood_reported_ms;
    struct buf scratch; /* answers are rendered here */
};

/* gate/observer_watch.c: the event log, fed by what changes. */
void observer_log(struct observer *, const struct event_line *); /* at_us is set here */
[[gnu::format(printf, 3, 4)]] void observer_say(struct observer *, enum log_event, const char *format, ...);
void observer_watch(struct observer *); /* looks at shared memory for changes of health and for floods */
void observer_role_state(struct observer *, const struct msg_role_state *);
void observer_config_state(struct observer *, const struct msg_config_state *);

/* gate/observer_isolate.c. False: the filter cannot be reached. */
[[nodiscard]] bool observer_isolate(struct observer *, uid_t, struct str request, uint64_t *ret_id);
bool observer_take_filter(struct observer *, int fd); /* takes fd: a channel to the filter */
/* gate/observer_isolation.c */
void observer_isolation_watch(struct observer *); /* events */

/* gate/observer_packets.c */
void observer_packets_write_status(const struct observer *, struct json_writer *); /* a member "packets" */
void observer_packets_write_metrics(const struct observer *, struct buf *);
void observer_packets_watch(struct observer *);                                /* events */
void observer_isolation_write_status(struct observer *, struct json_writer *); /* a member "isolation" */

/* gate/observer_status.c, gate/observer_metrics.c: answers, into a buf; overflow is remembered there. */
void observer_status_write(struct observer *, struct buf *);
void observer_top_write(struct observer *, struct buf *);
void observer_metrics_write(struct observer *, struct buf *);
void metric_write_head(struct buf *, const char *name, const char *type, struct str help);
void metric_write_value(struct buf *, struct str value); /* of a label, in quotes */

/* Observer's own orders to the master. False: there is no way to reach it. */
[[nodiscard]] bool observer_order(struct observer *, enum order_kind, uint64_t *ret_id);

#endif
