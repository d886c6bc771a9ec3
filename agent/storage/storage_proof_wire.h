/* SPDX-License-Identifier: Apache-2.0 */
/* Storage proofs between agent/storage/storage_proof.h and drover.v1.StorageProof.
 *
 * Reading is where a peer's values are judged: method, lengths, no control characters, an absolute
 * nonce path. Pure; any thread.
 */
#pragma once

#include "agent/storage/storage_proof.h"
#include "proto/types.pb-c.h"

/* @from may be NULL (an unproved disk). -ERROR_INVALID or -ERROR_TOO_LARGE. */
int storage_proof_read(const Drover__V1__StorageProof *from, struct storage_proof *ret,
                       struct error *err);

/* Owned by the caller, or by the message it is put into. */
Drover__V1__StorageProof *storage_proof_message_new(const struct storage_proof *p);
