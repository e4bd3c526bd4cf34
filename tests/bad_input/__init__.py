"""Wrong command lines, files and configurations through all doors: each ends with one line.

python -m tests.bad_input            (make bad-input) prints every row with its line
python -m tests.bad_input image_table    only the rows with this word
"""
