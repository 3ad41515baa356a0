"""Reproductions of figures: a protocol trains, judges, keeps every result, and writes its table into docs/results.md.

python benchmarks/reproduce ring                  # all rows, five seeds; what is there already is not run again
python benchmarks/reproduce ring --only pacgan gan --seeds 1 --jobs 2
python benchmarks/reproduce grid
python benchmarks/reproduce cost                  # time a step of each row beside the plain game, in one run
python benchmarks/reproduce table                 # only write the tables again
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are small: one thread each, several jobs at once

import ring

import results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ring", "grid", "cost", "table"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(ring.ROWS), default=list(ring.ROWS), metavar="ROW")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.what == "cost":
        ring.measure_cost(options.only)
    elif options.what != "table":
        ring.run(options.what, options.only, options.seeds, options.jobs)
    results.write_section("ring and grid", ring.tables())


if __name__ == "__main__":
    main()
