"""`make figures`: the claims of papers, measured again on real data. Read `setting.py` first, then `papers.py`."""
