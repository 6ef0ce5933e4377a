/* tests/breach/attacks.h - what somebody would try who runs code of his own inside a role.
 *
 * Each attack is a function that tries one thing by its own means and says whether it worked. None of them
 * knows about the sandbox: attacks.def says which wall should have stopped it. Most leave no trace when they
 * succeed; those that would (a host name, the clock) set the value that is there already. */
#ifndef POLDER_TESTS_BREACH_ATTACKS_H
#define POLDER_TESTS_BREACH_ATTACKS_H

#include "sys/sandbox.h"

#include <sys/types.h>

/* What a role has by right when it is taken over, and what lies around it. */
struct attack_world {
    int listener, connection;     /* TCP, inherited; -1: none */
    int terminal;                 /* the controlling terminal */
    int program;                  /* an executable file, open for reading */
    int net_namespace;            /* the one of the machine */
    uint16_t tcp_port, udp_port;  /* services on 127.0.0.1 that are nobody's upstream */
    const char *unix_path;        /* listening UNIX sockets: in the file system, */
    const char *abstract_name;    /* and abstract (without the leading NUL) */
    const char *key_file;         /* readable for the one who started the role */
    const char *directory;        /* writable for all; holds `file` */
    const char *file;             /* writable for all, owned by the role's user */
    const char *new_path;         /* not there, within `directory` */
    const char *setuid_program;   /* says "breach" when it runs as root */
    pid_t victim;                 /* another process of the same role */
    char *victim_secret;          /* an address in the victim that begins with ATTACK_SECRET */
    const char *isolation_record; /* root's own, mode 0600 */
    const char *pinned;           /* a table of the kernel, pinned in a folder of root's */
    const char *database;         /* of the user that an owner and the workers share, in their folder */
    const char *beside_database;  /* not there, in that folder */
    const char *log;              /* of accesses, in the folder of the audit, which is another user */
    const char *log_folder, *log_elsewhere; /* that folder, and where it could be moved to */
    int log_append;                         /* the descriptor of it that the audit holds */
    int read_only; /* a memfd that may only be read, as the perimeter's is to all but the filter */
};

#define ATTACK_SECRET "this belongs to somebody else"

/* Attacks that end in another program succeed when it writes this to standard output. */
#define ATTACK_SHOUT "breach"

enum { ATTACK_UNKNOWN = -1 };

/* 0: it succeeded; positive: the errno it was refused with; ATTACK_UNKNOWN: no attack has that name. */
int attack_run(struct str name, const struct attack_world *);

/* -- the table, for who judges */

enum {
    ON_WORKER = 1,
    ON_SIGNER = 2,
    ON_OBSERVER = 4,
    ON_DIALER = 8,
    ON_FILTER = 16,
    ON_COMPILER = 32,
    ON_RECORDS_WORKER = 64,
    ON_RECORDS_OWNER = 128,
    ON_RECORDS_AUDIT = 256,
    ON_RECORDS_EXPORTER = 512,
};

enum attack_needs {
    NEEDS_ROOT = 1,   /* without root at the start it could not succeed anyway */
    NEEDS_VICTIM = 2, /* another process of the role */
    NEEDS_TERMINAL = 4,
    NEEDS_USERS = 8 | NEEDS_ROOT, /* roles of one user, as an ordinary one's are, can do it to each other */
};

struct attack {
    const char *name, *help;
    unsigned profiles; /* ON_ bits */
    uint32_t walls;    /* each of these holds it off, also when it stands alone */
    uint32_t also;     /* removed too before it is expected to succeed */
    struct {
        unsigned profiles; /* in these roles */
        uint32_t walls;    /* those of `walls` do not hold: the role needs such calls */
    } lacks;
    unsigned needs;
    int absent; /* refused with this although no wall stands: not to be had on this machine */
};

extern const struct attack attacks[];
extern const unsigned attack_count;

#endif
