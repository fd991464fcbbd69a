/* SPDX-License-Identifier: MIT */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TWIN_PATH 4200        /* longer than PATH_MAX */
#define TWIN_DATA (96 * 1024) /* at most so much is read or written at once */
#define TWIN_SLOTS 8          /* descriptors kept open */
#define TWIN_SIGHTS (TWIN_SLOTS + 6)
#define TWIN_USERS 4

typedef struct TwinKind TwinKind;

/* One system call, decided before either side sees it. What the fields mean depends on the kind. */
typedef struct {
  const TwinKind *kind;
  int slot, slot2; /* in the side's table of descriptors */
  int at, at2;     /* the slot that `path` starts at; -1: the side's root */
  char path[TWIN_PATH], path2[TWIN_PATH];
  int flags;
  unsigned mode;
  unsigned user; /* who makes the call: see twin-player.c */
  int64_t offset, offset2, size;
  struct timespec times[2];
  unsigned seed; /* of the bytes written */
} TwinCall;

/* What fstat says of one thing that the call may have touched. */
typedef struct {
  int error;
  uint64_t ino, nlink, uid, gid, mode, size, rdev;
  struct timespec times[3]; /* atime, mtime, ctime */
  unsigned moved;           /* which of them the call has changed, as bits; with -t alone */
} TwinSight;

typedef struct {
  int64_t value;
  int error; /* errno, if `value` is -1 */
  size_t size;
  unsigned char data[TWIN_DATA];
  TwinSight sights[TWIN_SIGHTS];
} TwinAnswer;

/* A side as its process has it; the process lives in a chroot, so no `..` leads out. */
typedef struct {
  int fds[TWIN_SLOTS];
} TwinSide;

/* What calls are chosen by: the random numbers, and what was last seen to exist. */
typedef struct {
  uint64_t random;
  struct {
    char path[256];
    unsigned mode;
  } known[24];
  unsigned slot_modes[TWIN_SLOTS]; /* 0: empty */
  unsigned user;
  const char *excluded; /* names of kinds, with commas */
} TwinChoices;

struct TwinKind {
  const char *name;
  unsigned weight;
  void (*choose) (TwinChoices *choices, TwinCall *call);
  int64_t (*run) (TwinSide *side, const TwinCall *call, TwinAnswer *answer);
};

/* twin-choices.c: random numbers and paths. */
unsigned twin_random (TwinChoices *choices, unsigned below);
bool twin_chance (TwinChoices *choices, unsigned percent);
#define TWIN_PICK(choices, array)                                                                  \
  ((array)[twin_random ((choices), sizeof (array) / sizeof *(array))])

/* A path that probably has this type (S_IFREG, ...; 0: any), or is probably free. */
void twin_choose_path (TwinChoices *choices, char *path, unsigned type);
void twin_choose_free_path (TwinChoices *choices, char *path);
/* A slot that probably holds this type (0: any), or is probably empty. */
int twin_choose_slot (TwinChoices *choices, unsigned type);
int twin_choose_free_slot (TwinChoices *choices);
int twin_choose_at (TwinChoices *choices);
unsigned twin_choose_mode (TwinChoices *choices);
int64_t twin_choose_offset (TwinChoices *choices);
/* Remembers what there was after the call. */
void twin_choices_learn (TwinChoices *choices, const TwinCall *call, const TwinAnswer *answer);

/* twin-calls.c: which call is next. What a seed means hangs on the order of all kinds. */
void twin_calls_choose (TwinChoices *choices, TwinCall *call);
void twin_calls_print (const TwinCall *call, FILE *out);

/* For those who make calls: the bytes to write, and what was read to answer->data. */
void twin_make_bytes (unsigned char *bytes, size_t size, unsigned seed);
int64_t twin_got (TwinAnswer *answer, ssize_t result);

/* twin-files.c, twin-names.c, twin-attributes.c, twin-xattrs.c: kinds of calls, closed by one
 * without a name. */
extern const TwinKind twin_file_kinds[], twin_name_kinds[], twin_attribute_kinds[];
extern const TwinKind twin_xattr_kinds[];

/* twin-player.c: a process for each side, which makes the calls. */
typedef struct TwinPlayer TwinPlayer;
TwinPlayer *twin_player_new (const char *root, bool with_times);
void twin_player_begin (TwinPlayer *player, const TwinCall *call);
/* NULL: there was none within half a minute. */
const TwinAnswer *twin_player_answer (TwinPlayer *player);
void twin_player_free (TwinPlayer *player);
/* The descriptor that a path starts at, for the *at() calls. */
int twin_side_dir (const TwinSide *side, int at);
/* What each of an answer's sights is of. */
extern const char *const twin_sight_names[TWIN_SIGHTS];

/* twin-trees.c: both trees as a whole. */
/* Whether they are alike; says on `out` what is not. */
bool twin_trees_alike (const char *reference, const char *root, FILE *out);
bool twin_trees_sight_alike (const struct stat *reference, const struct stat *found, FILE *out);
/* Whether the two are the same thing, as far as was ever seen: inode numbers are never reused. */
bool twin_trees_same_inode (uint64_t reference, uint64_t found);
bool twin_trees_empty (const char *root);
