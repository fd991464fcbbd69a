#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Extended attributes, with -o xattr: the lease as user.lease, all others as on a tmpfs (see also twin.sh), and the programs that copy them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

with_xattr() { start -o allow_other,xattr "$@"; }

# value PATH NAME: nothing but the value.
value() { getfattr --only-values -h -n "$2" "$1"; }
lease_of() { value "$1" user.lease; }
no_lease() { fails 'No such attribute' "getfattr -n user.lease '$1'"; }

# attributes DIRECTORY: of everything in it, in one order.
attributes() { (cd "$1" && find . -mindepth 1 | sort | xargs getfattr -d -h -m - --absolute-names); }

as() { setpriv --reuid "$1" --regid "$1" --groups "$2" "${@:3}"; }

test_own_without_the_option_there_are_none() {
  local option
  for option in '' -onoxattr -oxattr,noxattr; do
    start ${option:+"$option"}
    lease a 100
    echo v >key
    fails 'Operation not supported' 'setfattr -n user.one -v 1 key'
    fails 'Operation not supported' 'getfattr -n user.lease key'
    fails 'Operation not supported' 'setfattr -n user.lease -v a key'
    fails 'Operation not supported' 'getfattr -d key'
    stop
  done
}

test_own_the_attribute_attaches_and_detaches() {
  with_xattr
  lease a 100
  lease b 100
  echo v >key
  mkdir dir
  no_lease key
  setfattr -n user.lease -v a key dir
  is a lease_of key
  is $'dir\nkey' cat leases/a/keys
  is $'# file: key\nuser.lease="a"' getfattr -d key
  echo v >dir/child
  is a lease_of dir/child
  setfattr -n user.lease -v b key
  is key cat leases/b/keys
  echo -key >leases/b/keys
  no_lease key
  is '' getfattr -d key
  setfattr -x user.lease dir
  fails 'No such attribute' 'setfattr -x user.lease dir'
  rmdir leases/a
  gone dir/child
  is v cat key
  stop
}

test_own_errors_are_those_of_keys() {
  with_xattr
  mkdir leases/reserved
  lease a 100
  echo v >key
  echo v >leases/a/inside
  lease b 100
  fails 'No such file' 'setfattr -n user.lease -v none key'
  fails 'No such file' 'setfattr -n user.lease -v "" key'
  fails 'Invalid argument' 'setfattr -n user.lease -v reserved key'
  fails 'Invalid argument' 'setfattr -n user.lease -v b leases/a'
  fails 'Invalid argument' 'setfattr -n user.lease -v b leases'
  fails 'Invalid argument' 'setfattr -n user.lease -v b leases/a/inside'
  fails 'not supported' 'setfattr -n user.lease -v b leases/a/ttl'
  fails 'not supported' 'setfattr -n user.one -v b leases/a/keys'
  fails 'No such attribute' 'getfattr -n user.one leases/a/keys'
  is '' getfattr -d leases/a/ttl leases/a leases/.metrics
  fails 'not supported' 'setfattr -n user.one -v b leases/.metrics'
  is a lease_of leases/a
  is a lease_of leases/a/inside
  python3 - <<'PYTHON'
import errno, os

def refused(error, flags):
    try:
        os.setxattr('key', 'user.lease', b'a', flags)
    except OSError as failure:
        assert failure.errno == error, failure
    else:
        raise SystemExit('not refused')

refused(errno.ENODATA, os.XATTR_REPLACE)
os.setxattr('key', 'user.lease', b'b', os.XATTR_CREATE)
refused(errno.EEXIST, os.XATTR_CREATE)
os.setxattr('key', 'user.lease', b'a', os.XATTR_REPLACE)
assert os.getxattr('key', 'user.lease') == b'a'
PYTHON
  stop
}

