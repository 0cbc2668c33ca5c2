"""Probes: the code that speaks one protocol once and measures it.

The lowest floor of the house: it knows no targets, no state and no database.
"""
