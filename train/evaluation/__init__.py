"""Scores in, numbers with intervals out; and where a finished model's maps lie.

May import: space, space.inference, space.results, train.config, train.data, train.models.
"""
