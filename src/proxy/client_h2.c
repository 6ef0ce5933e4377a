#include "proxy/client.h"
bool client_h2_start(struct client *c)
{
    (void)c;
    return false;
}
void client_h2_ready(struct client *c)
{
    (void)c;
}
void client_h2_timeout(struct client *c)
{
    (void)c;
}
void client_h2_free(struct client *c)
{
    (void)c;
}
void client_h2_drain(struct client *c)
{
    (void)c;
}
