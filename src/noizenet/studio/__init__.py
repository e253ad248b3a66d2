"""Layer 8: the studio, a local web page with the functions of the command line and real-time playback.

One process serves the page, streams a separate instrument to each listener, and keeps a queue of trainings and
evaluations. These run as separate processes: they continue when the page is closed or the server restarts.
"""
