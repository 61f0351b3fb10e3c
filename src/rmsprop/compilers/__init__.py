"""One module a compiler: each loads, applies `rmsprop._rule.update`, and stores."""
