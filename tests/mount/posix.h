/* SPDX-License-Identifier: MIT */
#pragma once

/* The groups of cases that tests/mount/posix.c runs. Each returns how many failed. */
int posix_values (void);
int posix_names (void);
int posix_listings (void);
int posix_attributes (void);
int posix_leases (void);
