"""``python -m noizenet``."""

from noizenet.cli.main import run

if __name__ == "__main__":  # worker processes load this file once more under another name
    run()
