/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the tunnel: unix sockets for libvirt, TCP for the twin. All close-on-exec and
 * non-blocking. Errors name the address. */
#pragma once

#include "common/error.h"

#include <stdint.h>

/* Listens at @path, for root and this user only; a stale socket there is replaced. */
int tunnel_local_listen(const char *path, int *ret_fd, struct error *err);
/* -ERROR_BUSY: nobody calls. -ERROR_PERMISSION: a stranger did, and was hung up on. */
int tunnel_local_accept(int listener, int *ret_fd, struct error *err);
int tunnel_local_connect(const char *path, int *ret_fd, struct error *err);

/* "10.77.0.2:0", "[fd00::2]:0": numbers only, names are never resolved here. */
int tunnel_tcp_listen(const char *address, int *ret_fd, uint16_t *ret_port, struct error *err);
/* @ret_peer: "10.77.0.1:40122" (80 bytes). -ERROR_BUSY: nobody calls. */
int tunnel_tcp_accept(int listener, int *ret_fd, char *ret_peer, struct error *err);
/* Begins to connect. */
int tunnel_tcp_dial(const char *address, int *ret_fd, struct error *err);
