"""Reproductions of figures: a protocol trains, judges, keeps every result, and writes its table into docs/results.md.

python benchmarks/reproduce ring                  # all rows, five seeds; what is there already is not run again
python benchmarks/reproduce ring --only pacgan gan --seeds 1 --jobs 2
python benchmarks/reproduce grid
python benchmarks/reproduce images --datasets DIR # where the real sets lie; also $KALLIMA_DATA, else ../shared/data
python benchmarks/reproduce cost                  # time a step of each row beside the plain game, in one run
python benchmarks/reproduce table                 # only write the tables again
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are small: one thread each, several jobs at once

import entries
import gallery
import images
import places
import ring

import results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ring", "grid", "images", "cost", "table"])
    parser.add_argument("--seeds", type=int, help="how many; without it 5, and as many as each entry of images says")
    parser.add_argument("--only", nargs="+", metavar="ROW")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--datasets", metavar="DIR", help="where the real data sets lie, a folder each")
    options = parser.parse_args()
    if options.datasets:
        os.environ[places.VARIABLE] = options.datasets
    known = list(entries.ENTRIES if options.what == "images" else ring.ROWS)
    names = options.only or known
    for name in names:
        if name not in known:
            parser.error(f"no row '{name}': choose from {'; '.join(known)}")
    if options.what == "cost":
        ring.measure_cost(names)
    elif options.what == "images":
        images.run(names, options.seeds, options.jobs)
    elif options.what != "table":
        ring.run(options.what, names, options.seeds or 5, options.jobs)
    results.write_section("ring and grid", ring.tables())
    results.write_section("images", images.tables())
    gallery.write()


if __name__ == "__main__":
    main()
