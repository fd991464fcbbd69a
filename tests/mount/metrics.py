#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads the text format of Prometheus, version 0.0.4, as strictly as it is written down, and stricter: what tools
put up with is refused too. The first argument says what to do:

check FILE...       each must be such a text
series FILE         prints all series, without their values
strict FILE         texts that are wrong in one place each, made from that one, must be refused
pieces FILE         reads it in pieces of all kinds while leases come and go beside it: each time one and the same text
together FILE       many processes read it at the same time while leases come and go: each time a text
"""
import math
import mmap
import multiprocessing
import os
import re
import subprocess
import sys

PREFIX = 'leasefs_'
TYPES = {'counter', 'gauge', 'histogram'}
NAME = r'[a-zA-Z_][a-zA-Z0-9_]*'
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? ([^ ]+)')
LABEL = re.compile(rf'({NAME})="((?:[^"\\]|\\[\\"n])*)"(?:,|$)')
NUMBER = re.compile(r'[0-9]+(\.[0-9]+)?')
# Units are those without a prefix, in full.
NO_UNITS = re.compile(r'_(ms|us|ns|milliseconds|microseconds|nanoseconds|minutes|hours|kb|mb|kib|mib|kilobytes)(_|$)')


class Wrong(Exception):
    pass


def require(condition, line, what):
    if not condition:
        raise Wrong(f'{what}: {line!r}')


class Family:
    def __init__(self, name, kind):
        self.name = name
        self.kind = kind
        self.samples = {}  # (name, labels) to value


def read_labels(text, line):
    labels = {}
    at = 0
    while at < len(text):
        found = LABEL.match(text, at)
        require(found is not None, line, 'no label')
        require(found[1] not in labels, line, 'a label twice')
        require(found[1] == found[1].lower(), line, 'a label is not in lower case')
        labels[found[1]] = found[2]
        at = found.end()
    return tuple(sorted(labels.items()))


def read_sample(family, line):
    found = SAMPLE.fullmatch(line)
    require(found is not None, line, 'no sample')
    name, labels, value = found[1], read_labels(found[2] or '', line), found[3]
    endings = ('_bucket', '_sum', '_count') if family.kind == 'histogram' else ('',)
    require(name in {family.name + ending for ending in endings}, line, f'not of the family {family.name}')
    require(NUMBER.fullmatch(value) is not None, line, 'no number')
    require((name, labels) not in family.samples, line, 'a series twice')
    family.samples[name, labels] = float(value)


def check_histogram(family):
    name = family.name
    buckets = [(dict(labels), value) for (sample, labels), value in family.samples.items() if sample == name + '_bucket']
    require(all('le' in labels for labels, _ in buckets), name, 'buckets have the label le')
    # What is beside it in all of them, as somebody may have added for all series: see check_family().
    others = {tuple(pair for pair in labels.items() if pair[0] != 'le') for labels, _ in buckets}
    require(len(others) == 1, name, 'more than one histogram')
    others = others.pop()
    bounds = [math.inf if labels['le'] == '+Inf' else float(labels['le']) for labels, _ in buckets]
    counts = [value for _, value in buckets]
    require(bounds == sorted(set(bounds)) and bounds[-1:] == [math.inf], name, 'bounds must rise to +Inf')
    require(counts == sorted(counts), name, 'buckets must be cumulative')
    require((name + '_sum', others) in family.samples, name, 'there must be a sum')
    require(family.samples.get((name + '_count', others)) == counts[-1], name, 'the count is that of the last bucket')


def check_family(family):
    name = family.name
    require(family.samples, name, 'a family without samples')
    require(name.startswith(PREFIX), name, 'the wrong prefix')
    require(name.endswith('_total') == (family.kind == 'counter'), name, 'counters end in _total, and only they')
    require(not NO_UNITS.search(name), name, 'a unit that is none')
    require(not name.endswith(('_bucket', '_sum', '_count')), name, 'an ending for histograms')
    require(len({tuple(label for label, _ in labels if label != 'le') for _, labels in family.samples}) == 1, name,
            'series with different labels')
    if family.kind == 'histogram':
        require(name.endswith('_seconds'), name, 'a histogram without a unit')
        check_histogram(family)


def parse(text):
    """All series, as (name, labels), and their values."""
    require(text.endswith('\n'), text[-80:], 'no newline at the end')
    families = {}
    family = help_of = None
    for line in text[:-1].split('\n'):
        if line.startswith('# HELP '):
            found = re.fullmatch(rf'# HELP ({NAME}) ((?:[^\\]|\\[\\n])+)', line)
            require(found is not None, line, 'no help')
            help_of, family = found[1], None
        elif line.startswith('# TYPE '):
            found = re.fullmatch(rf'# TYPE ({NAME}) ([a-z]+)', line)
            require(found is not None and found[2] in TYPES, line, 'no type')
            require(found[1] == help_of, line, 'no help right before the type')
            require(found[1] not in families, line, 'a family twice')
            families[found[1]] = family = Family(found[1], found[2])
        else:
            require(family is not None, line, 'a sample without a type')
            read_sample(family, line)
    for family in families.values():
        check_family(family)
    return {series: value for family in families.values() for series, value in family.samples.items()}


def read(path):
    with open(path, encoding='utf-8', newline='') as file:
        return file.read()


def written(series):
    name, labels = series
    return name + ('{' + ','.join(f'{label}="{value}"' for label, value in labels) + '}' if labels else '')


def check(*paths):
    for path in paths:
        parse(read(path))


def value_of(text, wanted):
    for series, value in parse(text).items():
        if written(series) == wanted:
            return value
    raise Wrong(f'there is no {wanted}')


def series(path):
    print('\n'.join(map(written, parse(read(path)))))


def strict(path):
    text = read(path)
    parse(text)
    keys = f'{PREFIX}keys '
    bucket = f'{PREFIX}expiry_lag_seconds_bucket{{le="'
    line = re.search(rf'^{keys}.*\n', text, re.M)[0]
    start = text.index(line)
    wrong = {
        'the end is missing': text[:-1],
        'an empty line': text.replace(line, line + '\n'),
        'a series twice': text.replace(line, line * 2),
        'a family twice': text + text,
        'a time stamp': text.replace(line, line[:-1] + ' 1234567890123\n'),
        'no value': text.replace(line, keys + '\n'),
        'a value that is none': text.replace(line, keys + '1x\n'),
        'no type': re.sub(rf'# TYPE {keys}.*\n', '', text),
        'another type': text.replace(f'# TYPE {keys}gauge', f'# TYPE {keys}counter'),
        'no help': re.sub(rf'# HELP {keys}.*\n', '', text),
        'help that is not escaped': text.replace(f'# HELP {keys}', f'# HELP {keys}\\x '),
        'a label that does not end': text.replace('{state="held"}', '{state="held}'),
        'a label that is not escaped': text.replace('{state="held"}', '{state="he\\ld"}'),
        'two labels of a name': text.replace('{state="held"}', '{state="held",state="held"}'),
        'a sample of another family': text.replace(line, PREFIX + 'others 1\n'),
        'a line that is cut': text[:start] + text[start + 3:],
        'a piece that is missing': text[:start - 10] + text[start + 10:],
        'a piece that comes twice': text[:start + 10] + text[start - 10:],
        'no last bucket': re.sub(re.escape(bucket) + r'\+Inf.*\n', '', text),
        'a bucket out of order': text.replace(bucket + '1"', bucket + '3"'),
        'buckets that fall': re.sub(re.escape(bucket) + r'0.001"} .*', bucket + '0.001"} 1000000', text),
        'a count that differs': re.sub(rf'({PREFIX}expiry_lag_seconds_count) .*', r'\1 1000000', text),
        'no sum': re.sub(rf'{PREFIX}expiry_lag_seconds_sum .*\n', '', text),
    }
    for what, wrong_text in wrong.items():
        if wrong_text == text:
            raise SystemExit(f'{what}: that is the same text')
        try:
            parse(wrong_text)
        except Wrong:
            continue
        raise SystemExit(f'{what}: not noticed')


class Bustle:
    """Leases come, are refreshed, and go meanwhile; some have before."""

    SCRIPT = '''
import itertools, os
for turn in itertools.count():
    for i in range(20):
        os.mkdir(f'leases/bustle{i}')
        with open(f'leases/bustle{i}/ttl', 'w') as file: file.write('100')
        with open(f'leases/bustle{i}/key', 'w') as file: file.write('value')
        os.utime(f'leases/bustle{i}')
    for i in range(20):
        os.rmdir(f'leases/bustle{i}')
    if turn == 0:
        print(flush=True)
'''

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, '-c', self.SCRIPT], stdout=subprocess.PIPE)
        self.process.stdout.read(1)
        return self

    def __exit__(self, *_):
        if self.process.poll() is not None:
            raise SystemExit('the bustle has ended')
        self.process.kill()
        self.process.wait()


def in_pieces(fd, size):
    pieces = []
    while piece := os.read(fd, size):
        pieces.append(piece)
    return b''.join(pieces)


def backwards(fd):
    size = os.fstat(fd).st_size
    starts = range(0, size, 500)
    return b''.join(reversed([os.pread(fd, min(500, size - start), start) for start in reversed(starts)]))


def mapped(fd):
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as content:
        return content[:]


def dropped(fd):
    """With the cached pages gone in between, so that all is asked for again."""
    first = os.pread(fd, 3000, 0)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return first + os.pread(fd, 1 << 20, 3000)


WAYS = [lambda fd, size=size: in_pieces(fd, size) for size in (1, 7, 100, 4095, 4096, 4097, 1 << 17)]
WAYS += [backwards, mapped, dropped]


def read_in(way, path):
    fd = os.open(path, os.O_RDONLY)
    text = way(fd)
    again = os.pread(fd, 1 << 20, 0)
    size = os.fstat(fd).st_size
    os.close(fd)
    if not text == again or len(text) != size:
        raise SystemExit(f'{len(text)} bytes were read, then {len(again)}, of a file of {size}')
    return text.decode()


def pieces(path):
    refreshed = f'{PREFIX}leases_refreshed_total'
    seen = 0
    with Bustle():
        for way in WAYS:
            count = value_of(read_in(way, path), refreshed)
            if count < seen:
                raise SystemExit(f'from {seen} to {count}: a text of long ago')
            seen = count
    if seen == 0:
        raise SystemExit('nothing happened meanwhile')


def read_often(path):
    seen = -1
    for i in range(len(WAYS)):
        count = value_of(read_in(WAYS[i], path), f'{PREFIX}requests_total{{operation="lookup"}}')
        if count <= seen:
            raise SystemExit(f'from {seen} to {count}: a text of somebody else')
        seen = count


def together(path):
    with Bustle():
        readers = [multiprocessing.Process(target=read_often, args=(path,)) for _ in range(6)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    if any(reader.exitcode != 0 for reader in readers):
        raise SystemExit('a reader has failed')


if __name__ == '__main__':
    commands = {'check': check, 'series': series, 'strict': strict, 'pieces': pieces, 'together': together}
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except Wrong as error:
        raise SystemExit(str(error))
