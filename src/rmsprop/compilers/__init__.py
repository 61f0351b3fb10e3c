"""One module a compiler: each loads, applies `rmsprop._core.rule.update`, and stores."""
