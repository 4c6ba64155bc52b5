"""What a finished model depends on: parts of images are hidden or replaced.

May import: space, space.results, train.data, train.models, train.evaluation.
"""
