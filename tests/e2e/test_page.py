"""The page of the admin listener in a real Chromium: what a person sees, with a service and with ten thousand URLs."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
import websocket

from peers import Nginx, ask, release_binary
from processes import Process, environment, free_port, wait_until

_SERVICE = """service = "{service}"
max_rate = "{rate}/s"

[objectives]
availability = "99%"

[pace]
calm = "{rate}/s"
release = "{rate}/s"
"""
_TARGET = """
[[targets]]
name = "{name}"
url = "http://127.0.0.1:{port}{path}"
version = {{ header = "x-version" }}
"""
_PROCESS = """
[admin]
listen = "127.0.0.1:{admin}"
token = {{ env = "ADMIN_TOKEN" }}

[evidence]
dir = "{folder}/evidence"
stdout = false
"""
# A key's name, its number, and what it writes.
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": (" ", 32, " "),
    "Backspace": ("Backspace", 8, ""),
}
# A name that would run, were it ever taken for anything but text.
_HOSTILE = "<img src=x onerror=alert(1)>"


class Chromium:
    """A browser of its own, driven over the DevTools protocol."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("chromium is not installed")
        folder.mkdir()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command = [program, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        self._process = Process(command, folder / "chromium.log", environment(HOME=str(folder)))
        port_file = folder / "DevToolsActivePort"
        port = wait_until("chromium listens", lambda: int(port_file.read_text().splitlines()[0]), 30)
        pages = json.loads(ask(port, f"127.0.0.1:{port}", "/json/list")[2])
        place = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._socket = websocket.create_connection(place, timeout=30, suppress_origin=True)
        self._number = 0
        # What the page complained of: errors, and whatever its policy kept out.
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(told["params"]))
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    def look(self, expression: str) -> object:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise LookupError(result["result"].get("description"))
        return result["result"].get("value")

    def until(self, what: str, expression: str, within_s: float = 20) -> object:
        return wait_until(what, lambda: self.look(expression), within_s)

    def sized(self, width: int, height: int, scheme: str) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key: str, shift: bool = False) -> None:
        """As a keyboard does, so that the browser does with it what it does with a person's."""
        name, code, text = _KEYS[key]
        what = {"key": name, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **what)
        self.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def stop(self) -> None:
        self._socket.close()
        self._process.stop()


def _serin(folder: Path, documents: list[str], admin: int) -> Process:
    config = folder / "config"
    config.mkdir()
    documents[0] += _PROCESS.format(admin=admin, folder=folder)
    for number, text in enumerate(documents):
        (config / f"{number:02}.toml").write_text(text)
    command = [release_binary(), "run", "--config", config]
    serin = Process(command, folder / "serin.log", environment(AWS_EC2_METADATA_DISABLED="true", ADMIN_TOKEN=_TOKEN))
    ready = lambda: serin.alive() and ask(admin, "localhost", "/-/ready")[0] == 200
    wait_until("serin probes", ready, 30)
    return serin


_TOKEN = "a-token-of-this-test"


