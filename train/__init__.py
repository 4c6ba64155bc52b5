"""From a dataset to a run folder: `train/finetune.py`, `python -m train.predict`, `python -m train.study`.

May import: space.
"""
