"""The harness that looks for what breaks: ``make robust``; docs/reliability.md says what it found."""
