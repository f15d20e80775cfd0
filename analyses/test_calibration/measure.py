"""Measurements beside the promises: what corrected rules cost, and checks of single choices.

python analyses/test_calibration/measure.py NAME [NAME ...]      # prints the tables of these modules of `promises`
"""

import argparse
from importlib import import_module

NAMES = {
    "power": "how often tests and verdicts see what is there, by earlier rules and those of today",
    "power_of_circuits": "the same for tests of circuits",
    "other_intervals": "coverage and width of other intervals of a mean",
    "levels_over_pools": "two levels of the page of validity again, over many pools of random circuits",
    "matched_heads": "answers for models whose heads stand in another order, through their match",
    "noisy_ladders": "verdicts on jumps under more noise and with several runs",
}


def main() -> None:
    lines = "\n".join(f"  {name:18} {about}" for name, about in NAMES.items())
    parser = argparse.ArgumentParser(epilog=lines, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME")
    for name in parser.parse_args().names:
        import_module(f"promises.{name}").main()


if __name__ == "__main__":
    main()
