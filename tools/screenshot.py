"""Draw ``docs/studio.png``, the screenshot in the README: ``python tools/screenshot.py [--seconds 24]``.

Starts the studio, plays the default model in Debian's Chromium (``noizenet[dev]`` brings Playwright) and writes a
picture of the page.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def main() -> None:
    """Write the screenshot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=24.0, help="of playback before the screenshot")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studio.png")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1480)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "noizenet", "studio", "--port", "0", "--data", data]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as studio:
            assert studio.stdout is not None
            try:
                home = re.search(r"http://\S+/", studio.stdout.readline())
                assert home is not None, "the studio did not start"
                take_screenshot(home[0], o)
            finally:
                studio.terminate()


def take_screenshot(home: str, o: argparse.Namespace) -> None:
    """Play in a browser, and write the screenshot of the page."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(
            viewport={"width": o.width, "height": o.height}, color_scheme=o.scheme, device_scale_factor=1
        )
        page.goto(home)
        for _ in range(300):  # the page's security policy blocks Playwright's own waiting
            if page.evaluate("document.querySelectorAll('#model option').length"):
                break
            page.wait_for_timeout(100)
        page.click("#play")
        page.wait_for_timeout(1000 * o.seconds)
        page.screenshot(path=o.out)
        browser.close()


if __name__ == "__main__":
    main()
