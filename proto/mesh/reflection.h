/* SPDX-License-Identifier: Apache-2.0 */
/* The Reflection service: what the program that has it in its services serves, from the same tables as
 * the mesh itself uses. Owner thread. */
#pragma once

#include "proto/mesh/mesh.h"

extern const struct mesh_service reflection_service;
