"""Replaying a gap file through Matomo's bulk tracking API: each hit at most once.

No SSH, no Matomo, no database here: who knows whether a batch was recorded is given to the run
(``run.Mark``).
"""
