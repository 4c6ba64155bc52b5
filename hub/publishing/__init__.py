"""Pushes to the Hub: what may go, one checked commit, and the Space.

May import: space, space.inference, space.results, train.common, train.data, train.report, hub.layouts, hub.dataset.
"""
