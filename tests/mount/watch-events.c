/* SPDX-License-Identifier: MIT */

/* Owns the inotify instance and all that has come from it. The kernel merges two events that are
 * the same, of which the second one comes before the first one has been read; so cases that expect
 * the same one twice have something else come in between. */

#include "tests/mount/watch.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#define MS INT64_C (1000000)
#define SECOND INT64_C (1000000000)

/* However slow the machine is. */
#define LIMIT_NS (20 * SECOND)

/* Nothing may come for so long. */
#define QUIET_MS 60

#define SHORT_TTL "0.05\n"
#define SHORT_NS (50 * MS)

#define MASK                                                                                       \
  (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE | IN_DELETE_SELF | IN_UNMOUNT)

typedef struct {
  char **items;
  unsigned count, room;
} Texts;

static int inotify_fd = -1;
static Texts labels; /* by watch descriptor */
static Texts seen, wanted;

static void
add_text (Texts *texts, char *text)
{
  if (texts->count == texts->room) {
    texts->room = texts->room * 2 + 64;
    texts->items = realloc (texts->items, texts->room * sizeof *texts->items);
  }
  texts->items[texts->count++] = text;
}

static void
clear_texts (Texts *texts)
{
  for (unsigned i = 0; i < texts->count; i++)
    free (texts->items[i]);
  texts->count = 0;
}

static char *
print_text (const char *format, va_list args)
{
  char *text;

  if (vasprintf (&text, format, args) < 0)
    fail_msg ("out of memory");
  return text;
}

static char *__attribute__ ((format (printf, 1, 2))) text_of (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  char *text = print_text (format, args);
  va_end (args);
  return text;
}

int
watch_setup (void **state)
{
  inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  clear_texts (&labels);
  clear_texts (&seen);
  clear_texts (&wanted);
  return inotify_fd < 0 ? -1 : calls_setup_in_root (state);
}

/* The process that holds a directory; 0: none. */
static pid_t holding;

int
watch_teardown (void **state)
{
  if (holding != 0)
    watch_let_go (holding);
  close (inotify_fd);
  return calls_teardown (state);
}

void
watch_path_as (const char *path, const char *label)
{
  int watch = (int)assert_ok (inotify_add_watch (inotify_fd, path, MASK));

  if (watch != (int)labels.count + 1)
    fail_msg ("%s is watched already", path);
  add_text (&labels, strdup (label));
}

void
watch_path (const char *path)
{
  watch_path_as (path, path);
}

static const char *
name_of (uint32_t mask)
{
  static const struct {
    uint32_t bit;
    const char *name;
  } names[] = {
    { IN_CREATE, "CREATE" },         { IN_MOVED_FROM, "MOVED_FROM" },
    { IN_MOVED_TO, "MOVED_TO" },     { IN_MOVE_SELF, "MOVE_SELF" },
    { IN_DELETE, "DELETE" },         { IN_DELETE_SELF, "DELETE_SELF" },
    { IN_Q_OVERFLOW, "Q_OVERFLOW" }, { IN_UNMOUNT, "UNMOUNT" },
  };

  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    if (mask & names[i].bit)
      return names[i].name;
  return "UNKNOWN";
}

static void
note_event (const struct inotify_event *event)
{
  if (event->mask & IN_IGNORED)
    return;
  if (event->wd < 1 || event->wd > (int)labels.count)
    fail_msg ("the queue of events has overflowed");
  add_text (&seen, text_of ("%s%s %s%s%s", name_of (event->mask),
                            event->mask & IN_ISDIR ? ",ISDIR" : "", labels.items[event->wd - 1],
                            event->len > 0 ? "/" : "", event->len > 0 ? event->name : ""));
}

/* Takes what there is, after waiting for that. Returns whether there was something. */
static bool
take_events (int timeout_ms)
{
  static char buffer[64 * 1024] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  struct pollfd ready = { .fd = inotify_fd, .events = POLLIN };

  if (poll (&ready, 1, timeout_ms) <= 0)
    return false;
  ssize_t size = assert_ok (read (inotify_fd, buffer, sizeof buffer));
  for (const char *at = buffer; at < buffer + size;) {
    const struct inotify_event *event = (const struct inotify_event *)at;
    note_event (event);
    at += sizeof *event + event->len;
  }
  return true;
}

void
watch_want (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  add_text (&wanted, print_text (format, args));
  va_end (args);
}

