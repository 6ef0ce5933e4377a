/* filter/filter.h - the packet filter: loads the programs, keeps them in the kernel, tells them what to do.
 *
 * What filters is in the kernel and stays there: programs, links and tables are pinned in a folder of a BPF
 * file system, and whoever opens that folder next adopts them. Closing a filter closes nothing but
 * descriptors.
 *
 *   filter_open -> filter_apply -> filter_attach ... filter_level_set ... filter_close
 *
 * Needs CAP_BPF and CAP_NET_ADMIN (CAP_SYS_ADMIN on kernels without CAP_BPF). Functions that can fail return
 * 0 or a negative errno and say in `problem` what happened and what it means. One thread. */
#ifndef POLDER_FILTER_FILTER_H
#define POLDER_FILTER_FILTER_H

#include "base/addr.h"
#include "filter/filter_abi.h"

struct filter;

struct filter_problem {
    char text[320]; /* one sentence or two, ends in a NUL */
};

/* ---- names (names.c) */

const char *filter_reason_text(unsigned reason); /* "?" when it is none of ours */
const char *filter_reason_name(unsigned reason); /* "TCP_FLAGS" */
bool filter_reason_is_malformed(unsigned reason);
const char *filter_class_word(unsigned class);
const char *filter_service_word(unsigned service);
const char *filter_level_word(unsigned level);
/* What each class may do at a level, as shipped. */
const struct filter_level *filter_level_default(unsigned level);

/* ---- what it shall do (compile.c, apply.c) */

struct filter_list { /* a network is of a class */
    struct addr_prefix prefix;
    enum filter_class class;
};

struct filter_order { /* a rule for a network; of one network the first that fits decides, then wider ones */
    struct addr_prefix prefix;
    struct filter_rule rule;
};

struct filter_address {  /* one of ours; cluster 0: of no cluster */
    struct addr address; /* its port does not count */
    uint8_t cluster;
    uint16_t slot; /* of its counters, 1..FILTER_OWN_MAX - 1 */
};

struct filter_port {
    uint16_t port;
    bool is_udp;
    uint16_t services; /* FILTER_SERVES() */
};

struct filter_rate { /* packets a second; 0: no limit */
    uint32_t source, prefix, total;
};

struct filter_policy {
    const struct filter_list *lists;
    size_t list_count;
    const struct filter_order *orders;
    size_t order_count;
    const struct filter_address *addresses; /* none: every address counts as ours */
    size_t address_count;
    const struct filter_port *ports;
    size_t port_count;
    struct filter_rate rates[2][FILTER_CLASS_MAX]; /* [0] at open, [1] at levels that limit */
    uint64_t dry_run;                              /* bit of a reason */
    uint32_t syn_per_s;     /* above it SYNs are tried with cookies; 0: by level only */
    uint32_t samples_per_s; /* of dropped and of passed packets, each; 0: none */
    bool cookies;
    uint16_t mtu; /* of the outside; 0: 1500 */
};

/* Everything at once, and nothing when it cannot all be done. While it is written, each address has either
 * its old class and rules or its new ones. -EINVAL: the policy makes no sense. */
int filter_apply(struct filter *, const struct filter_policy *, struct filter_problem *);
/* What filter_apply would refuse, without a filter. */
int filter_policy_check(const struct filter_policy *, struct filter_problem *);

/* The class of one address (IPv6: of its /64) for a time; the program forgets it by itself. What is listed as
 * partner, inside or management keeps its class. */
int filter_host_set(struct filter *, const struct addr *, enum filter_class, uint64_t for_ns);
int filter_host_clear(struct filter *, const struct addr *);
/* The same by a person's order. */
int filter_host_order(struct filter *, const struct addr *, enum filter_class, uint64_t for_ns);

struct filter_standing {
    enum filter_class class, listed; /* that counts; that the policy says */
    uint64_t left_ns;                /* until it is `listed` again; 0: it has no end */
    bool is_ordered, has_rules;
};

void filter_standing_of(struct filter *, const struct addr *, struct filter_standing *ret);
bool filter_class_is_listed(enum filter_class); /* partner, inside, management: nothing earned changes it */
unsigned filter_hosts_sweep(struct filter *);   /* frees some entries whose time is over; how many */

/* ---- where it stands (load.c, attach.c) */

struct filter_options {
    const char *pins; /* a folder in a BPF file system, made when it is not there; NULL: nothing is pinned,
                       * and then nothing can be attached */
    uint32_t level;   /* that holds when the kernel knows none yet; what is none of ours becomes SEALED */
    bool set_sysctls; /* tcp_syncookies and tcp_timestamps of this network namespace, for cookies */
};

/* Adopts what is pinned, else makes it. Tables of another layout stay in force until filter_attach has put
 * the new program in place; their levels are taken over. -EINVAL: pinned tables have our layout's number and
 * another shape: nothing was changed, what is attached filters on. NULL with *ret_error set on any failure.
 */
struct filter *filter_open(const struct filter_options *, struct filter_problem *, int *ret_error);
void filter_close(struct filter *);            /* NULL is fine */
void filter_pins_are_here(struct filter *);    /* the working directory is the folder of pins from now on */
bool filter_is_adopted(const struct filter *); /* levels of an earlier loader hold on */
/* What lies below a folder of pins becomes that user's. Negative errno. */
int filter_pins_give(const char *pins, unsigned uid, unsigned gid);
/* Interfaces whose links are pinned there: how many; only `room` are written. */
size_t filter_pinned_interfaces(const char *pins, unsigned *ret, size_t room);

