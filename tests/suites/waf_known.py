"""Differences from ModSecurity that are meant, or that are its server's: (what, when it applies).

A difference is looked for in the table of its peer from above; the first row that applies is its reason. A row applies
narrowly: what it does not describe stays a failure. `c` is a Case.
"""
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

BROKEN = {3, 200_002}  # the rules of every set that match when the body could not be read
SCORES = {949_110, 980_130}  # follow from what other rules matched
ARGUMENTS = r"\bARGS|\bTX|REQUEST_METHOD"


class Case(NamedTuple):
    rule: str  # targets, operator, transformations
    number: int
    ours: list  # logdata, in order
    theirs: list
    request: dict
    our_rules: set
    their_rules: set

    def content_type(self):
        return next((value for name, value in self.request["fields"] if name == "Content-Type"), "")

    def text(self):
        """All that a rule may get to see of it, percent-decoded once."""
        fields = "\n".join(value for _, value in self.request["fields"])
        return unquote_to_bytes(f"{self.request['target']}\n{fields}\n{self.request['body']}".encode("latin-1"))

    def is_multipart(self):
        return self.content_type().startswith("multipart/")

    def is_json(self):
        return "json" in self.content_type()

    def is_about(self, words):
        return re.search(words, self.rule) is not None

    def climbs(self):
        return re.search(rb"/\.\.(/|$)", unquote_to_bytes(self.request["target"].split("?")[0])) is not None

    def numbers_over_31_bits(self):
        return re.search(rb"\d{10}|\d[eE]\d", self.text()) is not None


def unescaped(values):
    return [value.replace(b"\\\\", b"\\") for value in values]


def spaceless(values):
    return [value.replace(b" =", b"=").rstrip() for value in values]


HTTPD = [
    ("httpd shortens '//' and decodes the path, in phase 1 not yet: ours is decoded in REQUEST_FILENAME from the start",
     lambda c: c.is_about("^REQUEST_(FILENAME|URI|BASENAME) ") and (c.request["target"].startswith("//") or "%" in c.request["target"])),
    ("httpd takes '..' out of the path before phase 2",
     lambda c: c.climbs() and (c.number in SCORES or (c.number >= 900_000 and c.is_about("REQUEST_(URI|FILENAME|BASENAME)")))),
    ("arguments of JSON are also ARGS_POST's", lambda c: c.is_json() and c.is_about("^ARGS_POST") and not c.theirs),
    ("of a JSON body that is broken nothing is an argument; 2.9 keeps what came before the fault",
     lambda c: c.is_json() and (BROKEN & c.our_rules) and (BROKEN & c.their_rules) and c.is_about(ARGUMENTS)),
    ("2.9 cuts the name of an inner JSON value at its last dot on the way out, though a key may hold one",
     lambda c: c.is_json() and re.search(r'"[^"\n]*\.[^"\n]*":\s*[\[{]', c.request["body"]) and c.is_about(ARGUMENTS)),
    ("a lone surrogate in JSON is an error", lambda c: c.is_json() and re.search(r"\\u[dD][89a-fA-F]", c.request["body"])),
    ("form-data, name and filename count whatever their case; 2.9 takes the body for broken",
     lambda c: c.is_multipart() and re.search("FORM-DATA", c.request["body"]) and (BROKEN & c.their_rules) and not BROKEN & c.our_rules),
    ("of a multipart body that is broken 2.9 shows no argument and the part it stopped in; we show the parts before it",
     lambda c: c.is_multipart() and (BROKEN & c.their_rules) and (BROKEN & c.our_rules) and
     c.is_about(ARGUMENTS + "|FILES|MULTIPART_(NAME|FILENAME|PART_HEADERS)")),
    ("2.9 has an empty REQUEST_BODY where there is none", lambda c: c.is_about("^REQUEST_BODY ") and not c.ours and c.theirs == [b"REQUEST_BODY="]),
    ("a cookie without a value: spaces behind its name are not part of it",
     lambda c: c.is_about("REQUEST_COOKIES") and spaceless(unescaped(c.theirs)) == spaceless(unescaped(c.ours))),
    ("2.9 writes an escaped character in a name twice escaped, in the log alone",
     lambda c: c.is_about("REQUEST_COOKIES|^TX:/") and unescaped(c.theirs) == unescaped(c.ours)),
    ("cmdLine of 2.9 stops at a NUL", lambda c: c.is_about("t:cmdLine") and re.search(rb"\0|\\0|\\u0000|%00|\\x00", c.text())),
    ("normalizePath of 2.9 takes a name that ends in two dots for '..'",
     lambda c: c.is_about("t:normalizePath") and re.search(rb"[^/\\]\.\.(/|\\|\Z|[\s&;<\"'])|\.[^/\\]{0,6}\.[/\\]", c.text())),
    ("numbers are 64 bits wide; 2.9 wraps them at 32",
     lambda c: (c.is_about("@(eq|ge|gt|le|lt) ") or c.number == 3003) and c.numbers_over_31_bits()),
    ("a part's header has a space behind its colon, however it came; in 2.9 as it came",
     lambda c: c.is_about("MULTIPART_PART_HEADERS") and [v.replace(b": ", b":") for v in c.ours] == [v.replace(b": ", b":") for v in c.theirs]),
]

