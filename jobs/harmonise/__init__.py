"""Harmonising as rules that can be read: what is measured, in which units, within which limits, and what codes mean.

The rules are data, in YAML beside this file; the modules here turn them into columns of the engine (row rules at load)
and into small tables (dbt). There is one home of every figure.
"""
