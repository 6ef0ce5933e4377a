"""A small rule set whose alarms are easy to set off, and gates that use it. Rules and exclusions are files beside the
configuration; `Debian` is the Core Rule Set as Debian's package has it, behind Polder's own settings."""
import json
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = [str(ROOT / "share/waf/polder.conf"), "/etc/modsecurity/crs/crs-setup.conf",
          "/etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf", str(ROOT / "share/waf/fhir.conf"),
          str(ROOT / "share/waf/care-language.conf"), "/usr/share/modsecurity-crs/rules/*.conf",
          "/etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf", str(ROOT / "share/waf/fhir-after.conf")]

BODY_LIMIT, FILES_LIMIT, ARGUMENTS, DEPTH, ANSWER_LIMIT = 200_000, 300_000, 50, 10, 20_000

RULES = rf"""
SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit {FILES_LIMIT}
SecRequestBodyNoFilesLimit {BODY_LIMIT}
SecArgumentsLimit {ARGUMENTS}
SecRequestBodyJsonDepthLimit {DEPTH}
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html
SecResponseBodyLimit {ANSWER_LIMIT}
SecResponseBodyLimitAction ProcessPartial

SecAction "id:99,phase:1,pass,nolog,setvar:tx.paranoia_level=1"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z.-]+\+)?json" \
    "id:100,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/(?:[a-z.-]+\+)?xml" \
    "id:101,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@streq text/plain" "id:102,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule REQBODY_ERROR "!@eq 0" "id:103,phase:2,deny,status:400,log,msg:'unreadable'"

SecRule REQUEST_HEADERS:X-Evil "@streq 1" "id:1,phase:1,deny,status:403,log,tag:'head',msg:'evil head'"
SecRule REQUEST_HEADERS:X-Drop "@streq 1" "id:2,phase:1,drop,log,msg:'dropped'"
SecRule REQUEST_HEADERS:X-Teapot "@streq 1" "id:3,phase:1,deny,status:418,log,msg:'teapot'"
SecRule ARGS|ARGS_NAMES|XML:/*|FILES|REQUEST_BODY "@contains evil" "id:4,phase:2,deny,status:403,log,msg:'evil body'"
SecRule REQUEST_COOKIES:c "@streq evil" "id:5,phase:2,deny,status:403,log,msg:'evil cookie'"
SecRule REQUEST_LINE "@contains /a/../b" "id:6,phase:1,deny,status:403,log,msg:'as it came'"
SecRule TX:PARANOIA_LEVEL "@lt 2" "id:9,phase:2,pass,nolog,skipAfter:PARANOID"
SecRule ARGS "@contains doubtful" "id:10,phase:2,deny,status:403,log,msg:'doubtful'"
SecMarker PARANOID

SecRule RESPONSE_HEADERS:X-Leak "@streq 1" "id:20,phase:3,deny,status:500,log,msg:'leaking head'"
SecRule RESPONSE_BODY "@contains secret" "id:21,phase:4,deny,status:403,log,msg:'leaking body'"
"""

# So much work for a body of many arguments that it takes many slices: patterns with a back reference, which only
# trying them on every value can rule out.
SLOW_RULES = RULES.replace(f"SecArgumentsLimit {ARGUMENTS}", "SecArgumentsLimit 100000").replace(
    f"SecRequestBodyNoFilesLimit {BODY_LIMIT}", "SecRequestBodyNoFilesLimit 4000000").replace(
    f"SecRequestBodyLimit {FILES_LIMIT}", "SecRequestBodyLimit 4000000") + "".join(
    rf"""
SecRule ARGS "@rx ([a-z])\1{{{5 + n}}} ?never" "id:{1000 + n},phase:2,deny,log,t:lowercase,t:urlDecodeUni,msg:'never'"
""" for n in range(20))


def huge(count=3000):
    """A body that takes the slow rules long."""
    return json.dumps({f"name{n}": "some words of letter %d never" % n for n in range(count)}).encode()


JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
TEXT = ("Content-Type", "text/plain")


class Gate(harness.Gate):
    """files: {name: text} beside the configuration, which names them as they are called."""

    def __init__(self, config, files=None, **more):
        self.files = {"rules.conf": RULES, **(files or {})}
        super().__init__(config, **more)

    def write_config(self, config):
        for name, text in self.files.items():
            (self.folder / name).write_text(text)
        super().write_config(config)

    def blocked(self):
        return self.refusals("waf_blocked")

    def waf(self, name):
        return self.counter(f"polder_waf_{name}")

    def waf_is_quiet(self):
        return harness.until(lambda: self.waf("inspections") == 0 and self.waf("held_bytes") == 0,
                             "no inspection is left over")


def config(app_port, waf=None, rules="rules.conf", clusters=None, **more):
    """waf: of the cluster noord. clusters: {name: waf} of more of them, at NAME.test."""
    made = harness.simple_config(app_port, cluster={"waf": waf} if waf else None, **more)
    made["waf"] = {"rules": rules}
    for name, settings in (clusters or {}).items():
        made["clusters"].append({"name": name, "hosts": [f"{name}.test"], "waf": settings,
                                 "routes": [{"path": "/", "upstream": "app"}]})
    return made
