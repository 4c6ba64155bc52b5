"""The networks: built from a recipe, started from weights, frozen in part, saved as a model repository.

May import: space, space.inference, train.common, train.config.
"""
