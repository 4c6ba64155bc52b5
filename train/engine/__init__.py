"""The training loop and what it needs: schedule, control, checkpoints, threads, signals.

May import: space, train.common, train.config, train.models, train.data, train.batches, train.evaluation.
"""
