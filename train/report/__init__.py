"""Everything that a run folder holds beside the weights: results.json, tables, figures, the card.

May import: space, space.inference, space.results, train.common, train.config, train.models, train.data,
train.evaluation, train.attention, train.engine.
"""
