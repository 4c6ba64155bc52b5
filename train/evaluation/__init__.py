"""Scores in, numbers with intervals out; and what a finished model looks at.

May import: space, space.inference, space.results, train.config, train.data, train.models.
"""
