/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/histogram.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The journal: where the engine's state is kept besides memory. Every change of the state is a list
 * of rows, which the engine hands to the journal before it applies them to memory itself. So what
 * the journal has taken is what the next lease_journal_load() brings back.
 *
 * Times are nanoseconds since 1970, durations nanoseconds. Nodes are known by their ids, leases by
 * those of their directories. */

/* What a row of these types says. "stored" is for the journal alone, the engine's memory knows it
 * by other ways. */
typedef enum {
  LEASE_ROW_IDS,   /* ids below `node` may have been given out: none of them may be again */
  LEASE_ROW_NODE,  /* `node` is there, new: `meta`, all of it but `fields` */
  LEASE_ROW_SET,   /* those parts of `meta` that `fields` names */
  LEASE_ROW_XATTR, /* `node` has the extended attribute `xattr`, or not any more */
  LEASE_ROW_GONE,  /* nothing keeps `node` any more: it goes, with its value and attributes */

  LEASE_ROW_NAME,   /* `name` stands for `node`; it may be there, and have stood for another */
  LEASE_ROW_UNNAME, /* `name` is not there any more; `node` is what it stood for */

  LEASE_ROW_ATTACH, /* `node` is attached to `lease`, or to none if that is 0 */
  LEASE_ROW_DETACH, /* `node` is attached to none any more, if it still is to `lease` */

  LEASE_ROW_LEASE, /* `node` is the directory of a new lease, reserved */
  LEASE_ROW_GRANT, /* its TTL is `ns`, from now on */
  LEASE_ROW_MODE,  /* permissions of its pseudo-file `mode.file` */
  LEASE_ROW_LEFT,  /* it has `ns` left, and its clock stands still until LEASE_ROW_RUN */
  LEASE_ROW_RUN, /* of all leases: their clocks run. Where none says what was left, it is the TTL */
  LEASE_ROW_END, /* it has ended; it stays until its keys have been removed */
  LEASE_ROW_FREE, /* nothing is left of it; the directory that it had is a node like any other */

  /* Values are kept by pages of LEASE_JOURNAL_PAGE bytes, of which each is either written or a
   * hole. The value's size is that of LEASE_ROW_SET. */
  LEASE_ROW_WRITE, /* the pages from `range.offset` on, which is a multiple of the page, hold these
                      bytes, and zeros behind them up to the end of the last page */
  LEASE_ROW_TRUNCATE, /* all pages that begin at or behind `range.offset` are holes. What the page
                         before holds behind it comes as a LEASE_ROW_WRITE */
  LEASE_ROW_PUNCH, /* all pages that lie whole in `range` are holes; as for the others, see above */
  LEASE_ROW_RESERVE, /* memory is kept free for `range`: never stored */
} LeaseRowType;

#define LEASE_JOURNAL_PAGE ((size_t)4096)

/* The fields of LeaseRowMeta that LEASE_ROW_SET can name. */
enum {
  LEASE_FIELD_MODE = 1 << 0,
  LEASE_FIELD_UID = 1 << 1,
  LEASE_FIELD_GID = 1 << 2,
  LEASE_FIELD_SIZE = 1 << 3,
  LEASE_FIELD_ATIME = 1 << 4,
  LEASE_FIELD_MTIME = 1 << 5,
  LEASE_FIELD_CTIME = 1 << 6,
  LEASE_FIELD_ALL = (1 << 7) - 1,
};

/* The pseudo-files of a lease. */
enum {
  LEASE_ROW_FILE_TTL = 1,
  LEASE_ROW_FILE_GRANTED,
  LEASE_ROW_FILE_KEYS,
  LEASE_ROW_FILE_PROCS,
  LEASE_ROW_FILE_LAST = LEASE_ROW_FILE_PROCS,
};

typedef struct {
  unsigned fields;
  mode_t mode; /* type and permissions; the type never changes */
  uid_t uid;
  gid_t gid;
  dev_t rdev;
  uint64_t size; /* of a regular file */
  int64_t atime_ns, mtime_ns, ctime_ns;
  const char *target; /* of a symlink, else NULL */
} LeaseRowMeta;

typedef struct {
  uint64_t parent;
  const char *text;
  uint64_t position; /* in the order of the directory; above 0 */
  bool told;         /* see LeaseName */
  bool displaced;    /* of UNNAME: something new takes it. About memory only */
} LeaseRowName;

