"""Add a trained model to the package: its weights as float16, with its card.

    python examples/bundle.py MODEL NAME

writes ``src/noizenet/bundled/models/NAME``. The card's last section is kept from the previous model of that name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from noizenet.base.bundled import bundled
from noizenet.store.model import CARD, load, save

SECTION = "\n## Data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    o = parser.parse_args()
    folder = bundled("models").get(o.name, Path("src/noizenet/bundled/models") / o.name)
    previous = (folder / CARD).read_text() if (folder / CARD).exists() else ""
    card = (o.model / CARD).read_text().rstrip() + "\n"
    if SECTION in previous:
        card += SECTION + previous.split(SECTION, 1)[1]
    save(load(o.model), folder, card, half=True)
    print(folder)


if __name__ == "__main__":
    main()
