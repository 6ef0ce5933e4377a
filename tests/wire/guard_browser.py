"""The notice in a real browser, where there is one: its style is in force under its own policy, it fits a narrow screen and
large letters, links are large enough, and it tells by itself when its moment has passed. Headless Chromium, driven
over its debugging pipe; nothing is fetched from anywhere else."""
import datetime
import json
import os
import shutil
import subprocess
import threading

import pytest

import guard_kit
import harness

BROWSER = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no chromium here")


class Browser:
    """One page; commands and answers are JSON ended by NUL, on descriptors 3 and 4."""

    def __init__(self, folder):
        (self.read_end, theirs_out), (theirs_in, self.write_end) = os.pipe(), os.pipe()

        def arrange():
            saved_in, saved_out = os.dup2(theirs_in, 100), os.dup2(theirs_out, 101)
            os.dup2(saved_in, 3)
            os.dup2(saved_out, 4)

        self.process = subprocess.Popen(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--remote-debugging-pipe", f"--user-data-dir={folder}", "--host-resolver-rules=MAP noord.test 127.0.0.1",
             "--disable-dev-shm-usage", "about:blank"],
            preexec_fn=arrange, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.answers, self.events, self.changed = 0, {}, [], threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        target = harness.until(lambda: [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"], "a page")[0]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for part in ("Page", "Log", "Runtime", "Network"):
            self.call(f"{part}.enable")

    session = None

    def _listen(self):
        waiting = b""
        while True:
            data = os.read(self.read_end, 65536)
            if not data:
                return
            waiting += data
            *whole, waiting = waiting.split(b"\0")
            with self.changed:
                for text in map(json.loads, whole):
                    if "id" in text:
                        self.answers[text["id"]] = text
                    else:
                        self.events.append(text)
                self.changed.notify_all()

    def call(self, method, **params):
        self.number += 1
        number, message = self.number, {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.answers, 20), f"no answer to {method}"
            answer = self.answers.pop(number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, url):
        with self.changed:
            self.events.clear()
        self.call("Page.navigate", url=url)
        with self.changed:
            assert self.changed.wait_for(lambda: any(e["method"] == "Page.loadEventFired" for e in self.events), 20), "the page came"

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def screen(self, width):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.write_end)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def gate(certificates):
    with guard_kit.site(certificates) as gate:
        gate.isolate("closed")
        yield gate


@pytest.fixture
def url(gate):
    return f"http://noord.test:{gate.port('http')}/portaal/dossier?lang=nl"


def test_looks_as_meant(browser, url):
    browser.screen(1200)
    browser.open(url)
    troubles = [e for e in browser.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown") and
                "503" not in json.dumps(e)]
    assert not troubles, "no policy was broken"
    asked = {e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"}
    assert asked <= {url, url.split("/portaal")[0] + "/favicon.ico"}, asked
    assert browser.value("getComputedStyle(document.body).maxWidth") == "720px", "the style is in force"
    assert browser.value("document.querySelector('main').getBoundingClientRect().width") <= 720
    assert browser.value("document.documentElement.lang") == "nl"
    assert browser.value("document.cookie") == ""


@pytest.mark.parametrize("width", [320, 375, 1200])
def test_narrow_screens_and_large_letters(browser, url, width):
    """WCAG 1.4.10 at 320 pixels, 1.4.4 with letters of twice the size, 2.5.8: nothing is cut off or scrolls sideways."""
    browser.screen(width)
    browser.open(url)
    for size in ("100%", "200%"):
        browser.value(f"document.documentElement.style.fontSize = '{size}'")
        if not (width == 320 and size == "200%"):
            assert browser.value("document.documentElement.scrollWidth") <= width
    heights = browser.value("[...document.querySelectorAll('a')].map(a => a.getBoundingClientRect().height)")
    assert heights and min(heights) >= 44


def test_keyboard(browser, url):
    """Every link is reached with the tab key, in the order of the page, and shows that it is (2.1.1, 2.4.3, 2.4.7)."""
    browser.open(url)
    count, seen = browser.value("document.querySelectorAll('a').length"), []
    for _ in range(count):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.append(browser.value("[...document.querySelectorAll('a')].indexOf(document.activeElement)"))
        assert browser.value("parseInt(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    assert seen == list(range(count))


def test_tells_when_its_moment_has_passed(browser, gate, url):
    """The page was loaded before; nobody loads it again, and no script runs."""
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
    gate.reload(dict(gate.config, notice=dict(guard_kit.NOTICE, next_update=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))))
    browser.open(url)
    shown = "getComputedStyle(document.querySelector('.late')).visibility"
    assert browser.value(shown) == "hidden"
    harness.until(lambda: browser.value(shown) == "visible", "the sentence shows")
    browser.open(url)
    assert browser.value(shown) == "visible" and not browser.value("document.querySelector('.later')")
