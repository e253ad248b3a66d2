"""Rung 8: the studio, a web page on this computer where everything that the command line does is done and heard.

One process serves the page, streams each listener an instrument of its own, and keeps a queue of trainings and
evaluations, which run as processes of their own: they go on when the page is closed or the server restarts.
"""
