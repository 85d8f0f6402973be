"""Published values of an experiment, measured again: `python -m fedlit.reproduce experiment=flamby_heart`."""
