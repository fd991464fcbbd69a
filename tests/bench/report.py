#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says what bench measured: a table for each number of clients, and whether the targets are met.

usage: report.py [-f FIGURE] [-n NOTE]... [-p PICTURE] [-m MARGIN] [-s] TIMES.json
  -f  which figure of each: ns, the median, which is the default, or least, low, high
  -n  a line to print below the tables
  -p  draw PICTURE.svg, with gnuplot, from PICTURE.dat
  -m  targets are missed only if they are missed by more than this factor (default: 1)
  -s  exit with status 1 if one is missed

Times are in microseconds a call. A figure of leasefs is followed by its ratio to the reference that its row names:
the tmpfs for what the kernel has cached, the floor for everything else.
"""

import argparse
import json
import subprocess
import sys

CACHED = ('stat', 'exists-not', 'get', 'pread', 'ls')
LEASEFS = ('memory', 'state')

# Rows, column, its reference (a column; or a column and a row), and how many times as much as that it may take at most.
TARGETS = (
    (('stat', 'exists-not', 'get', 'pread'), 'memory', 'tmpfs', 1.25),
    (('stat', 'exists-not', 'get', 'pread'), 'state', 'tmpfs', 1.25),
    (('put', 'put new', 'delete', 'refresh'), 'memory', 'floor', 1.15),
    (('put', 'put new', 'delete'), 'state', 'floor', 1.6),
    (('refresh',), 'state', 'floor', 1.1),
    (('get',), 'memory', 'Redis', 1 / 10),
    (('get',), 'state', 'Redis', 1 / 10),
    (('put',), 'state', 'Redis', 1),
    (('refresh',), 'memory', 'etcd', 1 / 10),
    (('refresh',), 'state', 'etcd', 1 / 10),
)

# Why a figure is above the floor, where it is known: by row and column.
WORDS = {
    ('put', 'state'): 'put: what a state file adds is a transaction of SQLite.',
    ('put new', 'state'): 'put new: what a state file adds are two transactions of SQLite, one for the name and one for the write.',
    ('delete', 'state'): 'delete: what a state file adds is a transaction of SQLite.',
}


class Times:
    def __init__(self, document, figure='ns'):
        self.document = document
        self.ns = {(f['row'], f['column'], f['clients']): f[figure] for f in document['figures']}

    def get(self, row, column, clients=1):
        """None where there is no such figure."""
        return self.ns.get((row, column, clients))

    def ratio(self, row, column, reference, clients=1):
        ns, reference_ns = self.get(row, column, clients), self.get(row, reference, clients)
        return ns / reference_ns if ns is not None and reference_ns else None


def reference_of(row):
    return 'tmpfs' if row in CACHED else 'floor'


def verdicts(times, margin=1):
    """For each target that was measured: its row, column, reference, limit, ratio, and whether it is met."""
    for rows, column, reference, limit in TARGETS:
        for row in rows:
            ratio = times.ratio(row, column, reference)
            if ratio is not None:
                yield row, column, reference, limit, ratio, ratio <= limit * margin


def say_ratio(ratio):
    """As a factor: below a half, how many times faster."""
    return f'{ratio:.2f}x' if ratio >= 0.5 else f'1/{1 / ratio:.1f}x'


def say_row(times, row, clients, missed):
    cells = [row]
    for column in times.document['columns']:
        ns = times.get(row, column, clients)
        cells.append('-' if ns is None else f'{ns / 1000:.2f}')
        if column in LEASEFS:
            ratio = times.ratio(row, column, reference_of(row), clients)
            cells.append('' if ratio is None else say_ratio(ratio))
    if clients == 1:
        cells.append(reference_of(row))
        cells.append(missed.get(row, ''))
    return cells


def say_verdicts(times, margin):
    """By row: `met`, or which targets are not."""
    said = {}
    for row, column, reference, limit, ratio, met in verdicts(times, margin):
        said.setdefault(row, [])
        if not met:
            said[row].append(f'{column} {say_ratio(ratio)} {reference} > {say_ratio(limit * margin)}')
    return {row: 'not met: ' + ', '.join(missed) if missed else 'met' for row, missed in said.items()}


def words(times, margin=1):
    """A sentence for each target that is not met: what the floor takes, or why."""
    said = []
    for row, column, reference, limit, _, met in verdicts(times, margin):
        floor = times.ratio(row, 'floor', reference)
        if met:
            continue
        if reference != 'floor' and floor is not None and floor > limit * margin:
            said.append(f'{row}: the floor itself takes {say_ratio(floor)} {reference}. That is the kernel and libfuse.')
        elif reference == 'floor' and (row, column) in WORDS:
            said.append(WORDS[row, column])
    return list(dict.fromkeys(said))


def lay_out(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    last = len(widths) - 1
    for line in lines:
        yield '  '.join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()


def tables(times, margin=1):
    missed = say_verdicts(times, margin)
    for clients in times.document['clients']:
        head = [f'us a call, {clients} client' + ('s' if clients > 1 else '')]
        for column in times.document['columns']:
            head += [column, 'ratio'] if column in LEASEFS else [column]
        if clients == 1:
            head += ['ratio to', 'targets']
        rows = [row for row in times.document['rows'] if any(f['row'] == row for f in times.document['figures'])]
        yield '\n'.join(lay_out([head] + [say_row(times, row, clients, missed) for row in rows]))


def draw(times, picture):
    """Bars of the times with one client, on a logarithmic scale."""
    columns = times.document['columns']
    with open(picture + '.dat', 'w') as data:
        print('row', *columns, sep='\t', file=data)
        for row in times.document['rows']:
            cells = [times.get(row, column) for column in columns]
            if any(cells):
                print(row, *('?' if ns is None else ns / 1000 for ns in cells), sep='\t', file=data)
    script = f'''
set terminal svg size 1100,480 font "sans,12" background rgb "white"
set output "{picture}.svg"
set datafile separator "\\t"
set datafile missing "?"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set logscale y
set ylabel "microseconds a call, one client"
set grid ytics
set xtics rotate by -30
set key above autotitle columnhead
plot for [i=2:{len(columns) + 1}] "{picture}.dat" using i:xtic(1)
'''
    subprocess.run(['gnuplot'], input=script, text=True, check=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('-f', choices=('ns', 'least', 'low', 'high'), default='ns')
    parser.add_argument('-n', action='append', default=[])
    parser.add_argument('-p')
    parser.add_argument('-m', type=float, default=1)
    parser.add_argument('-s', action='store_true')
    parser.add_argument('times')
    options = parser.parse_args()
    with open(options.times) as file:
        times = Times(json.load(file), options.f)
    print(*tables(times, options.m), sep='\n\n')
    for lines in words(times, options.m), options.n:
        if lines:
            print('', *lines, sep='\n')
    if options.p:
        draw(times, options.p)
    if options.s and not all(met for *_, met in verdicts(times, options.m)):
        sys.exit(1)


if __name__ == '__main__':
    main()
