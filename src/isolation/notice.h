/* isolation/notice.h - what somebody sees whom a level keeps out: a page, plain text, or JSON.
 *
 * Static, from memory, without scripts, images or anything fetched. WCAG 2.2 AA: language and landmarks,
 * headings in order, contrast of 7:1 and more, focus that is seen, targets of 44 pixels, no colour that
 * carries meaning alone.
 *
 * The page knows when its promise is over by itself: a CSS animation whose delay is the time that was left
 * when the page was made shows the sentence that was hidden. A meta refresh below 20 hours would fail
 * WCAG 2.2.1 (technique F41): it takes the page away from who reads slowly, or listens. After the moment the
 * gate makes the page with that sentence in plain sight. */
#ifndef POLDER_ISOLATION_NOTICE_H
#define POLDER_ISOLATION_NOTICE_H

#include "isolation/types.h"

enum isolation_notice_form { ISOLATION_NOTICE_HTML, ISOLATION_NOTICE_TEXT, ISOLATION_NOTICE_FHIR };

enum { ISOLATION_NOTICE_MAX = 20'000, ISOLATION_MESSAGE_MAX = 1500 }; /* bytes */

struct isolation_notice { /* any text may be empty; all of it is escaped */
    enum isolation_language language;
    uint8_t level;
    uint8_t offered;           /* languages to link to, bits 1 << enum isolation_language; 0: all */
    struct str name;           /* of the site or cluster, as people know it */
    struct str phone;          /* shown; what can be dialled of it becomes a link */
    struct str message;        /* the operator's own words in that language, cut at ISOLATION_MESSAGE_MAX */
    struct str path;           /* of this page, for its links: "?lang=nl" is put behind it */
    int64_t since_us, next_us; /* next 0: nothing was promised */
    int offset_minutes;        /* of local time from UTC */
};

struct isolation_notice_answer {
    struct str style; /* the text between <style> and </style>, for a hash in Content-Security-Policy */
    uint32_t retry_after_s;
};

/* Into a buf of ISOLATION_NOTICE_MAX bytes, where everything fits. For status 503. */
void isolation_notice_write(struct buf *, const struct isolation_notice *, enum isolation_notice_form,
                            int64_t now_us, struct isolation_notice_answer *ret);
/* What Accept-Language prefers of the three (RFC 9110 12.5.4); Dutch when it prefers none. */
enum isolation_language isolation_notice_language(struct str accept_language);
/* The language of "nl", "en", "fy". */
bool isolation_language_of(struct str tag, enum isolation_language *ret);

#endif
