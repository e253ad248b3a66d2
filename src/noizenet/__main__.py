"""``python -m noizenet``."""

from noizenet.cli.main import run

run()
