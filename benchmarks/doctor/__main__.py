"""Does the doctor work? Provoked failures and healthy trainings, what it says of them, and how soon.

python benchmarks/doctor                    # train what is not there yet, judge all, write the table (half an hour)
python benchmarks/doctor --only divergence  # those whose names have this in them
python benchmarks/doctor --judge            # only judge again the runs that are there, as after a change of thresholds
python benchmarks/doctor --pictures         # the pictures of docs/doctor.md
python benchmarks/doctor --cost             # what the doctor costs of a training's time

Runs stay in runs/doctor; results go to benchmarks/results/doctor.jsonl, one line a run, and as tables into
docs/doctor.md.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are small

import torch
from cases import CASES

import results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--half", choices=results.PARTS)
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pictures:
        import pictures

        pictures.draw_all()
    elif options.cost:
        import cost

        cost.measure()
    else:
        if not options.judge:
            results.run([c for c in CASES if options.only in c.name and options.half in (None, c.half)])
        results.judge_again()
        print(results.write_tables())


if __name__ == "__main__":
    main()
