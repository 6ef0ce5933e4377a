/* base/mask.h - hides a patient's number in text that goes into a log. */
#ifndef POLDER_BASE_MASK_H
#define POLDER_BASE_MASK_H

#include "base/str.h"

/* text with every run of 8 or 9 digits that passes the eleven-test of Dutch citizen service numbers (BSN,
 * also the patient's number) replaced by stars; the text was cut at its end when is_cut. out has room for
 * text.n bytes. */
struct str mask_citizen_numbers(struct str text, bool is_cut, char *out);

#endif
