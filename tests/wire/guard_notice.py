"""The notice page as who is kept out gets it: served from memory without any application, in three languages and three
forms, with fields that forbid keeping it and running anything; and what of WCAG 2.2 can be computed."""
import base64
import hashlib
import html.parser
import json
import re

import pytest

import guard_kit
import h2peer
import harness
from guard_kit import HOSPITAL, STRANGER, WARD

TITLE = {"nl": "Tijdelijk niet bereikbaar via internet", "en": "Temporarily not reachable over the internet",
         "fy": "Tydlik net te berikken fia ynternet"}


@pytest.fixture(scope="module")
def gate(certificates):
    """At level closed, with no application at all behind it."""
    with guard_kit.site(certificates) as gate:
        config = json.loads(json.dumps(gate.config))
        config["listeners"].append({"name": "plain", "redirect_to_https": gate.port("https")})
        for cluster in config["clusters"]:
            if cluster["name"] == "zuid":
                cluster["notice"] = {"name": "Apotheek <Zuid> & Zn.", "phone": "058 1234567", "languages": ["fy", "nl"],
                                     "message": {"nl": "Twee woorden."}, "next_update": "2040-01-15T16:00+01:00"}
        gate.reload(config)
        gate.isolate("closed", "--for", "6h")
        gate.app.shut()
        yield gate


def get(gate, target="/x", accept=None, language=None, method="GET", **more):
    fields = ([("Accept", accept)] if accept else []) + ([("Accept-Language", language)] if language else [])
    return gate.answer(target=target, method=method, fields=fields, **more)


