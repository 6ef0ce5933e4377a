/* proxy/classes_tell.c - what was learned of an address goes to the filter, which can act on it before a
 * packet is answered: of each address at most once in half of the time for which it holds, and at most so
 * many a second. */
#include "proxy/classes_parts.h"

enum { TOLD_A_SECOND = 200, KNOWN_S = 86'400, SUSPECT_S = 600, BLOCKED_S = 600 };

static bool may_tell(struct classes *c, uint32_t now_s)
{
    if (c->told_s != now_s) {
        c->told_s = now_s;
        c->told_count = 0;
    }
    return c->told_count++ < TOLD_A_SECOND;
}

void classes_tell(struct client *client, enum admission_class class)
{
    struct proxy *p = client->proxy;
    struct classes *c = p->classes;
    struct classes_told *told = &c->told[client->source & (CLASSES_TOLD - 1)];
    uint32_t now_s = classes_now_s(p);
    uint32_t seconds = class == ADMISSION_KNOWN     ? KNOWN_S
                       : class == ADMISSION_SUSPECT ? SUSPECT_S
                                                    : BLOCKED_S;
    if (client->partner != CLASSES_NO_PARTNER ||
        (told->source == client->source && told->class == class && now_s < told->until_s) ||
        !may_tell(c, now_s))
        return;
    *told = (struct classes_told){client->source, now_s + seconds / 2, (uint8_t) class};
    struct msg_classify m = {.seconds = seconds, .ip_len = sizeof client->peer.ip};
    m.class = (uint8_t) class;
    memcpy(m.ip, client->peer.ip, sizeof client->peer.ip);
    p->events.classify(p->events.self, &m);
}
