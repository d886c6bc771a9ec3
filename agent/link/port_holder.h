/* SPDX-License-Identifier: Apache-2.0 */
/* Private to ports.c and port_holder.c. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

/* A numeric address; -ERROR_INVALID otherwise. */
int port_address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret,
                       socklen_t *ret_bytes);