typedef struct {
  uint64_t offset;
  uint64_t size;
  const char *data; /* of LEASE_ROW_WRITE, else NULL */
} LeaseRowRange;

typedef struct {
  const char *name;  /* with its namespace, as in "user.name" */
  const char *value; /* `size` bytes; NULL: it is removed */
  size_t size;
} LeaseRowXattr;

typedef struct {
  LeaseRowType type;
  bool stored;   /* false: about memory only, the journal passes over it */
  bool echo;     /* about what memory comes to hold by other rows: for the journal only */
  uint64_t node; /* what it is about */
  union {
    LeaseRowMeta meta;   /* NODE, SET */
    LeaseRowName name;   /* NAME, UNNAME */
    uint64_t lease;      /* ATTACH, DETACH */
    int64_t ns;          /* GRANT, LEFT */
    LeaseRowRange range; /* WRITE, TRUNCATE, PUNCH, RESERVE */
    LeaseRowXattr xattr; /* XATTR */
    struct {
      unsigned file;
      mode_t mode;
    } mode; /* MODE */
  };
} LeaseRow;

typedef struct LeaseJournal LeaseJournal;

/* What a journal that keeps something tells of itself. Times are measured on the real clock, since
 * the journal was opened. */
typedef struct {
  uint64_t data_bytes;    /* what is kept takes on its disk */
  uint64_t log_bytes;     /* the log beside it does */
  LeaseHistogram commits; /* how long they took, those that failed too */
  LeaseHistogram syncs;   /* how long making a file last took, whoever wanted it */
  uint64_t commit_errors;
  uint64_t sync_errors;
} LeaseJournalMetrics;

/* Takes one row of what the journal holds. Returns whether that made sense. */
typedef bool (*LeaseRowEach) (const LeaseRow *row, void *data);

/* A kind of journal. The first member of its own struct is a LeaseJournal. */
typedef struct {
  /* Whether commit() may wait, for a disk or a network: the engine then lets go of its lock for
   * so long. */
  bool waits;

  /* See the functions below. NULL: there is nothing to do. */
  bool (*load) (LeaseJournal *journal, LeaseRowEach each, void *data, GError **error);
  int (*commit) (LeaseJournal *journal, const LeaseRow *rows, size_t count);
  int (*sync) (LeaseJournal *journal);
  bool (*tend) (LeaseJournal *journal);
  void (*metrics) (LeaseJournal *journal, LeaseJournalMetrics *metrics_out);
  void (*close) (LeaseJournal *journal);
} LeaseJournalKind;

struct LeaseJournal {
  const LeaseJournalKind *kind;
};

/* A journal that keeps nothing: all is in memory. */
LeaseJournal *lease_journal_memory_new (void);

/* Calls `each` with rows from which the state can be built: every node (NODE, and WRITE for its
 * value), then every XATTR, then every lease (LEASE, and GRANT, MODE, LEFT, END as it is), then
 * every name, then every ATTACH, and IDS at any place. No rows: the journal is new. To be called
 * once, before anything else. Changes nothing of what it holds. `error` is one line for a person:
 * the journal cannot be read, or `each` returned false for a row, which it describes. */
bool lease_journal_load (LeaseJournal *journal, LeaseRowEach each, void *data, GError **error);

/* Takes the rows, in their order, all of them or none, and keeps them though the process be killed
 * right after. One call at a time, from any thread. Returns 0, or
 *   -ENOSPC  no room
 *   -EIO     anything else; later calls may succeed again */
int lease_journal_commit (LeaseJournal *journal, const LeaseRow *rows, size_t count);

/* Makes what has been committed outlast a power cut. Any thread, also during a commit. 0 or -EIO,
 * -ENOSPC. */
int lease_journal_sync (LeaseJournal *journal);

/* Housekeeping that takes its time: to be called soon after a commit, by one thread, and again and
 * again while it returns that there is something left to do. */
bool lease_journal_tend (LeaseJournal *journal);

/* Returns whether there is anything to tell: nothing where nothing is kept. Any thread, at any
 * time; waits neither for a commit nor for a sync. */
bool lease_journal_metrics (LeaseJournal *journal, LeaseJournalMetrics *metrics_out);

/* Also frees it. Everything that was committed is synced, as far as possible. */
void lease_journal_close (LeaseJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseJournal, lease_journal_close)
