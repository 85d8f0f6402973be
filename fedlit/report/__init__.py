"""`python -m fedlit.report <run or sweep folder> [...]`: tables, figures and a page of finished and unfinished runs.

Read in this order: `options`, `varied_keys`, `grid`, `columns`, `results`, `comparisons`, then what writes files.
"""
