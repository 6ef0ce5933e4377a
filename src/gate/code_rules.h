/* gate/code_rules.h - the rules of the firewall as machine code, made before a worker raises its walls.
 *
 * Regular expressions are matched several times faster when they are compiled to machine code, which needs
 * memory that becomes executable: what no role may do behind its walls. So a worker compiles the rules of the
 * configuration it is started for before them, and then takes the right to write away from that memory: no
 * page of a worker is ever both writable and executable from its first message on. Rules that a reload brings
 * are interpreted, until the worker is started anew. */
#ifndef POLDER_GATE_CODE_RULES_H
#define POLDER_GATE_CODE_RULES_H

struct inspect_rules;

/* Of the configuration in that bundle. NULL: it names none, or they cannot be made; then they are made when
 * the configuration is prepared, which says why it cannot. They must never be freed: the code's own
 * bookkeeping lies in pages that cannot be written any more. */
struct inspect_rules *code_rules_make(int bundle_fd);

#endif
