/* config/notice.c - the notice that people see whom isolation keeps out: what one key alone cannot tell of
 * it, and what a cluster takes over from the whole site.
 *
 * A moment is written with its distance from UTC (RFC 3339): no time zone data is read here. */
#include "config/reader.h"
#include "config/value.h"

enum { LANGUAGES = 3 };

static bool is_language(struct str word)
{
    return str_eq(word, STR("nl")) || str_eq(word, STR("en")) || str_eq(word, STR("fy"));
}

void notice_end(struct reader *r, const struct node *node, void *base, unsigned index [[maybe_unused]])
{
    struct config_notice *n = base;
    for (unsigned i = 0; i < n->language_count; i++) {
        bool is_repeated = false;
        for (unsigned j = 0; j < i; j++)
            is_repeated |= str_eq(n->languages[i], n->languages[j]);
        if (!is_language(n->languages[i]) || is_repeated)
            problem_error(r->problems, node_place(node, "languages"), STR("for example [nl, en, fy]"),
                          "'languages' names each of nl, en and fy once at most");
    }
}

void read_moment(struct reader *r, const struct config_key *key, const struct node *node, void *base)
{
    struct str word;
    int64_t us;
    if (!reader_word(r, key, node, &word))
        return;
    if (value_moment_us(word, &us))
        *(int64_t *)field_at(base, key->where.offset) = us;
    else
        reader_complain(r, key, node);
}

void config_inherit_notice(const struct reader *r, struct config_notice *own)
{
    const struct config_notice *site = &r->root->config.notice;
    own->name = own->name.n ? own->name : site->name;
    own->phone = own->phone.n ? own->phone : site->phone;
    own->next_us = own->next_us ? own->next_us : site->next_us;
    for (unsigned i = 0; i < LANGUAGES; i++)
        if (!own->message[i].text.n)
            own->message[i] = site->message[i];
    if (!own->language_count) {
        own->languages = site->languages;
        own->language_count = site->language_count;
    }
}
