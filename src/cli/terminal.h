/* cli/terminal.h - the whole screen, one picture at a time, and one key. There is one terminal, so its state
 * is the process's. Whatever ends the program (a signal too), the terminal is as it was. */
#ifndef POLDER_CLI_TERMINAL_H
#define POLDER_CLI_TERMINAL_H

#include "base/str.h"

[[nodiscard]] bool terminal_enter(void); /* false: not a terminal */
void terminal_leave(void);
/* Replaces what is shown; lines and columns that do not fit are cut. Lines may hold escape sequences for
 * bold. */
void terminal_draw(struct str picture);
/* Waits that long; true when one of the keys was pressed, or the program should end (interrupt, hang-up). */
bool terminal_wait_key(unsigned ms, const char *keys);

#endif
