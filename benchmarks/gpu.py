"""Run on a machine with a CUDA device: the tests of its kernels, and how fast they are beside other optimizers.

``python benchmarks/gpu.py`` takes less than nine minutes and writes ``gpu.json`` and ``gpu.png``; ``--help`` lists the
options. It needs this package with its extra ``torch``, a torch with CUDA and Triton, pytest and matplotlib.
``--device cpu --tiny`` goes through the same code without a device, in a minute: what it writes is no figure.
"""

import sys

from bench.gpu.command import main

if __name__ == "__main__":
    sys.exit(main())
