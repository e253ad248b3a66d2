"""Rung 0: errors, configuration, registries, safe files and seeds. Standard library only."""
