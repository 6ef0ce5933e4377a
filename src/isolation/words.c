/* isolation/words.c - words and sentences for the numbers, and text that may stand in an order. */
#include "isolation/parts.h"

#include "json/utf8.h"

struct texts {
    struct str word, english, dutch;
};

static const struct texts levels[] = {
#define LEVEL(name, word, unknown, known, partner, inside, management, cuts, english, dutch)                 \
    {STR(word), STR(english), STR(dutch)},
#include "isolation/levels.def"
#undef LEVEL
};

static const struct texts stages[] = {
#define STAGE(name, word, answer, english, dutch) {STR(word), STR(english), STR(dutch)},
#include "isolation/stages.def"
#undef STAGE
};

static const struct texts events[] = {
    {STR("?"), STR("?"), STR("?")},
#define EVENT(name, word, english, dutch) {STR(word), STR(english), STR(dutch)},
#include "isolation/events.def"
#undef EVENT
};

static const struct texts refusals[] = {
    {STR("accepted"), STR("The order is accepted."), STR("De opdracht is aangenomen.")},
#define REFUSAL(name, word, english, dutch) {STR(word), STR(english), STR(dutch)},
#include "isolation/refusals.def"
#undef REFUSAL
};

static const struct str effects[] = {
#define EFFECT(name, word) STR(word),
#include "isolation/effects.def"
#undef EFFECT
};

static struct str text_in(const struct texts *t, enum isolation_language language)
{
    return language == ISOLATION_EN ? t->english : t->dutch;
}

/* The number of a word in a table, or `count`. */
static unsigned number_of(const struct texts *table, unsigned count, struct str word)
{
    unsigned i = 0;
    while (i < count && !str_eq(table[i].word, word))
        i++;
    return i;
}

struct str isolation_level_word(unsigned level)
{
    return level < ISOLATION_LEVEL_COUNT ? levels[level].word : STR("?");
}

struct str isolation_level_text(unsigned level, enum isolation_language language)
{
    return level < ISOLATION_LEVEL_COUNT ? text_in(&levels[level], language) : STR("?");
}

bool isolation_level_of(struct str word, uint8_t *ret)
{
    unsigned level = number_of(levels, ISOLATION_LEVEL_COUNT, word);
    if (level == ISOLATION_LEVEL_COUNT)
        return false;
    *ret = (uint8_t)level;
    return true;
}

struct str isolation_stage_word(unsigned stage)
{
    return stage < ISOLATION_STAGE_COUNT ? stages[stage].word : STR("?");
}

struct str isolation_stage_text(unsigned stage, enum isolation_language language)
{
    return stage < ISOLATION_STAGE_COUNT ? text_in(&stages[stage], language) : STR("?");
}

bool isolation_stage_of(struct str word, uint8_t *ret)
{
    unsigned stage = number_of(stages, ISOLATION_STAGE_COUNT, word);
    if (stage == ISOLATION_STAGE_COUNT)
        return false;
    *ret = (uint8_t)stage;
    return true;
}

struct str isolation_event_word(unsigned event)
{
    return events[event < ISOLATION_EVENT_COUNT ? event : 0].word;
}

struct str isolation_event_text(unsigned event, enum isolation_language language)
{
    return text_in(&events[event < ISOLATION_EVENT_COUNT ? event : 0], language);
}

bool isolation_event_of(struct str word, uint8_t *ret)
{
    unsigned event = number_of(events, ISOLATION_EVENT_COUNT, word);
    if (event == 0 || event == ISOLATION_EVENT_COUNT)
        return false;
    *ret = (uint8_t)event;
    return true;
}

struct str isolation_refusal_word(enum isolation_refusal refusal)
{
    return refusal < ISOLATION_REFUSAL_COUNT ? refusals[refusal].word : STR("?");
}

struct str isolation_refusal_text(enum isolation_refusal refusal, enum isolation_language language)
{
    return refusal < ISOLATION_REFUSAL_COUNT ? text_in(&refusals[refusal], language) : STR("?");
}

