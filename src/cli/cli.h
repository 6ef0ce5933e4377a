/* cli/cli.h - what the commands of polder share.
 *
 * polder talks to the observer over the control socket: a word and a line feed, one JSON document back. It
 * knows nothing of the gate but what comes over that socket; only `check` and `schema` read the configuration
 * themselves. */
#ifndef POLDER_CLI_CLI_H
#define POLDER_CLI_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "json/tape.h"

enum exit_status {
    EXIT_FINE = 0,
    EXIT_PROBLEMS = 1,    /* the configuration has mistakes; the order was refused or failed */
    EXIT_USAGE = 2,       /* no such command or option */
    EXIT_NOT_RUNNING = 3, /* no gate answers at the socket, or it does not let this user ask */
    EXIT_BROKEN = 4,      /* the answer cannot be read, a file cannot be written */
};

enum { CLI_EXCEPT_MAX = 16 };

struct cli {
    const char *socket; /* as given, or NULL */
    const char *config; /* as given, or NULL */
    /* of `polder waf`, as given, or NULL */
    const char *cluster, *since, *reference, *paranoia, *replay, *for_time, *reason;
    /* of isolation, as given, or NULL */
    const char *until, *confirm_within, *rate, *from, *letter, *state;
    const char *out; /* of capture and records, as given, or NULL */
    /* of `polder records`, as given, or NULL */
    const char *url, *token, *to;
    const char *patient, *user; /* of `polder audit`, as given, or NULL */
    const char *except[CLI_EXCEPT_MAX];
    unsigned except_count;
    bool json, once, color, clear, masked;
    bool dry_run, partners_back, yes, follow, verify;
    char **arguments; /* of the command */
    unsigned argument_count;
};

#define COMMAND(name, arguments, function, help, more) enum exit_status function(const struct cli *);
#include "cli/commands.def"
#undef COMMAND

/* ---- messages for people, on standard error: "polder: ..." */
[[gnu::format(printf, 1, 2)]] void cli_complain(const char *format, ...);
/* Writes all of it to standard output; false (and a complaint) when that fails. */
bool cli_print(struct str);

/* ---- the gate */

/* Asks the gate. On EXIT_FINE *ret_answer is the answer, in memory from malloc that is the caller's;
 * otherwise it was complained about. timeout_s: for the whole answer. is_quiet: no complaint. */
enum exit_status gate_ask(const struct cli *, const char *command, unsigned timeout_s, bool is_quiet,
                          struct str *ret_answer);

/* A parsed answer; its text and nodes are its own. */
struct document {
    char *text;
    struct json_node *nodes;
    struct json_tape tape;
    struct arena *arena;
};
/* Takes the text (malloc). False: not JSON, or no memory; nothing is left behind. */
[[nodiscard]] bool document_open(struct document *, struct str text_take);
void document_close(struct document *);
/* Asks and parses; {"error": ...} is complained about (unless is_quiet) and makes EXIT_PROBLEMS. */
enum exit_status gate_ask_document(const struct cli *, const char *command, unsigned timeout_s, bool is_quiet,
                                   struct document *ret);

/* Members of an object by name; empty, 0 or JSON_NONE when they are not there or of another kind. */
struct str document_text(const struct document *, uint32_t object, const char *name);
uint64_t document_number(const struct document *, uint32_t object, const char *name);
int64_t document_integer(const struct document *, uint32_t object, const char *name);
bool document_flag(const struct document *, uint32_t object, const char *name);
uint32_t document_list(const struct document *, uint32_t object, const char *name,
                       uint32_t *ret_count); /* first element */

/* ---- tables: cells left to right, row after row; columns get as wide as their widest cell */
enum { TABLE_COLUMNS_MAX = 12 };
struct table {
    struct arena *arena;
    unsigned columns, count, room;
    struct str *cells;
    bool is_number[TABLE_COLUMNS_MAX]; /* right-aligned */
    bool overflowed;
};

/* heads: column names, NULL-terminated; a name that begins with '>' is a column of numbers. */
void table_begin(struct table *, struct arena *, const char *const heads[]);
void table_text(struct table *, struct str);
[[gnu::format(printf, 2, 3)]] void table_printf(struct table *, const char *format, ...);
void table_print(const struct table *, struct buf *, bool color);
void table_role(struct table *, struct str role, uint64_t slot); /* "worker 0", "signer" */
/* The text with everything a terminal would obey replaced by '?': what names and messages hold came from
 * others. */
/* The level of isolation, and of clusters that have their own: lines of `status` and `top` (level.c). */
void print_isolation(struct buf *, const struct document *, bool color);
/* How packets are filtered: a line or two for `status` and `top` (filter.c). */
void print_packets(struct buf *, const struct document *);
void print_safe(struct buf *, struct str);
size_t display_width(struct str); /* characters */

void print_duration_us(struct buf *, uint64_t us); /* "850us", "12.3ms", "4.56s" */
void print_duration_s(struct buf *, uint64_t s);   /* "4d 3h" */
void print_bytes(struct buf *, uint64_t bytes);    /* "12.3 MB" */
void print_count(struct buf *, uint64_t n);        /* "12,345" */

#endif