enum filter_ingress { FILTER_INGRESS_NONE, FILTER_INGRESS_NATIVE, FILTER_INGRESS_GENERIC };
enum filter_egress { FILTER_EGRESS_NONE, FILTER_EGRESS_TCX, FILTER_EGRESS_CLSACT };

struct filter_attachment {
    enum filter_ingress ingress;
    enum filter_egress egress;
    bool was_there;     /* the program was replaced in its link, without a gap */
    int native_refused; /* why not native: a positive errno, or 0 */
};

/* Both directions of an interface. Where a program of ours is attached it is replaced atomically. */
int filter_attach(struct filter *, unsigned interface, struct filter_attachment *ret,
                  struct filter_problem *);
/* Takes both programs off an interface, whatever version put them there: this opens. */
int filter_detach(const char *pins, unsigned interface, struct filter_problem *);
/* Removes tables of other layouts, once every interface was attached. */
int filter_forget_others(struct filter *);
/* And pinned programs of other builds: what is attached of them stays until it is replaced. */
void filter_forget_programs(struct filter *);

/* ---- accept queues (accept.c): two listening sockets of each worker for an address, one for those who go
 * first */

/* Loads what chooses among them; without it a filter is complete all the same. */
int filter_accept_open(struct filter *, struct filter_problem *);
void filter_accept_close(struct filter *);
bool filter_accepts(const struct filter *);
/* The socket may be closed after this. Repeating it changes nothing. */
int filter_accept_add(struct filter *, int fd, unsigned slot, bool is_first, unsigned workers,
                      struct filter_problem *);

/* ---- isolation (level.c, cut.c, judge.c) */

/* One store. When it returns, every packet that is looked at from now on stands under the new level, and no
 * program that began before runs any more. cluster 0: the whole site. -EINVAL: no such level or cluster. */
int filter_level_set(struct filter *, uint32_t cluster, uint32_t level);
uint32_t filter_level(const struct filter *, uint32_t cluster);

struct filter_session {
    struct addr local, peer;
    uint32_t state; /* TCP's, as the kernel numbers it */
    uint32_t inode;
    uint32_t quiet_in_ms, quiet_out_ms; /* since data last came, and went; UINT32_MAX: not known */
};

/* Sessions whose way leads over other interfaces are no business of filter_sessions. None: all count. */
void filter_outside_set(struct filter *, const unsigned *interfaces, size_t count);

typedef void filter_session_seen(const struct filter_session *, void *context);

/* TCP sessions of this network namespace that a level refuses: shown, and ended when `end` is set. level
 * FILTER_LEVEL_MAX: the one in force. The program itself judges. Returns how many, or a negative errno
 * (-EOPNOTSUPP: this kernel ends no sessions). */
int filter_sessions(struct filter *, uint32_t level, bool end, filter_session_seen *, void *context,
                    struct filter_problem *);

struct filter_verdict {
    bool passes;
};

/* What would become of a frame at a level. Counts nothing, remembers nothing. */
int filter_judge(struct filter *, uint32_t level, enum filter_direction, struct str frame,
                 struct filter_verdict *ret, struct filter_problem *);

/* ---- what it did (stats.c, samples.c, pcapng.c) */

int filter_counts_read(const struct filter *,
                       struct filter_counts *ret); /* of all CPUs; state fields are 0 */
int filter_own_counts_read(const struct filter *, uint16_t slot, struct filter_own_counts *ret);

typedef void filter_sample_seen(const struct filter_sample *, void *context);
int filter_samples_fd(struct filter *); /* readable when there are some; negative errno */
int filter_samples_take(struct filter *, filter_sample_seen *,
                        void *context); /* how many, or a negative errno */

/* A capture file (pcapng, draft-ietf-opsawg-pcapng): the head, then a block for each sample, with reason,
 * class and level as its comment. boot_ns: CLOCK_REALTIME minus CLOCK_BOOTTIME. */
void filter_pcapng_begin(struct buf *);
void filter_pcapng_add(struct buf *, const struct filter_sample *, int64_t boot_ns);

/* ---- without BPF, and before it (nft.c)
 *
 * The same policy and level as text for `nft -f`: one transaction that replaces our table. Also what a boot
 * unit loads before any interface is up. policy NULL: it cannot be read, and then only the link's own
 * protocols pass. interfaces: names, separated by spaces; {NULL, 0}: all but lo. now_ns: CLOCK_BOOTTIME, for
 * what ends. Rates, cookies, dry runs and earned classes are not in it. false: an interface name cannot be
 * written. */
bool filter_nft_render(struct buf *, const struct filter_policy *, uint32_t level, struct str interfaces,
                       uint64_t now_ns);
/* Text that removes the table, for when the programs hold. */
void filter_nft_render_removal(struct buf *);
int filter_nft_apply(struct str text, struct filter_problem *); /* runs nft; one transaction */

struct filter_nft;                          /* the same without running anything (nft_run.c) */
struct filter_nft *filter_nft_open(void);   /* NULL: no memory. Reads files of the machine */
void filter_nft_close(struct filter_nft *); /* NULL is fine */
int filter_nft_run(struct filter_nft *, struct str text, struct filter_problem *);

/* The programs themselves, for tests and measurements through bpf_prog_test_run. */
int filter_program_fd(const struct filter *, enum filter_direction);

#endif
