"""Rung 10: the command line. Each command is one function that calls one function of the API.

A new command needs one module and one line in this table.
"""

from noizenet.base.registry import Registry

COMMANDS = Registry(
    "command",
    {
        "corpus demo": "noizenet.cli.corpus:demo",
        "corpus build": "noizenet.cli.corpus:build",
        "corpus fetch": "noizenet.cli.corpus:fetch",
        "corpus show": "noizenet.cli.corpus:show",
        "train": "noizenet.cli.train:train",
        "generate": "noizenet.cli.generate:generate",
        "play": "noizenet.cli.play:play",
        "reproduce": "noizenet.cli.reproduce:reproduce",
        "evaluate": "noizenet.cli.evaluate:evaluate",
        "view": "noizenet.cli.view:view",
        "studio": "noizenet.cli.studio:studio",
        "models": "noizenet.cli.models:models",
        "export": "noizenet.cli.export:export",
        "figures": "noizenet.cli.figures:figures",
        "bench": "noizenet.cli.bench:bench",
        "doctor": "noizenet.cli.doctor:doctor",
    },
)
