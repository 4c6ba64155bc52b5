"""Recipes: strict TOML in, checked dataclasses out.

May import: space.
"""
