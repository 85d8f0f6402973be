"""`debug=profile`: where the time of a run's rounds goes.

`timer.py` divides seconds among parts, `parts.py` says which functions are which part, `profile.py` measures a run and
writes the table. Without the option nothing of it is imported, and no function is wrapped.
"""
