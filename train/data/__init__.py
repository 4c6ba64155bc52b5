"""Datasets and images in: opened splits, decoded pixels, lung masks, copies.

May import: space, space.imaging, space.inference, space.results, train.common, train.models.
"""
