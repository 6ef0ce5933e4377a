/* tests/breach/helper.c - the program that attack_execute_setuid runs: says so when it is root. */
#include "attacks.h"

#include <unistd.h>

int main(void)
{
    const char word[] = ATTACK_SHOUT "\n";
    if (geteuid() == 0 && write(STDOUT_FILENO, word, sizeof word - 1) < 0)
        return 1;
    return 0;
}