LIBRARY = [
    ("version 3 reads other multipart bodies than 2.9: what either calls broken",
     lambda c: c.is_multipart() and BROKEN & (c.our_rules | c.their_rules)),
    ("version 3 has REQUEST_BODY for every body", lambda c: c.is_about("^REQUEST_BODY ") and c.theirs),
    ("version 3 has an empty QUERY_STRING where there is none",
     lambda c: c.is_about("QUERY_STRING") and "?" not in c.request["target"] and c.theirs),
    ("of a JSON body that is broken nothing is an argument; version 3 keeps what came before the fault",
     lambda c: c.is_json() and BROKEN & c.our_rules and c.is_about(ARGUMENTS)),
    ("names of JSON's arguments begin with json. in version 3", lambda c: c.is_json() and c.is_about(r"ARGS\w*:|ARGS_NAMES|%{ARGS|TX")),
    ("version 3 has a text file's name alone", lambda c: c.is_multipart() and 'filename=""' in c.request["body"]),
    ("MATCHED_VARS of version 3 keep what an earlier rule matched", lambda c: c.is_about("^MATCHED_VARS") and c.theirs),
    ("nothing matches behind a NUL in version 3", lambda c: c.is_about("@") and b"\0" in c.text() or r"\u0000" in c.request["body"]),
    ("'^' and '$' hold at every line in version 3", lambda c: c.is_about(r"@rx [^ ]*[$^]") and re.search(rb"[\r\n]", c.text())),
    ("version 3 keeps two backslashes of a pattern as they are", lambda c: c.is_about(r"@rx .*\\\\\\\\")),
    ("arguments of JSON are also ARGS_POST's", lambda c: c.is_json() and c.is_about("^ARGS_POST") and not c.theirs),
    ("of a broken XML body the text is empty; version 3 has none",
     lambda c: "xml" in c.content_type() and BROKEN & c.our_rules and c.is_about("XML:/")),
    ("version 3 drops blanks around an operator's argument", lambda c: c.is_about("@contains  ")),
    ("version 3 goes through a chain with the last value that matched; 2.9 with each",
     lambda c: c.number == 3003 and re.search(rb"\d", c.text())),
    ("version 3 has other line ends in values of multipart bodies", lambda c: c.is_multipart() and c.is_about("validateByteRange")),
    ("numbers are 64 bits wide; version 3 wraps them at 32", lambda c: (c.is_about("@(eq|ge|gt|le|lt) ") or c.number == 3003) and c.numbers_over_31_bits()),
]


def reason_of(peer, case):
    table = HTTPD if peer == "httpd" else LIBRARY
    return next((what for what, applies in table if applies(case)), None)
