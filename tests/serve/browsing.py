"""A Chromium without a window, driven over its debugging pipe: keys, sizes, colours, what a script finds."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120
"""Seconds until a test gives up on the browser; far more than any step takes."""
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}


class Browser:
    """One page. Messages are JSON objects, each ended by a zero byte."""

    def __init__(self, writing: int, reading: int) -> None:
        self._writing, self._reading = writing, reading
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._reading, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, address: str, *, width: int = 1280, dark: bool = False) -> None:
        """Open an address, and wait until it is loaded."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, script: str) -> Any:
        """Return what an expression gives, as JSON has it."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        begun = time.monotonic()
        while not self.evaluate(condition):
            assert time.monotonic() - begun < PATIENCE, condition
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Write a text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press and release a key."""
        code, text = KEYS[key]
        pressed = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        written = {"text": text} if text and not control else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **written)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def complaints(self) -> list[str]:
        """Return what the console has: errors, broken policies, messages of scripts."""
        self.evaluate("0")
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]


@contextmanager
def browsing(path: str, profile: Path) -> Iterator[Browser]:
    """Start the Chromium at `path`; end it at the end."""
    commands, results = os.pipe(), os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # The browser expects its pipe at the numbers 3 and 4.
    shell = f'exec "$@" 3<&{commands[0]} 4>&{results[1]}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", path, *options],
        pass_fds=(commands[0], results[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(results[1])
    try:
        browser = Browser(commands[1], results[0])
        yield browser
        browser.call("Browser.close")
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(commands[1])
        os.close(results[0])
