"""Compiled parts that representations and networks share."""
