#!/usr/bin/env python3
"""What happens to clients of several gateways in front of one stdio server.

    python3 compare.py [GATEWAY ...]

Prints a table in Markdown, with a column for each gateway. Installs what is missing by
npm, pip and cargo into the folder of the benchmark. REJOIN names another program than
target/debug/rejoin.
"""

import sys

import probes
import systems


def probe(system, try_it):
    """Each probe has a gateway of its own: many do not survive some of them."""
    try:
        with systems.Running(system) as running:
            return try_it(probes.Subject(running))
    except Exception as error:  # A cell of the table says what went wrong.
        return f"{type(error).__name__}: {str(error)[:60]}"


def main():
    names = sys.argv[1:] or list(systems.ALL)
    chosen = [systems.ALL[name] for name in names]
    print("| |", " | ".join(system.name for system in chosen), "|")
    print("|---|" + "---|" * len(chosen))
    for title, try_it in probes.ALL.items():
        cells = [probe(system, try_it) for system in chosen]
        print(f"| {title} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
