"""A lung segmenter: its network, training, Dice, and the folder that it is saved in.

May import: space, space.imaging, space.inference, space.results, train.common, train.config, train.models, train.data,
train.batches, train.engine, train.evaluation.
"""