struct str isolation_effect_word(unsigned effect)
{
    return effect < ISOLATION_EFFECTS ? effects[effect] : STR("?");
}

struct str isolation_recovery_text(enum isolation_recovery recovery, enum isolation_language language)
{
    static const struct {
        struct str english, dutch;
    } texts[ISOLATION_RECOVERIES] = {
        [ISOLATION_SETTLED] = {STR("The last order had been carried out."),
                               STR("De laatste opdracht was uitgevoerd.")},
        [ISOLATION_KEPT] = {STR("What was in force was found stricter than the record; that is kept."),
                            STR("Wat van kracht was bleek strenger dan de vastlegging; dat blijft zo.")},
        [ISOLATION_RESUMED] = {STR("The last order was interrupted and has been carried out after all."),
                               STR("De laatste opdracht was onderbroken en is alsnog uitgevoerd.")},
        [ISOLATION_COMPLETED] =
            {STR("The last order was interrupted before it stood in the journal; it has been "
                 "carried out after all."),
             STR("De laatste opdracht was onderbroken voordat zij in het logboek stond; zij is "
                 "alsnog uitgevoerd.")},
        [ISOLATION_HALVED] =
            {STR("The last order was interrupted. What it closes holds; what it opens was "
                 "dropped: give it again."),
             STR("De laatste opdracht was onderbroken. Wat zij sluit geldt; wat zij opent is "
                 "vervallen: geef haar opnieuw.")},
        [ISOLATION_ABANDONED] =
            {STR("The last order was interrupted before anything opened, and was dropped: "
                 "give it again."),
             STR("De laatste opdracht was onderbroken voordat er iets openging, en is "
                 "vervallen: geef haar opnieuw.")},
        [ISOLATION_LOST] =
            {STR("The journal knows of an order that the record has lost. Everything is at least "
                 "closed until a level is ordered."),
             STR("Het logboek kent een opdracht die de vastlegging kwijt is. Alles is minstens "
                 "gesloten tot er een niveau wordt opgegeven.")},
        [ISOLATION_UNREADABLE] =
            {STR("The record of the level cannot be read. Everything is at least closed until "
                 "a level is ordered."),
             STR("De vastlegging van het niveau is niet te lezen. Alles is minstens gesloten "
                 "tot er een niveau wordt opgegeven.")},
        [ISOLATION_JOURNAL_SHORT] =
            {STR("The record knows of orders that are missing in the journal. The record "
                 "holds; look into the journal."),
             STR("De vastlegging kent opdrachten die in het logboek ontbreken. De "
                 "vastlegging geldt; onderzoek het logboek.")},
    };
    return language == ISOLATION_EN ? texts[recovery].english : texts[recovery].dutch;
}

/* Text on one line that a terminal, a log and a page can show: no controls, C1 ones neither. */
static bool is_readable(struct str text)
{
    for (size_t at = 0; at < text.n;) {
        unsigned bad, length = utf8_sequence(text.p + at, text.n - at, &bad);
        uint8_t first = (uint8_t)text.p[at];
        bool is_c1 = length == 2 && first == 0xc2 && (uint8_t)text.p[at + 1] < 0xa0;
        if (length == 0 || first < 0x20 || first == 0x7f || is_c1)
            return false;
        at += length;
    }
    return true;
}

bool isolation_name_set(struct isolation_name *ret, struct str text)
{
    if (text.n > ISOLATION_NAME_MAX || !is_readable(text))
        return false;
    *ret = (struct isolation_name){.n = (uint8_t)text.n};
    if (text.n)
        memcpy(ret->p, text.p, text.n);
    return true;
}

bool isolation_reason_set(struct isolation_reason *ret, struct str text)
{
    if (text.n > ISOLATION_REASON_MAX || !is_readable(text))
        return false;
    *ret = (struct isolation_reason){.n = (uint8_t)text.n};
    if (text.n)
        memcpy(ret->p, text.p, text.n);
    return true;
}
