"""Real headless Chromium for tests: nothing is downloaded, nothing is remembered, and all that it asks for is noted."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that a busy machine may take for what a person sees at once."""

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en",
)  # fmt: skip
_SEEN = """
for (const one of document.querySelectorAll(arguments[0])) {
  const box = one.getBoundingClientRect();
  const text = one.innerText || one.textContent;  // a card that is scrolled away has no innerText
  if (box.width && box.height && one.checkVisibility({visibilityProperty: true}) && text.includes(arguments[1])) return one;
}
return null;
"""
"""One question for all that matches: a question for each element would cost more than the page does."""
_LOGS = {"browser": "ALL", "performance": "ALL"}


class Browser:
    """One Chromium with one window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._requests: dict[str, str] = {}
        self._problems: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.driver.current_url)

    def open(self, url: str) -> None:
        """Go there; a changed fragment alone loads nothing anew."""
        self.driver.get(url)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """How large the page's window is, to the pixel."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        touch = {"enabled": phone, **({"maxTouchPoints": 1} if phone else {})}
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)

    def theme(self, name: str) -> None:
        """What the system prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def offline(self, off: bool) -> None:
        """Cut it off from every network, or no more."""
        conditions = {"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait_js(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page; its last argument is what takes the answer."""
        return self.driver.execute_async_script(script, *arguments)

    def forget(self) -> None:
        """Forget who was signed in."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def fresh(self, origin: str) -> None:
        """As if nobody had used it: no session, nothing kept, a wide window, the light theme."""
        self.open("about:blank")
        self.forget()
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        self.size(1600, 1000)
        self.theme("light")
        self.offline(False)
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        self._drain()
        self._requests.clear()
        self._problems.clear()

    def all(self, selector: str) -> list[WebElement]:
        """Every element that a selector matches."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str, *, text: str = "") -> WebElement:
        """The first that is seen and holds a text, waited for."""
        return self.until(lambda: self._seen(selector, text), f"{selector} {text!r}")

    def sees(self, selector: str, *, text: str = "") -> bool:
        """The same as a claim: true, or a failure once patience has ended."""
        return bool(self.one(selector, text=text))

    def gone(self, selector: str) -> None:
        """Wait until nothing that matches is seen."""
        self.until(lambda: self._seen(selector, "") is None, f"no {selector}")

    def click(self, selector: str, *, text: str = "") -> None:
        """Click on the first that is seen; what is painted anew under the pointer is looked for again."""

        def clicked() -> bool:
            found = self._seen(selector, text)
            if found is None:
                return False
            found.click()
            return True

        self.until(clicked, f"click {selector} {text!r}")

    def type(self, selector: str, text: str) -> None:
        """Put a text in the place of what a control holds."""

        def typed() -> bool:
            control = self.one(selector)
            control.clear()
            control.send_keys(text)
            return True

        self.until(typed, f"type into {selector}")

    def choose(self, selector: str, text: str) -> None:
        """Choose an option by its text."""
        script = (
            "const one = [...arguments[0].options].find((o) => o.textContent === arguments[1]);"
            "arguments[0].value = one.value; arguments[0].dispatchEvent(new Event('change', {bubbles: true}));"
        )
        self.until(lambda: self.js(script, self.one(selector), text) or True, f"choose {text!r} in {selector}")

    def text(self, selector: str) -> str:
        """What is read there."""
        return str(self.one(selector).text)

    def until(self, claim: Callable[[], T | None], what: str = "") -> T:
        """Wait until something is so, and give it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = claim()
            except (StaleElementReferenceException, WebDriverException) as error:
                found, what = None, f"{what} ({type(error).__name__})" if type(error).__name__ not in what else what
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}; toasts: {[one.text for one in self.all('.toast')]}")
            time.sleep(0.04)

    def _seen(self, selector: str, text: str) -> WebElement | None:
        found: WebElement | None = self.js(_SEEN, selector, text)
        return found

    def requests(self) -> list[str]:
        """Every address that was asked for since the browser started, by whatever part of the page."""
        self._drain()
        return list(self._requests.values())

    def problems(self) -> list[str]:
        """Errors and warnings of the console, reports of the policy among them, since the last call."""
        self._drain()
        found, self._problems = self._problems, []
        return found

    def _drain(self) -> None:
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests[message["params"]["requestId"]] = message["params"]["request"]["url"]
            elif message["method"] == "Network.loadingFailed" and message["params"].get("blockedReason") == "csp":
                # Nothing was sent: the policy stopped it inside the browser.
                self._requests.pop(message["params"]["requestId"], None)
        for entry in self._log("browser"):
            if entry["level"] in ("SEVERE", "WARNING"):
                self._problems.append(f"{entry['level']}: {entry['message']}")

    def _log(self, name: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(name))  # type: ignore[no-untyped-call]

    def foreign(self, origin: str) -> list[str]:
        """What was asked for elsewhere; data: and chrome: addresses reach no network."""
        mine = urlsplit(origin).netloc
        return [
            url
            for url in self.requests()
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != mine
        ]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium of its own, with a profile that goes with it."""
    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver_program is None:
        raise RuntimeError("chromium and chromedriver are missing: .ci/provision test installs them")
    profile = Path(tempfile.mkdtemp(prefix="agent-browser-"))
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", _LOGS)
    driver = webdriver.Chrome(options=options, service=Service(driver_program))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        browser = Browser(driver)
        browser.size(1600, 1000)
        yield browser
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)
