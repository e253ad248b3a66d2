"""Recurrent cells. Each file describes one; :mod:`noizenet.model` registers it with one line."""
