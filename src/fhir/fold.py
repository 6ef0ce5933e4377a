#!/usr/bin/python3
"""Makes the table by which fold.c folds text: what each character beyond ASCII becomes without case and accents.

    fold.py OUTPUT

Compatibility decomposition, marks dropped, case folded (Unicode 3.13 and 5.18), of the Basic Multilingual Plane but for
Hangul, whose syllables stay whole. The version of Unicode is that of the Python that builds: stored keys depend on it, so
it stands in fhir_fold_unicode.
"""
import sys
import unicodedata
from pathlib import Path

EXTRA = {"ø": "o", "đ": "d", "ħ": "h", "ł": "l", "ŧ": "t", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"}


def folded(code):
    if 0xAC00 <= code <= 0xD7A3 or 0xD800 <= code <= 0xDFFF:
        return None
    text = unicodedata.normalize("NFKD", chr(code))
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(EXTRA.get(c, c) for c in text if not unicodedata.combining(c))
    text = unicodedata.normalize("NFC", text)
    return None if text == chr(code) else text


def main(output):
    pages, rows, pool, places = [], [], bytearray(), {}
    for page in range(256):
        entries = [folded(page * 256 + low) if page or low >= 128 else None for low in range(256)]
        if not any(e is not None for e in entries):
            pages.append(0xFFFF)
            continue
        pages.append(len(rows) // 256)
        for entry in entries:
            if entry is None:
                rows.append(0)
                continue
            data = bytes([len(entry.encode())]) + entry.encode()
            if data not in places:
                places[data] = len(pool) + 1
                pool += data
            rows.append(places[data])
    if len(pool) >= 0xFFFF:
        sys.exit("the folded texts do not fit")
    lines = ["/* Made by fold.py. */\n", '#include "fhir/fold_data.h"\n\n',
             f'const char fhir_fold_unicode[] = "{unicodedata.unidata_version}";\n',
             f"const uint16_t fhir_fold_pages[256] = {{{', '.join(map(str, pages))}}};\n",
             f"const uint16_t fhir_fold_rows[{len(rows)}] = {{{', '.join(map(str, rows))}}};\n",
             f"const char fhir_fold_pool[{len(pool)}] = {{{', '.join(str(b if b < 128 else b - 256) for b in pool)}}};\n"]
    Path(output).write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
