"""What a run folder records in results.json: how the model was made, and every number that was measured.

May import: space, space.inference.
"""
