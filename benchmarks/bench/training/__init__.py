"""Train steps: forward, backward and an optimizer, whole, beside the model alone.

`jobs` says what is trained, `torch`, `jax`, `keras` and `numpy` train it, `contenders` names who takes part for each
front end, `measure` makes rows of them, `show` prints and `plot` draws them.
"""
