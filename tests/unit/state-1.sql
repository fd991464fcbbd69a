-- SPDX-License-Identifier: MIT
-- A state file of schema 1, as a leasefs that knew no other left it at a clean stop. Not to be
-- changed: it stands for all that are still around.
PRAGMA application_id = 1819502195;
PRAGMA user_version = 1;
BEGIN;
CREATE TABLE meta ( -- of the state as a whole
  name TEXT PRIMARY KEY, -- 'next_node': every node.id so far is below it
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('next_node',1048579);
CREATE TABLE node ( -- files, directories, symlinks: what names stand for
  id INTEGER PRIMARY KEY, -- never used again; 1 is the root
  mode INTEGER NOT NULL, -- type and permissions, as stat(2) has them
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  rdev INTEGER NOT NULL,
  size INTEGER NOT NULL,
  atime INTEGER NOT NULL, -- times are nanoseconds since 1970
  mtime INTEGER NOT NULL,
  ctime INTEGER NOT NULL,
  lease INTEGER, -- the lease.id that it is attached to
  target TEXT, -- of a symlink
  data BLOB -- the value's first 4096 bytes, less if the rest is zeros; NULL: a hole
) STRICT;
INSERT INTO node VALUES(1,17407,0,0,0,0,1714979289123456789,1714979289123456789,1795369029970877601,NULL,NULL,NULL);
INSERT INTO node VALUES(2,17407,0,0,0,0,1714979289123456789,1714979289123456789,1795369029970963238,NULL,NULL,NULL);
INSERT INTO node VALUES(3,16877,0,0,0,0,1714979289123456789,1714979289123456789,1795369029971019312,NULL,NULL,NULL);
INSERT INTO node VALUES(4,16877,0,0,0,0,1714979289123456789,1714979289123456789,1795369029971775207,3,NULL,NULL);
INSERT INTO node VALUES(5,33188,0,0,0,6,1714979289123456789,1714979289123456789,1795369029971888415,NULL,NULL,X'68656c6c6f0a');
INSERT INTO node VALUES(6,33188,1000,1000,0,9,1714979289123456789,1714979289123456789,1795369029971941654,3,NULL,X'31302e302e302e370a');
INSERT INTO node VALUES(7,41471,0,0,0,0,1714979289123456789,1714979289123456789,1795369029971993602,NULL,'key1',NULL);
INSERT INTO node VALUES(8,4516,0,0,0,0,1714979289123456789,1714979289123456789,1795369029972046270,NULL,NULL,NULL);
INSERT INTO node VALUES(9,33188,0,0,0,20000,1714979289123456789,1714979289123456789,1795369029972100180,NULL,NULL,NULL);
INSERT INTO node VALUES(10,16877,0,0,0,0,1714979289123456789,1714979289123456789,1795369029971238668,NULL,NULL,NULL);
INSERT INTO node VALUES(11,33188,0,0,0,2,1714979289123456789,1714979289123456789,1795369029971450553,10,NULL,X'780a');
INSERT INTO node VALUES(12,16877,0,0,0,0,1714979289123456789,1714979289123456789,1795369029971508370,NULL,NULL,NULL);
INSERT INTO node VALUES(13,33188,0,0,0,2,1714979289123456789,1714979289123456789,1795369029971508370,10,NULL,X'760a');
CREATE TABLE page ( -- the bytes of values behind the first 4096; what is missing is a hole
  node INTEGER NOT NULL,
  number INTEGER NOT NULL, -- the offset is 4096 times this
  data BLOB NOT NULL, -- less than 4096 bytes if the rest is zeros
  PRIMARY KEY (node, number)
) STRICT, WITHOUT ROWID;
INSERT INTO page VALUES(9,3,X'656e64');
CREATE TABLE name ( -- the entries of directories
  parent INTEGER NOT NULL, -- the node.id of the directory
  name TEXT NOT NULL, -- any bytes, not always UTF-8
  node INTEGER NOT NULL, -- the node.id that it stands for
  position INTEGER NOT NULL, -- its place in listings
  told INTEGER NOT NULL, -- 1: by this name the node was attached
  PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
INSERT INTO name VALUES(1,'fifo',8,21,0);
INSERT INTO name VALUES(1,'hard',6,19,0);
INSERT INTO name VALUES(1,'key1',5,18,0);
INSERT INTO name VALUES(1,'leases',2,16,0);
INSERT INTO name VALUES(1,'services',4,17,1);
INSERT INTO name VALUES(1,'soft',7,20,0);
INSERT INTO name VALUES(1,'sparse',9,22,0);
INSERT INTO name VALUES(2,'a',3,16,0);
INSERT INTO name VALUES(2,'b',10,17,0);
INSERT INTO name VALUES(2,'reserved',12,18,0);
INSERT INTO name VALUES(4,'web',6,16,1);
INSERT INTO name VALUES(10,'inside',11,16,0);
INSERT INTO name VALUES(10,'procs',13,17,0);
CREATE TABLE lease (
  id INTEGER PRIMARY KEY, -- the node.id of its directory
  granted INTEGER, -- the TTL in nanoseconds; NULL: not granted yet
  remaining INTEGER, -- nanoseconds that were left at a clean stop
  ended INTEGER NOT NULL DEFAULT 0, -- 1: it has ended, but its keys are not all removed yet
  ttl_mode INTEGER, -- permissions of its files `ttl`, `granted` and `keys`, where changed
  granted_mode INTEGER,
  keys_mode INTEGER
) STRICT;
INSERT INTO lease VALUES(3,1000500000000,1000472604164,0,NULL,NULL,NULL);
INSERT INTO lease VALUES(10,3600000000000,3599987091973,0,436,NULL,384);
INSERT INTO lease VALUES(12,NULL,NULL,0,NULL,NULL,NULL);
CREATE VIEW path (node, path) AS -- every name with the directories that lead to it
WITH RECURSIVE below (node, path) AS (
  SELECT node, name FROM name WHERE parent = 1
  UNION ALL
  SELECT name.node, below.path || '/' || name.name
    FROM below CROSS JOIN name ON name.parent = below.node
)
SELECT node, path FROM below
;
CREATE VIEW key (path, size, lease, value) AS -- files; of long values the first 4096 bytes
SELECT path.path, node.size, of_lease.path, CAST (node.data AS TEXT)
  FROM path JOIN node ON node.id = path.node
  LEFT JOIN path AS of_lease ON of_lease.node = node.lease
  WHERE node.mode & 61440 = 32768
;
COMMIT;
PRAGMA journal_mode = WAL;
