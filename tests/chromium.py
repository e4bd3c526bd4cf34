"""A headless Chromium, driven over a pipe in its DevTools protocol, without further packages.

Source: chromedevtools.github.io/devtools-protocol; --remote-debugging-pipe reads messages from file
descriptor 3 and writes them to 4, each ended by a zero byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
# Gives the two pipes their numbers, and becomes Chromium.
_GIVE_PIPES = """
import os, sys
reads, writes = (int(word) for word in sys.argv[1:3])
for ours, number in ((reads, 3), (writes, 4)):
    os.dup2(ours, number)
    os.set_inheritable(number, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Enter": 13}


class Tab:
    """One open page; its storage lasts as long as the browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.to_browser, self.from_browser = to_browser, from_browser
        self.received = b""
        self.calls = 0
        self.session: str | None = None
        self.problems: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a message and wait for its answer; errors of the page are collected meanwhile."""
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.calls:
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(json.dumps(answer["params"]))
            if answer.get("method") == "Page.javascriptDialogOpening":
                raise AssertionError(f"the page opened a dialog: {answer['params']['message']}")
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.received:
            part = os.read(self.from_browser, 1 << 16)
            assert part, "Chromium has ended"
            self.received += part
        message, _, self.received = self.received.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, page: Path) -> None:
        """Load a file and wait until its scripts have run."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def get(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        end = time.monotonic() + 20
        while not self.get(expression):
            assert time.monotonic() < end, f"{expression} did not come true"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person does."""
        for key in keys:
            code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            pressed = {"key": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def click(self, selector: str) -> None:
        self.get(f"document.querySelector({json.dumps(selector)}).click()")

    def save_to(self, folder: Path) -> None:
        """Save downloads into ``folder`` without a question."""
        session, self.session = self.session, None
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.session = session


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """Start Chromium with an empty profile, and end it."""
    assert PROGRAM is not None
    (child_in, ours_out), (ours_in, child_out) = os.pipe(), os.pipe()

    options = [
        "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}",
        "--window-size=1280,900", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", _GIVE_PIPES, str(child_in), str(child_out), PROGRAM, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(child_in, child_out),
    )
    os.close(child_in)
    os.close(child_out)
    try:
        tab = Tab(ours_out, ours_in)
        yield tab
        tab.session = None
        with suppress(OSError, AssertionError):
            tab.call("Browser.close")
    finally:
        os.close(ours_out)
        os.close(ours_in)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
