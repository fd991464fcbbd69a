#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What systemd's journal, or syslog, gets to hear.

    journal.py listen FILE           takes what is sent to their sockets, and appends it to FILE
    journal.py with-stderr COMMAND   runs COMMAND with stderr connected to the journal, as systemd does

An entry of the journal is a paragraph of FILE, a line for each field; a message to syslog is one of a single line that
begins with "SYSLOG="; text that came over a connected stream of one that begins with "STREAM=".
"""
import os
import selectors
import socket
import struct
import sys

JOURNAL = '/run/systemd/journal/socket'
STREAM = '/run/systemd/journal/stdout'
SYSLOG = '/dev/log'


def fields_of(data):
    """See https://systemd.io/JOURNAL_NATIVE_PROTOCOL/"""
    while data:
        line, data = data.split(b'\n', 1)
        name, equals, value = line.partition(b'=')
        if not equals:
            size, = struct.unpack('<Q', data[:8])
            value, data = data[8:8 + size], data[8 + size + 1:]
        yield name + b'=' + value


def listen(path):
    output = open(path, 'ab', buffering=0)
    selector = selectors.DefaultSelector()

    def write(lines):
        output.write(b''.join(line.replace(b'\n', b'\\n') + b'\n' for line in lines) + b'\n')

    def take_entry(server):
        write(fields_of(server.recv(1 << 20)))

    def take_syslog(server):
        write([b'SYSLOG=' + server.recv(1 << 16).rstrip(b'\0')])

    def take_text(connection):
        text = connection.recv(1 << 16)
        if text:
            write([b'STREAM=' + text])
        else:
            selector.unregister(connection)

    def take_connection(server):
        selector.register(server.accept()[0], selectors.EVENT_READ, take_text)

    for address, kind, take in ((JOURNAL, socket.SOCK_DGRAM, take_entry), (SYSLOG, socket.SOCK_DGRAM, take_syslog),
                                (STREAM, socket.SOCK_STREAM, take_connection)):
        if not os.path.isdir(os.path.dirname(address)):
            continue
        server = socket.socket(socket.AF_UNIX, kind)
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        selector.register(server, selectors.EVENT_READ, take)
    open(path + '.ready', 'w').close()
    while True:
        for key, _ in selector.select():
            key.data(key.fileobj)


def run_with_stderr(command):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(STREAM)
    os.dup2(stream.fileno(), 2)
    os.execvp(command[0], command)


if __name__ == '__main__':
    if sys.argv[1] == 'listen':
        listen(sys.argv[2])
    else:
        run_with_stderr(sys.argv[2:])
