/* SPDX-License-Identifier: MIT */

#include "leases/trouble.h"

#include <glib.h>

void
lease_trouble_begin (LeaseTrouble *trouble, const char *path, int error, const char *detail)
{
  g_autofree char *number = g_strdup_printf ("%d", error);

  if (!trouble->lasting)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_CRITICAL, "MESSAGE_ID", LEASE_TROUBLE_BEGINS_ID,
                      "LEASEFS_PATH", path, "ERRNO", number, "MESSAGE", "%s: %s: %s: %s", path,
                      trouble->begins, detail, g_strerror (error));
  trouble->lasting = true;
}

void
lease_trouble_end (LeaseTrouble *trouble, const char *path)
{
  if (trouble->lasting)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", LEASE_TROUBLE_OVER_ID,
                      "LEASEFS_PATH", path, "MESSAGE", "%s: %s", path, trouble->over);
  trouble->lasting = false;
}
