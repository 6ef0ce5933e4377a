/* proxy/classes.c - see classes.h: the class of a connection and of a request, and what is noted of them. */
#include "proxy/classes.h"

#include "admission/budget.h"
#include "proxy/admit.h"
#include "proxy/admit_handshakes.h"
#include "proxy/classes_parts.h"

#include <stdlib.h>

enum {
    CLASS_LASTS_S = 1,  /* before it is looked up again */
    BLOCK_POINTS = 240, /* suspicion that is no accident any more: seven requests stopped by the firewall */
    BLOCK_S = 600,
    POINTS_MOST = 255,
};

struct classes *classes_new(void)
{
    return calloc(1, sizeof(struct classes));
}

void classes_free(struct classes *c)
{
    free(c);
}

/* ---- a connection */

/* Who shows a certificate that the listener's authority signed is no stranger, whoever it is. */
static void look_up(struct client *c, uint64_t now_us)
{
    struct proxy *p = c->proxy;
    struct tls_info info;
    const struct admission_source source = {
        .address = c->source, .is_partner = c->partner != CLASSES_NO_PARTNER, .connection_points = c->points};
    c->classed_s = classes_now_s(p);
    enum admission_class class = admission_classify(admit_core(p), &source, now_us);
    if (class == ADMISSION_UNKNOWN && client_tls_info(c, &info) && info.has_client_cert)
        class = ADMISSION_KNOWN;
    c->class = (uint8_t) class;
}

static void find_partner(struct client *c)
{
    struct tls_info info;
    c->partner = classes_partner_of_address(c->snapshot, &c->peer);
    if (client_tls_info(c, &info) && info.has_client_cert) {
        uint16_t partner = classes_partner_of_names(c->snapshot->config, info.client_names);
        c->partner = partner != CLASSES_NO_PARTNER ? partner : c->partner;
    }
}

void classes_accepted(struct client *c)
{
    c->source = admission_address_key(admit_core(c->proxy), &c->peer);
    find_partner(c);
    look_up(c, loop_now_us(c->proxy->loop));
}

void classes_handshaken(struct client *c)
{
    struct tls_info info;
    if (!client_tls_info(c, &info) || !info.has_client_cert)
        return;
    find_partner(c);
    look_up(c, loop_now_us(c->proxy->loop));
}

void classes_refresh(struct client *c)
{
    find_partner(c);
    look_up(c, loop_now_us(c->proxy->loop));
}

/* ---- what speaks against it */

static unsigned points_of(enum classes_offence what)
{
    switch (what) {
    case CLASSES_WAF:
    case CLASSES_FLOOD:
        return ADMISSION_POINTS_WAF;
    case CLASSES_GLITCH:
        return ADMISSION_POINTS_GLITCH;
    case CLASSES_HANDSHAKE:
        return ADMISSION_POINTS_HANDSHAKE;
    case CLASSES_EARLY_RETRY:
        return ADMISSION_POINTS_EARLY_RETRY;
    }
    return 0;
}

static void note_key(struct client *c, uint64_t key, unsigned points)
{
    struct admission *a = admit_core(c->proxy);
    struct admission_standing standing;
    uint64_t now_us = loop_now_us(c->proxy->loop);
    admission_note_suspect(a, key, points, now_us);
    /* Suspects are served last anyway. Only where that is not enough they are shut out, for a time. */
    admission_standing(a, key, now_us, &standing);
    if (standing.suspicion >= BLOCK_POINTS && admission_pressure(a) &&
        admission_block(a, key, BLOCK_S, now_us))
        COUNT(c->proxy, sources_blocked_total);
}

void classes_note(struct client *c, enum classes_offence what)
{
    unsigned points = points_of(what);
    if (c->partner != CLASSES_NO_PARTNER)
        return;
    c->points = (uint8_t)(c->points + points < POINTS_MOST ? c->points + points : POINTS_MOST);
    note_key(c, c->source, points);
    enum admission_class was = (enum admission_class)c->class;
    look_up(c, loop_now_us(c->proxy->loop));
    if (c->class != was && c->class >= ADMISSION_SUSPECT)
        classes_tell(c, (enum admission_class)c->class);
}

