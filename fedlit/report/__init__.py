"""`python -m fedlit.report <run or sweep folder> [...]`: tables, figures and one page of runs that are finished or go on.

Read in this order: `options`, `varied_keys`, `grid`, `columns`, `results`, `comparisons`, then what writes files.
"""
