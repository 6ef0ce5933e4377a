/* waf/xhtml.h - the narrative of a FHIR resource: is it of the XHTML that FHIR allows, and what does it say.
 *
 * FHIR R4, https://hl7.org/fhir/R4/narrative.html (invariant txt-1): the formatting elements of HTML 4.0
 * chapters 7 to 11 and 15, a with name or href, img, style as an attribute; no head, script, form, frame,
 * object, event attribute, external style. Checked as XML and by lists of what is allowed: what is not on
 * them is refused, or let through as "loosely" a narrative where it is formatting that browsers know and
 * nothing more.
 *
 * Pure; nothing is fetched, no entity is expanded but characters. */
#ifndef POLDER_WAF_XHTML_H
#define POLDER_WAF_XHTML_H

#include "base/arena.h"
#include "base/buf.h"

struct xhtml_result {
    struct str text;     /* what it says: text, and behind it attributes' values that are no syntax */
    const char *problem; /* NULL: none; "loosely ..." unless refused */
    bool is_refused;
};

/* A div as it stands in a JSON string. */
struct xhtml_result xhtml_check(struct str div, struct arena *);

/* The same for who parses the XML himself. */
struct xhtml {
    struct buf text, values;
    const char *problem;
    bool is_refused;
};

bool xhtml_begin(struct xhtml *, size_t room_bytes, struct arena *); /* false: no memory */
void xhtml_restart(struct xhtml *); /* the next narrative, in the same room; the last one's text is gone */
void xhtml_element(struct xhtml *, struct str name);
void xhtml_attribute(struct xhtml *, struct str element, struct str name, struct str value); /* decoded */
void xhtml_text(struct xhtml *, struct str text);                                            /* decoded */
void xhtml_refuse(struct xhtml *, const char *why);
struct xhtml_result xhtml_end(struct xhtml *);

#endif
