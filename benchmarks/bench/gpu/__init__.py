"""One run on a CUDA device, in less than nine minutes.

`contenders` says who steps, `measure` times them on tensors of several sizes, `command` runs the tests of the kernels
before, `plot` draws what was found.
"""