class Page(html.parser.HTMLParser):
    """Tags that nest, with what is needed to judge them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.headings, self.links, self.texts, self.style = [], [], [], [], [], ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if re.match(r"h[1-6]$", tag):
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "style":
            self.style += data
        if "a" in self.open:
            self.links[-1][1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


# ---- which language, which form

@pytest.mark.parametrize("asked, language", [
    (None, "nl"), ("en", "en"), ("en-GB,en;q=0.9,nl;q=0.8", "en"), ("fy-NL,nl;q=0.9", "fy"), ("de, nl;q=0.3, en;q=0.2", "nl"),
    ("de", "nl"), ("*", "nl"), ("en;q=0, nl;q=0.1", "nl"), ("x" * 4000, "nl"), (",,;;q=,", "nl"),
])
def test_language(gate, asked, language):
    answer = get(gate, language=asked)
    assert answer.fields.get("content-language") == language
    assert TITLE[language] in answer.body.decode() and f'<html lang="{language}">' in answer.body.decode()
    assert guard_kit.NOTICE["message"][language] in answer.body.decode()


@pytest.mark.parametrize("language", TITLE)
def test_link_to_a_language(gate, language):
    """The links of the page itself win over what the browser says, on whatever path it stands."""
    page = Page(get(gate, "/a/b?x=1", language="en" if language != "en" else "nl").body.decode())
    (link,) = [link for link, _ in page.links if link.get("hreflang") == language]
    assert TITLE[language] in get(gate, "/a/b" + link["href"], language="en").body.decode()
    assert TITLE["nl"] in get(gate, "/x?lang=klingon").body.decode()


@pytest.mark.parametrize("accept, kind", [
    (None, "text/html"), ("*/*", "text/html"), ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html"),
    ("text/plain", "text/plain"), ("application/fhir+json", "application/fhir+json"), ("application/json", "application/fhir+json"),
    ("text/html;q=0.2, application/fhir+json", "application/fhir+json"), ("image/png", "text/html"),
])
def test_form(gate, accept, kind):
    answer = get(gate, accept=accept)
    assert answer.status == 503 and answer.fields.get("content-type") == kind + "; charset=utf-8"
    if "json" in kind:
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome" and outcome["issue"][0]["code"] == "transient"
        assert guard_kit.NOTICE["phone"] in outcome["issue"][0]["diagnostics"]
    if kind == "text/plain":
        assert b"<" not in answer.body and guard_kit.NOTICE["phone"] in answer.body.decode()


def test_cluster_of_its_own(gate):
    answer = get(gate, host="zuid.test")
    text = answer.body.decode()
    assert answer.fields.get("content-language") == "fy", "the first of its languages is for who prefers none"
    assert "Apotheek &lt;Zuid&gt; &amp; Zn." in text and "tel:0581234567" in text
    assert "?lang=nl" in text and "?lang=en" not in text
    assert guard_kit.NOTICE["message"]["fy"] in text, "what it does not say is the site's"
    assert "Twee woorden." in get(gate, host="zuid.test", language="nl").body.decode()
    assert get(gate, host="zuid.test", language="en").fields.get("content-language") == "fy", "not offered"
    assert 'datetime="2040-01-15T15:00:00Z"' in text and "16.00" in text


# ---- fields and bodies

def test_fields(gate):
    answer = get(gate)
    assert answer.fields.get("cache-control") == "no-store" and "set-cookie" not in answer.fields
    assert {"accept", "accept-language"} <= set(answer.fields.get("vary").lower().split(", "))
    assert 21_000 < int(answer.fields.get("retry-after")) <= 6 * 3600, "until the order's end"
    policy = dict(part.strip().split(" ", 1) for part in answer.fields.get("content-security-policy").split(";"))
    style = re.search(r"<style>(.*?)</style>", answer.body.decode(), re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy["default-src"] == "'none'" and policy["style-src"] == f"'sha256-{digest}'"
    assert {"base-uri", "form-action", "frame-ancestors"} <= set(policy)
    assert get(gate, accept="text/plain").fields.get("content-security-policy").count("style-src 'none'") == 1
    assert len(answer.body) < 20_000 and not re.search(rb"<script|<img|<link|<iframe|url\(|@import|https?:", answer.body)
    assert answer.fields.get("connection") == "close"


def test_head_and_bodies(gate):
    head, whole = get(gate, method="HEAD"), get(gate)
    assert head.status == 503 and head.body == b"" and head.fields.get("content-length") == whole.fields.get("content-length")
    assert gate.answer(method="POST", target="/x").status == 503
    with gate.peer(STRANGER) as client:
        assert client.ask("POST", "/x", body=b"z" * 300_000).status == 503


def test_everywhere(gate, certificates):
    """HTTP/1.1 and HTTP/2, in clear and with TLS, and on the listener that only redirects; not on it for who may come."""
    with h2peer.Peer(gate.peer(listener="https", tls=h2peer.tls(certificates))) as peer:
        answer = peer.get("/x", [("accept-language", "en")])
        assert answer.status == 503 and TITLE["en"].encode() in answer.body
        assert "set-cookie" not in answer.fields and answer.fields.get("cache-control") == "no-store"
        assert len(answer.body) == int(answer.fields.get("content-length"))
    assert get(gate, listener="plain").status == 503 and TITLE["nl"].encode() in get(gate, listener="plain").body
    assert gate.answer(WARD, listener="plain").status == 301
    assert gate.answer(WARD).status == 502, "there is no application"


def test_nobody_edits_it(gate):
    config = json.loads(json.dumps(gate.config))
    route = config["clusters"][0]["routes"][0]
    route["response_headers"] = {"set": {"set-cookie": "a=b", "content-security-policy": "default-src *"}}
    before = json.loads(json.dumps(gate.config))
    gate.reload(config)
    try:
        answer = get(gate)
        assert "set-cookie" not in answer.fields and "default-src 'none'" in answer.fields.get("content-security-policy")
    finally:
        gate.reload(before)


def test_end_of_the_promise(gate):
    """The order's end is what is promised; a next message that the configuration names comes first; without either
    nothing is."""
    assert "Het volgende bericht komt op deze pagina, uiterlijk" in get(gate).body.decode()
    gate.isolate("closed")
    assert "nog niet gezegd" in get(gate).body.decode()
    before = json.loads(json.dumps(gate.config))
    config = dict(before, notice=dict(guard_kit.NOTICE, next_update="2041-02-03T04:05:06Z"))
    gate.reload(config)
    assert 'datetime="2041-02-03T04:05:06Z"' in get(gate).body.decode()
    gate.reload(dict(before, notice=dict(guard_kit.NOTICE, next_update="2020-01-15T16:00Z")))
    assert "nog niet gezegd" in get(gate).body.decode(), "one from before the level began is old news"
    gate.reload(before)


# ---- WCAG 2.2 AA, as far as it can be computed

def luminance(color):
    if len(color) == 4:
        color = "#" + "".join(c * 2 for c in color[1:])
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("language", TITLE)
@pytest.mark.parametrize("host", ["noord.test", "zuid.test"])
def test_wcag(gate, language, host):
    text = get(gate, f"/x?lang={language}", host=host).body.decode()
    if f'lang="{language}">' not in text[:60]:
        pytest.skip("this cluster does not offer it")
    page = Page(text)
    assert page.all("html")[0]["lang"] == language  # 3.1.1
    assert page.headings == [1, 2, 2, 2] and len(page.all("title")) == 1  # 1.3.1, 2.4.2, 2.4.6
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == 1  # 1.3.1
    assert all(nav.get("aria-label") for nav in page.all("nav"))
    assert all(words.strip() for _, words in page.links)  # 2.4.4
    assert all(link["lang"] == link["hreflang"] for link, _ in page.links if "hreflang" in link)  # 3.1.2
    (viewport,) = [meta["content"] for meta in page.all("meta") if meta.get("name") == "viewport"]
    assert "user-scalable" not in viewport and "maximum-scale" not in viewport  # 1.4.4
    assert not [meta for meta in page.all("meta") if meta.get("http-equiv", "").lower() == "refresh"]  # 2.2.1
    colors = dict(re.findall(r"(color|background):(#[0-9a-f]{3,6})", page.style.split("}")[0]))
    link = re.search(r"}a{color:(#[0-9a-f]{3,6})", page.style)[1]
    assert contrast(colors["color"], colors["background"]) >= 7 and contrast(link, colors["background"]) >= 4.5  # 1.4.3
    assert int(re.search(r"}a{[^}]*min-height:(\d+)px", page.style)[1]) >= 24  # 2.5.8
    outline = re.search(r"a:focus-visible{outline:(\d+)px solid (#[0-9a-f]+)", page.style)
    assert int(outline[1]) >= 2 and contrast(outline[2], colors["background"]) >= 3  # 2.4.7, 1.4.11
    assert not re.search(r"font(-size)?:[^;}]*\d(px|pt)", page.style)  # 1.4.4: sizes follow the reader's
    for word in re.findall(r"max-width:([\d.]+)(\w+)", page.style):
        assert word[1] in ("rem", "em")  # 1.4.10


def test_partner_who_is_cut_off_sees_it_too(gate):
    assert gate.answer(HOSPITAL).status == 503
