#!/usr/bin/env python3
"""Compares how gateways in front of one stdio server treat their clients.

    python3 compare.py [GATEWAY ...]

Prints a table in Markdown, with one column per gateway. Missing gateways are installed by npm,
pip and cargo into the directory of the benchmark. The variable REJOIN replaces the path
target/debug/rejoin.
"""

import sys

import probes
import systems


def run_probe(system, probe):
    """Runs a probe with a new gateway process: some probes break some gateways."""
    try:
        with systems.Running(system) as running:
            return probe(probes.Subject(running))
    except Exception as error:  # The error becomes the cell of the table.
        return f"{type(error).__name__}: {str(error)[:60]}"


def main():
    names = sys.argv[1:] or list(systems.ALL)
    chosen = [systems.ALL[name] for name in names]
    print("| |", " | ".join(system.name for system in chosen), "|")
    print("|---|" + "---|" * len(chosen))
    for title, probe in probes.ALL.items():
        cells = [run_probe(system, probe) for system in chosen]
        print(f"| {title} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
