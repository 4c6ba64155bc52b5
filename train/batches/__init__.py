"""The batches of training: which images, in which order, augmented how.

May import: space, train.config, train.data.
"""
