"""A headless Chromium, driven over WebDriver (https://www.w3.org/TR/webdriver2/) with the standard library."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


class Browser:
    """One browser window of 1280 x 900 px; use it as a context manager."""

    def __init__(self, chromium: str, chromedriver: str) -> None:
        self._chromium, self._chromedriver = chromium, chromedriver

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [self._chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._driver.stdout is not None
        port = None
        for line in self._driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                port = found[1]
                break
        if port is None:
            raise RuntimeError(f"{self._chromedriver} did not start")
        self._url = f"http://127.0.0.1:{port}/session"
        options = {
            "binary": self._chromium,
            "args": [*ARGUMENTS, "--window-size=1280,900", f"--user-data-dir={self._profile.name}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._url += "/" + session["sessionId"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._url.count("/") > 3:
                self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.communicate(timeout=20)
            self._profile.cleanup()

    def open(self, page: Path) -> None:
        """Loads a local file and waits for its load event."""
        self._call("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        """The value that a JavaScript function body returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """What the console said since the last call."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def emulate_scheme(self, scheme: str) -> None:
        """Makes pages see a system that prefers the "light" or the "dark" colour scheme."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": features})

    def resize(self, width: int, height: int) -> None:
        """Gives the page a viewport of this size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})

    def screenshot(self) -> bytes:
        """The window's content as PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self._url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