static int
compare_texts (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static Texts
sorted (const Texts *texts)
{
  Texts copy = { 0 };

  for (unsigned i = 0; i < texts->count; i++)
    add_text (&copy, texts->items[i]);
  if (copy.count > 0)
    qsort (copy.items, copy.count, sizeof *copy.items, compare_texts);
  return copy;
}

/* Prints what only one of them has. Returns how much. */
static unsigned
print_differences (void)
{
  Texts a = sorted (&wanted), b = sorted (&seen);
  unsigned count = 0;

  for (unsigned i = 0, j = 0; i < a.count || j < b.count;) {
    int order = i == a.count ? 1 : j == b.count ? -1 : strcmp (a.items[i], b.items[j]);
    if (order < 0)
      print_error ("missing: %s\n", a.items[i]);
    else if (order > 0)
      print_error ("too much: %s\n", b.items[j]);
    count += order != 0;
    i += order <= 0;
    j += order >= 0;
  }
  free (a.items);
  free (b.items);
  return count;
}

void
watch_compare (void)
{
  int64_t limit = calls_now () + LIMIT_NS;

  while (seen.count < wanted.count && calls_now () < limit)
    take_events (100);
  while (take_events (QUIET_MS))
    ;
  if (print_differences () == 0)
    return;
  for (unsigned i = 0; i < seen.count && i < 100; i++)
    print_error ("%u: %s\n", i, seen.items[i]);
  fail_msg ("%u events instead of %u", seen.count, wanted.count);
}

unsigned
watch_count (const char *event)
{
  unsigned count = 0;

  while (take_events (0))
    ;
  for (unsigned i = 0; i < seen.count; i++)
    count += strcmp (seen.items[i], event) == 0;
  return count;
}

unsigned
watch_total (void)
{
  while (take_events (0))
    ;
  return seen.count;
}

void
watch_await (const char *event)
{
  int64_t limit = calls_now () + LIMIT_NS;

  while (watch_count (event) == 0) {
    if (calls_now () > limit)
      fail_msg ("waited in vain for: %s", event);
    take_events (100);
  }
}

void
watch_assert_order (const char *first, const char *second)
{
  int last_of_first = -1, first_of_second = INT_MAX;

  for (unsigned i = 0; i < seen.count; i++) {
    if (strcmp (seen.items[i], first) == 0)
      last_of_first = i;
    if (strcmp (seen.items[i], second) == 0 && first_of_second == INT_MAX)
      first_of_second = i;
  }
  if (last_of_first < 0 || first_of_second == INT_MAX || last_of_first > first_of_second)
    fail_msg ("not in order: '%s' was event %d, and '%s' event %d", first, last_of_first, second,
              first_of_second);
}

void
watch_lease (const char *id)
{
  char path[128];

  snprintf (path, sizeof path, "leases/%s", id);
  assert_ok (mkdir (path, 0755));
  snprintf (path, sizeof path, "leases/%s/ttl", id);
  calls_write (path, "1000\n");
}

void
watch_attach (const char *id, const char *key)
{
  char path[128];

  snprintf (path, sizeof path, "leases/%s/keys", id);
  calls_write (path, key);
}

void
watch_key (const char *id, const char *key)
{
  calls_put (key, "old");
  watch_attach (id, key);
}

void
watch_let_end (const char *const *ids, unsigned count)
{
  char path[128];

  for (unsigned i = 0; i < count; i++) {
    snprintf (path, sizeof path, "leases/%s/ttl", ids[i]);
    calls_write (path, SHORT_TTL);
  }
}

void
watch_end (const char *id)
{
  watch_let_end (&id, 1);
  calls_wait_until (calls_now () + SHORT_NS);
}

pid_t
watch_hold (const char *directory)
{
  int out[2];
  char line[16];

  assert_ok (pipe2 (out, O_CLOEXEC));
  pid_t holder = (pid_t)assert_ok (fork ());
  if (holder == 0) {
    dup2 (out[1], STDOUT_FILENO);
    execl (getenv ("HOLD"), "hold", directory, NULL);
    _exit (127);
  }
  close (out[1]);
  if (read (out[0], line, sizeof line) <= 0)
    fail_msg ("%s is not held", directory);
  close (out[0]);
  holding = holder;
  return holder;
}

void
watch_let_go (pid_t holder)
{
  kill (holder, SIGKILL);
  waitpid (holder, NULL, 0);
  holding = 0;
}

/* Its key is attached from its first moment: what is attached later, the reaper looks at again soon
 * after, and would be held up by that. */
pid_t
watch_stalling_lease (const char *id)
{
  char path[64];

  watch_lease (id);
  assert_ok (mkdir ("held", 0755));
  snprintf (path, sizeof path, "leases/%s/first", id);
  calls_put (path, "old");
  assert_ok (rename (path, "held/first"));
  watch_path ("held");
  return watch_hold ("held");
}

/* Whether a thread of the daemon waits for a lock in the kernel. */
static bool
is_held_up (void)
{
  char path[300], *text;
  bool found = false;

  snprintf (path, sizeof path, "/proc/%s/task", getenv ("DAEMON"));
  DIR *tasks = opendir (path);
  if (tasks == NULL)
    fail_msg ("%s: %s", path, strerror (errno));
  for (struct dirent *task; (task = readdir (tasks)) != NULL;) {
    snprintf (path, sizeof path, "/proc/%s/task/%s/status", getenv ("DAEMON"), task->d_name);
    if (task->d_name[0] == '.' || access (path, R_OK) != 0)
      continue;
    text = calls_text (path);
    found |= strstr (text, "\nState:\tD") != NULL;
    free (text);
  }
  closedir (tasks);
  return found;
}

void
watch_await_hold_up (void)
{
  int64_t limit = calls_now () + LIMIT_NS;

  while (!is_held_up ()) {
    if (calls_now () > limit)
      fail_msg ("nobody waits");
    usleep (1000);
  }
}

void
watch_end_stalled (const char *id)
{
  watch_end (id);
  watch_await_hold_up ();
}
