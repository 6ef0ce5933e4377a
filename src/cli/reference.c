/* cli/reference.c - for the build: writes the list of commands as polder(1) has it (mdoc), from commands.def.
 */
#include <stdio.h>

int main(void)
{
#define COMMAND(name, arguments, function, help, more)                                                       \
    printf(".It Cm %s%s%s\n%s\n%s%s", #name, *(arguments) ? " Ar " : "", arguments, help, more,              \
           *(more) ? "\n" : "");
#include "cli/commands.def"
#undef COMMAND
    return ferror(stdout) != 0;
}
