"""Run the benchmark: ``make bench``, or ``python benchmarks/run.py --help``."""

import sys

from bench.command import main

if __name__ == "__main__":
    sys.exit(main())