# Nothing of them is cached, or shown by a descriptor that is still open.
test_own_from_the_deadline_on_there_are_none() {
  with_xattr
  python3 - <<'PYTHON'
import errno, os, time

def refused(error, call, *arguments):
    try:
        call(*arguments)
    except OSError as failure:
        assert failure.errno == error, failure
    else:
        raise SystemExit('not refused')

os.mkdir('leases/a')
def grant(seconds):
    with open('leases/a/ttl', 'w') as ttl:
        ttl.write(seconds)

with open('key', 'w') as key:
    grant('1000')
    os.setxattr('key', 'user.lease', b'a')
    os.setxattr('key', 'user.one', b'1')
    assert os.listxattr('key') == ['user.lease', 'user.one']
    grant('0.1')
    time.sleep(0.1)
    refused(errno.ENOENT, os.getxattr, 'key', 'user.lease')
    refused(errno.ENOENT, os.listxattr, 'key')
    refused(errno.ESTALE, os.getxattr, key.fileno(), 'user.one')
    refused(errno.ESTALE, os.setxattr, key.fileno(), 'user.one', b'2')
    refused(errno.ESTALE, os.removexattr, key.fileno(), 'user.lease')
PYTHON
  stop
}

# Alice has the lease, bob is in the group that may write to `keys`, carol is not.
test_own_who_may_attach_is_who_may_by_keys() {
  local alice=61001 bob=61002 carol=61003 team=61009
  with_xattr
  chmod 755 "$work"
  as "$alice" "$team" sh -c 'mkdir leases/a && echo 100 >leases/a/ttl && chgrp 61009 leases/a && chmod 664 leases/a/keys && echo v >alices'
  as "$bob" "$team" sh -c 'echo v >bobs'
  as "$carol" "$carol" sh -c 'echo v >carols; chmod 666 carols'
  as "$alice" "$alice" setfattr -n user.lease -v a alices
  as "$bob" "$team" setfattr -n user.lease -v a bobs
  is $'alices\nbobs' cat leases/a/keys
  fails 'Permission denied' "as $bob $bob setfattr -x user.lease bobs"
  fails 'Permission denied' "as $carol $carol setfattr -n user.lease -v a carols"
  fails 'not permitted' "as $bob $team setfattr -n user.lease -v a carols"
  fails 'Permission denied' "as $bob $team setfattr -x user.lease alices"
  fails 'not permitted' 'setfattr -n user.lease -v a carols'
  is a as "$carol" "$carol" getfattr --only-values -n user.lease alices
  as "$bob" "$team" setfattr -x user.lease bobs
  setfattr -x user.lease alices
  setfattr -n user.lease -v a alices
  is alices cat leases/a/keys
  as "$alice" "$alice" chmod 700 leases/a
  fails 'Permission denied' "as $bob $team setfattr -n user.lease -v a bobs"
  stop
}

# fill FILE COUNT: that many attributes of 1000 bytes.
fill() {
  python3 -c "
import os
for i in range($2): os.setxattr('$1', f'user.{i}', b'x' * 1000)"
}
used() { stat -f -c '%b %f' . | awk '{ print $1 - $2 }'; }

test_own_they_count_in_the_limit() {
  local before
  with_xattr -o size=1m
  echo v >key
  before=$(used)
  fill key 100
  [ "$(used)" -gt $((before + 24)) ]
  fails 'No space left' 'fill key 1000'
  fails 'No space left' 'head -c 100000 /dev/zero >large'
  rm -f key large
  wait_until is "$before" used_without_key
  stop
}
used_without_key() {
  echo v >key
  used
  rm key
}

test_own_a_state_file_keeps_them() {
  source=$state with_xattr
  lease a 1000
  echo v >key
  mkdir dir
  setfattr -n user.one -v 1 key dir
  setfattr -n user.two -v 2 key
  setfattr -n trusted.empty -v '' key
  setfattr -x user.two key
  setfattr -n user.lease -v a dir
  ln key other
  attributes . >"$work/before"
  grep -q user.lease "$work/before"
  crash
  source=$state with_xattr
  attributes . | diff "$work/before" -
  stop
  # Where the option is left out they wait for it.
  source=$state start
  fails 'Operation not supported' 'getfattr -n user.one key'
  mv key moved
  stop
  source=$state with_xattr
  is 1 value moved user.one
  rm moved other
  stop
  is 1 sqlite3 "$state" 'SELECT count(*) FROM xattr'
}

