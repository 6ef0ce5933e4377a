/* tests/suites/disk.h - rule files from disk for waf_rules_load: names relative to the file that includes
 * them. */
#ifndef POLDER_TESTS_SUITES_DISK_H
#define POLDER_TESTS_SUITES_DISK_H

#include "waf/waf.h"

extern const struct waf_files disk_files;

bool disk_read(const char *path, struct arena *, struct str *ret_text);

#endif
