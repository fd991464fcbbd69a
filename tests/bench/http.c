/* SPDX-License-Identifier: MIT */

/* One request is one write(2), and an answer is read into one buffer that is used again: so little
 * of what a call costs is the client's. */

#include "tests/bench/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct BenchHttp {
  int fd;
  GString *request;
  GString *answer; /* as it comes */
  GString *body;
};

static int
dial (unsigned port)
{
  struct sockaddr_in address = {
    .sin_family = AF_INET,
    .sin_port = htons (port),
    .sin_addr.s_addr = htonl (INADDR_LOOPBACK),
  };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

  if (fd >= 0 && (setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
                  connect (fd, (struct sockaddr *)&address, sizeof address) != 0)) {
    int error = errno;
    close (fd);
    errno = error;
    return -1;
  }
  return fd;
}

BenchHttp *
bench_http_new (unsigned port)
{
  int fd = dial (port);

  if (fd < 0)
    return NULL;
  BenchHttp *http = g_new (BenchHttp, 1);
  *http = (BenchHttp){ fd, g_string_new (NULL), g_string_new (NULL), g_string_new (NULL) };
  return http;
}

void
bench_http_free (BenchHttp *http)
{
  close (http->fd);
  g_string_free (http->request, TRUE);
  g_string_free (http->answer, TRUE);
  g_string_free (http->body, TRUE);
  g_free (http);
}

static bool
send_all (BenchHttp *http)
{
  size_t sent = 0;

  while (sent < http->request->len) {
    ssize_t n = write (http->fd, http->request->str + sent, http->request->len - sent);
    if (n < 0)
      return false;
    sent += n;
  }
  return true;
}

static bool
receive (BenchHttp *http)
{
  char piece[16384];
  ssize_t n = read (http->fd, piece, sizeof piece);

  if (n == 0)
    errno = ECONNRESET;
  if (n > 0)
    g_string_append_len (http->answer, piece, n);
  return n > 0;
}

/* The end of the line that begins at `start`; SIZE_MAX when the connection fails. */
static size_t
end_of_line (BenchHttp *http, size_t start)
{
  const char *end;

  while ((end = strstr (http->answer->str + start, "\r\n")) == NULL)
    if (!receive (http))
      return SIZE_MAX;
  return end - http->answer->str;
}

static bool
take (BenchHttp *http, size_t start, size_t length)
{
  while (http->answer->len < start + length)
    if (!receive (http))
      return false;
  g_string_append_len (http->body, http->answer->str + start, length);
  return true;
}

static bool
take_chunks (BenchHttp *http, size_t at)
{
  for (;;) {
    size_t end = end_of_line (http, at);
    if (end == SIZE_MAX)
      return false;
    size_t length = strtoul (http->answer->str + at, NULL, 16);
    if (!take (http, end + 2, length) || end_of_line (http, end + 2 + length) == SIZE_MAX)
      return false;
    if (length == 0)
      return true;
    at = end + 2 + length + 2;
  }
}

static bool
read_answer (BenchHttp *http)
{
  size_t at = 0, length = 0;
  bool chunked = false;

  for (;;) {
    size_t end = end_of_line (http, at);
    if (end == SIZE_MAX)
      return false;
    const char *line = http->answer->str + at;
    if (end == at)
      break;
    if (g_ascii_strncasecmp (line, "Content-Length:", 15) == 0)
      length = strtoul (line + 15, NULL, 10);
    if (g_ascii_strncasecmp (line, "Transfer-Encoding: chunked", 26) == 0)
      chunked = true;
    at = end + 2;
  }
  return chunked ? take_chunks (http, at + 2) : take (http, at + 2, length);
}

const char *
bench_http_post (BenchHttp *http, const char *path, const char *body, size_t length)
{
  g_string_printf (http->request,
                   "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   path, length);
  g_string_append_len (http->request, body, length);
  g_string_truncate (http->answer, 0);
  g_string_truncate (http->body, 0);
  if (!send_all (http) || !read_answer (http))
    return NULL;
  if (!g_str_has_prefix (http->answer->str, "HTTP/1.1 200 ")) {
    errno = EREMOTEIO;
    return NULL;
  }
  return http->body->str;
}