# Of files and a directory, with what a program may get wrong: no bytes, all bytes, many.
make_attributes() {
  mkdir -p "$1/dir"
  echo one >"$1/file"
  echo two >"$1/dir/file"
  echo three >"$1/plain"
  ln -s file "$1/link"
  setfattr -n user.text -v 'some text' "$1/file" "$1/dir"
  setfattr -n user.empty -v '' "$1/file"
  setfattr -n user.bytes -v 0x00ff000a "$1/dir/file"
  setfattr -n user.large -v "$(head -c 20000 /dev/zero | tr '\0' x)" "$1/dir/file"
}

# copies_both_ways COPY: `COPY FROM TO` takes all of a directory into another, new one.
copies_both_ways() {
  local copy=$1
  mkdir "$work/outside"
  mount -t tmpfs none "$work/outside"
  with_xattr
  make_attributes "$work/outside/from"
  attributes "$work/outside/from" >"$work/expected"
  [ "$(grep -c '^user' "$work/expected")" = 5 ]
  "$copy" "$work/outside/from" "$mnt/here"
  attributes here | diff "$work/expected" -
  diff -r --no-dereference "$work/outside/from" here
  "$copy" "$mnt/here" "$work/outside/back"
  attributes "$work/outside/back" | diff "$work/expected" -
  "$copy" "$mnt/here" "$mnt/again"
  attributes again | diff "$work/expected" -
  stop
  umount "$work/outside"
  rmdir "$work/outside"
}

by_cp_a() { cp -a "$1" "$2"; }
by_cp_preserve() { cp -r --preserve=xattr "$1" "$2"; }
by_rsync() { rsync -aX "$1/" "$2"; }
by_tar() {
  mkdir "$2"
  tar -C "$1" --xattrs -cf - . | tar -C "$2" --xattrs -xf -
}

test_own_cp_copies_them() { copies_both_ways by_cp_a; }
test_own_cp_copies_them_without_other_metadata() { copies_both_ways by_cp_preserve; }
test_own_rsync_copies_them() { copies_both_ways by_rsync; }
test_own_tar_copies_them() { copies_both_ways by_tar; }

test_own_a_copy_is_attached_as_well_if_the_lease_lives() {
  local by
  mkdir "$work/outside"
  mount -t tmpfs none "$work/outside"
  with_xattr
  lease a 100
  mkdir from
  echo v >from/key
  setfattr -n user.lease -v a from/key
  for by in cp_a cp_preserve rsync tar; do
    "by_$by" from "$by"
    is a lease_of "$by/key"
    "by_$by" from "$work/outside/$by"
    is a lease_of "$work/outside/$by/key"
  done
  is $'cp_a/key\ncp_preserve/key\nfrom/key\nrsync/key\ntar/key' cat leases/a/keys
  # An editor's new version, by way of a temporary file.
  rsync -X from/key cp_a/key
  rmdir leases/a
  for by in cp_a cp_preserve rsync tar; do gone "$by/key"; done
  # Back again, without the lease: the value comes, and the program says what does not.
  fails "No such file or directory" "cp --preserve=xattr '$work/outside/cp_a/key' one"
  fails "No such file or directory" "rsync -X '$work/outside/cp_a/key' two"
  is $'v\nv' cat one two
  no_lease one
  no_lease two
  # Or with nothing said.
  rsync -X --filter='-x user.lease' "$work/outside/cp_a/key" three
  tar -C "$work/outside/cp_a" --xattrs -cf - key | tar --xattrs --xattrs-exclude=user.lease -xf -
  is $'v\nv' cat three key
  stop
  umount "$work/outside"
  rmdir "$work/outside"
}

test_own_setuid_bits_go_as_they_should() {
  with_xattr -o suid
  chmod 755 "$work"
  local way
  for way in 'echo v >>key' 'echo v >key' 'truncate -s 1 key' 'chgrp 61001 key' 'fallocate -l 10 key'; do
    echo value >key
    chown 61001:61001 key
    chmod 6755 key
    as 61001 61001 sh -c "$way"
    is 755 stat -c %a key
  done
  stop
}

run_tests
