"""Measure a step of RMSprop: beside other optimizers, the limit of memory, the start of a process, the memory taken.

`command` reads the command line, `measure` makes the rows of a report, `report` and `plot` show them.
"""
