"""Requests for two engines to disagree on: benign, attacks, and what lies between, the same for the same seed.

Each is what waf-eval takes. A field of every header has another name; lengths are right; what is mutated is the
inside of the target, of values and of the body.
"""
import json
import random

NAMES = ["a", "b", "q", "id", "user", "naam", "patient.id", "a[0]", "x-y", "A", "_", "file", "json.a", "Zoek term", "é"]
PLAIN = ["1", "", "0", "abc", "Jan de Vries", "2026-11-22", "true", "-3.50", "urn:oid:2.16.840.1.113883.2.4.6.3",
         "geen suicidale gedachten; start sertraline 50 mg", "nuchter; print formulier", "O'Brien", "a=b&c=d", "50%",
         "https://example.nl/pad?x=1#top", "jan@example.nl", "één café", "AbC", "x" * 70, "\u20ac 12,50", "1e400"]
ATTACKS = ["<script>alert(1)</script>", "1' OR '1'='1", "1 UNION SELECT password FROM users--", "../../etc/passwd",
           "..\\..\\windows\\system32", "; cat /etc/passwd", "$(id)", "`id`", "<img src=x onerror=alert(1)>",
           "javascript:alert(1)", "%27%20or%201=1", "<?php system('id'); ?>", "${jndi:ldap://x/a}", "{{7*7}}",
           "<!--#exec cmd=\"ls\"-->", "/**/SELECT/**/1", "1;DROP TABLE x", "sleep(5)#", "file:///etc/passwd",
           "\r\nSet-Cookie: a=b", "() { :; }; echo x", "C:\\boot.ini", "data:text/html;base64,PHNjcmlwdD4=",
           "&lt;script&gt;", "&#x3c;script&#62;", "\\u003cscript\\u003e", "\\x3cscript", "%u003cscript", "%253Cscript",
           "<scr\0ipt>", "c\\a\\t /e\"\"tc/pas's'wd", "/* comment */ x /*! y */ z --", "/./a//b/../c/", "\\74script",
           "PHNjcmlwdD4=", "a\u00a0b", "\ufeffx", "\uff1cscript\uff1e", "&nbsp;&amp;&quot;&apos;&lt", "\\'\\\"\\n\\0\\101",
           "%", "%4", "%zz", "%u12", "+ +", "\t \v\f\n", "# comment", "--", "/*", "*/", "\x80\xff\xfe", "\xc3\x28"]
TYPES = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=BOUND", "application/json", "text/xml",
         "application/fhir+json", "application/xml", "text/plain", "application/octet-stream", None]


