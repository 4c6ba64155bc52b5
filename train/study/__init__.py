"""Which factors matter: a recipe and its variations over several seeds, and the report.

May import: space, space.results, train.common, train.config, train.models, train.data, train.evaluation, train.engine,
train.report.
"""
