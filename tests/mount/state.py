#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What state.sh cannot say well in a shell. The first argument says what to do; all of it is about the mount that is
the current directory.

dump             all that is there, to be compared with what is there later
refused ERRNO... makes calls of all kinds; each must fail with one of these errors, and change nothing
put NAME         puts to NAME0, NAME1, ... without end; prints each that was acknowledged
flood SECONDS    puts of 64 KiB for so long
pieces SIZE      writes a file in pieces of 128 KiB; prints how long its first and its last quarter took, in ms
sync             fsync, fdatasync, syncfs
"""
import errno
import hashlib
import os
import stat
import subprocess
import sys
import time

PIECE = 128 * 1024


def runs(path, size):
    """The pieces of a file that are no holes, for files that are not all data or all hole."""
    found = []
    with open(path, 'rb', buffering=0) as file:
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))
    return found


def digest(path, pieces):
    summary = hashlib.sha256()
    with open(path, 'rb', buffering=0) as file:
        for start, end in pieces:
            file.seek(start)
            summary.update(file.read(end - start))
    return summary.hexdigest()


def describe(path, numbers):
    """One line on what is at the path. Files of one inode have one number."""
    st = os.lstat(path)
    words = [path, oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, st.st_rdev,
             numbers.setdefault(st.st_ino, len(numbers))]
    parts = (path + '/').split('/')
    if parts[1] == 'leases' and parts[3:4] and parts[3] in ('ttl', 'granted', 'keys', 'procs'):
        if parts[3] != 'ttl':
            words.append(open(path, encoding='ascii').read())
        return words
    if parts[1] != 'leases' or len(parts) != 4:
        words += [st.st_mtime_ns, st.st_ctime_ns]
    if stat.S_ISREG(st.st_mode):
        pieces = runs(path, st.st_size)
        words += [st.st_size, pieces, digest(path, pieces)]
    elif stat.S_ISLNK(st.st_mode):
        words.append(os.readlink(path))
    elif stat.S_ISDIR(st.st_mode):
        words.append(os.listdir(path))
    return words


def dump():
    """Everything, in the order of the names; the order of listings is in the lines of directories."""
    numbers = {}
    lines = [describe('.', numbers)]
    for directory, names, files in os.walk('.'):
        names.sort()
        for name in sorted(names + files):
            lines.append(describe(os.path.join(directory, name), numbers))
    return lines


def write(path, data, flags=0, offset=None):
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        if offset is None:
            os.write(fd, data)
        else:
            os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


def calls():
    """Calls on what make_things of state.sh has made."""
    return [
        lambda: write('new', b'', os.O_CREAT | os.O_EXCL),
        lambda: write('key', b'more', os.O_APPEND),
        lambda: write('key', b'other', 0, 1),
        lambda: write('large', b'x' * 5000, 0, 70000),
        lambda: os.truncate('large', 10),
        lambda: os.truncate('large', 10000000),
        lambda: os.mkdir('newdir'),
        lambda: os.symlink('target', 'newlink'),
        lambda: os.mkfifo('newfifo'),
        lambda: os.link('key', 'newname'),
        lambda: os.rename('key', 'renamed'),
        lambda: os.rename('key', 'large'),
        lambda: os.unlink('key'),
        lambda: os.rmdir('empty'),
        lambda: os.chmod('key', 0o600),
        lambda: os.chown('key', 5, 5),
        lambda: os.utime('key', ns=(1, 1)),
        lambda: os.mkdir('leases/new'),
        lambda: write('leases/a/ttl', b'200\n'),
        lambda: write('leases/a/keys', b'key\nlarge\n'),
        lambda: write('leases/a/keys', b'-leased\n'),
        lambda: os.rename('key', 'leases/a/x'),
        lambda: os.chmod('leases/a/keys', 0o664),
        lambda: os.rmdir('leases/a'),
    ]


def refused(errors):
    known = [getattr(errno, name) for name in errors]
    before = dump()
    for number, call in enumerate(calls()):
        try:
            call()
            sys.exit(f'call {number} has succeeded')
        except OSError as error:
            if error.errno not in known:
                sys.exit(f'call {number}: {error}')
        after = dump()
        if after != before:
            changed = [line for line in before + after if (line in before) != (line in after)]
            sys.exit(f'call {number} was refused, but has changed something:\n' +
                     '\n'.join(map(str, changed)))


def put(name):
    number = 0
    while True:
        write(f'{name}{number % 100}', b'%d ' % number * 200, os.O_CREAT | os.O_TRUNC)
        print(number, flush=True)
        number += 1


def flood(seconds):
    end = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < end:
        write(f'flood{number % 50}', os.urandom(8) * 8192, os.O_CREAT | os.O_TRUNC)
        number += 1
    print(number * 65536)


def pieces(size):
    count = int(size) // PIECE
    data = os.urandom(PIECE)
    times = []
    fd = os.open('pieces', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in range(count):
        if number % (count // 4) == 0:
            times.append(time.monotonic())
        os.write(fd, data)
    times.append(time.monotonic())
    os.close(fd)
    print(round((times[1] - times[0]) * 1000), round((times[4] - times[3]) * 1000))


def sync():
    for path, flags in (('key', os.O_RDWR), ('.', os.O_RDONLY), ('leases', os.O_RDONLY)):
        fd = os.open(path, flags)
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(fd)
    subprocess.run(['sync', '-f', '.'], check=True)


def main():
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == 'dump':
        for line in dump():
            print(*line)
    elif what == 'refused':
        refused(arguments)
    else:
        {'put': put, 'flood': flood, 'pieces': pieces, 'sync': sync}[what](*arguments)


if __name__ == '__main__':
    main()
