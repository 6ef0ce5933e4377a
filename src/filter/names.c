/* filter/names.c - words for the numbers, and the levels as data. */
#include "filter/filter.h"

enum kind { PASS, MALFORMED, POLICY };

static const struct {
    const char *name, *text;
    enum kind kind;
} reasons[] = {
#define REASON(name, kind, text) {#name, text, kind},
#include "base/filter_reasons.def"
#undef REASON
};

static const char *const classes[] = {
#define CLASS(name, word, text) word,
#include "filter/classes.def"
#undef CLASS
};

static const char *const services[] = {
#define SERVICE(name, word, text) word,
#include "filter/services.def"
#undef SERVICE
};

static const char *const levels[] = {
#define LEVEL(name, word) word,
#include "filter/levels.def"
#undef LEVEL
};

const char *filter_reason_text(unsigned reason)
{
    return reason < FILTER_REASON_COUNT ? reasons[reason].text : "?";
}

const char *filter_reason_name(unsigned reason)
{
    return reason < FILTER_REASON_COUNT ? reasons[reason].name : "?";
}

bool filter_reason_is_malformed(unsigned reason)
{
    return reason < FILTER_REASON_COUNT && reasons[reason].kind == MALFORMED;
}

const char *filter_class_word(unsigned class)
{
    return class < FILTER_CLASS_COUNT ? classes[class] : "?";
}

const char *filter_service_word(unsigned service)
{
    return service < FILTER_SERVICE_COUNT ? services[service] : "?";
}

const char *filter_level_word(unsigned level)
{
    return level < FILTER_LEVEL_COUNT ? levels[level] : "?";
}

/* What strangers may at most: no tunnels; and nothing of what cannot be looked into once the house is on
 * guard. */
#define ALL         FILTER_SERVES_ALL
#define NO_TUNNEL   (ALL & ~FILTER_SERVES(TUNNEL))
#define READABLE    (NO_TUNNEL & ~FILTER_SERVES(OPAQUE))
#define CARE        (FILTER_SERVES(WEB) | FILTER_SERVES(NOTICE) | FILTER_SERVES(ERROR))
#define NOTICE_ONLY (FILTER_SERVES(NOTICE) | FILTER_SERVES(ERROR))
#define LINE_ONLY   (FILTER_SERVES(MANAGE) | FILTER_SERVES(ERROR) | FILTER_SERVES(PING))

/* One row for each class: {what it may begin with us, what we may begin with it}. Management is never open to
 * anybody but the management line and the inside. */
#define NOT_MANAGE(mask) ((mask) & ~FILTER_SERVES(MANAGE))

static const struct filter_level shipped[FILTER_LEVEL_COUNT] = {
    [FILTER_LEVEL_OPEN] = {.right = {[FILTER_CLASS_UNKNOWN] = {NOT_MANAGE(NO_TUNNEL), NO_TUNNEL},
                                     [FILTER_CLASS_SUSPECT] = {NOT_MANAGE(NO_TUNNEL), NO_TUNNEL},
                                     [FILTER_CLASS_KNOWN] = {NOT_MANAGE(NO_TUNNEL), NO_TUNNEL},
                                     [FILTER_CLASS_PARTNER] = {NOT_MANAGE(ALL), ALL},
                                     [FILTER_CLASS_INSIDE] = {ALL, ALL},
                                     [FILTER_CLASS_MANAGEMENT] = {ALL, ALL}}},
    [FILTER_LEVEL_GUARDED] = {.right = {[FILTER_CLASS_UNKNOWN] = {NOT_MANAGE(READABLE), READABLE},
                                        [FILTER_CLASS_SUSPECT] = {CARE, READABLE},
                                        [FILTER_CLASS_KNOWN] = {NOT_MANAGE(NO_TUNNEL), NO_TUNNEL},
                                        [FILTER_CLASS_PARTNER] = {NOT_MANAGE(ALL), ALL},
                                        [FILTER_CLASS_INSIDE] = {ALL, ALL},
                                        [FILTER_CLASS_MANAGEMENT] = {ALL, ALL}},
                              .flags = FILTER_LEVEL_COOKIES | FILTER_LEVEL_LIMITED},
    [FILTER_LEVEL_PARTNERS] = {.right = {[FILTER_CLASS_UNKNOWN] = {NOTICE_ONLY, 0},
                                         [FILTER_CLASS_SUSPECT] = {NOTICE_ONLY, 0},
                                         [FILTER_CLASS_KNOWN] = {NOTICE_ONLY, 0},
                                         [FILTER_CLASS_PARTNER] = {NOT_MANAGE(ALL), ALL},
                                         [FILTER_CLASS_INSIDE] = {ALL, ALL},
                                         [FILTER_CLASS_MANAGEMENT] = {ALL, ALL}},
                               .flags = FILTER_LEVEL_COOKIES | FILTER_LEVEL_LIMITED | FILTER_LEVEL_STRICT |
                                        FILTER_LEVEL_CUTS},
    [FILTER_LEVEL_CLOSED] = {.right = {[FILTER_CLASS_UNKNOWN] = {NOTICE_ONLY, 0},
                                       [FILTER_CLASS_SUSPECT] = {NOTICE_ONLY, 0},
                                       [FILTER_CLASS_KNOWN] = {NOTICE_ONLY, 0},
                                       [FILTER_CLASS_PARTNER] = {NOTICE_ONLY, 0},
                                       [FILTER_CLASS_INSIDE] = {ALL, ALL},
                                       [FILTER_CLASS_MANAGEMENT] = {ALL, ALL}},
                             .flags = FILTER_LEVEL_COOKIES | FILTER_LEVEL_LIMITED | FILTER_LEVEL_STRICT |
                                      FILTER_LEVEL_CUTS},
    [FILTER_LEVEL_SEALED] = {.right = {[FILTER_CLASS_MANAGEMENT] = {LINE_ONLY, FILTER_SERVES(ERROR) |
                                                                                   FILTER_SERVES(PING)}},
                             .flags = FILTER_LEVEL_COOKIES | FILTER_LEVEL_LIMITED | FILTER_LEVEL_STRICT |
                                      FILTER_LEVEL_CUTS},
};

const struct filter_level *filter_level_default(unsigned level)
{
    return &shipped[level < FILTER_LEVEL_COUNT ? level : FILTER_LEVEL_SEALED];
}