class Requests:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def value(self):
        r = self.r
        text = r.choice(ATTACKS) if r.random() < 0.55 else r.choice(PLAIN)
        if r.random() < 0.15:
            text += r.choice(ATTACKS + PLAIN)
        return self.mutated(text) if r.random() < 0.3 else text

    def mutated(self, text):
        """One small change: a character turned, doubled, dropped or replaced by an escape of itself."""
        r = self.r
        at = r.randrange(len(text) + 1)
        here = text[at:at + 1] or "x"
        change = r.choice(["", here * 2, here.swapcase(), f"%{ord(here) & 255:02x}", f"&#{ord(here)};", f"\\x{ord(here) & 255:02X}",
                           f"%u{ord(here):04x}", "\0", " ", "\\" + here, chr(r.randrange(256)), f"\\{ord(here) & 255:o}",
                           f"&#x{ord(here):x}", "/**/", "+", "\\\n"])
        return text[:at] + change + text[at + 1:]

    def latin(self, text):
        """Bytes as characters: UTF-8, or now and then one byte each."""
        if all(ord(c) < 256 for c in text) and self.r.random() < 0.2:
            return text
        return text.encode().decode("latin-1")

    def escaped(self, text, keep):
        """Percent-encoded: what must be, and a part of the rest."""
        out = []
        for c in text:
            if c in keep and self.r.random() < 0.93:
                out.append(c)
            elif c == " " and self.r.random() < 0.5:
                out.append("+")
            else:
                out.append(f"%{ord(c):02{self.r.choice('xX')}}")
        return "".join(out)

    def pairs(self, most, keep):
        separator = "&" if self.r.random() < 0.95 else self.r.choice(["&&", ";", "&=&", "="])
        parts = []
        for _ in range(self.r.randrange(most + 1)):
            name = self.escaped(self.latin(self.r.choice(NAMES)), keep)
            value = self.escaped(self.latin(self.value()), keep)
            parts.append(name if self.r.random() < 0.04 else f"{name}={value}")
        return separator.join(parts)

    def target(self):
        safe = "".join(chr(c) for c in range(0x21, 0x7f) if chr(c) not in "&=+%#?")
        path = "/" + "/".join(self.escaped(self.r.choice(["a", "index.php", "fhir", "Patient", "..", ".", "x.y.html", "b c", "~u",
                                                          "é", "a'b", ""]).encode().decode("latin-1"),
                                           safe.replace("/", "")) for _ in range(self.r.randrange(4)))
        query = self.pairs(4, safe)
        return path + ("?" + query if query or self.r.random() < 0.1 else "")

    def header_value(self):
        return "".join(c for c in self.latin(self.value()) if c == "\t" or 0x20 <= ord(c) != 0x7f).strip(" \t")

    def cookies(self):
        pairs = [f"{self.r.choice(['sid', 'lang', 'a', '$Version', 'é'])}={self.header_value()}"
                 for _ in range(self.r.randrange(1, 4))]
        return self.latin(self.r.choice(["; ", ";", " ; ", ";;", "; ; "]).join(pairs))

    def json_value(self, depth):
        r = self.r
        kind = r.randrange(9) if depth < 4 else r.randrange(5)
        if kind < 3:
            return self.value().encode("utf-8", "replace").decode()
        if kind < 5:
            return r.choice([1, 0, -3.5, True, False, None, 12345678901234567890, 1e30, ""])
        if kind < 7:
            return {r.choice(NAMES): self.json_value(depth + 1) for _ in range(r.randrange(4))}
        return [self.json_value(depth + 1) for _ in range(r.randrange(4))]

    def json_body(self):
        text = json.dumps(self.json_value(0), ensure_ascii=self.r.random() < 0.5,
                          indent=self.r.choice([None, None, 1]))
        if self.r.random() < 0.1:
            text = self.mutated(text)
        return text.encode("utf-8", "replace").decode("latin-1")

    def xml_text(self):
        text = self.value().replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return "".join(c for c in text if c in "\t\n\r" or ord(c) >= 0x20)

    def xml_element(self, depth):
        r = self.r
        name = r.choice(["a", "b", "Patient", "ns:x", "value"])
        attributes = "".join(f' {n}="{self.xml_text()}"' for n in r.sample(["id", "value", "x"], r.randrange(3)))
        inside = "".join(self.xml_element(depth + 1) if r.random() < 0.5 and depth < 3 else self.xml_text()
                         for _ in range(r.randrange(3)))
        return f"<{name}{attributes}>{inside}</{name}>"

    def xml_body(self):
        text = self.xml_element(0).replace("<ns:x", '<ns:x xmlns:ns="urn:n"')
        if self.r.random() < 0.3:
            text = '<?xml version="1.0" encoding="UTF-8"?>\n' + text
        if self.r.random() < 0.1:
            text = self.mutated(text)
        return text.encode("utf-8", "replace").decode("latin-1")

    def part(self, eol):
        r = self.r
        head = f'form-data; name="{r.choice(NAMES).encode().decode("latin-1")}"'
        if r.random() < 0.35:
            head += f'; filename="{r.choice(["a.txt", "x.php", "foto.jpg", "", "a;b.txt", "c.html.exe"])}"'
        if r.random() < 0.08:
            head = r.choice([head.replace('"', "'"), head.replace("; ", ";"), head.replace('"', ""), head + "; x=y", head.upper()])
        fields = [f"Content-Disposition: {head}"]
        if r.random() < 0.4:
            fields.append("Content-Type: " + r.choice(["text/plain", "image/png", "text/html; charset=utf-7"]))
        if r.random() < 0.1:
            fields.append(r.choice(["X-Part: <b>", "Content-Transfer-Encoding: base64", " folded", "no colon here", "X:"]))
        return eol.join(fields) + eol + eol + self.latin(self.value()) + eol

    def multipart_body(self):
        r = self.r
        eol = "\r\n" if r.random() < 0.95 else "\n"
        text = r.choice(["", "", "", "", "preamble\r\n"])
        for _ in range(r.randrange(1, 4)):
            text += "--BOUND" + eol + self.part(eol)
        text += r.choice(["--BOUND--", "--BOUND--", "--BOUND--", "--BOUND--", "--BOUND", ""]) + eol + r.choice(["", "", "", "", "after"])
        if r.random() < 0.1:
            at = r.randrange(len(text))
            text = text[:at] + r.choice(["", "\r", "\n", "--", "\0", "BOUND"]) + text[at + 1:]
        return text

    def body(self, kind):
        if kind == TYPES[0]:
            return self.pairs(5, "".join(chr(c) for c in range(0x20, 0x7f) if chr(c) not in "&=+%"))
        if kind == TYPES[1]:
            return self.multipart_body()
        if kind in (TYPES[2], TYPES[4]):
            return self.json_body()
        if kind in (TYPES[3], TYPES[5]):
            return self.xml_body()
        return self.latin(self.value())

    def request(self):
        r = self.r
        method = r.choices(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], [40, 40, 10, 3, 4, 3])[0]
        fields = [["Host", r.choice(["localhost", "noord.example", "127.0.0.1"])], ["X-CRS-Test", "1"]]
        for name in r.sample(["User-Agent", "Accept", "Referer", "X-Other", "Accept-Language", "Range"], r.randrange(4)):
            value = r.choice(["*/*", "Mozilla/5.0", "nl-NL,nl;q=0.9", "bytes=0-10"]) if r.random() < 0.6 else self.header_value()
            if value:
                fields.append([name, value])
        if r.random() < 0.3:
            fields.append(["Cookie", self.cookies()])
        body = ""
        if method in ("POST", "PUT", "PATCH"):
            kind = r.choices(TYPES, [30, 25, 20, 8, 4, 4, 3, 3, 3])[0]
            body = self.body(kind)
            if kind:
                fields.append(["Content-Type", kind + r.choice(["", "", "", "; charset=utf-8"])])
            fields.append(["Content-Length", str(len(body.encode("latin-1")))])
        target = self.target()
        return {"line": f"{method} {target} HTTP/1.1", "method": method, "target": target, "protocol": "HTTP/1.1",
                "fields": fields, "body": body}
