/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"

#include <glib.h>

/* What a journal holds after some rows, worked out by itself in the simplest way, to be compared
 * with what a journal gives back. A plain struct: copy it to keep it. It knows few nodes, few names
 * and few pages, so that rows meet each other often. */

enum {
  MODEL_NODES = 16,  /* ids 1 to 15 */
  MODEL_PARENTS = 3, /* ids 1 and 2 */
  MODEL_NAMES = 5,
  MODEL_PAGES = 5,
  MODEL_FILES = 4, /* of a lease */
  MODEL_XATTRS = 3,
};

typedef struct {
  bool there;
  LeaseRowMeta meta;
  uint64_t lease;
  struct {
    size_t size; /* 0: a hole */
    char byte;
  } pages[MODEL_PAGES];
  struct {
    bool there;
    size_t size;
    char byte;
  } xattrs[MODEL_XATTRS];
} ModelNode;

typedef struct {
  uint64_t node; /* 0: not there */
  uint64_t position;
  bool told;
} ModelName;

typedef struct {
  bool there, ended;
  int64_t granted, left;      /* -1: not said */
  int64_t modes[MODEL_FILES]; /* -1: not said */
} ModelLease;

typedef struct {
  uint64_t next_node;
  ModelNode nodes[MODEL_NODES];
  ModelLease leases[MODEL_NODES];
  ModelName names[MODEL_PARENTS][MODEL_NAMES];
} Model;

/* Rows that make one commit, and the bytes that they point to. */
typedef struct {
  GArray *rows; /* of LeaseRow */
  GPtrArray *bytes;
} ModelChange;

ModelChange *model_change_new (void);
void model_change_free (ModelChange *change);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ModelChange, model_change_free)

/* Adds a few random rows to `change` that make sense after `model`, and changes `model` as they
 * say. */
void model_step (Model *model, GRand *random, ModelChange *change);

/* One line for each row that a journal should give back, in the order in which it does. */
char *model_text (const Model *model);

/* The same of what a journal gives back; NULL, and a message, if it cannot be loaded. The pages of
 * values, and attributes, each hold the same byte all over. */
char *model_text_of (LeaseJournal *journal);

/* One line for one row, for LeaseRowEach; `data` is a GString. */
bool model_append (const LeaseRow *row, void *data);
