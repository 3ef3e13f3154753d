"""Room ``paper``: the tables, figures and experiments of the PAT paper, and the tables of ours beside them: ``paper``.

Uses ``training``, whose runs it repeats, and ``speed``, which measures for Table 2 and Figure 5.
"""

import argparse

from . import figure3, figure5, runs, table1, table2

PARTS = (table1, figure3, table2, runs, figure5)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("paper", help="the tables and figures of the PAT paper, and its experiments")
    parts = parser.add_subparsers(required=True, metavar="PART")
    for part in PARTS:
        part.add_parser(parts)
