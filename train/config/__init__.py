"""Recipes: strict TOML in, checked dataclasses out. Nothing here imports torch.

May import: space, train.common.
"""