/* What the firewall stops may be a mistake of its rules: of a user whom the application knows it says nothing
 * about the others behind that address. */
static void note_request(struct exchange *ex, enum classes_offence what)
{
    struct admission_standing user = {0};
    if (!ex->user)
        ex->user = classes_credential(ex, admit_core(ex->proxy));
    if (ex->user)
        admission_standing(admit_core(ex->proxy), ex->user, loop_now_us(ex->proxy->loop), &user);
    if (user.proof < ADMISSION_KNOWN_POINTS)
        classes_note(ex->client, what);
    else if (ex->client->partner == CLASSES_NO_PARTNER)
        note_key(ex->client, ex->user, points_of(what));
}

/* Malformed, on purpose or not. Time-outs, missing routes and the like are no such thing. */
static bool is_glitch(enum http_refusal why)
{
    return http_refusal_status(why) == 400 && why != REFUSAL_HOST_MISSING && why != REFUSAL_WAF_PARTS &&
           why != REFUSAL_WAF_DAMAGED;
}

void classes_refused(struct exchange *ex, enum http_refusal why)
{
    if (why == REFUSAL_WAF_BLOCKED)
        note_request(ex, CLASSES_WAF);
    else if (is_glitch(why))
        classes_note(ex->client, CLASSES_GLITCH);
    else if (why == REFUSAL_OVERLOAD)
        ex->client->again_s = classes_now_s(ex->proxy) + ex->admit.retry_after_s;
}

/* A stranger that was told when to come back, and asks on and on. */
static void note_early(struct client *c)
{
    bool is_early = classes_now_s(c->proxy) < c->again_s;
    c->again_s = 0;
    if (is_early && c->class == ADMISSION_UNKNOWN)
        classes_note(c, CLASSES_EARLY_RETRY);
}

/* ---- a request */

enum admission_class classes_request(struct exchange *ex)
{
    struct client *c = ex->client;
    struct proxy *p = ex->proxy;
    uint64_t now_us = loop_now_us(p->loop);
    if (c->again_s)
        note_early(c);
    if (classes_now_s(p) - c->classed_s >= CLASS_LASTS_S)
        look_up(c, now_us);
    ex->user = classes_credential(ex, admit_core(p));
    if (c->class <= ADMISSION_KNOWN)
        handshakes_known_is_here(p);
    if (!ex->user || c->class == ADMISSION_BLOCKED)
        return (enum admission_class)c->class;
    const struct admission_source source = {.address = c->source,
                                            .user = ex->user,
                                            .is_partner = c->partner != CLASSES_NO_PARTNER,
                                            .connection_points = c->points};
    enum admission_class class = admission_classify(admit_core(p), &source, now_us);
    return class == ADMISSION_UNKNOWN ? (enum admission_class)c->class : class;
}

static bool is_proved_lately(const struct admission *a, uint64_t key, uint64_t now_us)
{
    struct admission_standing standing;
    admission_standing(a, key, now_us, &standing);
    return standing.proof >= 2 * ADMISSION_KNOWN_POINTS;
}

void classes_answered(struct exchange *ex)
{
    struct client *c = ex->client;
    struct admission *a = admit_core(ex->proxy);
    uint64_t now_us = loop_now_us(ex->proxy->loop);
    if (!classes_proves(ex))
        return;
    if (!is_proved_lately(a, ex->user, now_us))
        admission_note_accepted(a, ex->user, ADMISSION_POINTS_ACCEPTED, now_us);
    if (c->partner != CLASSES_NO_PARTNER || c->points >= ADMISSION_SUSPECT_POINTS)
        return;
    if (!is_proved_lately(a, c->source, now_us))
        admission_note_accepted(a, c->source, ADMISSION_POINTS_ACCEPTED, now_us);
    look_up(c, now_us);
    if (c->class == ADMISSION_KNOWN)
        classes_tell(c, ADMISSION_KNOWN);
}