def test_a_person_sees_how_a_service_stands_and_holds_it(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    admin = free_port()
    targets = [_TARGET.format(name=name, port=nginx.port, path="/") for name in ("home", _HOSTILE)]
    serin = _serin(tmp_path, [_SERVICE.format(service="checkout", rate=50) + "".join(targets)], admin)
    chromium = Chromium(tmp_path / "profile")
    try:
        chromium.sized(1100, 1400, "light")
        chromium.call("Page.navigate", url=f"http://127.0.0.1:{admin}/")
        chromium.until("it is live", "document.getElementById('link').textContent === 'live'")
        chromium.until("a verdict", "document.getElementById('verdict').textContent.startsWith('good')", 60)
        figure = "document.querySelector('#figures dd').textContent"
        # The word of the judge may be a moment ahead of the figures, which are those of whole seconds.
        chromium.until("no bad answer", f"{figure} === '0.00 %'")
        nginx.fail()
        chromium.until("bad answers are seen, live", f"parseFloat({figure}) > 5")
        chromium.until("and told", "document.getElementById('verdict').className === 'bad'")
        rows = "[...document.querySelectorAll('#urls tr')].map((row) => row.cells[0].textContent)"
        chromium.until("the URLs", f"{rows}.length === 2")
        assert chromium.look(rows) == ["home", _HOSTILE], "a name is text"
        assert chromium.look("document.querySelectorAll('img').length") == 0
        chromium.until("two lines are drawn", "document.querySelectorAll('svg path[d^=M]').length === 2")
        assert chromium.look("document.querySelector('#releases').textContent") == "none yet"
        assert chromium.complaints == [], "neither an error nor a breach of the policy"

        # The hold, without the token and with it.
        told = "document.getElementById('told').textContent"
        press = "document.querySelector('button[value={}]').click()"
        chromium.look("document.getElementById('reason').value = 'by the page'")
        chromium.look(press.format("hold"))
        chromium.until("it is refused", f"{told}.includes('token')")
        chromium.look(f"document.getElementById('token').value = '{_TOKEN}'")
        chromium.look(press.format("hold"))
        chromium.until("it is held", f"{told}.startsWith('held')")
        held = "[...document.querySelectorAll('#conditions tr')].some((row) => row.textContent.includes('by the page'))"
        chromium.until("and shown", held)
        chromium.look(press.format("unhold"))
        chromium.until("it is resumed", f"{told} === 'resumed'")
        # The refusal is one that the browser notes too.
        assert all("401" in each for each in chromium.complaints), chromium.complaints

        for width, scheme in ((1100, "light"), (1100, "dark"), (360, "dark")):
            chromium.sized(width, 1500, scheme)
            assert chromium.look("document.documentElement.scrollWidth <= innerWidth"), f"{width} wide, nothing sticks out"
            picture = chromium.picture()
            assert len(picture) > 10_000
            (tmp_path / f"page-{width}-{scheme}.png").write_bytes(picture)
        serin.stop()
        chromium.until("that is told", "document.getElementById('link').className === 'lost'")
    finally:
        for each in (chromium, serin, nginx):
            each.stop()


def test_keys_alone_reach_and_work_everything(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    admin = free_port()
    documents = [
        _SERVICE.format(service=name, rate=20)
        + "".join(_TARGET.format(name=f"{name}-{n:02}", port=nginx.port, path=f"/{n}") for n in range(30))
        for name in ("checkout", "search")
    ]
    serin = _serin(tmp_path, documents, admin)
    chromium = Chromium(tmp_path / "profile")
    try:
        chromium.call("Emulation.setFocusEmulationEnabled", enabled=True)
        chromium.sized(360, 900, "dark")
        chromium.call("Page.navigate", url=f"http://127.0.0.1:{admin}/")
        chromium.until("both services", "document.querySelectorAll('#services button').length === 2")
        chromium.until("its URLs", "document.querySelectorAll('#urls tr').length === 25")

        def tab_to(name: str, most: int = 12) -> list[str]:
            """Everything that has the focus on the way to what is called so, which is seen to have it."""
            passed = []
            for _ in range(most):
                chromium.press("Tab")
                passed.append(chromium.look("(({id, dataset, value, tagName}) => id || dataset.name || value || tagName)(document.activeElement)"))
                shown = "(({outlineStyle, outlineWidth}) => outlineStyle !== 'none' && parseFloat(outlineWidth) > 0)(getComputedStyle(document.activeElement))"
                assert chromium.look(shown), f"nobody sees that {passed[-1]} has the focus"
                if passed[-1] == name:
                    return passed
            raise AssertionError(f"{name} was not reached: {passed}")

        # In the order in which they stand; a table that is wider than the page can be moved by the arrows, so it is one of them.
        assert tab_to("search") == ["checkout", "search"]
        chromium.press("Enter")
        chromium.until("it is the other's page", "document.getElementById('name').textContent === 'search'")
        way = [each for each in tab_to("token") if each != "DIV"]
        chromium.call("Input.insertText", text=_TOKEN)
        way += tab_to("reason")
        chromium.call("Input.insertText", text="by keys")
        way += tab_to("hold")
        assert way == ["token", "reason", "hold"]
        chromium.press("Enter")
        told = "document.getElementById('told').textContent"
        chromium.until("it is held", f"{told}.startsWith('held')")
        assert tab_to("unhold") == ["unhold"]
        chromium.press("Space")
        chromium.until("it is resumed", f"{told} === 'resumed'")

        assert tab_to("filter") == ["filter"]
        chromium.call("Input.insertText", text="search-2")
        chromium.until("its URLs", "document.querySelectorAll('#urls tr').length === 10")
        chromium.look("document.getElementById('filter').select()")
        chromium.press("Backspace")
        chromium.until("all of them", "document.getElementById('place').textContent.startsWith('page 1 of 2')")
        # On the first page there is none before.
        assert tab_to("after") == ["sort", "after"]
        chromium.press("Enter")
        chromium.until("the second page", "document.querySelectorAll('#urls tr').length === 5")
        # Whoever wants to go on from there needn't begin anew, though the last page has no next.
        chromium.press("Tab", shift=True)
        assert chromium.look("document.activeElement.id") == "before"
        chromium.press("Space")
        chromium.until("the first page", "document.getElementById('place').textContent.startsWith('page 1 of 2')")
        assert chromium.complaints == []
    finally:
        for each in (chromium, serin, nginx):
            each.stop()


def test_ten_thousand_urls_are_painted_at_once(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path / "nginx", "blue-1")
    admin = free_port()
    documents = [
        _SERVICE.format(service=f"shop-{number}", rate=20)
        + "".join(_TARGET.format(name=f"u{index}", port=nginx.port, path=f"/{index}") for index in range(1000))
        for number in range(10)
    ]
    serin = _serin(tmp_path, documents, admin)
    chromium = Chromium(tmp_path / "profile")
    try:
        chromium.call("Page.navigate", url=f"http://127.0.0.1:{admin}/")
        chromium.until("all services", "document.querySelectorAll('#services button').length === 10")
        chromium.until("a page of URLs", "document.querySelectorAll('#urls tr').length === 25")
        assert chromium.look("document.getElementById('place').textContent") == "page 1 of 40, 1000 URLs"
        chromium.look("document.getElementById('after').click()")
        chromium.until("the next", "document.getElementById('place').textContent.startsWith('page 2 ')")
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        painted = chromium.until("it was painted", paint)
        print(f"first paint after {painted:.0f} ms")
        # Generous: other tests share these cores. The figure of a quiet machine is in benches/README.md.
        assert painted < 5000
        assert chromium.complaints == []
    finally:
        for each in (chromium, serin, nginx):
            each.stop()
