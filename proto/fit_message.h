/* SPDX-License-Identifier: Apache-2.0 */
/* common/fit.h on the wire.
 *
 * What is read is a stranger's, and decides nothing by itself: what makes no sense is not known, and whoever
 * says it is heard all the same. */
#pragma once

#include "common/fit.h"
#include "proto/types.pb-c.h"

/* Each owns what it has. */
Drover__V1__GuestNeeds *fit_message_needs_new(const struct guest_needs *needs);
Drover__V1__HostOffers *fit_message_offers_new(const struct host_offers *offers);
Drover__V1__HostRooms *fit_message_rooms_new(const struct host_rooms *rooms);

/* @from may be NULL; @ret is all zero then. @ret owns its networks. */
void fit_message_read_needs(const Drover__V1__GuestNeeds *from, struct guest_needs *ret);
void fit_message_read_rooms(const Drover__V1__HostRooms *from, uint32_t cpus,
                            struct host_rooms *ret);
/* Owned; NULL: nothing was told. */
struct host_offers *fit_message_read_offers(const Drover__V1__HostOffers *from);
